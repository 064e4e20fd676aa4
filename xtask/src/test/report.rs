//! What was tested, what was not and why, and how long it took.

use std::time::{Duration, Instant};

use anyhow::Result;

/// The counts of one step, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// One reason for each test that did not run.
    pub skipped: Vec<String>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

impl Tally {
    /// A step that is one test.
    pub fn one() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// A step that this machine cannot run.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self { skipped: vec![reason.into()], ..Self::default() }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }
}

/// Collects the steps of one run.
#[derive(Debug, Default)]
pub struct Report {
    steps: Vec<(String, Tally, Duration)>,
}

impl Report {
    /// Runs a step and keeps its outcome. An error is a failure, told at once. True if nothing failed.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Tally>) -> bool {
        println!("\n=== {name}");
        let start = Instant::now();
        let tally = work().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally { failed: 1, ..Tally::default() }
        });
        let time = start.elapsed();
        println!("=== {name}: {tally} in {:.1} s", time.as_secs_f64());
        let good = tally.failed == 0;
        self.steps.push((name.into(), tally, time));
        good
    }

    /// Prints the summary, whose last line is `N passed, N failed, N skipped`. True if nothing failed.
    pub fn finish(self) -> bool {
        println!("\n{}", self.summary());
        self.total().failed == 0
    }

    fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.steps.iter().for_each(|(_, tally, _)| total.add(tally.clone()));
        total
    }

    fn summary(&self) -> String {
        let mut text = String::from("Steps:\n");
        for (name, tally, time) in &self.steps {
            text += &format!("  {:7.1} s  {:<24} {}\n", time.as_secs_f64(), name, tally);
        }
        let all: Duration = self.steps.iter().map(|(.., time)| *time).sum();
        text += &format!("  {:7.1} s  in all\n", all.as_secs_f64());
        let total = self.total();
        if total.skipped.is_empty() {
            text += "Nothing was skipped.\n";
        } else {
            text += "Skipped:\n";
            for (name, tally, _) in &self.steps {
                for (reason, times) in counted(&tally.skipped) {
                    let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
                    text += &format!("  {name}: {reason}{times}\n");
                }
            }
        }
        text += &total.to_string();
        text
    }
}

/// Each reason once, with how often it was given, in order of first mention.
fn counted(reasons: &[String]) -> Vec<(&str, usize)> {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for reason in reasons {
        match found.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, times)) => *times += 1,
            None => found.push((reason, 1)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_everything_and_every_skip_has_its_reason() {
        let mut report = Report::default();
        assert!(report.step("lint", || Ok(Tally::one())));
        assert!(report.step("live", || Ok(Tally::skip("needs root"))));
        assert!(!report.step("unit", || {
            Ok(Tally { passed: 7, failed: 2, skipped: vec!["no corpus".into(), "no corpus".into()] })
        }));
        assert!(!report.step("broken", || anyhow::bail!("no compiler")));
        let summary = report.summary();
        assert!(summary.ends_with("\n8 passed, 3 failed, 3 skipped"), "{summary}");
        assert!(summary.contains("  live: needs root\n"), "{summary}");
        assert!(summary.contains("  unit: no corpus (2 times)\n"), "{summary}");
        assert!(!report.finish());
    }
}
