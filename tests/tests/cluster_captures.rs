//! Captures of the test cluster on each of its machines, held against what its driver knows: nothing is told wrong by content
//! alone, and what content shows is named as surely as it shows it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::path::Path;

use observer_tests::ledger::connections;
use observer_tests::replay::{command, replay};
use observer_tests::schema::violations_of;
use observer_tests::truth::{self, Terms, View};

/// Paths that are named on every machine: with how much confidence, and by what.
const NAMED: [(&str, &str, &str); 5] = [
    ("apiserver-to-pod-proxy", "claimed", "forwarded_uri"),
    ("apiserver-to-service-proxy", "claimed", "forwarded_uri"),
    ("apiserver-to-node-proxy", "claimed", "forwarded_uri"),
    ("apiserver-to-webhook", "weak", "server_name application_protocol"),
    ("apiserver-to-kubelet", "weak", "client_certificate_state client_address port"),
];

fn check(name: &str, view: View, named: &[(&str, &str, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cluster");
    let items = truth::read(&std::fs::read_to_string(folder.join("truth.jsonl")).unwrap());
    let events = replay(&folder, &[name], "2");
    let outcome =
        truth::compare(&items, &connections(&events), Terms { view, capture: true, ..Terms::default() });
    println!("{name}: {}", outcome.line());
    assert_eq!(outcome.wrong, Vec::<String>::new());
    let lines: Vec<_> = events.iter().map(|it| it.value.to_string()).collect();
    assert_eq!(truth::betrayed(&items, &lines), Vec::<String>::new());
    assert_eq!(violations_of(&command(), &events), Vec::<String>::new());
    // Nothing shows who dialled, so nothing is found.
    assert!(!events.iter().any(|it| it.action() == "finding"));
    let mut seen = BTreeSet::new();
    for event in events.iter().filter(|it| it.action() == "connection-closed") {
        let (path, sure) = (event.text("control_plane.path"), event.text("control_plane.confidence"));
        let evidence = event.at("control_plane.evidence").as_array().cloned().unwrap_or_default();
        let evidence: Vec<_> = evidence.iter().filter_map(|it| it.as_str()).collect();
        seen.insert([path, sure, &evidence.join(" ")].map(String::from));
        let reason = event.text("control_plane.path_reason");
        assert!(path != "other" || !reason.is_empty(), "{}", event.value);
    }
    let wanted: BTreeSet<_> =
        named.iter().map(|&(path, sure, by)| [path, sure, by].map(String::from)).collect();
    let missing: Vec<_> = wanted.difference(&seen).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {seen:#?}");
}

#[test]
fn a_capture_on_the_control_planes_machine() {
    let more = [
        ("client-to-apiserver", "weak", "client_certificate server_certificate"),
        ("component-metrics", "weak", "port"),
    ];
    check("cp.pcap.gz", View::Machine(truth::CONTROL_PLANE), &[&NAMED[..], &more].concat());
}

#[test]
fn a_capture_on_a_worker() {
    let named = [
        NAMED[0],
        NAMED[2],
        NAMED[3],
        ("client-to-kubelet", "weak", "server_certificate client_certificate_state"),
        ("kubelet-read-only", "weak", "request_path port"),
        ("kubelet-to-runtime", "strong", "request_path server_address"),
    ];
    check("node1.pcap.gz", View::Machine(truth::WORKER), &named);
}

#[test]
fn a_capture_between_the_machines() {
    let more = [
        ("client-to-apiserver", "weak", "client_certificate server_certificate"),
        ("client-to-kubelet", "weak", "server_certificate client_certificate_state"),
        ("kubelet-read-only", "weak", "request_path port"),
    ];
    check("outside.pcap.gz", View::Cable, &[&NAMED[..], &more].concat());
}
