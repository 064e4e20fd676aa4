//! What the daemon costs the node that it watches.

mod daemon;
mod kernel;
mod load;
mod proxied;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::report::Report;
use super::spread::{Pairs, Spread};
use crate::process::{exists, is_root};
use daemon::Daemon;
use load::{PORT, Said, Tls};
pub use load::{Said as HeldState, hold};
pub use proxied::dial;

/// Where the dialling ends of some connections live, so that each is seen at one end alone.
const GROUP: &str = "observer-bench";

/// Connections that are open at one time where memory is measured.
const MANY: usize = 10_000;

/// Measures how soon findings are told.
pub fn findings(observer: &Path, folder: &Path, full: bool, report: &mut Report) -> Result<()> {
    if !is_root() {
        report.note("Not run by root: nothing was measured of findings.");
        return Ok(());
    }
    proxied::measure(observer, folder, full, report)
}

/// Measures all of it.
pub fn measure(observer: &Path, folder: &Path, pairs: usize, full: bool, report: &mut Report) -> Result<()> {
    if !is_root() {
        report.note("Not run by root: nothing was measured of the daemon.");
        return Ok(());
    }
    let time = Duration::from_secs(if full { 5 } else { 2 });
    throughput(observer, folder, pairs, time, report)?;
    latency(observer, report)?;
    memory(observer, report)?;
    packets(observer, report)
}

fn throughput(
    observer: &Path,
    folder: &Path,
    pairs: usize,
    time: Duration,
    report: &mut Report,
) -> Result<()> {
    report.table(
        "The daemon beside the node's work",
        "Loopback; the client has one core and the server the other, and the daemon both: it watches the port and writes JSON to \
         /dev/null.",
        &["load", "not observed", "observed", "observed ÷ not", "goal"],
    );
    let tls = if exists("openssl") { Some(Tls::start(folder)?) } else { None };
    let mut measure = |name: &str, goal: &str, load: &dyn Fn() -> Result<f64>| -> Result<()> {
        load()?;
        let observed = || {
            let daemon = Daemon::start(observer, false)?;
            let rate = load();
            daemon.stop()?;
            rate
        };
        let pairs = Pairs::take(pairs, observed, load)?;
        let cells = [name.into(), format!("{:.0}", pairs.b), format!("{:.0}", pairs.a)];
        report.row(cells.into_iter().chain([format!("{:.3}", pairs.ratio), goal.into()]).collect());
        Ok(())
    };
    if let Some(tls) = &tls {
        measure("new TLS 1.3 connections/s (P-256, OpenSSL)", "≥ 0.99", &|| tls.connections(time))?;
    }
    measure("TCP connect + small request + close, connections/s", "≥ 0.95", &|| {
        load::connections(time).map(|(rate, _)| rate)
    })?;
    measure("bulk MB/s on one connection", "≥ 0.99", &|| load::bulk(time))
}

fn latency(observer: &Path, report: &mut Report) -> Result<()> {
    report.table(
        "From the deciding segment to the line",
        "From `@timestamp` (the kernel's time of the segment that decided) to when a reader of the daemon's pipe had the line. \
         In a flood every connection must have both its events; `loss` events would tell what was lost.",
        &["load", "connections", "classified", "closed", "loss events", "p50 ms", "p99 ms (goal ≤ 5)"],
    );
    let mut accounts = Vec::new();
    for (name, pause) in
        [("a connection each 2 ms", Duration::from_millis(2)), ("connect flood", Duration::ZERO)]
    {
        let daemon = Daemon::start(observer, true)?;
        let made = load::requests(Duration::from_secs(4), pause)?;
        std::thread::sleep(Duration::from_secs(1));
        let heard = daemon.stop()?;
        let mut delays: Vec<f64> = heard.delays;
        delays.sort_by(f64::total_cmp);
        let at = |part: usize| {
            let place = (delays.len() * part / 100).min(delays.len().saturating_sub(1));
            format!("{:.2}", delays.get(place).copied().unwrap_or(f64::NAN) * 1e3)
        };
        report.row(vec![
            name.into(),
            made.to_string(),
            heard.classified.to_string(),
            heard.closed.to_string(),
            heard.losses.to_string(),
            at(50),
            at(99),
        ]);
        accounts.push((name, heard.account));
    }
    let daemon = Daemon::start(observer, true)?;
    daemon.signal("STOP")?;
    load::requests(Duration::from_secs(4), Duration::ZERO)?;
    daemon.signal("CONT")?;
    std::thread::sleep(Duration::from_secs(1));
    accounts.push(("flood while the daemon was stopped for 4 s", daemon.stop()?.account));
    report.table(
        "Losses",
        "What the daemon says when it ends. In a flood nothing may be dropped; what is dropped because the daemon does not \
         read is counted to the record: wanted = submitted + dropped, submitted = received.",
        &["load", "account"],
    );
    for (name, account) in accounts {
        report.row(vec![name.into(), account.trim_start_matches("observer: ").to_owned()]);
    }
    Ok(())
}

