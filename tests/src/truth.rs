//! The test cluster's ground truth, as `cargo xtask cluster drive` prints it, and the events held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::event::Event;
use crate::ledger::Told;

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
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// How the events are held against the truth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Is every connection of the machine watched?
    pub everything: bool,
    /// Is one machine of the cluster seen alone? Then nothing is told of connections that it has no end of, and nobody can
    /// know who is at the other end, unless its address says so.
    pub machine: Option<Machine>,
    /// Do the events come from a capture of one machine? Then there are connections that they do not show, and no
    /// processes, so that only single connections can be found among them.
    pub capture: bool,
}

/// A machine, by the beginnings of the addresses that are its own.
pub type Machine = &'static [&'static str];

/// The control plane's machine. Whatever is dialled on loopback and watched is there.
pub const CONTROL_PLANE: Machine = &["10.89.0.1", "fd89::1", "127.0.0.1", "::1"];
/// The worker with the pod `web`.
pub const WORKER: Machine = &["10.89.0.2", "fd89::2", "10.244.1."];

/// Is this address one of the machine's? Whole, unless it is that of a network.
fn is_on(machine: Machine, address: &str) -> bool {
    machine.iter().any(|own| *own == address || (own.ends_with('.') && address.starts_with(own)))
}

/// The differences, one a line for people; and how many connections were compared.
#[must_use]
pub fn differences(items: &[Item], told: &[Told], terms: Terms) -> (usize, Vec<String>) {
    let (mut compared, mut found) = (0, Vec::new());
    // By place in `told`: the requests that were driven on it, and those for each object.
    let mut requests: BTreeMap<usize, u64> = BTreeMap::new();
    let mut objects: BTreeMap<usize, BTreeMap<String, u64>> = BTreeMap::new();
    let mut explained = BTreeSet::new();
    for item in items {
        for connection in &item.connections {
            let unwatched = connection.scope.as_deref() == Some("all") && !terms.everything;
            let elsewhere = !["source", "destination"].into_iter().any(|end| connection.is_seen(end, terms));
            // Those of all between two that nobody sees both of cannot be told from others.
            let both = ["source", "destination"].into_iter().all(|end| connection.is_seen(end, terms));
            let apart = connection.connections == Count::Every && !both;
            if unwatched || elsewhere || (terms.capture && connection.connections == Count::Every) {
                continue;
            }
            let mut fitting: Vec<_> =
                (0..told.len()).filter(|&at| connection.fits(told[at].last())).collect();
            if connection.connections == Count::One && fitting.len() > 1 {
                // A port is used again once its connection is over.
                fitting.retain(|&at| connection.is_by(told[at].last()));
            }
            explained.extend(fitting.iter().copied());
            if apart {
                continue;
            }
            compared += fitting.len();
            if let (Count::One, [at]) = (connection.connections, &fitting[..]) {
                *requests.entry(*at).or_default() += 1;
                if let Some(object) = connection.object() {
                    *objects.entry(*at).or_default().entry(named(object)).or_default() += 1;
                }
            }
            let fitting: Vec<_> = fitting.into_iter().map(|at| &told[at]).collect();
            let differences = connection.differences(&fitting, terms);
            found.extend(differences.into_iter().map(|it| format!("{}: {it}", item.name)));
        }
    }
    found.extend(requests.into_iter().filter_map(|(at, driven)| miscounted(&told[at], driven)));
    found.extend(objects.into_iter().filter_map(|(at, driven)| misnamed(&told[at], &driven)));
    if !terms.everything {
        let rest = (0..told.len()).filter(|at| !explained.contains(at)).map(|at| &told[at]);
        let bare = rest.filter(|told| is_of_cluster(told) && told.last().security() == "plaintext");
        found.extend(bare.map(|told| format!("nothing driven was in the clear here: {}", told.line())));
    }
    (compared, found)
}

/// Were as many requests told as were driven?
fn miscounted(told: &Told, driven: u64) -> Option<String> {
    let closed = told.closed.first()?;
    let number = |name: &str| closed.number(&format!("control_plane.http.{name}")).unwrap_or(0);
    let open = ["missed_unknown", "stopped"];
    let open = open.iter().any(|name| closed.at(&format!("control_plane.http.{name}")) == true);
    let counted = number("requests") + number("missed");
    (closed.security() == "plaintext" && !open && counted != driven)
        .then(|| format!("{counted} requests told, {driven} were driven: {}", told.line()))
}

/// Was each object told with as many requests as were driven for it, and no other?
fn misnamed(told: &Told, driven: &BTreeMap<String, u64>) -> Option<String> {
    let closed = told.closed.first()?;
    let proxies = closed.at("control_plane.proxies").as_array().cloned().unwrap_or_default();
    // What an endpoint was used for is known by its pod alone.
    if proxies.is_empty() || proxies.iter().any(|it| it["basis"] == "endpoint") {
        return None;
    }
    let told_of = |it: &Value| (named(it), it["requests"].as_u64().unwrap_or(0));
    let seen: BTreeMap<String, u64> = proxies.iter().map(told_of).collect();
    (seen != *driven).then(|| format!("{seen:?} told, {driven:?} driven: {}", told.line()))
}

