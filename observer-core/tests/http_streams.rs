//! Streams made by hand: framing, upgrades, tunnels, losses, and that no secret leaves.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use observer_core::flow::{Direction, End, Gap};
use observer_core::protocol::http::{Http, Items, MAX_QUEUE, Request, Secret, Summary};
use observer_core::protocol::{Dissector, Progress, Verdict};
use observer_core::security::{Reason, Security};
use proptest::prelude::*;

const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;

fn finish(mut http: Http) -> (Summary, Vec<Request>) {
    http.conclude(Reason::StillOpen);
    let requests = http.take_requests();
    (http.summary().clone(), requests)
}

fn read(client: &[u8], server: &[u8]) -> (Summary, Vec<Request>) {
    let mut http = Http::new();
    http.data(C, client, u64::MAX);
    http.data(S, server, u64::MAX);
    finish(http)
}

fn paths(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|r| r.path.as_deref().unwrap_or("-")).collect()
}

#[test]
fn skips_bodies_that_look_like_requests() {
    let client = b"POST /a HTTP/1.1\r\nContent-Length: 20\r\n\r\nGET /no HTTP/1.1\r\n\r\nPUT /b HTTP/1.1\r\n\
        Transfer-Encoding: chunked\r\n\r\n14;x=y\r\nGET /no HTTP/1.1\r\n\r\n\r\n0\r\nT: v\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
    let (summary, requests) = read(client, b"");
    assert_eq!(paths(&requests), ["/a", "/b", "/c"]);
    assert_eq!((summary.missed, summary.missed_unknown), (0, false));
}

#[test]
fn a_response_to_head_has_no_body() {
    let client = b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    let server = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(read(client, server).0.responses, 2);
    let mut http = Http::new();
    http.data(S, server, 0);
    http.data(C, client, 0);
    assert_eq!(finish(http).0.responses, 2);
}

#[test]
fn a_refused_upgrade_stays_http_and_an_accepted_one_does_not() {
    let client =
        b"GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    assert_eq!(paths(&read(client, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").1), ["/a", "/b"]);
    let (summary, requests) =
        read(client, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n\x80");
    assert_eq!(paths(&requests), ["/a"]);
    assert_eq!(summary.upgraded_to.as_deref(), Some("spdy/3.1"));
}

#[test]
fn a_tunnel_is_handed_over_at_its_own_place_in_each_direction() {
    let mut http = Http::new();
    http.data(C, b"CONNECT a:1 HTTP/1.1\r\n\r\nGET /in", 0);
    assert!(http.handover().is_none());
    http.data(S, b"HTTP/1.1 200 OK\r\n\r\nHTTP/", 24);
    let handover = http.handover().unwrap();
    assert_eq!((handover.start(C), handover.start(S)), (24, 19));
    let mut inner = Http::new();
    handover.feed(&mut inner);
    inner.data(C, b"ner HTTP/1.1\r\n\r\n", 0);
    assert_eq!(paths(&inner.take_requests()), ["/inner"]);
}

#[test]
fn a_tunnel_opens_when_its_request_is_whole_after_its_answer() {
    let mut http = Http::new();
    http.data(S, b"HTTP/1.1 200 OK\r\n\r\nin", 0);
    http.data(C, b"CONNECT a:1 HTTP/1.1\r\n", 0);
    assert!(http.handover().is_none());
    http.data(C, b"\r\n", 0);
    let handover = http.handover().unwrap();
    assert_eq!((handover.start(C), handover.start(S)), (24, 19));
}

#[test]
fn an_end_behind_a_request_for_a_tunnel_is_the_tunnels() {
    #[derive(Default)]
    struct Ends(Vec<Direction>);
    impl Dissector for Ends {
        fn data(&mut self, _: Direction, _: &[u8], _: u64) -> Progress {
            Progress::Undecided
        }
        fn gap(&mut self, _: Direction, _: u64, _: Gap) -> Progress {
            Progress::Undecided
        }
        fn end(&mut self, direction: Direction, _: End) -> Progress {
            self.0.push(direction);
            Progress::Undecided
        }
        fn conclude(&mut self, _: Reason) {}
        fn verdict(&self) -> Verdict {
            Verdict::default()
        }
        fn held(&self) -> usize {
            0
        }
    }
    let mut http = Http::new();
    http.data(C, b"CONNECT a:1 HTTP/1.1\r\n\r\n", 0);
    http.end(C, End::Fin);
    http.data(S, b"HTTP/1.1 200 OK\r\n\r\n", 24);
    let mut ends = Ends::default();
    http.handover().unwrap().feed(&mut ends);
    assert_eq!(ends.0, [C]);
}

