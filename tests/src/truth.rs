//! The test cluster's ground truth, as `cargo xtask cluster drive` prints it, and the events held against it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::event::Event;
use crate::ledger::Told;

/// Names in events that are not told yet, with all that is below them.
pub const UNTOLD: [&str; 4] = [
    "control_plane.path",
    "control_plane.proxy",
    "control_plane.client.kubernetes",
    "control_plane.server.kubernetes",
];

/// One driven thing, or the first line, which speaks of the cluster.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// What it is called.
    #[serde(rename = "item")]
    pub name: String,
    /// What must be said of each connection that it needed.
    #[serde(default)]
    pub connections: Vec<Connection>,
    /// What no event may hold.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Why the driver itself did not get what it wanted.
    pub error: Option<String>,
}

/// What must be said of a connection.
#[derive(Clone, Debug, Deserialize)]
pub struct Connection {
    connections: Count,
    scope: Option<String>,
    or: Option<String>,
    event: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Count {
    One,
    Every,
}

/// Reads the lines of `drive`.
///
/// # Panics
/// A line is none of its.
#[must_use]
pub fn read(text: &str) -> Vec<Item> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// How the events are held against the truth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Names that are not compared, with all that is below them: what the events do not say yet.
    pub untold: &'a [&'a str],
    /// Is every connection of the machine watched?
    pub everything: bool,
}

/// The differences, one a line for people.
#[must_use]
pub fn differences(items: &[Item], told: &[Told], terms: Terms<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for item in items {
        for connection in &item.connections {
            if connection.scope.as_deref() == Some("all") && !terms.everything {
                continue;
            }
            for difference in connection.differences(told, terms) {
                found.push(format!("{}: {difference}", item.name));
            }
        }
    }
    found
}

impl Connection {
    fn differences(&self, told: &[Told], terms: Terms<'_>) -> Vec<String> {
        let fitting: Vec<_> = told.iter().filter(|told| self.fits(told.last())).collect();
        match (self.connections, fitting.len()) {
            (_, 0) => return vec![format!("no event for {}", self.event)],
            (Count::One, 1) | (Count::Every, _) => {}
            (Count::One, many) => {
                let lines: Vec<_> = fitting.iter().map(|told| told.line()).collect();
                return vec![format!("{many} connections fit {}:\n    {}", self.event, lines.join("\n    "))];
            }
        }
        fitting.into_iter().flat_map(|told| self.compare(told, terms)).collect()
    }

    /// Is this the connection, by its ends?
    fn fits(&self, event: &Event) -> bool {
        let addresses = ["source", "destination"].into_iter().all(|end| {
            let wanted = &self.event[end];
            // What the event says was dialled, and where that is not seen, what it was translated to.
            event.end(end).is_some_and(|seen| is(wanted, seen) || is(&wanted["nat"], seen))
        });
        let processes = ["client", "server"].into_iter().all(|end| {
            let name = |value: &Value| value["control_plane"][end]["process"]["name"].as_str().map(String::from);
            match (self.connections, name(&self.event), name(&event.value)) {
                (Count::Every, Some(wanted), Some(seen)) => seen == wanted,
                _ => true,
            }
        });
        addresses && processes
    }

    /// Is it what may be true instead?
    fn is_the_other(&self, event: &Event) -> bool {
        match self.or.as_deref() {
            Some("unfinished") => {
                let established = event.at("tls.established").as_bool().unwrap_or(false);
                matches!(event.security(), "unknown" | "tls") && !established
            }
            Some(state) => event.text("control_plane.client_certificate.state") == state,
            None => false,
        }
    }

    fn compare(&self, told: &Told, terms: Terms<'_>) -> Option<String> {
        let mut wrong = Vec::new();
        if told.classified.len() != 1 || told.closed.len() > 1 {
            wrong.push(format!("{}x classified, {}x closed", told.classified.len(), told.closed.len()));
        }
        if !self.is_the_other(told.last()) {
            for event in told.classified.iter().chain(&told.closed) {
                leaves(&self.event, &mut String::new(), &mut |path, wanted| {
                    let address = path.starts_with("source.") || path.starts_with("destination.");
                    // What a connection was used for is known at its end.
                    let later = path == "control_plane.exposed" || path.starts_with("http.response");
                    let skipped = address
                        || terms.untold.iter().any(|name| path.starts_with(name))
                        || (later && event.action() != "connection-closed");
                    let seen = event.at(path);
                    if !skipped && !same(wanted, seen) {
                        wrong.push(format!("{} {path} is {seen}, the truth is {wanted}", event.action()));
                    }
                });
            }
        }
        (!wrong.is_empty()).then(|| format!("{}: {}", told.line(), wrong.join("; ")))
    }
}

/// Is this the wanted address? What is not said may be anything, but not everything.
fn is(wanted: &Value, seen: SocketAddr) -> bool {
    let (ip, port) = (wanted["ip"].as_str(), wanted["port"].as_u64());
    (ip.is_some() || port.is_some())
        && ip.is_none_or(|ip| ip == seen.ip().to_string())
        && port.is_none_or(|port| port == u64::from(seen.port()))
}

fn same(wanted: &Value, seen: &Value) -> bool {
    match (wanted.as_array(), seen.as_array()) {
        (Some(wanted), Some(seen)) => {
            let set = |values: &[Value]| values.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            set(wanted) == set(seen)
        }
        _ => wanted == seen,
    }
}

fn leaves(value: &Value, path: &mut String, take: &mut dyn FnMut(&str, &Value)) {
    let Some(object) = value.as_object() else { return take(path, value) };
    for (name, value) in object {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(name);
        leaves(value, path, take);
        path.truncate(length);
    }
}
