//! One aligned line a connection, for people.

use core::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use observer_core::event::{Action, Event, FindingState};
use observer_core::path::{Confidence, Path};
use observer_core::security::Security;
use serde::Serialize;

use super::terminal::Terminal;
use super::{BUFFER, Sink, printable};

/// Terminals with fewer columns get a short form: time without milliseconds, no column for the certificate.
const WIDE: usize = 110;
/// Columns for both ends at first; two IPv4 addresses with their ports mostly fit.
const ENDS: usize = 37;
/// Columns for both ends at most: two IPv6 addresses with their ports.
const MAX_ENDS: usize = 97;
const SECURITY: usize = 10;
const CERTIFICATE: usize = 13;

/// One aligned line a connection, written when its verdict stands, and one a finding. Losses are told too; the end of a
/// connection is not.
#[derive(Debug)]
pub struct Table<W> {
    output: W,
    held: Vec<u8>,
    terminal: Terminal,
    ends: usize,
    begun: bool,
}

impl<W: Write> Table<W> {
    /// Writes to `output`, which is like `terminal` and need not buffer.
    pub fn new(output: W, terminal: Terminal) -> Self {
        Self { output, held: Vec::new(), terminal, ends: ENDS, begun: false }
    }

    fn wide(&self) -> bool {
        self.terminal.columns.is_none_or(|columns| columns >= WIDE)
    }

    fn heading(&self) -> String {
        let ends = self.ends;
        let line = if self.wide() {
            format!(
                "{:12} {:ends$} {:SECURITY$} {:CERTIFICATE$} WHAT",
                "TIME (UTC)", "CLIENT → SERVER", "SECURITY", "CERTIFICATE"
            )
        } else {
            format!("{:8} {:ends$} {:SECURITY$} WHAT", "UTC", "CLIENT → SERVER", "SECURITY")
        };
        self.painted("1", &line)
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.terminal.colour && !colour.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, event: &Event) -> String {
        let time = event.timestamp.to_string();
        // RFC 3339 with nanoseconds: the time of day begins at the twelfth character.
        let time = time.get(11..if self.wide() { 23 } else { 19 }).unwrap_or_default();
        let own = &event.control_plane;
        let mut ends = String::new();
        if let (Some(source), Some(destination)) = (&event.source, &event.destination) {
            let _ =
                write!(ends, "{} → {}", end(source.ip, source.port), end(destination.ip, destination.port));
        }
        self.ends = self.ends.max(ends.chars().count().min(MAX_ENDS));
        let security = own.security.map(name).unwrap_or_default();
        let padded = format!("{security:SECURITY$}");
        let mut line =
            format!("{time} {ends:0$} {1}", self.ends, self.painted(colour(own.security), &padded));
        let mut used = time.len() + 1 + self.ends.max(ends.chars().count()) + 1 + padded.chars().count();
        if self.wide() {
            let state =
                own.client_certificate.map_or_else(|| "-".to_owned(), |certificate| name(certificate.state));
            let _ = write!(line, " {state:CERTIFICATE$}");
            used += 1 + CERTIFICATE;
        }
        line.push(' ');
        let room = self.terminal.columns.map_or(usize::MAX, |columns| columns.saturating_sub(used + 1));
        printable::push(&mut line, &what(event), room);
        line.truncate(line.trim_end().len());
        line
    }

    fn write(&mut self) -> io::Result<()> {
        let outcome = self.output.write_all(&self.held);
        self.held.clear();
        outcome
    }
}

impl<W: Write> Sink for Table<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let line = match event.event.action {
            Action::ConnectionClassified => self.line(event),
            // How it goes on is for machines.
            Action::Finding if !is_new(event) => return Ok(()),
            Action::Finding => self.line(event),
            Action::Loss => loss(event),
            Action::ConnectionClosed | Action::Heartbeat => return Ok(()),
        };
        if !self.begun {
            self.begun = true;
            let heading = self.heading();
            writeln!(self.held, "{heading}")?;
        }
        writeln!(self.held, "{line}")?;
        if self.held.len() < BUFFER { Ok(()) } else { self.write() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write()?;
        self.output.flush()
    }
}

fn is_new(event: &Event) -> bool {
    let finding = event.control_plane.judged.finding.as_ref();
    finding.is_some_and(|finding| finding.state == FindingState::Open)
}

fn end(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

/// The path, how sure it is where it is not certain, and the object.
fn path(event: &Event) -> Option<String> {
    let judged = &event.control_plane.judged;
    let mut text = judged.path.filter(|path| *path != Path::Other).map(name)?;
    if let Some(sure) = judged.confidence.filter(|sure| *sure != Confidence::Certain) {
        let _ = write!(text, " ({})", name(sure));
    }
    if let Some(object) = &judged.proxy {
        let namespace = object.namespace.as_ref().map(|it| format!("{it}/")).unwrap_or_default();
        let _ = write!(text, " {} {namespace}{}", name(object.kind), object.name);
    }
    Some(text)
}

/// What was spoken, to what, by whom, and what is missing.
fn what(event: &Event) -> String {
    let own = &event.control_plane;
    let mut parts: Vec<String> = Vec::new();
    parts.extend(event.rule.as_ref().map(|rule| format!("FINDING {}:", rule.name)));
    parts.extend(path(event));
    if let Some(tls) = &event.tls {
        let version = tls.version.as_deref().unwrap_or_default();
        parts.push(format!("TLS {version}").trim_end().to_owned());
        parts.extend(tls.next_protocol.clone());
        parts.extend(tls.client.server_name.clone());
    } else if event.http.is_none() {
        parts.extend(event.network.as_ref().and_then(|network| network.protocol).map(str::to_owned));
    }
    if let Some(http) = &event.http {
        let method = http.request.as_ref().and_then(|request| request.method.clone());
        let url = event.url.as_ref();
        let target = url.map(|url| {
            format!(
                "{}{}",
                url.domain.as_deref().unwrap_or_default(),
                url.path.as_deref().unwrap_or_default()
            )
        });
        parts.push(method.unwrap_or_else(|| "HTTP".to_owned()));
        parts.extend(target.filter(|target| !target.is_empty()));
        parts.extend(http.response.as_ref().map(|response| response.status_code.to_string()));
    }
    for relay in &own.relays {
        parts.push(format!("relayed to {}", end(relay.destination.ip, relay.destination.port)));
    }
    if !own.exposed.is_empty() {
        parts.push(format!("exposed: {}", own.exposed.join(", ")));
    }
    if let Some(reason) = own.reason {
        parts.push(format!("({})", name(reason)));
    }
    if let Some(process) = &event.process {
        parts.push(format!("[{} {}]", process.name.as_deref().unwrap_or("?"), process.pid));
    }
    parts.join(" ")
}

fn loss(event: &Event) -> String {
    let mut line = event.timestamp.to_string().get(11..19).unwrap_or_default().to_owned();
    for loss in &event.control_plane.loss {
        let _ = write!(line, " lost at {}: {} records, {} bytes", name(loss.place), loss.records, loss.bytes);
    }
    line
}

/// The name of a value in the event stream.
fn name(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// The colour of a verdict, as the parameter of an SGR sequence.
const fn colour(security: Option<Security>) -> &'static str {
    match security {
        Some(Security::MutualTls | Security::Ssh) => "32",
        Some(Security::ServerTls | Security::Tls) => "36",
        Some(Security::Plaintext) => "1;31",
        Some(Security::Unknown | Security::Other) => "33",
        None => "",
    }
}
