//! Every connection that a server told of has exactly one event that says the same, and no event is without one.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::process::Command;

use crate::account::Account;
use crate::event::Event;

/// What the events say of one connection.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its `connection-classified` events.
    pub classified: Vec<Event>,
    /// Its `connection-closed` events.
    pub closed: Vec<Event>,
    /// Its findings.
    pub findings: Vec<Event>,
}

/// The events by connection, in the order in which the connections appeared.
#[must_use]
pub fn connections(events: &[Event]) -> Vec<Told> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut all: Vec<Told> = Vec::new();
    for event in events.iter().filter(|event| !event.connection().is_empty()) {
        let at = *places.entry(event.connection()).or_insert(all.len());
        if at == all.len() {
            all.push(Told::default());
        }
        match event.action() {
            "connection-classified" => all[at].classified.push(event.clone()),
            "connection-closed" => all[at].closed.push(event.clone()),
            "finding" => all[at].findings.push(event.clone()),
            _ => {}
        }
    }
    all
}

impl Told {
    /// Any of its events; the last one.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn last(&self) -> &Event {
        self.closed.last().or(self.classified.last()).or(self.findings.last()).unwrap()
    }

    /// Was it there before the daemon?
    #[must_use]
    pub fn is_older(&self) -> bool {
        self.last().text("control_plane.reason") == "started_before_observer"
    }

    /// The port that was dialled, behind any translation.
    #[must_use]
    pub fn server_port(&self) -> u16 {
        self.last().translated("destination").map_or(0, |it| it.port())
    }

    /// The client's address as the server sees it.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.last().translated("source")
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let event = self.last();
        let shown = |end| event.end(end).map(|it| it.to_string()).unwrap_or_default();
        format!(
            "{} > {} [{}x classified, {}x closed] {} {} {} {} reason={} ending={}",
            shown("source"),
            shown("destination"),
            self.classified.len(),
            self.closed.len(),
            event.security(),
            event.text("control_plane.client_certificate.state"),
            event.text("tls.version"),
            event.text("network.protocol"),
            event.text("control_plane.reason"),
            event.text("control_plane.connection.ending"),
        )
    }
}

/// Compares; the differences, one a line for people. Both sides are of one set of ports.
#[must_use]
pub fn differences(accounts: &[(u16, Account)], told: &[Told]) -> Vec<String> {
    let mut found = Vec::new();
    let names = Ciphers::known();
    // Connections to one port: first by the client's address, the rest by order.
    let mut ports: BTreeMap<u16, (Vec<&Account>, Vec<&Told>)> = BTreeMap::new();
    for (port, account) in accounts {
        ports.entry(*port).or_default().0.push(account);
    }
    for told in told {
        ports.entry(told.server_port()).or_default().1.push(told);
    }
    for (port, (accounts, mut told)) in ports {
        let mut unnamed = Vec::new();
        for account in accounts {
            let Some(peer) = account.peer else {
                unnamed.push(account);
                continue;
            };
            match told.iter().position(|told| told.client() == Some(peer)) {
                Some(at) => compare(account, told.remove(at), &names, &mut found),
                None => found.push(format!("port {port}: no event for {account:?}")),
            }
        }
        for (account, told) in unnamed.iter().zip(&told) {
            compare(account, told, &names, &mut found);
        }
        for account in unnamed.iter().skip(told.len()) {
            found.push(format!("port {port}: no event for {account:?}"));
        }
        for told in told.iter().skip(unnamed.len()) {
            found.push(format!("port {port}: no server knows of {}", told.line()));
        }
    }
    found
}

/// What a verdict must be for what a server says of the client's certificate.
#[must_use]
pub fn security(client: &str) -> &'static str {
    match client {
        "presented" => "mutual_tls",
        "declined" | "not_requested" => "server_tls",
        _ => "tls",
    }
}

fn compare(account: &Account, told: &Told, ciphers: &Ciphers, found: &mut Vec<String>) {
    let mut wrong = Vec::new();
    for (what, count) in [("classified", told.classified.len()), ("closed", told.closed.len())] {
        if count != 1 {
            wrong.push(format!("{count} events {what}"));
        }
    }
    for event in told.classified.iter().chain(&told.closed) {
        let action = event.action();
        let mut expect = |path: &str, wanted: Option<&str>| {
            if let Some(wanted) = wanted
                && event.text(path) != wanted
            {
                wrong.push(format!("{action} {path} is {:?}, the server says {wanted:?}", event.text(path)));
            }
        };
        expect("network.protocol", account.protocol.as_deref());
        if let Some(client) = account.client.as_deref() {
            expect("control_plane.security", Some(security(client)));
            expect("control_plane.client_certificate.state", Some(client));
            expect("tls.version", account.version.as_deref());
            expect("tls.cipher", account.cipher.as_deref().map(|name| ciphers.iana(name)));
        } else if account.protocol.as_deref().is_some_and(|it| it.starts_with("http")) {
            expect("control_plane.security", Some("plaintext"));
        }
        if let (Some(resumed), Some(client)) = (event.at("tls.resumed").as_bool(), account.client.as_deref())
            && resumed != (client == "resumed")
        {
            wrong.push(format!("{action} tls.resumed is {resumed}, the server says {client}"));
        }
        if let (Some(pid), Some(seen)) = (account.pid, event.number("control_plane.server.process.pid"))
            && u64::from(pid) != seen
        {
            wrong.push(format!("{action} server pid {seen}, the server is {pid}"));
        }
    }
    if let (Some(requests), Some(event)) = (account.requests.filter(|it| *it > 0), told.closed.first()) {
        let read = event.number("control_plane.http.requests").unwrap_or(0);
        let missed = event.number("control_plane.http.missed").unwrap_or(0);
        let untold = !event.at("control_plane.http.missed_unknown").as_bool().unwrap_or(false);
        if read > requests || (read != requests && missed == 0 && untold) {
            wrong.push(format!("{read} requests read and none missed, the server had {requests}"));
        }
    }
    if !wrong.is_empty() {
        found.push(format!("{}: {}: {}", account.label, told.line(), wrong.join("; ")));
    }
}

/// OpenSSL's names of cipher suites beside IANA's.
struct Ciphers(HashMap<String, String>);

impl Ciphers {
    fn known() -> Self {
        let listed = Command::new("openssl").args(["ciphers", "-stdname", "ALL"]).output();
        let text = listed.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
        let mut names = HashMap::new();
        for line in text.lines() {
            if let [iana, "-", openssl, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
                names.insert(openssl.to_owned(), iana.to_owned());
            }
        }
        Self(names)
    }

    fn iana<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }
}
