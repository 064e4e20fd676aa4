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

/// Where Debian keeps Suricata's configuration.
const CONFIGURATION: &str = "/etc/suricata/suricata.yaml";

/// Of Debian's many logs only what observer tells too: one EVE record for each HTTP request, TLS handshake and flow.
const OUTPUTS: &str = "\
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types: [http, tls, flow]
";

/// Measures replay against Suricata.
pub fn speed(observer: &Path, folder: &Path, pairs: usize, report: &mut Report) -> Result<()> {
    report.table(
        "Replay",
        "Seconds of wall time on the same cores with a warm cache. observer writes its events to /dev/null, from as many \
         threads as there are cores. Suricata has no rules; of its logs EVE alone is on, with http, tls and flow, in a file; \
         everything else is as Debian configures it. The ratio is Suricata's faster run mode ÷ observer. Suricata needs its \
         start-up for any capture: the last ratio is without it.",
        &[
            "capture",
            "packets",
            "MB",
            "observer",
            "Suricata single",
            "Suricata autofp",
            "ratio (goal ≥ 10)",
            "Suricata's start-up",
            "ratio without it",
        ],
    );
    let suricata = Path::new(CONFIGURATION).exists() && exists("suricata");
    if !suricata {
        report.note("Suricata is not installed (`apt-get install suricata`; on Debian 12 from bookworm-backports): its columns are empty.");
    }
    let suricata = suricata.then(|| Suricata::configure(folder)).transpose()?;
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
        if let Some(suricata) = &suricata {
            let mut each = Vec::new();
            for mode in MODES {
                each.push(Pairs::take(pairs, || suricata.seconds(mode, &path), ours)?);
            }
            let [single, autofp] = &each[..] else { continue };
            let (best, mode) =
                if single.a.median <= autofp.a.median { (single, MODES[0]) } else { (autofp, MODES[1]) };
            let few = folder.join("few.pcap");
            capture::write(shape, 1, File::create(&few)?)?;
            let idle = (0..pairs).map(|_| suricata.seconds(mode, &few)).collect::<Result<_>>()?;
            let idle = Spread::of(idle);
            cells.extend([best.b, single.a, autofp.a, best.ratio, idle].map(|it| it.to_string()));
            cells.push(format!("{:.2}", (best.a.median - idle.median) / best.b.median));
        } else {
            let walls = (0..pairs).map(|_| ours()).collect::<Result<_>>()?;
            cells.push(Spread::of(walls).to_string());
            cells.resize(9, String::new());
        }
        report.row(cells);
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// Suricata, as it is measured.
struct Suricata {
    configuration: PathBuf,
    logs: PathBuf,
}

impl Suricata {
    /// Writes its configuration into `folder`.
    fn configure(folder: &Path) -> Result<Self> {
        let it = Self { configuration: folder.join("suricata.yaml"), logs: folder.join("suricata") };
        std::fs::write(&it.configuration, format!("%YAML 1.1\n---\ninclude: {CONFIGURATION}\n{OUTPUTS}"))?;
        Ok(it)
    }

    /// How long it takes for a capture.
    fn seconds(&self, mode: &str, capture: &Path) -> Result<f64> {
        let _ = std::fs::remove_dir_all(&self.logs);
        std::fs::create_dir_all(&self.logs)?;
        let mut suricata = command("suricata");
        suricata.arg("-c").arg(&self.configuration).args(["-S", "/dev/null", "--runmode", mode, "-r"]);
        suricata.arg(capture).arg("-l").arg(&self.logs);
        Ok(Used::by(&mut suricata)?.wall.as_secs_f64())
    }
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
