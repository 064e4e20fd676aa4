//! What a command needed.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::shown;

/// What a command needed.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub wall: Duration,
    /// Peak resident memory in KiB, as far as it was seen: it is looked at every two milliseconds.
    pub peak: u64,
}

impl Used {
    /// Runs `command` to its end. Its output is thrown away.
    pub fn by(command: &mut Command) -> Result<Self> {
        let line = shown(command);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        let watched = child.id();
        let peak = std::thread::spawn(move || {
            let mut peak = 0;
            while let Some(now) = status(watched, "VmHWM:") {
                peak = now.max(peak);
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let status = child.wait()?;
        let wall = start.elapsed();
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
        Ok(Self { wall, peak: peak.join().unwrap_or_default() })
    }
}

/// A number of `/proc/PID/status`, in KiB; `None` once the process is gone.
pub fn status(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// A child that is killed when dropped.
#[derive(Debug)]
pub struct Leashed(pub Child);

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
