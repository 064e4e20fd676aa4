//! The test cluster's ground truth, as `cargo xtask cluster drive` prints it, and the events held against it.

mod asked;
mod connection;
mod view;
mod when;

pub use connection::Connection;
pub use view::{CONTROL_PLANE, Machine, Terms, View, WORKER};
pub use when::{Run, nanoseconds, now};

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::ledger::Told;
use asked::Asked;
use connection::{Count, Duty};

/// One driven thing, or the first line, which speaks of the cluster.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// What it is called.
    #[serde(rename = "item")]
    pub name: String,
    /// When it began.
    #[serde(default)]
    pub start: String,
    /// When it ended.
    #[serde(default)]
    pub end: String,
    /// What must be said of each connection that it needed.
    #[serde(default)]
    pub connections: Vec<Connection>,
    /// What no event may hold.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Why the driver itself did not get what it wanted.
    pub error: Option<String>,
}

impl Item {
    /// Ports of clients by which its connections are known.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u64> {
        self.connections.iter().flat_map(Connection::ports).collect()
    }

    /// When it was driven.
    fn time(&self) -> [u64; 2] {
        [&self.start, &self.end].map(|text| nanoseconds(text).unwrap_or(0))
    }
}

/// Reads one line of `drive`.
///
/// # Panics
/// It is none of its.
#[must_use]
pub fn line(line: &str) -> Item {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Reads the lines of `drive`.
///
/// # Panics
/// A line is none of its.
#[must_use]
pub fn read(text: &str) -> Vec<Item> {
    text.lines().map(line).collect()
}

/// The secrets of the driver that are in these lines, with the lines.
#[must_use]
pub fn betrayed(items: &[Item], lines: &[String]) -> Vec<String> {
    let secrets = items.iter().flat_map(|item| &item.secrets);
    let told = secrets.flat_map(|secret| lines.iter().map(move |line| (secret, line)));
    told.filter(|(secret, line)| line.contains(*secret))
        .map(|(secret, line)| format!("{secret} in {line}"))
        .collect()
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many connections were compared; one that several items speak of counts for each.
    pub compared: usize,
    /// Items of which at least one connection had to be told, was, and was compared.
    pub seen: BTreeSet<String>,
    /// Items of which none had to be.
    pub unseen: BTreeSet<String>,
    /// The differences, one a line for people.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let unseen: Vec<_> = self.unseen.iter().map(String::as_str).collect();
        let (compared, seen) = (self.compared, self.seen.len());
        format!("{compared} connections of {seen} items compared; not to be seen: {}", unseen.join(", "))
    }
}

