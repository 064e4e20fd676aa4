//! Streams of real peers (Go 1.26, nghttp2 1.52, curl 7.88, Python 3.11), as their connections carried them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use observer_core::flow::{Direction, End};
use observer_core::protocol::Dissector;
use observer_core::protocol::http::{Http, Protocol, Request, Summary};
use observer_core::security::{Reason, Security};

fn read(name: &str) -> (Summary, Vec<Request>) {
    let stream = |side: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/http");
        std::fs::read(folder.join(format!("{name}.{side}"))).unwrap()
    };
    let (client, server) = (stream("client"), stream("server"));
    let run = |step: usize| {
        let mut http = Http::new();
        for piece in server.chunks(step) {
            http.data(Direction::ToClient, piece, u64::MAX);
        }
        for piece in client.chunks(step) {
            http.data(Direction::ToServer, piece, u64::MAX);
        }
        http.end(Direction::ToServer, End::Fin);
        http.end(Direction::ToClient, End::Fin);
        http.conclude(Reason::StillOpen);
        assert_eq!(http.verdict().security, Security::Plaintext, "{name}");
        let requests = http.take_requests();
        (http.summary().clone(), requests)
    };
    let whole = run(usize::MAX);
    assert_eq!(run(1), whole, "{name} byte by byte");
    assert_eq!((whole.0.missed, whole.0.missed_unknown, whole.0.dropped), (0, false, 0), "{name}");
    whole
}

#[test]
fn go_answers_http_2_in_http_1() {
    let (summary, requests) = read("go-refuses-http2");
    assert_eq!((summary.protocol, requests.len(), summary.responses), (Protocol::Http2, 1, 1));
    assert_eq!(summary.first_response.unwrap().status, 400);
}

#[test]
fn python_answers_http_2_in_no_version_at_all() {
    let (summary, requests) = read("python-refuses-http2");
    assert_eq!((summary.protocol, requests.len(), summary.responses), (Protocol::Http2, 1, 0));
    assert_eq!(requests[0].path.as_deref(), Some("/old"));
}

#[test]
fn a_websocket_of_go_holds_no_requests() {
    let (summary, requests) = read("go-websocket");
    assert_eq!((requests.len(), summary.responses, summary.stopped), (1, 1, false));
    assert_eq!(summary.upgraded_to.as_deref(), Some("websocket"));
}

#[test]
fn every_request_of_nghttp_is_read() {
    let (summary, requests) = read("nghttp-three");
    let paths: Vec<_> = requests.iter().filter_map(|request| request.path.as_deref()).collect();
    assert_eq!((paths, summary.responses), (vec!["/a", "/b", "/c"], 3));
    let (summary, requests) = read("nghttp-fifty-padded");
    assert_eq!((requests.len(), summary.responses), (50, 50));
    assert!(requests.iter().all(|request| request.path.as_deref() == Some("/a")));
}
