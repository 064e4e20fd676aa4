//! What a daemon has in the kernel.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::peer::Script;
use crate::world::peers;

/// Programs and maps of the kernel, by kind and id.
#[derive(Debug)]
pub struct Held(Vec<String>);

impl Held {
    /// Those that a process holds, by themselves or by a link.
    ///
    /// # Panics
    /// It is gone.
    #[must_use]
    pub fn by(pid: u32) -> Self {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            for line in text.lines().filter_map(|line| line.split_once("_id:")) {
                if let (kind @ ("prog" | "map"), id) = line {
                    names.push(format!("{kind}:{}", id.trim()));
                }
            }
        }
        names.sort();
        names.dedup();
        Self(names)
    }

    /// How many of a kind, `prog` or `map`.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        self.0.iter().filter(|name| name.starts_with(kind)).count()
    }

    /// Those that exist now, whoever holds them.
    #[must_use]
    pub fn existing(&self) -> Vec<String> {
        let mut ask = Command::new("python3");
        let said = Script::spawn(ask.arg("-u").arg(peers().join("bpf.py")).arg("exist").args(&self.0)).next();
        let names = said["exist"].as_array().cloned().unwrap_or_default();
        names.iter().filter_map(|name| name.as_str()).map(String::from).collect()
    }

    /// Waits until none exists: the kernel frees them when their last user is gone, a moment later.
    ///
    /// # Panics
    /// Some exist after five seconds.
    pub fn go(&self) {
        let began = Instant::now();
        loop {
            let still = self.existing();
            if still.is_empty() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "still there: {still:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
