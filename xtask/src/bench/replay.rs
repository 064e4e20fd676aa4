//! Replay against Suricata, and its memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::capture::{self, Shape};
use super::report::Report;
use super::spread::{Pairs, Spread};
use super::used::{Leashed, Used};
use crate::process::{command, exists};

/// Bytes of each capture that is replayed against Suricata.
const SIZE: u64 = 400_000_000;

/// Suricata's run modes that read a capture.
const MODES: [&str; 2] = ["single", "autofp"];

/// Measures replay against Suricata.
pub fn speed(observer: &Path, folder: &Path, pairs: usize, report: &mut Report) -> Result<()> {
    report.table(
        "Replay",
        "Seconds of wall time on the same cores with a warm cache. observer writes its events to /dev/null; Suricata has no \
         rules and its logs as Debian configures them. The ratio is Suricata's faster run mode ÷ observer.",
        &["capture", "packets", "MB", "observer", "Suricata single", "Suricata autofp", "ratio (goal ≥ 10)"],
    );
    if !exists("suricata") {
        report.note("Suricata is not installed (`apt-get install suricata`): its columns are empty.");
    }
    for (name, shape) in
        [("short TLS", Shape::ShortTls), ("bulk TLS", Shape::Bulk), ("kept-alive HTTP", Shape::KeptAlive)]
    {
        let path = folder.join(format!("{name}.pcap"));
        let written = capture::write(shape, shape.connections(SIZE), File::create(&path)?)?;
        let ours = || {
            let used =
                Used::by(command(observer).args(["replay", "--quiet", "--format", "json"]).arg(&path))?;
            Ok(used.wall.as_secs_f64())
        };
        ours()?;
        let mut cells =
            vec![name.to_owned(), written.packets.to_string(), (written.bytes / 1_000_000).to_string()];
        if exists("suricata") {
            let logs = folder.join("suricata");
            let mut each = Vec::new();
            for mode in MODES {
                let theirs = || {
                    let _ = std::fs::remove_dir_all(&logs);
                    std::fs::create_dir_all(&logs)?;
                    let mut suricata = command("suricata");
                    suricata
                        .args(["-S", "/dev/null", "--runmode", mode, "-r"])
                        .arg(&path)
                        .arg("-l")
                        .arg(&logs);
                    Ok(Used::by(&mut suricata)?.wall.as_secs_f64())
                };
                each.push(Pairs::take(pairs, theirs, ours)?);
            }
            let [single, autofp] = &each[..] else { continue };
            let best = if single.a.median <= autofp.a.median { single } else { autofp };
            cells.extend([best.b, single.a, autofp.a, best.ratio].map(|it| it.to_string()));
        } else {
            let walls = (0..pairs).map(|_| ours()).collect::<Result<_>>()?;
            cells.extend([Spread::of(walls).to_string(), String::new(), String::new(), String::new()]);
        }
        report.row(cells);
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// Measures replay's peak memory for small and large captures, which come through a pipe.
pub fn memory(observer: &Path, large: u64, report: &mut Report) -> Result<()> {
    report.table(
        "Memory of replay",
        "Peak resident MiB of `observer replay -`, the capture coming through a pipe. The goal: both within 5 %.",
        &["capture", "small", "peak", "large", "peak", "large ÷ small (goal ≤ 1.05)"],
    );
    let small = 100_000_000;
    for (name, shape) in [
        ("short TLS", Shape::ShortTls),
        ("bulk TLS", Shape::Bulk),
        ("kept-alive HTTP", Shape::KeptAlive),
        ("never closed", Shape::NeverClosed),
    ] {
        let mut peaks = Vec::new();
        let mut cells = vec![name.to_owned()];
        for size in [small, large] {
            let connections = if shape == Shape::NeverClosed && size == large {
                shape.connections(size).max(1_000_000)
            } else {
                shape.connections(size)
            };
            let peak = through_a_pipe(observer, shape, connections)?;
            cells.extend([format!("{connections} connections"), format!("{:.1}", peak / 1024.0)]);
            peaks.push(peak);
        }
        cells.push(format!("{:.3}", peaks[1] / peaks[0]));
        report.row(cells);
    }
    Ok(())
}

fn through_a_pipe(observer: &Path, shape: Shape, connections: u32) -> Result<f64> {
    let program = std::env::current_exe()?;
    let mut writer = Command::new(program);
    writer.args(["bench", "generate", shape.name(), "--connections", &connections.to_string()]);
    let mut writer = Leashed(writer.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let pipe = writer.0.stdout.take().context("no pipe")?;
    let mut reader = command(observer);
    reader.args(["replay", "--quiet", "--format", "json", "-"]).stdin(pipe);
    let used = Used::by(&mut reader)?;
    drop(reader);
    ensure!(writer.0.wait()?.success(), "the capture was not written to its end");
    #[expect(clippy::cast_precision_loss, reason = "a peak in KiB is far below 2^52")]
    Ok(used.peak as f64)
}

/// A folder for captures, removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it below the folder that Cargo builds into.
    pub fn new() -> Result<Self> {
        let path = crate::workspace::target().join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
