//! Reading what Rust's test harness prints while it prints it.
//!
//! Tests run with `--show-output`, so that a test that passes without having tested can say so: a line
//! `skipped: REASON` in its output counts as a skip in place of the pass.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};

use super::report::Tally;
use crate::process::shown;

/// Arguments for the harness.
pub const ARGS: [&str; 1] = ["--show-output"];

/// Runs a command that runs tests, passes on what matters and counts. Exit status and counts must agree: a test binary
/// that crashed has printed no result, and counts as one failure.
pub fn run(command: &mut Command) -> Result<Tally> {
    let (mut tally, status) = stream(command, |_| ())?;
    if !status.success() && tally.failed == 0 {
        println!("`{}` failed ({status})", shown(command));
        tally.failed = 1;
    }
    Ok(tally)
}

/// The same without a judgement: the counts and the exit status. `look` sees every line, also those not passed on.
pub fn stream(command: &mut Command, mut look: impl FnMut(&str)) -> Result<(Tally, ExitStatus)> {
    let line = shown(command);
    println!("$ {line}");
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
    let mut reader = Reader::default();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        while output.read_until(b'\n', &mut bytes)? > 0 {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches(['\r', '\n']);
            look(text);
            if reader.feed(text) {
                println!("{text}");
            }
            bytes.clear();
        }
    }
    let status = child.wait()?;
    Ok((reader.tally, status))
}

/// The state between lines.
#[derive(Debug, Default)]
struct Reader {
    tally: Tally,
    /// Inside the output of tests that passed.
    successes: bool,
    /// Tests of this binary that passed without having tested.
    untested: u64,
    /// The test whose output this is has said that it skipped.
    told: bool,
}

impl Reader {
    /// Takes one line; true if a person wants to see it.
    fn feed(&mut self, line: &str) -> bool {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.successes = false;
            // A test that said it skipped is among those that passed.
            self.tally.passed += count(counts, " passed").saturating_sub(std::mem::take(&mut self.untested));
            self.tally.failed += count(counts, " failed");
            return true;
        }
        match line {
            "successes:" => self.successes = true,
            "failures:" => self.successes = false,
            _ => {}
        }
        if let Some((test, reason)) = line.strip_prefix("test ").and_then(|it| it.split_once(" ... ignored"))
        {
            let reason = reason.trim_start_matches(", ");
            let reason = if reason.is_empty() { "ignored" } else { reason };
            self.tally.skipped.push(format!("{test}: {reason}"));
            return true;
        }
        if !self.successes {
            return true;
        }
        if line.starts_with("---- ") {
            self.told = false;
        } else if let Some(reason) = line.trim_start().strip_prefix("skipped: ") {
            if !self.told {
                self.tally.skipped.push(reason.into());
                self.untested += 1;
                self.told = true;
            }
            return false;
        }
        // What a test measured is for people.
        line.starts_with("measured: ")
    }
}

fn count(counts: &str, what: &str) -> u64 {
    let before = counts.split(';').find_map(|part| part.trim().strip_suffix(what.trim_start()));
    let number = before.and_then(|text| text.split_whitespace().last());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 4 tests
test a ... ok
test b ... ignored, needs two machines
test c ... FAILED
test d ... ok

successes:

---- a stdout ----
noise
skipped: no captures
skipped: no captures
measured: 5.10 loaded 1234 instructions

---- d stdout ----
noise

successes:
    a
    d

failures:

---- c stdout ----
panicked

failures:
    c

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn counts_and_reasons_are_read_and_noise_of_good_tests_is_left_out() {
        let mut reader = Reader::default();
        let shown: Vec<_> = OUTPUT.lines().filter(|line| reader.feed(line)).collect();
        assert_eq!(
            reader.tally,
            Tally {
                passed: 1,
                failed: 1,
                skipped: vec!["b: needs two machines".into(), "no captures".into()]
            }
        );
        assert!(!shown.contains(&"noise"));
        assert!(shown.contains(&"panicked"));
        assert!(shown.contains(&"measured: 5.10 loaded 1234 instructions"));
    }

    #[test]
    fn a_crash_without_a_result_is_a_failure() {
        let tally = run(Command::new("sh").args(["-c", "echo running 3 tests; kill -SEGV $$"])).unwrap();
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }
}