/// Holds the events against the truth.
#[must_use]
pub fn compare(items: &[Item], told: &[Told], terms: Terms) -> Outcome {
    let mut outcome = Outcome::default();
    let mut asked = Asked::default();
    let (mut explained, mut single) = (BTreeSet::new(), BTreeSet::new());
    // By place in `told`: what may be true of a connection of which nobody knows who is at an end.
    let mut may_be: BTreeMap<usize, Vec<(&str, &Connection, Duty)>> = BTreeMap::new();
    let owned = owned(items, told, terms);
    for item in items {
        let time = item.time();
        let duty = if terms.run.is_none_or(|run| run.holds(time)) { Duty::Whole } else { Duty::Partial };
        for connection in item.connections.iter().filter(|it| terms.show(it)) {
            let mut fitting: Vec<_> =
                (0..told.len()).filter(|&at| connection.fits(told[at].last())).collect();
            if connection.connections == Count::One && terms.run.is_some() {
                // Over several rounds ports are used again.
                fitting.retain(|&at| is_of_time(&told[at], time));
            }
            if connection.connections == Count::Every {
                fitting.retain(|&at| !owned.contains(&at) || connection.is_surely(told[at].last()));
            }
            if connection.connections == Count::One && fitting.len() > 1 {
                // A port is used again once its connection is over.
                fitting.retain(|&at| connection.is_by(told[at].last()));
            }
            explained.extend(fitting.iter().copied());
            outcome.compared += fitting.len();
            let is_loose = connection.connections == Count::Every
                && ["source", "destination"].into_iter().any(|end| terms.hides(end, connection));
            // What was there before, and says nothing, need not be told of by a daemon that was killed, nor by a capture.
            let silent = connection.connections == Count::Every
                && (terms.capture || terms.run.is_some_and(|run| run.killed));
            match (connection.connections, &fitting[..]) {
                (_, []) if duty == Duty::Partial || silent => continue,
                (_, []) => outcome.wrong.push(format!("{}: no event for {}", item.name, connection.event)),
                (Count::One, [_, _, ..]) => {
                    let lines: Vec<_> = fitting.iter().map(|&at| told[at].line()).collect();
                    let (number, event) = (lines.len(), &connection.event);
                    let lines = lines.join("\n    ");
                    outcome
                        .wrong
                        .push(format!("{}: {number} connections fit {event}:\n    {lines}", item.name));
                }
                (Count::One, [at]) => {
                    single.insert(*at);
                    asked.count(*at, connection, time, terms.run);
                }
                _ => {}
            }
            if duty == Duty::Whole {
                outcome.seen.insert(item.name.clone());
            }
            for at in fitting {
                if is_loose {
                    may_be.entry(at).or_default().push((&item.name, connection, duty));
                } else if let Some(it) = connection.compare(&told[at], terms, duty) {
                    outcome.wrong.push(format!("{}: {it}", item.name));
                }
            }
        }
    }
    for (at, connections) in may_be.into_iter().filter(|(at, _)| !single.contains(at)) {
        let mut differences = Vec::new();
        for (name, connection, duty) in connections {
            match connection.compare(&told[at], terms, duty) {
                Some(difference) => differences.push(format!("{name}: {difference}")),
                None => differences.clear(),
            }
            if differences.is_empty() {
                break;
            }
        }
        outcome.wrong.extend(differences.into_iter().next());
    }
    let names = items.iter().filter(|it| !it.connections.is_empty()).map(|it| it.name.clone());
    outcome.unseen = names.filter(|name| !outcome.seen.contains(name)).collect();
    outcome.wrong.extend(asked.differences(told));
    if !terms.everything {
        let rest = (0..told.len()).filter(|at| !explained.contains(at)).map(|at| &told[at]);
        let bare = rest.filter(|told| is_of_cluster(told) && told.last().security() == "plaintext");
        outcome
            .wrong
            .extend(bare.map(|told| format!("nothing driven was in the clear here: {}", told.line())));
    }
    outcome
}

/// Those that are known by a port, in the time of what was driven from it. One that was opened while the daemon came may
/// be told by each end apart, and by one of them without who dialled.
fn owned(items: &[Item], told: &[Told], terms: Terms) -> BTreeSet<usize> {
    let single = |item: &Item| {
        let time = item.time();
        let one = item.connections.iter().filter(|it| it.connections == Count::One);
        let at = one.flat_map(|connection| {
            (0..told.len()).filter(move |&at| {
                connection.fits(told[at].last()) && (terms.run.is_none() || is_of_time(&told[at], time))
            })
        });
        at.collect::<Vec<_>>()
    };
    items.iter().flat_map(single).collect()
}

/// Was the connection there when this was driven, as far as its events say? The clocks need not agree to the millisecond.
fn is_of_time(told: &Told, [start, end]: [u64; 2]) -> bool {
    const APART: u64 = 100_000_000;
    let at = |name: &str| nanoseconds(told.last().text(name));
    at("event.start").is_none_or(|opened| opened <= end + APART)
        && at("event.end").is_none_or(|closed| closed + APART >= start)
}