#[test]
fn framing_that_is_lost_for_good_is_told() {
    let lost = b"POST /a HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\nabc";
    assert!(read(lost, b"").0.stopped);
    let again = [&lost[..], b"\nGET /b HTTP/1.1\r\n\r\n"].concat();
    let (summary, requests) = read(&again, b"");
    assert_eq!((summary.stopped, summary.missed_unknown, paths(&requests)), (false, true, vec!["/a", "/b"]));
    // An upgrade whose answer was not seen, and then no HTTP.
    let (summary, _) = read(b"GET /a HTTP/1.1\r\nUpgrade: x\r\n\r\n\x80\x01", b"");
    assert!(summary.stopped);
    let (summary, _) = read(b"GET /a HTTP/1.1\r\nUpgrade: x\r\n\r\n", b"");
    assert!(!summary.stopped);
}

#[test]
fn only_counting_keeps_the_summary_and_no_request() {
    let client = planted();
    let mut http = Http::with_items(Items::Counted);
    for byte in &client {
        http.data(C, &[*byte], 0);
    }
    http.conclude(Reason::StillOpen);
    assert!(http.take_requests().is_empty());
    assert_eq!(http.summary(), &read(&client, b"").0);
    // A thousand requests more: nothing is held, nothing is told as dropped.
    let mut http = Http::with_items(Items::Counted);
    for _ in 0..1000 {
        http.data(C, b"GET /a HTTP/1.1\r\nUser-Agent: some-agent/1.0\r\n\r\n", 0);
    }
    assert_eq!((http.summary().requests, http.summary().dropped), (1000, 0));
    assert!(http.held() < 4096);
}

#[test]
fn a_queue_that_nobody_drains_is_bounded_and_counted() {
    let mut http = Http::new();
    for _ in 0..1000 {
        http.data(C, b"GET /a HTTP/1.1\r\n\r\n", 0);
    }
    assert_eq!((http.summary().requests, http.summary().dropped), (1000, 1000 - MAX_QUEUE as u64));
    assert!(http.next_request().is_some());
    http.data(C, b"GET /b HTTP/1.1\r\n\r\n", 0);
    let rest = http.take_requests();
    assert_eq!((rest.len(), rest.last().unwrap().path.as_deref()), (MAX_QUEUE, Some("/b")));
}

