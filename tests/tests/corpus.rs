//! The labelled captures through the command: no wrong verdict, hardly an `unknown` where the bytes decide, and no event
//! that is not as the schema says. The fixtures always, the whole corpus where it lies beside the workspace.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use observer_tests::event::Event;
use observer_tests::replay::{command, replay};
use observer_tests::schema::violations_of;
use serde_json::Value;

/// A capture whose label speaks of the configuration, and whose bytes tell another story: the client library turned
/// TLS on by itself (CLIENT_SSL, then a ClientHello).
const ENCRYPTED_ALL_THE_SAME: &str = "1943_no_mysql-plain_mariadb-10.11_x_na.pcap";

/// Captures, and one label for each connection in them.
struct Collection {
    folder: PathBuf,
    labels: Vec<Value>,
}

impl Collection {
    /// `None` if there is none in `folder`.
    fn open(folder: PathBuf) -> Option<Self> {
        let labels = std::fs::read_to_string(folder.join("labels.jsonl")).ok()?;
        Some(Self {
            folder,
            labels: labels.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        })
    }

    /// The selection that the project carries, and the whole corpus beside the workspace.
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let corpus = Self::open(root.join("../../shared/corpus"));
        if corpus.is_none() {
            println!("skipped: no corpus beside the workspace; the fixtures alone were replayed");
        }
        Self::open(root.join("fixtures")).into_iter().chain(corpus).collect()
    }

    /// The captures, each once.
    fn files(&self) -> Vec<&str> {
        let mut files: Vec<_> = self.labels.iter().map(|label| label["file"].as_str().unwrap()).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    fn replay(&self, threads: &str) -> Vec<Event> {
        replay(&self.folder, &self.files(), threads)
    }

    /// Which connection a label speaks of: the capture, and the client if the capture holds several.
    fn key(label: &Value) -> (&str, &str) {
        (label["file"].as_str().unwrap(), label["client_ip"].as_str().unwrap_or_default())
    }
}

/// The name of the capture that a connection had to itself.
fn origin(label: &Value) -> &str {
    let name = label["origin"].as_str().or(label["file"].as_str()).unwrap();
    name.rsplit('/').next().unwrap_or(name)
}

/// The state of the client's certificate that a label asks for, in the first handshake; `None` if it leaves it open.
fn wanted(label: &Value) -> Option<&'static str> {
    if label["resumed"] == true {
        return Some("resumed");
    }
    match label["cert_presented"].as_str()? {
        "" | "unknown" => None,
        "none" if label["cert_requested"] == true => Some("declined"),
        "none" => Some("not_requested"),
        "empty" => Some("declined"),
        _ => Some("presented"),
    }
}

/// Whether the label says that what decides is not in the bytes: padding hides it, or the handshake broke off.
fn undecidable(label: &Value) -> bool {
    let text = |field: &str| label[field].as_str().unwrap_or_default();
    text("note").contains("pads records")
        || text("note").contains("0rtt-refused")
        || text("note").contains("rejects the server certificate")
        || !text("handshake_error").is_empty()
        || text("transport") == "client-only"
}

#[derive(Debug, Default)]
struct Score {
    right: u32,
    unknown: Vec<String>,
    wrong: Vec<String>,
}

impl Score {
    fn count(&mut self, label: &Value, event: &Value) {
        let own = &event["control_plane"];
        let (security, state) =
            (own["security"].as_str().unwrap(), own["client_certificate"]["state"].as_str().unwrap_or("-"));
        let file = origin(label);
        let told = format!("{file}: {security}, {state}, {}", own["reason"]);
        if label["transport"] == "no" {
            let silent = label["note"].as_str().unwrap().contains("no payload") || file.contains("connect");
            match security {
                "plaintext" | "ssh" | "other" => self.right += 1,
                "server_tls" if file == ENCRYPTED_ALL_THE_SAME => self.right += 1,
                "unknown" if own["reason"] == "no_data" || silent => self.right += 1,
                "unknown" => self.unknown.push(told),
                _ => self.wrong.push(told),
            }
            return;
        }
        if label["transport"] == "client-only" {
            // No TLS was spoken: whatever is claimed of a certificate would be made up.
            match (security, state) {
                ("unknown" | "other", "unknown" | "-") => self.right += 1,
                _ => self.wrong.push(told),
            }
            return;
        }
        let Some(wanted) = wanted(label) else {
            if security == "plaintext" || security == "other" {
                self.wrong.push(told);
            }
            return;
        };
        let named = match wanted {
            "presented" => "mutual_tls",
            "resumed" => "tls",
            _ => "server_tls",
        };
        match (security, state) {
            _ if security == named && state == wanted => self.right += 1,
            ("tls" | "unknown", "unknown") if own["reason"].is_string() => {
                if !undecidable(label) {
                    self.unknown.push(told);
                }
            }
            _ => self.wrong.push(format!("{told}; wanted {wanted}")),
        }
    }
}

#[test]
fn every_connection_gets_the_verdict_of_its_label_or_an_unknown_with_its_reason() {
    for collection in Collection::all() {
        let events = collection.replay("2");
        let alone = collection.labels.iter().all(|label| label["client_ip"].is_null());
        let mut told: HashMap<(&str, &str, &str), Vec<&Event>> = HashMap::new();
        for event in &events {
            let client = if alone { "" } else { event.text("source.ip") };
            told.entry((event.text("log.file.path"), client, event.action())).or_default().push(event);
        }
        for verdict in ["connection-classified", "connection-closed"] {
            let mut score = Score::default();
            for label in &collection.labels {
                let (file, client) = Collection::key(label);
                let Some([event]) = told.get(&(file, client, verdict)).map(Vec::as_slice) else {
                    panic!("{}: not told once as {verdict}", origin(label));
                };
                score.count(label, &event.value);
            }
            assert_eq!(score.wrong, Vec::<String>::new(), "wrong in {verdict}");
            assert!(score.unknown.len() * 100 <= collection.labels.len(), "{verdict}: {:#?}", score.unknown);
            eprintln!("{verdict}: {} right, unknown: {:?}", score.right, score.unknown);
        }
        assert_eq!(events.len(), 2 * collection.labels.len(), "nothing is told that no label speaks of");
    }
}

#[test]
fn every_event_of_a_replay_is_as_the_schema_says() {
    for collection in Collection::all() {
        let events = collection.replay("1");
        assert_eq!(violations_of(&command(), &events), Vec::<String>::new());
        for event in &events {
            assert!(!event.text("log.file.path").is_empty(), "{}", event.value);
            assert!(!event.text("observer.hostname").is_empty(), "{}", event.value);
        }
    }
}

#[test]
fn the_output_is_the_same_for_any_number_of_threads() {
    for collection in Collection::all() {
        let values = |threads| collection.replay(threads).into_iter().map(|event| event.value).collect();
        let alone: Vec<Value> = values("1");
        for threads in ["2", "3", "8"] {
            assert!(alone == values(threads), "{threads} threads");
        }
    }
}
