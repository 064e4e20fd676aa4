//! Speed of the HTTP dissector: nanoseconds for a small request with its response, and bytes a second on bodies.
//!
//! `http_speed [ROUNDS]`; a few thousand rounds under `valgrind --tool=callgrind` give instructions by function.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use observer_core::flow::Direction::{ToClient, ToServer};
use observer_core::protocol::Dissector;
use observer_core::protocol::http::{Http, Items};

const REQUEST: &[u8] = b"GET /api/v1/things?x=1 HTTP/1.1\r\nHost: 10.244.2.7:8080\r\nUser-Agent: curl/7.88.1\r\n\
    Accept: */*\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Uri: /api/v1/namespaces/default/pods/web:8080/proxy/x\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

fn heads(name: &str, mut http: Http, rounds: u32) {
    let start = Instant::now();
    for _ in 0..rounds {
        http.data(ToServer, std::hint::black_box(REQUEST), 0);
        http.data(ToClient, std::hint::black_box(RESPONSE), 0);
        while http.next_request().is_some() {}
    }
    let time = start.elapsed();
    println!("{name}: {:.0} ns a request and response", time.as_secs_f64() * 1e9 / f64::from(rounds));
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(500_000);
    heads("requests taken", Http::new(), rounds);
    heads("only counted", Http::with_items(Items::Counted), rounds);

    let mut http = Http::new();
    let piece = vec![b'x'; 1448];
    let pieces = rounds * 4;
    http.data(ToServer, format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", u64::MAX).as_bytes(), 0);
    let start = Instant::now();
    for _ in 0..pieces {
        http.data(ToServer, std::hint::black_box(&piece), 0);
    }
    let bytes = f64::from(pieces) * 1448.0;
    println!("{:.1} GB/s of body in pieces of 1448 bytes", bytes / start.elapsed().as_secs_f64() / 1e9);
}