/// An object in one word. A request that names no scheme is one in the clear.
fn named(object: &Value) -> String {
    let word = |name: &str| object[name].as_str().unwrap_or_default();
    let scheme = if word("scheme").is_empty() { "http" } else { word("scheme") };
    format!("{} {}/{scheme}:{}:{}", word("kind"), word("namespace"), word("name"), word("port"))
}

fn is_of_cluster(told: &Told) -> bool {
    let client = told.last().end("source").map(|it| it.ip().to_string()).unwrap_or_default();
    ["10.89.", "10.244.", "fd89:"].iter().any(|it| client.starts_with(it))
}

impl Connection {
    /// What is wrong with the connections that fit it.
    fn differences(&self, fitting: &[&Told], terms: Terms) -> Vec<String> {
        match (self.connections, fitting) {
            (_, []) if terms.capture => Vec::new(),
            (_, []) => vec![format!("no event for {}", self.event)],
            (Count::One, [_, _, ..]) => {
                let lines: Vec<_> = fitting.iter().map(|told| told.line()).collect();
                vec![format!("{} connections fit {}:\n    {}", lines.len(), self.event, lines.join("\n    "))]
            }
            _ => fitting.iter().filter_map(|told| self.compare(told, terms)).collect(),
        }
    }

    /// Is this the connection, by its ends?
    fn fits(&self, event: &Event) -> bool {
        let (source, destination) = (&self.event["source"], &self.event["destination"]);
        let (Some(from), Some(to)) = (event.end("source"), event.end("destination")) else { return false };
        // As the client dialled it, or as it arrives behind address translation: a capture may show the one or the other.
        let addresses = (is(source, from) && is(destination, to))
            || (is(translated(source), from) && is(translated(destination), to));
        let processes = ["client", "server"].into_iter().all(|end| {
            let name =
                |value: &Value| value["control_plane"][end]["process"]["name"].as_str().map(String::from);
            match (self.connections, name(&self.event), name(&event.value)) {
                (Count::Every, Some(wanted), Some(seen)) => seen == wanted,
                _ => true,
            }
        });
        addresses && processes
    }

