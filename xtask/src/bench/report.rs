//! `BENCHMARKS.md`

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

/// What was measured, as text.
#[derive(Debug, Default)]
pub struct Report {
    text: String,
    heading: Vec<String>,
}

impl Report {
    /// Begins a section with a table.
    pub fn table(&mut self, title: &str, words: &str, columns: &[&str]) {
        let _ = writeln!(self.text, "\n## {title}\n\n{words}\n");
        self.line(&columns.iter().map(ToString::to_string).collect::<Vec<_>>());
        self.line(&vec!["---".to_owned(); columns.len()]);
        eprintln!("== {title}");
    }

    /// A row of the table that was begun last.
    pub fn row(&mut self, cells: Vec<String>) {
        eprintln!("{}", cells.join(" | "));
        self.line(&cells);
    }

    /// A remark.
    pub fn note(&mut self, words: &str) {
        eprintln!("{words}");
        self.heading.push(words.to_owned());
    }

    fn line(&mut self, cells: &[String]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// Writes it, with how it came about.
    pub fn write(&self, path: &Path, command: &str) -> Result<()> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let mut text = String::from("# Benchmarks\n\n");
        let _ = writeln!(
            text,
            "Written by `{command}`. Each cell with brackets is `median (smallest–largest)`; ratios are those of"
        );
        let _ = writeln!(text, "pairs that were run one right after the other, in turn first and second.\n");
        let _ = writeln!(text, "- Cores: {cores}, {}", model.trim_start_matches([' ', '\t', ':']));
        let _ = writeln!(text, "- Kernel: {}", read("/proc/sys/kernel/osrelease").trim());
        let _ = writeln!(
            text,
            "- Load when it ended (1, 5, 15 minutes; other programs of this machine included): {}",
            read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
        );
        for note in &self.heading {
            let _ = writeln!(text, "- {note}");
        }
        text.push_str(&self.text);
        std::fs::write(path, text)?;
        Ok(())
    }
}