#[test]
fn one_byte_at_a_time_costs_no_quadratic_time() {
    // A target of 60,000 bytes where the request line decides: at the beginning, and behind an unanswered upgrade.
    let long = [&b"GET /"[..], &[b'a'; 60_000], b" HTTP/1.1\r\n\r\n"].concat();
    let start = std::time::Instant::now();
    for (first, lost) in [(&b""[..], false), (b"GET /u HTTP/1.1\r\nUpgrade: x\r\n\r\n", true)] {
        let mut http = Http::new();
        if lost {
            http.end(S, End::Fin);
        }
        for byte in first.iter().chain(&long) {
            http.data(C, &[*byte], 0);
        }
        assert_eq!(http.summary().requests, 1 + u64::from(lost));
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_gap_inside_a_known_body_costs_nothing_and_another_is_told() {
    let mut http = Http::new();
    http.data(C, b"POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nxx", 0);
    http.gap(C, 98, Gap::Unseen);
    http.data(C, b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    let summary = http.summary();
    assert_eq!((summary.requests, summary.missed_unknown, summary.resynchronised), (2, false, 0));
    http.gap(C, 1000, Gap::Lost);
    assert_eq!(
        http.data(C, b"\"}GET /c HTTP/1.1\r\nHost: x\r\n\r\nGET /d HTTP/1.1\r\n\r\n", 0),
        Progress::Reading
    );
    let (summary, requests) = finish(http);
    assert_eq!(paths(&requests), ["/a", "/b", "/c", "/d"]);
    assert_eq!((summary.missed_unknown, summary.resynchronised), (true, 1));
}

#[test]
fn an_overlong_or_cut_head_is_counted_as_missed() {
    let mut client = b"GET /a HTTP/1.1\r\n\r\nGET /long HTTP/1.1\r\nX: ".to_vec();
    client.extend([b'x'; 70_000]);
    client.extend_from_slice(b"\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /cut HT");
    let (summary, requests) = read(&client, b"");
    assert_eq!(paths(&requests), ["/a", "/b"]);
    assert_eq!((summary.missed, summary.resynchronised), (2, 1));
}

#[test]
fn an_https_server_that_answers_in_plain_text_is_plaintext() {
    let mut http = Http::new();
    http.data(S, b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", 0);
    http.end(S, End::Fin);
    http.conclude(Reason::StillOpen);
    assert_eq!(http.verdict().security, Security::Plaintext);
    assert_eq!(http.summary().first_response.as_ref().unwrap().status, 400);
}

#[test]
fn a_tls_hello_to_a_plain_server_is_no_missed_request() {
    let (summary, _) =
        read(b"\x16\x03\x01\x02\0\x01", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((summary.missed, summary.client_not_http, summary.responses), (0, true, 1));
}

const SECRET: &str = "Zq7vX2mP9tKc4RbW8sLd3NfH6yGj5Ua1";

fn planted() -> Vec<u8> {
    let s = SECRET;
    format!(
        "GET http://u:{s}@h/exec/{s}?token={s}#{s} HTTP/1.1\r\nHost: {s}@h\r\nAuthorization: Bearer {s}\r\n\
         Cookie: a={s}\r\nProxy-Authorization: Basic {s}\r\nX-Forwarded-Uri: /a/eyJ{s}/b?key={s}\r\nX-Api-Key: {s}\r\n\
         X-Forwarded-Client-Cert: {s}\r\nX-Remote-User: {s}\r\nUser-Agent: x/{s} Bearer {s}\r\nContent-Type: {s}\r\n\
         X-Forwarded-For: {s}\r\nUpgrade: {s}\r\nSec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{s}\r\n\r\n\
         {s} /{s} HTTP/1.1\r\n\r\nGET /a b {s} HTTP/1.1\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn every_kind_of_secret_is_named() {
    let (_, requests) = read(&planted(), b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n");
    let exposed = requests[0].exposed;
    for secret in Secret::ALL {
        assert!(secret == Secret::SetCookie || exposed.contains(secret), "{}", secret.name());
    }
}

#[test]
fn a_damaged_separator_hides_no_secret() {
    let client = planted();
    for at in 0..client.len() {
        let beside =
            client[at + 1..].starts_with(SECRET.as_bytes()) || client[..at].ends_with(SECRET.as_bytes());
        for byte in (0..=255).filter(|_| beside) {
            let mut client = client.clone();
            client[at] = byte;
            let told = format!("{:?}", read(&client, b"")).to_ascii_lowercase();
            assert!(!told.contains(&SECRET.to_ascii_lowercase()), "byte {byte} at {at}: {told}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_secret_leaves_however_the_bytes_are_cut_or_damaged(
        cuts in prop::collection::vec(0usize..2000, 0..8),
        damage in prop::option::of((0usize..2000, any::<u8>())),
        gap in prop::option::of(0usize..2000),
        answered in any::<bool>(),
    ) {
        let mut client = planted();
        if let Some((at, byte)) = damage {
            let n = client.len();
            client[at % n] = byte;
        }
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % client.len()).collect();
        cuts.extend([0, client.len()]);
        cuts.sort_unstable();
        let mut http = Http::new();
        if answered {
            let server = format!("HTTP/1.1 200 OK\r\nServer: {SECRET}\r\nContent-Type: {SECRET}\r\nContent-Length: 0\r\n\r\n");
            http.data(S, server.as_bytes(), 0);
        }
        let lost = gap.map(|n| n % cuts.len());
        for (n, pair) in cuts.windows(2).enumerate() {
            if lost == Some(n) && pair[1] > pair[0] {
                http.gap(C, (pair[1] - pair[0]) as u64, Gap::Lost);
            } else {
                http.data(C, &client[pair[0]..pair[1]], 0);
            }
        }
        let told = format!("{:?}", finish(http));
        // Damage may split the secret in two, neither of which can then be told from a word.
        if damage.is_none() && lost.is_none() {
            prop_assert!(!told.to_ascii_lowercase().contains(&SECRET.to_ascii_lowercase()), "{told}");
        }
        prop_assert!(!told.contains(SECRET), "{told}");
    }

    #[test]
    fn any_bytes_are_survived(client in prop::collection::vec(any::<u8>(), 0..400), server in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut two = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        two.extend_from_slice(&client);
        read(&two, &server);
        read(&client, &server);
    }
}
