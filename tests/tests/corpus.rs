//! The whole labelled corpus through the command: no wrong verdict, and hardly an `unknown` where the bytes decide.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A capture whose label speaks of the configuration, and whose bytes tell another story: the client library turned
/// TLS on by itself (CLIENT_SSL, then a ClientHello).
const ENCRYPTED_ALL_THE_SAME: &str = "pcap/1943_no_mysql-plain_mariadb-10.11_x_na.pcap";

/// `observer`, built as these tests are and lying beside them; or the one that `OBSERVER_REPLAY_BINARY` names, which a run of
/// the whole workspace has built already.
fn observer() -> PathBuf {
    if let Some(path) =
        std::env::var_os("OBSERVER_REPLAY_BINARY").map(PathBuf::from).filter(|it| it.is_file())
    {
        return path;
    }
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--package", "observer"])
        .arg("--target-dir")
        .arg(folder.parent().unwrap());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().unwrap().success());
    folder.join("observer")
}

/// `../shared/corpus` beside the workspace, and its labels.
fn corpus() -> Option<(PathBuf, Vec<Value>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let Ok(labels) = std::fs::read_to_string(path.join("labels.jsonl")) else {
        println!("skipped: no labelled captures beside the workspace");
        return None;
    };
    Some((path, labels.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
}

fn replay(observer: &Path, corpus: &Path, labels: &[Value], threads: &str) -> Vec<u8> {
    let output = Command::new(observer)
        .args(["replay", "--quiet", "--format", "json", "--threads", threads])
        .args(labels.iter().map(|label| label["file"].as_str().unwrap()))
        .current_dir(corpus)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
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
        let file = label["file"].as_str().unwrap();
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
fn every_capture_gets_the_verdict_of_its_label_or_an_unknown_with_its_reason() {
    let Some((corpus, labels)) = corpus() else { return };
    let output = replay(&observer(), &corpus, &labels, "2");
    let mut events: HashMap<(String, String), Vec<Value>> = HashMap::new();
    for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_slice(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let key = (text(&event["log"]["file"]["path"]), text(&event["event"]["action"]));
        events.entry(key).or_default().push(event);
    }
    for verdict in ["connection-classified", "connection-closed"] {
        let mut score = Score::default();
        for label in &labels {
            let file = label["file"].as_str().unwrap();
            let told = events.get(&(file.to_owned(), verdict.to_owned())).map_or(&[][..], Vec::as_slice);
            assert_eq!(told.len(), 1, "{file} holds one connection, told once as {verdict}");
            score.count(label, &told[0]);
        }
        assert_eq!(score.wrong, Vec::<String>::new(), "wrong in {verdict}");
        assert!(score.unknown.len() * 100 <= labels.len(), "unknown in {verdict}: {:#?}", score.unknown);
        eprintln!("{verdict}: {} right, unknown: {:?}", score.right, score.unknown);
    }
}

#[test]
fn the_output_is_the_same_for_any_number_of_threads() {
    let Some((corpus, labels)) = corpus() else { return };
    let observer = observer();
    let alone = replay(&observer, &corpus, &labels, "1");
    for threads in ["2", "3", "8"] {
        assert!(replay(&observer, &corpus, &labels, threads) == alone, "{threads} threads");
    }
}
