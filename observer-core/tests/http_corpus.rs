//! The labelled captures that carry HTTP in the clear: what is read of them, whatever the cut and the interleaving.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use observer_core::flow::{Direction, End};
use observer_core::protocol::http::{Http, Request, Secret, Summary, detect};
use observer_core::protocol::{Detect, Dissector};
use observer_core::security::{Reason, Security};

const APPS: [&str; 6] = ["http1", "h2c", "h2c-upgrade", "websocket", "grpc-h2c", "http-connect-http"];

fn plain(app: &str) -> bool {
    APPS.contains(&app)
}

fn cases() -> Vec<support::Conversation> {
    support::conversations(|label| {
        label.text("corpus_case").starts_with("nontls:")
            && label.text("transport") == "no"
            && plain(label.text("app"))
    })
}

fn read(pieces: &[(Direction, &[u8])]) -> (Summary, Vec<Request>, Security) {
    let mut http = Http::new();
    let mut requests = Vec::new();
    for (direction, bytes) in pieces {
        http.data(*direction, bytes, u64::MAX);
        requests.append(&mut http.take_requests());
    }
    http.end(Direction::ToServer, End::Fin);
    http.end(Direction::ToClient, End::Fin);
    http.conclude(Reason::StillOpen);
    requests.append(&mut http.take_requests());
    (http.summary().clone(), requests, http.verdict().security)
}

#[test]
fn reads_what_the_labels_say() {
    for case in cases() {
        let file = case.label.text("file");
        let client = case.stream(Direction::ToServer);
        let server = case.stream(Direction::ToClient);
        assert_eq!(detect(Direction::ToServer, &client), Detect::Yes, "{file}");
        assert_eq!(detect(Direction::ToClient, &server), Detect::Yes, "{file}");
        let (summary, requests, security) =
            read(&[(Direction::ToServer, &client), (Direction::ToClient, &server)]);
        println!(
            "{file}: {} {}/{} missed {} first {:?} {:?} exposed {:?} schemes {:?} grpc {} up {:?}",
            summary.protocol.name(),
            summary.requests,
            summary.responses,
            summary.missed,
            requests.first().map(|r| (r.method.clone(), r.path.clone(), r.authority.clone())),
            summary.first_response.as_ref().map(|r| r.status),
            summary.exposed,
            summary.schemes.names().collect::<Vec<_>>(),
            summary.grpc,
            summary.upgraded_to,
        );
        assert_eq!(security, Security::Plaintext, "{file}");
        assert!(
            summary.requests > 0 && summary.missed == 0 && !summary.missed_unknown,
            "{file}: {summary:?}"
        );
        let schemes: Vec<_> = summary.schemes.names().collect();
        match case.label.text("authorization") {
            "" => {}
            "none" => assert!(!summary.exposed.contains(Secret::Authorization), "{file}"),
            scheme => assert_eq!(schemes, [scheme], "{file}"),
        }
        assert_eq!(summary.grpc, case.label.text("app") == "grpc-h2c", "{file}");
    }
}

#[test]
fn every_cut_and_interleaving_gives_the_same_items() {
    for case in cases() {
        let file = case.label.text("file");
        let client = case.stream(Direction::ToServer);
        let server = case.stream(Direction::ToClient);
        let (c, s) = (Direction::ToServer, Direction::ToClient);
        let whole = read(&[(c, &client), (s, &server)]);
        assert_eq!(read(&[(s, &server), (c, &client)]), whole, "{file}: server first");
        for cut in 0..=client.len() {
            let (a, b) = client.split_at(cut);
            assert_eq!(read(&[(c, a), (s, &server), (c, b)]), whole, "{file}: client cut at {cut}");
        }
        for cut in 0..=server.len().min(4096) {
            let (a, b) = server.split_at(cut);
            assert_eq!(read(&[(s, a), (c, &client), (s, b)]), whole, "{file}: server cut at {cut}");
        }
        let mut bytewise: Vec<(Direction, &[u8])> = Vec::new();
        let mut pair = (client.chunks(1), server.chunks(1));
        loop {
            let next = (pair.0.next(), pair.1.next());
            if next == (None, None) {
                break;
            }
            bytewise.extend(next.0.map(|b| (c, b)));
            bytewise.extend(next.1.map(|b| (s, b)));
        }
        assert_eq!(read(&bytewise), whole, "{file}: byte by byte");
    }
}

#[test]
fn every_prefix_is_plaintext_or_unknown() {
    for case in cases() {
        let client = case.stream(Direction::ToServer);
        let server = case.stream(Direction::ToClient);
        for cut in 0..=client.len() {
            let (_, _, security) = read(&[(Direction::ToServer, &client[..cut])]);
            assert!(matches!(security, Security::Plaintext | Security::Unknown));
        }
        for cut in 0..=server.len().min(2048) {
            let (_, _, security) = read(&[(Direction::ToClient, &server[..cut])]);
            assert!(matches!(security, Security::Plaintext | Security::Unknown));
        }
    }
}

#[test]
fn nothing_else_in_the_clear_is_taken_for_http() {
    for case in support::conversations(|label| {
        label.text("corpus_case").starts_with("nontls:") && !label.text("app").starts_with("http")
    }) {
        if plain(case.label.text("app")) {
            continue;
        }
        let client = case.stream(Direction::ToServer);
        assert_ne!(detect(Direction::ToServer, &client), Detect::Yes, "{}", case.label.text("file"));
    }
}