fn memory(observer: &Path, report: &mut Report) -> Result<()> {
    report.table(
        "Memory of the daemon",
        "MiB. 10,000 connections of two processes, seen at the dialling end alone (10,000 sockets), and at both ends \
         (20,000). Decided: SSH's first line each way. Trickled: 20 bytes of a ClientHello, a byte a segment. The kernel's \
         maps are those of the daemon's descriptors; besides them the kernel keeps 248 bytes with each watched socket.",
        &["state", "resident (goal ≤ 30)", "of it anonymous", "most since the start", "kernel maps (goal ≤ 32)"],
    );
    let mut measure = |name: &str, said: Option<Said>, group: Option<&Path>| -> Result<()> {
        let daemon = Daemon::start_at(observer, false, group)?;
        let held = said.map(|said| load::Held::open(said, MANY, group)).transpose()?;
        std::thread::sleep(Duration::from_secs(2));
        let mebibytes = |kib: u64| format!("{:.1}", Duration::from_millis(kib).as_secs_f64() / 1.024);
        let pid = daemon.pid();
        let status = |field| super::used::status(pid, field).unwrap_or_default();
        report.row(vec![
            name.into(),
            mebibytes(status("VmRSS:")),
            mebibytes(status("RssAnon:")),
            mebibytes(status("VmHWM:")),
            mebibytes(kernel::maps(pid)? / 1024),
        ]);
        drop(held);
        daemon.stop().map(drop)
    };
    let group = Group::new()?;
    let one_end = Some(group.0.as_path());
    measure("just started", None, None)?;
    measure("10,000 decided connections, one end", Some(Said::Decided), one_end)?;
    measure("10,000 decided connections, both ends", Some(Said::Decided), None)?;
    measure("10,000 trickled half-handshakes, one end", Some(Said::Trickled), one_end)?;
    measure("10,000 trickled half-handshakes, both ends", Some(Said::Trickled), None)
}

/// A cgroup of our own.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ');
            let (_, path, kind) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == "cgroup2").then_some(path)
        });
        let path = Path::new(root.context("no cgroup v2 tree is mounted")?).join(GROUP);
        if !path.exists() {
            std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last member may just be leaving.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn packets(observer: &Path, report: &mut Report) -> Result<()> {
    report.table(
        "The kernel programs on packets",
        "Mean ns a run of the two packet programs (`kernel.bpf_stats_enabled`, whose own clock reads are in the figure: an empty \
         program shows 30 to 66 ns on 6.18, by the machine). Verified instructions by kind of program, as the kernel counts them.",
        &["packets", "runs", "ns a run (goal ≤ 60 net)"],
    );
    let _stats = kernel::Statistics::on()?;
    type Load<'a> = &'a dyn Fn() -> Result<()>;
    let cases: [(&str, Load<'_>); 3] = [
        ("unwatched", &|| load::ping(PORT + 20_000)),
        ("watched, undecided: a byte a segment", &load::undecided),
        ("decided", &|| load::ping(PORT)),
    ];
    let mut verified = Vec::new();
    for (name, load) in cases {
        let mut means = Vec::new();
        let mut runs = 0;
        for _ in 0..5 {
            let daemon = Daemon::start(observer, false)?;
            let before = kernel::programs(daemon.pid())?;
            load()?;
            let after = kernel::programs(daemon.pid())?;
            let cost = kernel::packet_cost(&before, &after);
            runs += cost.runs;
            means.push(cost.mean());
            verified = after;
            daemon.stop()?;
        }
        report.row(vec![name.into(), runs.to_string(), format!("{:.0}", Spread::of(means))]);
    }
    report.table(
        "Verified instructions",
        "No program may surprise the verifier above 50,000.",
        &["program", "instructions"],
    );
    for program in verified {
        report.row(vec![program.kind.to_string(), program.verified.to_string()]);
    }
    Ok(())
}
