//! What must be said of a connection, and what is said of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;

use super::asked::named;
use super::view::{Terms, View};
use crate::event::Event;
use crate::ledger::Told;

/// What must be said of a connection.
#[derive(Clone, Debug, Deserialize)]
pub struct Connection {
    pub(super) connections: Count,
    scope: Option<String>,
    or: Option<String>,
    /// The object that a request says it was passed on for, and was not.
    pub(super) claimed: Option<Value>,
    pub(super) event: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Count {
    One,
    Every,
}

/// The events that may be silent or unsure of more: what was driven while the daemon came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    Whole,
    Partial,
}

impl Connection {
    /// Is it watched only where everything is?
    pub(super) fn is_unwatched(&self) -> bool {
        self.scope.as_deref() == Some("all")
    }

    /// Is this the connection, by its ends?
    pub(super) fn fits(&self, event: &Event) -> bool {
        let (source, destination) = (&self.event["source"], &self.event["destination"]);
        let (Some(from), Some(to)) = (event.end("source"), event.end("destination")) else { return false };
        // As the client dialled it, or as it arrives behind address translation: a capture may show the one or the other.
        let is_between = |from, to| {
            (is(source, from) && is(destination, to))
                || (is(translated(source), from) && is(translated(destination), to))
        };
        let is_assumed = event.text("control_plane.connection.direction") == "assumed";
        let addresses = is_between(from, to) || (is_assumed && is_between(to, from));
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

    /// Is the process known that dialled it?
    pub(super) fn is_surely(&self, event: &Event) -> bool {
        let name = "control_plane.client.process.name";
        self.event["control_plane"]["client"]["process"]["name"].is_null() || !event.at(name).is_null()
    }

    /// Did the process dial it that should have?
    pub(super) fn is_by(&self, event: &Event) -> bool {
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

    /// The ports that it alone has: of its client, on either side of a translation.
    pub(super) fn ports(&self) -> Vec<u64> {
        let source = &self.event["source"];
        let ports = [source, translated(source)].into_iter().filter_map(|it| it["port"].as_u64());
        ports.filter(|_| self.connections == Count::One).collect()
    }

    pub(super) fn object(&self) -> Option<&Value> {
        Some(&self.event["control_plane"]["proxy"]).filter(|it| it.is_object())
    }

    /// What is wrong with what was told of it.
    pub(super) fn compare(&self, told: &Told, terms: Terms, duty: Duty) -> Option<String> {
        let mut wrong = Vec::new();
        // Of what was there before, the daemon need not find out who it is, nor what it was for.
        let is_partial = duty == Duty::Partial || is_older(told.last());
        let killed = terms.run.is_some_and(|run| run.killed);
        if told.classified.len() > 1 || told.closed.len() > 1 || (told.classified.is_empty() && !killed) {
            wrong.push(format!("{}x classified, {}x closed", told.classified.len(), told.closed.len()));
        }
        if self.claimed.is_some() && !told.findings.is_empty() {
            wrong.push(format!("a finding on a mere claim: {}", told.findings[0].value));
        }
        if !self.is_the_other(told.last()) {
            let object = self.object().filter(|_| duty == Duty::Whole);
            wrong.extend(object.and_then(|object| self.compare_object(object, told, terms)));
            for event in told.classified.iter().chain(&told.closed) {
                leaves(&self.event, &mut String::new(), &mut |path, wanted| {
                    let seen = seen(event, path);
                    let is_right = self.is_passed_over(event, path, terms)
                        || same(wanted, seen)
                        || (seen.is_null() && (is_partial || self.may_be_absent(event, path, terms)))
                        || (is_partial && is_unsure(event, path))
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
            || (path == "control_plane.path" && self.object().is_some() && !is_of_one(event, terms));
        // What was there before the observer has no verdict, unless its bytes still show one.
        let older = is_older(event)
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
        let last = told.last();
        let wanted_path = self.event["control_plane"]["path"].as_str().unwrap_or_default();
        let is_path = |event: &Event| {
            event.text("control_plane.path") == wanted_path
                || self.may_be_told_so(event, "control_plane.path", &Value::from(wanted_path), terms)
        };
        if last.text("control_plane.proxy.basis") == "endpoint" {
            // Who answered is known, and not whether it was asked for as a pod or behind a service.
            let pod = &self.event["control_plane"]["server"]["kubernetes"];
            let seen = last.at("control_plane.proxy");
            let fits = seen["kind"] == "pod"
                && [("name", "pod"), ("namespace", "namespace")].iter().all(|(a, b)| seen[a] == pod[b]);
            return (!fits || !is_path(last)).then(|| {
                format!(
                    "object {seen} and {}, the truth is {object} of {pod}",
                    last.text("control_plane.path")
                )
            });
        }
        // TLS hides what it was for, and without who dialled nothing else says that it was for anything; nor is there a
        // handshake of what is older.
        let hidden = terms.hides("source", self) || is_older(last);
        if hidden && last.security() != "plaintext" {
            let seen = last.text("control_plane.path");
            let is_unsure = is_older(last) && is_unsure(last, "control_plane.path");
            return (!is_path(last) && !is_unsure)
                .then(|| format!("path {seen}, the truth is {wanted_path}"));
        }
        // Without a name for its server an upgrade has no object, and that is told.
        let left_out = last.number("control_plane.proxies_left_out").unwrap_or(0);
        let is_nameless = last.at("control_plane.server.kubernetes.pod").is_null()
            && (terms.hides("destination", self) || is_older(last));
        if self.event["http"]["response"]["status_code"] == 101 && is_nameless {
            return (!terms.capture && left_out != 1)
                .then(|| format!("{left_out} requests left out, {object} has no name"));
        }
        let is_object = |seen: &Value| named(seen) == named(object);
        let proxies = last.at("control_plane.proxies").as_array().cloned().unwrap_or_default();
        let killed = terms.run.is_some_and(|run| run.killed) && told.closed.is_empty();
        if !killed && !proxies.iter().any(is_object) {
            return Some(format!("objects {proxies:?}, the truth is {object}"));
        }
        if terms.capture {
            // Nothing shows who dialled.
            return (!told.findings.is_empty()).then(|| format!("a finding: {}", told.findings[0].value));
        }
        let mut findings = told.findings.iter().filter(|it| is_object(it.at("control_plane.proxy")));
        (!findings.any(is_path)).then(|| format!("no finding says {wanted_path} of {object}"))
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
        (owner && (classified || terms.hides(end, self))) || ended || path.starts_with("http.response")
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
        let hidden = ["source", "destination"].into_iter().any(|end| terms.hides(end, self));
        let sure = event.text("control_plane.confidence");
        (unknown && (hidden || event.action() == "connection-classified"))
            || (*wanted == "apiserver-to-service-proxy" && seen == "apiserver-to-pod-proxy" && sure == "weak")
            || (self.claimed.is_some() && hidden && sure == "claimed")
    }
}

/// Was the connection there before the daemon?
pub(super) fn is_older(event: &Event) -> bool {
    event.text("control_plane.reason") == "started_before_observer"
}

/// Is this part of a verdict, or the path, and said to be not known?
fn is_unsure(event: &Event, path: &str) -> bool {
    match path {
        "control_plane.security" => matches!(event.security(), "unknown" | "tls"),
        "control_plane.client_certificate.state" => event.text(path) == "unknown",
        "control_plane.path" => !event.text("control_plane.path_reason").is_empty(),
        _ => false,
    }
}

/// Does a capture show one object's requests alone? Then the connection's path is that of them.
fn is_of_one(event: &Event, terms: Terms) -> bool {
    terms.capture
        && !matches!(terms.view, View::All)
        && event.at("control_plane.proxies").as_array().is_some_and(|it| it.len() == 1)
}

/// Is this the wanted address? What is not said may be anything.
fn is(wanted: &Value, seen: SocketAddr) -> bool {
    let (ip, port) = (wanted["ip"].as_str(), wanted["port"].as_u64());
    ip.is_none_or(|ip| ip == seen.ip().to_string()) && port.is_none_or(|port| port == u64::from(seen.port()))
}

/// The address behind translation; the plain one where there is none.
pub(super) fn translated(end: &Value) -> &Value {
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