    /// Did the process dial it that should have?
    fn is_by(&self, event: &Event) -> bool {
        let path = "control_plane.client.process.pid";
        *seen(event, path) == self.event["control_plane"]["client"]["process"]["pid"]
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

    /// Is this end on a machine that is seen?
    fn is_seen(&self, end: &str, terms: Terms) -> bool {
        let address = translated(&self.event[end])["ip"].as_str();
        let address = if end == "source" { self.event[end]["ip"].as_str() } else { address };
        terms.machine.is_none_or(|machine| address.is_some_and(|it| is_on(machine, it)))
    }

    fn object(&self) -> Option<&Value> {
        Some(&self.event["control_plane"]["proxy"]).filter(|it| it.is_object())
    }

    fn compare(&self, told: &Told, terms: Terms) -> Option<String> {
        let mut wrong = Vec::new();
        if told.classified.len() != 1 || told.closed.len() > 1 {
            wrong.push(format!("{}x classified, {}x closed", told.classified.len(), told.closed.len()));
        }
        if !self.is_the_other(told.last()) {
            wrong.extend(self.object().and_then(|object| self.compare_object(object, told, terms)));
            for event in told.classified.iter().chain(&told.closed) {
                leaves(&self.event, &mut String::new(), &mut |path, wanted| {
                    let seen = seen(event, path);
                    let is_right = self.is_passed_over(event, path, terms)
                        || same(wanted, seen)
                        || (seen.is_null() && self.may_be_absent(event, path, terms))
                        || self.may_be_told_so(event, path, wanted, terms);
                    if !is_right {
                        wrong.push(format!("{} {path} is {seen}, the truth is {wanted}", event.action()));
                    }
                });
            }
        }
        (!wrong.is_empty()).then(|| format!("{}: {}", told.line(), wrong.join("; ")))
    }

    /// Is this compared elsewhere, or not at all?
    fn is_passed_over(&self, event: &Event, path: &str, terms: Terms) -> bool {
        let address = path.starts_with("source.") || path.starts_with("destination.");
        // Of a connection that was used for several objects each has a path of its own.
        let of_object = path.starts_with("control_plane.proxy.")
            || (path == "control_plane.path" && self.object().is_some() && !terms.capture);
        // What was there before the observer has no verdict, unless its bytes still show one.
        let older = event.text("control_plane.reason") == "started_before_observer"
            && ["unknown", "tls"].contains(&event.security())
            && ["control_plane.security", "control_plane.client_certificate", "network.", "tls."]
                .iter()
                .any(|it| path.starts_with(it));
        // What a connection was used for is known at its end.
        let later = path == "control_plane.exposed" || path.starts_with("http.response");
        let name = [".process.", ".kubernetes.", ".node"].iter().any(|it| path.contains(it));
        address
            || older
            || of_object
            || (name && terms.capture)
            || (later && event.action() != "connection-closed")
    }

    /// Is the object of this request told, with its path?
    fn compare_object(&self, object: &Value, told: &Told, terms: Terms) -> Option<String> {
        let closed = told.last();
        let wanted_path = self.event["control_plane"]["path"].as_str().unwrap_or_default();
        let is_path = |event: &Event| {
            event.text("control_plane.path") == wanted_path
                || self.may_be_told_so(event, "control_plane.path", &Value::from(wanted_path), terms)
        };
        if closed.text("control_plane.proxy.basis") == "endpoint" {
            // Who answered is known, and not whether it was asked for as a pod or behind a service.
            let pod = &self.event["control_plane"]["server"]["kubernetes"];
            let seen = closed.at("control_plane.proxy");
            let fits = seen["kind"] == "pod"
                && [("name", "pod"), ("namespace", "namespace")].iter().all(|(a, b)| seen[a] == pod[b]);
            return (!fits || !is_path(closed)).then(|| {
                format!(
                    "object {seen} and {}, the truth is {object} of {pod}",
                    closed.text("control_plane.path")
                )
            });
        }
        let is_object = |seen: &Value| named(seen) == named(object);
        let proxies = closed.at("control_plane.proxies").as_array().cloned().unwrap_or_default();
        // TLS hides what it was for, and without who dialled nothing else says that it was for anything.
        if !self.is_seen("source", terms) && closed.security() != "plaintext" {
            let seen = closed.text("control_plane.path");
            return (!is_path(closed)).then(|| format!("path {seen}, the truth is {wanted_path}"));
        }
        if !proxies.iter().any(is_object) {
            return Some(format!("objects {proxies:?}, the truth is {object}"));
        }
        let mut findings = told.findings.iter().filter(|it| is_object(it.at("control_plane.proxy")));
        (!terms.capture && !findings.any(is_path))
            .then(|| format!("no finding says {wanted_path} of {object}"))
    }

    /// May the event be silent of this? At its classification an owner may still be looked up, and it is told at the end; and a
    /// process that ended before it was read has no name.
    fn may_be_absent(&self, event: &Event, path: &str, terms: Terms) -> bool {
        let classified = event.action() == "connection-classified";
        let ended = path.split_once(".process.").is_some_and(|(end, name)| {
            name == "name" && event.text(&format!("{end}.missing")) == "process_exited"
        });
        let owner = [".process.", ".kubernetes.", ".node"].iter().any(|it| path.contains(it));
        // After its verdict a connection is read no further to the client: a response is told where it was read.
        let end = if path.starts_with("control_plane.client.") { "source" } else { "destination" };
        (owner && (classified || !self.is_seen(end, terms)))
            || ended
            || path.starts_with("http.response")
            || (terms.capture && owner)
    }

    /// May it say this in place of the truth? That an owner is not known yet; and of what an API server dials by its looks alone,
    /// that it is a pod, weakly, where it was asked for by its service.
    fn may_be_told_so(&self, event: &Event, path: &str, wanted: &Value, terms: Terms) -> bool {
        if path != "control_plane.path" {
            return false;
        }
        let (seen, reason) = (event.text(path), event.text("control_plane.path_reason"));
        let unknown =
            seen == "other" && ["client_not_known", "server_not_known", "ends_not_known"].contains(&reason);
        let hidden = ["source", "destination"].into_iter().any(|end| !self.is_seen(end, terms));
        (unknown && (hidden || event.action() == "connection-classified"))
            || (*wanted == "apiserver-to-service-proxy"
                && seen == "apiserver-to-pod-proxy"
                && event.text("control_plane.confidence") == "weak")
    }
}

/// Is this the wanted address? What is not said may be anything.
fn is(wanted: &Value, seen: SocketAddr) -> bool {
    let (ip, port) = (wanted["ip"].as_str(), wanted["port"].as_u64());
    ip.is_none_or(|ip| ip == seen.ip().to_string()) && port.is_none_or(|port| port == u64::from(seen.port()))
}

/// The address behind translation; the plain one where there is none.
fn translated(end: &Value) -> &Value {
    if end["nat"].is_object() { &end["nat"] } else { end }
}

/// The value at a path. Who holds an accepted socket takes a moment to be found out; until then, and
/// where that process has ended before it was read, there is who opened it, and nobody in the cluster passes sockets on.
fn seen<'a>(event: &'a Event, path: &str) -> &'a Value {
    match path.split_once(".process.") {
        Some((end, name)) if event.at(path).is_null() => event.at(&format!("{end}.opened_by.{name}")),
        _ => event.at(path),
    }
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
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
        differences(&read(&TRUTH.replace('\n', " ")), told, Terms::default())
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
    fn what_nobody_drove_must_not_be_in_the_clear() {
        let mut all = told(5, ("10.96.0.9", 443), "server_tls");
        all.extend(told(7, ("10.244.1.2", 8080), "plaintext"));
        let (_, wrong) = compared(&all);
        assert!(wrong.len() == 1 && wrong[0].contains("nothing driven"), "{wrong:?}");
    }
}