fn is_of_cluster(told: &Told) -> bool {
    let client = told.last().end("source").map(|it| it.ip().to_string()).unwrap_or_default();
    ["10.89.", "10.244.", "fd89:"].iter().any(|it| client.starts_with(it))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
    use crate::event::Event;
    use crate::ledger::connections;

    const TRUTH: &str = r#"{"item":"one","connections":[{"connections":"one","event":{
        "source":{"ip":"10.89.0.1","port":5,"nat":{"ip":"10.89.0.1","port":6}},
        "destination":{"ip":"10.96.0.9","port":443,"nat":{"ip":"10.244.1.2","port":8443}},
        "control_plane":{"security":"server_tls","path":"apiserver-to-webhook"}}}]}"#;

    fn told(source: u16, destination: (&str, u16), security: &str) -> Vec<Told> {
        let event = |action: &str| Event {
            value: json!({
                "event": {"action": action},
                "source": {"ip": "10.89.0.1", "port": source},
                "destination": {"ip": destination.0, "port": destination.1},
                "control_plane": {
                    "security": security, "connection": {"id": format!("{source}")}, "path": "apiserver-to-webhook",
                },
            }),
            read: SystemTime::now(),
        };
        connections(&[event("connection-classified"), event("connection-closed")])
    }

    fn compared(told: &[Told]) -> (usize, Vec<String>) {
        let outcome = compare(&read(&TRUTH.replace('\n', " ")), told, Terms::default());
        (outcome.compared, outcome.wrong)
    }

    #[test]
    fn a_connection_is_found_as_it_was_dialled_and_as_it_arrives_but_not_half_so() {
        for (source, destination) in [(5, ("10.96.0.9", 443)), (6, ("10.244.1.2", 8443))] {
            assert_eq!(compared(&told(source, destination, "server_tls")), (1, vec![]));
        }
        let (count, wrong) = compared(&told(5, ("10.244.1.2", 8443), "server_tls"));
        assert!(count == 0 && wrong[0].contains("no event"), "{wrong:?}");
    }

    #[test]
    fn a_wrong_verdict_is_a_difference_and_so_is_a_wrong_path() {
        let right = ("10.96.0.9", 443);
        let (_, wrong) = compared(&told(5, right, "tls"));
        assert!(wrong[0].contains("control_plane.security is \"tls\""), "{wrong:?}");
        let mut other = told(5, right, "server_tls");
        other[0].closed[0].value["control_plane"]["path"] = "apiserver-to-pod-proxy".into();
        let (_, wrong) = compared(&other);
        assert!(wrong[0].contains("control_plane.path is \"apiserver-to-pod-proxy\""), "{wrong:?}");
    }

    #[test]
    fn what_is_known_by_its_port_is_not_taken_for_another_while_nobody_knows_who_dialled() {
        let every = r#"{"item":"all","connections":[{"connections":"every","event":{
            "source":{"ip":"10.89.0.1"},"destination":{"ip":"10.96.0.9","port":443},
            "control_plane":{"security":"tls","client":{"process":{"name":"kubectl"}}}}}]}"#;
        let items = read(&[TRUTH, every].map(|it| it.replace('\n', " ")).join("\n"));
        let wrong = |told: &[Told]| compare(&items, told, Terms::default()).wrong;
        let mut told =
            [told(5, ("10.96.0.9", 443), "server_tls"), told(7, ("10.96.0.9", 443), "tls")].concat();
        told[1].closed[0].value["control_plane"]["client"] = json!({"process": {"name": "kubectl"}});
        assert_eq!(wrong(&told[..1]).len(), 1, "nothing of what every one must be");
        assert_eq!(wrong(&told), [""; 0]);
    }

    #[test]
    fn what_nobody_drove_must_not_be_in_the_clear() {
        let mut all = told(5, ("10.96.0.9", 443), "server_tls");
        all.extend(told(7, ("10.244.1.2", 8080), "plaintext"));
        let (_, wrong) = compared(&all);
        assert!(wrong.len() == 1 && wrong[0].contains("nothing driven"), "{wrong:?}");
    }
}
