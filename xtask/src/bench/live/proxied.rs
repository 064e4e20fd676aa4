//! How long a finding takes to be on the stream, while its connection is open.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::daemon::Daemon;
use crate::bench::report::Report;
use crate::bench::used::Leashed;

/// Not watched: who dials is.
const PORT: u16 = 28_080;
/// Requests a second.
const RATE: u32 = 1000;
/// Requests on one connection, each for another pod: an API server keeps its connections.
const EACH: u32 = 50;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Measures it: a copy of this program is the API server, by its name.
pub fn measure(observer: &Path, folder: &Path, full: bool, report: &mut Report) -> Result<()> {
    report.table(
        "From a proxied request's first byte to its finding on the stream",
        "Plain HTTP on loopback, as the API server proxies it: 1,000 requests/s, each for another pod, 50 a connection; all \
         connections stay open until the end. From just before the request is written to when a reader of `--output FILE` has \
         the line; the reader looks once a millisecond. A second reader of the file is stuck at its first line. (The only \
         reader of a pipe, when stuck, gets nothing for as long.) Both ends, the daemon and the readers share the cores.",
        &["requests", "findings", "p50 ms", "p99 ms (goal ≤ 50)", "most ms", "loss events"],
    );
    let count = RATE * if full { 30 } else { 8 };
    let (apiserver, events) = (folder.join("kube-apiserver"), folder.join("findings.json"));
    std::fs::copy(std::env::current_exe()?, &apiserver)?;
    serve()?;
    let daemon = Daemon::start_into(observer, &events)?;
    let mut stuck = BufReader::new(File::open(&events)?);
    let follower = follow(&events, count)?;
    let mut dial = Command::new(&apiserver);
    dial.args(["bench", "proxy", &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut dialler = Leashed(dial.spawn()?);
    let mut words = BufReader::new(dialler.0.stdout.take().context("no pipe")?).lines();
    let sent =
        (0..count).map(|_| Ok(words.next().context("no line")??.parse()?)).collect::<Result<Vec<u64>>>()?;
    stuck.read_line(&mut String::new())?;
    let heard = follower.join().ok().context("the reader failed")?;
    // The connections were open until here.
    drop(dialler);
    daemon.stop()?;
    let mut delays: Vec<f64> = heard
        .findings
        .iter()
        .filter_map(|(pod, read)| Some(read.saturating_sub(*sent.get(*pod as usize)?)))
        .map(|nanoseconds| Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3)
        .collect();
    delays.sort_by(f64::total_cmp);
    ensure!(!delays.is_empty(), "no finding was told");
    let at = |part: usize| format!("{:.2}", delays[(delays.len() * part / 100).min(delays.len() - 1)]);
    report.row(vec![
        count.to_string(),
        heard.findings.len().to_string(),
        at(50),
        at(99),
        at(100),
        heard.losses.to_string(),
    ]);
    Ok(())
}

/// Answers every request until this process ends.
fn serve() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", PORT))?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                while stream.read(&mut request).is_ok_and(|length| length > 0) {
                    if stream.write_all(ANSWER).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(())
}

/// The dialling end: so many requests at the rate; says when each was begun, in nanoseconds of the day's clock, and keeps its
/// connections until standard input ends.
pub fn dial(count: u32) -> Result<()> {
    let (mut streams, mut sent) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for pod in 0..count {
        let due = Duration::from_secs(1) * pod / RATE;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        if pod % EACH == 0 {
            let stream = TcpStream::connect(("127.0.0.1", PORT))?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let request = format!(
            "GET / HTTP/1.1\r\nHost: web\r\nUser-Agent: bench\r\nX-Forwarded-For: 10.0.0.1\r\n\
             X-Forwarded-Uri: /api/v1/namespaces/bench/pods/web-{pod}/proxy/\r\n\r\n"
        );
        let stream = streams.last_mut().context("no connection")?;
        sent.push(nanoseconds());
        stream.write_all(request.as_bytes())?;
        stream.read_exact(&mut [0; ANSWER.len()])?;
    }
    let lines: String = sent.iter().map(|time| format!("{time}\n")).collect();
    std::io::stdout().write_all(lines.as_bytes())?;
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// What a reader of the stream had, and when.
#[derive(Debug, Default)]
struct Heard {
    /// By the pod's number.
    findings: HashMap<u32, u64>,
    losses: usize,
}

/// Reads the file as it grows, until every finding is there or none has come for a while.
fn follow(events: &Path, count: u32) -> Result<JoinHandle<Heard>> {
    let mut file = File::open(events)?;
    Ok(std::thread::spawn(move || {
        let (mut heard, mut held, mut last) = (Heard::default(), Vec::new(), Instant::now());
        while heard.findings.len() < count as usize && last.elapsed() < Duration::from_secs(15) {
            let before = held.len();
            let _ = file.read_to_end(&mut held);
            if held.len() == before {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let read = nanoseconds();
            let whole = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in held.drain(..whole).collect::<Vec<_>>().split(|byte| *byte == b'\n') {
                let Ok(event) = serde_json::from_slice::<Value>(line) else { continue };
                heard.losses += usize::from(event["event"]["action"] == "loss");
                let own = &event["control_plane"];
                let pod =
                    own["proxy"]["name"].as_str().and_then(|name| name.strip_prefix("web-")?.parse().ok());
                if let Some(pod) = pod.filter(|_| own["finding"]["state"] == "open") {
                    last = Instant::now();
                    heard.findings.entry(pod).or_insert(read);
                }
            }
        }
        heard
    }))
}

fn nanoseconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
