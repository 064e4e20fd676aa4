//! `BENCHMARKS.md`: one section a measurement. What is measured again replaces what the file had; the rest of it stays.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

/// What was measured, as text.
#[derive(Debug)]
pub struct Report {
    sections: Vec<Section>,
    /// How each section of this run came about.
    origin: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Section {
    title: String,
    text: String,
}

impl Report {
    /// A report of a run of `command`.
    pub fn new(command: &str) -> Self {
        Self { sections: Vec::new(), origin: format!("`{command}`") }
    }

    /// Begins a section with a table.
    pub fn table(&mut self, title: &str, words: &str, columns: &[&str]) {
        eprintln!("== {title}");
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let text = format!("\n{words}\n\nBy {}; load of the machine when it began: {load}.\n\n", self.origin);
        self.sections.push(Section { title: title.to_owned(), text });
        self.line(&columns.iter().map(ToString::to_string).collect::<Vec<_>>());
        self.line(&vec!["---".to_owned(); columns.len()]);
    }

    /// A row of the table that was begun last.
    pub fn row(&mut self, cells: Vec<String>) {
        eprintln!("{}", cells.join(" | "));
        self.line(&cells);
    }

    /// A remark below the table that was begun last.
    pub fn note(&mut self, words: &str) {
        eprintln!("{words}");
        if let Some(section) = self.sections.last_mut() {
            let _ = writeln!(section.text, "\n{words}");
        }
    }

    fn line(&mut self, cells: &[String]) {
        if let Some(section) = self.sections.last_mut() {
            let _ = writeln!(section.text, "| {} |", cells.join(" | "));
        }
    }

    /// Writes it into the file at `path`.
    pub fn write(self, path: &Path) -> Result<()> {
        let sections = merged(sections(&std::fs::read_to_string(path).unwrap_or_default()), self.sections);
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let mut text = String::from("# Benchmarks\n\n");
        let _ = writeln!(
            text,
            "Written by `cargo xtask bench`, each section by the command named in it. Cells with brackets are\n\
             `median (smallest–largest)`; ratios are those of pairs that were run one right after the other, in turn first\n\
             and second.\n"
        );
        let _ = writeln!(text, "- Cores: {cores}, {}", model.trim_start_matches([' ', '\t', ':']));
        let _ = writeln!(text, "- Kernel: {}", read("/proc/sys/kernel/osrelease").trim());
        for Section { title, text: body } in sections {
            let _ = write!(text, "\n## {title}\n{}\n", body.trim_end());
        }
        std::fs::write(path, text)?;
        Ok(())
    }
}

/// The sections of an earlier report.
fn sections(text: &str) -> Vec<Section> {
    let parts = text.split("\n## ").skip(1);
    parts
        .filter_map(|part| {
            let (title, text) = part.split_once('\n')?;
            Some(Section { title: title.to_owned(), text: text.to_owned() })
        })
        .collect()
}

/// Old sections where they stood, with the new text where there is one; then those that are new.
fn merged(old: Vec<Section>, new: Vec<Section>) -> Vec<Section> {
    let mut all = old;
    for section in new {
        match all.iter_mut().find(|old| old.title == section.title) {
            Some(old) => *old = section,
            None => all.push(section),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_measured_again_replaces_its_section_alone() {
        let folder = std::env::temp_dir().join(format!("observer-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("BENCHMARKS.md");
        for (command, titles) in [("first", ["A", "B"]), ("second", ["B", "C"])] {
            let mut report = Report::new(command);
            for title in titles {
                report.table(title, "Words.", &["x"]);
                report.row(vec![format!("{command} {title}")]);
            }
            report.note("A note.");
            report.write(&path).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let titles: Vec<_> = sections(&text).into_iter().map(|section| section.title).collect();
        assert_eq!(titles, ["A", "B", "C"]);
        for said in ["first A", "second B", "second C"] {
            assert!(text.contains(&format!("| {said} |")), "{text}");
        }
        assert!(!text.contains("first B"), "{text}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
