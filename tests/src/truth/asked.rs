//! The requests that were driven on each connection, and those that were told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::connection::Connection;
use super::when::Run;
use crate::ledger::Told;

/// At least and at most so many.
type Range = (u64, u64);

/// What was asked on each connection, by its place among those that were told.
#[derive(Debug, Default)]
pub(super) struct Asked {
    requests: BTreeMap<usize, Range>,
    objects: BTreeMap<usize, BTreeMap<String, Range>>,
}

impl Asked {
    /// A request on the connection at `at`. What was driven while the daemon came or went may have been read or not.
    pub(super) fn count(&mut self, at: usize, connection: &Connection, time: [u64; 2], run: Option<Run>) {
        let least = u64::from(run.is_none_or(|run| run.holds(time)));
        let most = u64::from(run.is_none_or(|run| run.touches(time)));
        let add = |range: &mut Range| *range = (range.0 + least, range.1 + most);
        add(self.requests.entry(at).or_default());
        if let Some(object) = connection.object().or(connection.claimed.as_ref()) {
            add(self.objects.entry(at).or_default().entry(named(object)).or_default());
        }
    }

    /// What was told otherwise.
    pub(super) fn differences(self, told: &[Told]) -> Vec<String> {
        let requests = self.requests.into_iter().filter_map(|(at, driven)| miscounted(&told[at], driven));
        let objects = self.objects.into_iter().filter_map(|(at, driven)| misnamed(&told[at], &driven));
        requests.chain(objects).collect()
    }
}

/// Were as many requests told as were driven? Of an older connection those that were read, and that others may have been missed.
fn miscounted(told: &Told, (least, most): Range) -> Option<String> {
    let closed = told.closed.first().filter(|it| it.security() == "plaintext")?;
    let number = |name: &str| closed.number(&format!("control_plane.http.{name}")).unwrap_or(0);
    let is = |name: &str| closed.at(&format!("control_plane.http.{name}")) == true;
    let (read, missed) = (number("requests"), number("missed"));
    let wrong = if told.is_older() {
        read > most || (read + missed < least && !is("stopped"))
    } else if is("missed_unknown") || is("stopped") {
        read > most
    } else {
        !(least..=most).contains(&(read + missed))
    };
    wrong.then(|| {
        format!("{read} requests told and {missed} missed, {least} to {most} were driven: {}", told.line())
    })
}

/// Was each object told with as many requests as were driven for it, and no other?
fn misnamed(told: &Told, driven: &BTreeMap<String, Range>) -> Option<String> {
    let closed = told.closed.first()?;
    let proxies = closed.at("control_plane.proxies").as_array().cloned().unwrap_or_default();
    // What an endpoint was used for is known by its pod alone.
    if proxies.is_empty() || proxies.iter().any(|it| it["basis"] == "endpoint") {
        return None;
    }
    let told_of = |it: &Value| (named(it), it["requests"].as_u64().unwrap_or(0));
    let seen: BTreeMap<String, u64> = proxies.iter().map(told_of).collect();
    let all = driven.keys().chain(seen.keys());
    let is_wrong = |name: &String| {
        let (least, most) = driven.get(name).copied().unwrap_or_default();
        !(least..=most).contains(&seen.get(name).copied().unwrap_or_default())
    };
    all.into_iter().any(is_wrong).then(|| format!("{seen:?} told, {driven:?} driven: {}", told.line()))
}

/// An object in one word. A request that names no scheme is one in the clear.
pub(super) fn named(object: &Value) -> String {
    let word = |name: &str| object[name].as_str().unwrap_or_default();
    let scheme = if word("scheme").is_empty() { "http" } else { word("scheme") };
    format!("{} {}/{scheme}:{}:{}", word("kind"), word("namespace"), word("name"), word("port"))
}
