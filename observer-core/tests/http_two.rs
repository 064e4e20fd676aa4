//! HTTP/2 made by hand: padding, continuations, pushes, losses, and servers that do not know it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use observer_core::flow::{Direction, End, Gap};
use observer_core::protocol::http::{Http, Protocol, Request, Summary};
use observer_core::protocol::{Dissector, Progress};
use observer_core::security::{Reason, Security};
use support::h2::*;

const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;

fn begin() -> Vec<u8> {
    [PREFACE, &settings()].concat()
}

fn finish(mut http: Http) -> (Summary, Vec<Request>) {
    http.conclude(Reason::StillOpen);
    let requests = http.take_requests();
    (http.summary().clone(), requests)
}

/// Reads `client` behind a preface, whole and byte by byte.
fn read(client: &[u8]) -> (Summary, Vec<Request>) {
    let all = [begin(), client.to_vec()].concat();
    let mut http = Http::new();
    http.data(C, &all, 0);
    let whole = finish(http);
    let mut http = Http::new();
    for byte in &all {
        http.data(C, &[*byte], 0);
    }
    assert_eq!(finish(http), whole, "byte by byte");
    whole
}

fn paths(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|r| r.path.as_deref().unwrap_or("-")).collect()
}

#[test]
fn reads_past_every_other_frame() {
    let client = [
        frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]),
        frame(SETTINGS, 1, 0, &[]),
        frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 15]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 255, 255]),
        request(1, "/a"),
        frame(PING, 0, 0, &[7; 8]),
        frame(DATA, 0, 1, &[b'x'; 3000]),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        frame(0xbe, 0xff, 5, b"an extension"),
        request(3, "/b"),
        frame(GOAWAY, 0, 0, &[0; 8]),
        request(5, "/c"),
    ];
    let (summary, requests) = read(&client.concat());
    assert_eq!(paths(&requests), ["/a", "/b", "/c"]);
    assert_eq!((summary.missed, summary.missed_unknown, summary.stopped), (0, false, false));
}

#[test]
fn padding_and_priority_are_no_part_of_a_block() {
    let block = get("/a");
    let padded = [&[5][..], &[0, 0, 0, 0, 9], &block, &[0; 5]].concat();
    let (_, requests) = read(&frame(HEADERS, END_HEADERS | 8 | 0x20, 1, &padded));
    assert_eq!(paths(&requests), ["/a"]);
    // More padding than payload: the block cannot be read, but it was one.
    let client = [frame(HEADERS, END_HEADERS | 8, 1, &[200, 0x82]), request(3, "/b")].concat();
    let (summary, requests) = read(&client);
    assert_eq!((requests.len(), summary.missed), (0, 2));
}

#[test]
fn a_block_may_be_continued_anywhere() {
    let block = get("/a");
    for cut in 0..=block.len() {
        let (one, two) = block.split_at(cut);
        let client = [
            frame(HEADERS, 0, 1, one),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, END_HEADERS, 1, two),
            request(3, "/b"),
        ];
        let (summary, requests) = read(&client.concat());
        assert_eq!(paths(&requests), ["/a", "/b"], "{cut}");
        assert_eq!(requests[0].offset, 33, "{cut}");
        assert_eq!(summary.missed, 0);
    }
}

#[test]
fn a_flood_of_continuations_is_bounded_and_counted() {
    let mut http = Http::new();
    http.data(C, &begin(), 0);
    http.data(C, &frame(HEADERS, 0, 1, &[]), 0);
    for _ in 0..200 {
        http.data(C, &frame(CONTINUATION, 0, 1, &[0; 4096]), 0);
        assert!(http.held() < 300_000, "{}", http.held());
    }
    for _ in 0..10_000 {
        http.data(C, &frame(CONTINUATION, 0, 1, &[]), 0);
    }
    http.data(C, &frame(CONTINUATION, END_HEADERS, 1, &[]), 0);
    http.data(C, &request(3, "/after"), 0);
    let (summary, requests) = finish(http);
    assert_eq!((requests.len(), summary.missed, summary.missed_unknown), (0, 2, false));
}

#[test]
fn another_frame_within_a_block_ends_reading() {
    for intruder in [frame(PING, 0, 0, &[0; 8]), frame(CONTINUATION, END_HEADERS, 3, &[])] {
        let client = [frame(HEADERS, 0, 1, &get("/a")), intruder, request(3, "/b")].concat();
        let (summary, requests) = read(&client);
        assert!(requests.is_empty() && summary.stopped && summary.missed_unknown);
    }
}

#[test]
fn a_push_is_no_request_and_keeps_the_table() {
    let promise = [&[0, 0, 0, 2][..], &get("/pushed"), &field("x-a", "b", true)].concat();
    // The response uses what the promise put into the table.
    let server = [
        settings(),
        frame(PUSH_PROMISE, END_HEADERS, 1, &promise),
        frame(HEADERS, END_HEADERS, 1, &[0x88, 0xbe]),
        response(2),
    ];
    let mut http = Http::new();
    http.data(C, &[begin(), request(1, "/a")].concat(), 0);
    http.data(S, &server.concat(), 0);
    let (summary, requests) = finish(http);
    assert_eq!(paths(&requests), ["/a"]);
    assert_eq!((summary.responses, summary.missed), (2, 0));
}

#[test]
fn trailers_are_no_request() {
    let client = [
        frame(HEADERS, END_HEADERS, 1, &get("/a")),
        frame(DATA, 0, 1, b"x"),
        frame(HEADERS, END_HEADERS | 1, 1, &field("x-checksum", "1", false)),
        request(3, "/b"),
    ];
    let (summary, requests) = read(&client.concat());
    assert_eq!((paths(&requests), summary.missed), (vec!["/a", "/b"], 0));
}

#[test]
fn the_table_may_change_its_size() {
    // Added to the table (31 + 32 bytes); emptied; added again in a table of 256 bytes; read from it.
    let added = [get("/a"), field("user-agent", "agent-of-one-name-21b", true)].concat();
    let resized = [&[0x20, 0x3f, 0xe1, 0x01][..], &get("/b"), &field("user-agent", "two", true)].concat();
    let indexed = [&get("/c")[..], &[0xbe]].concat();
    let grown = [&[0x3f, 0xe1, 0xff, 0x03][..], &get("/d")].concat();
    let client = [added, resized, indexed, grown];
    let client: Vec<u8> = client
        .iter()
        .zip([1, 3, 5, 7])
        .flat_map(|(block, stream)| frame(HEADERS, END_HEADERS | 1, stream, block))
        .collect();
    let (summary, requests) = read(&client);
    assert_eq!((requests.len(), summary.missed), (4, 0));
    assert_eq!(requests[2].user_agent.as_deref(), Some("two"));
    // A table beyond the bound is given up, and every request from there on counted.
    let huge = [&[0x3f, 0xe1, 0xff, 0x07][..], &get("/x")].concat();
    let client = [request(1, "/a"), frame(HEADERS, END_HEADERS, 3, &huge), request(5, "/b")].concat();
    let (summary, requests) = read(&client);
    assert_eq!((paths(&requests), summary.missed, summary.missed_unknown), (vec!["/a"], 2, false));
}

#[test]
fn a_gap_in_data_costs_nothing() {
    let body = frame(DATA, 0, 1, &[b'x'; 1000]);
    for (lost, at) in [(1, 9), (500, 100), (991, 9), (1000, 9)] {
        let mut http = Http::new();
        http.data(C, &[&begin()[..], &request(1, "/a"), &body[..at]].concat(), 0);
        http.gap(C, lost, Gap::Lost);
        let on = at + usize::try_from(lost).unwrap();
        http.data(C, &[&body[on..], &request(3, "/b")].concat(), 0);
        let (summary, requests) = finish(http);
        assert_eq!(paths(&requests), ["/a", "/b"], "{lost} at {at}");
        assert_eq!((summary.missed, summary.missed_unknown, summary.stopped), (0, false, false));
    }
}

#[test]
fn a_gap_over_a_frames_border_ends_reading_and_one_in_a_block_is_counted() {
    let body = frame(DATA, 0, 1, &[b'x'; 1000]);
    let mut http = Http::new();
    http.data(C, &[&begin()[..], &request(1, "/a"), &body[..500]].concat(), 0);
    http.gap(C, 510, Gap::Lost);
    let progress = http.data(C, &request(5, "/c"), 0);
    assert_eq!(progress, Progress::Decided);
    let (summary, requests) = finish(http);
    assert_eq!((paths(&requests), summary.stopped, summary.missed_unknown), (vec!["/a"], true, true));

    let head = request(3, "/b");
    let mut http = Http::new();
    http.data(C, &[&begin()[..], &request(1, "/a"), &head[..15]].concat(), 0);
    http.gap(C, 4, Gap::Lost);
    http.data(C, &[&head[19..], &request(5, "/c")].concat(), 0);
    let (summary, requests) = finish(http);
    assert_eq!((paths(&requests), summary.missed, summary.missed_unknown), (vec!["/a"], 2, false));
}

#[test]
fn an_answer_in_http_1_is_read() {
    let answer =
        b"HTTP/1.1 400 Bad Request\r\nServer: old/1\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\nno\n";
    for cut in 0..=answer.len() {
        let mut http = Http::new();
        http.data(S, &answer[..cut], 0);
        http.data(C, &[begin(), request(1, "/a")].concat(), 0);
        http.data(S, &answer[cut..], 0);
        http.end(S, End::Fin);
        assert_eq!(http.verdict().security, Security::Plaintext);
        let (summary, requests) = finish(http);
        assert_eq!((summary.protocol, paths(&requests), summary.responses), (Protocol::Http2, vec!["/a"], 1));
        let response = summary.first_response.unwrap();
        assert_eq!(
            (response.status, response.version, response.server.as_deref()),
            (400, "1.1", Some("old/1"))
        );
        assert!(!response.exposed.is_empty() && !summary.missed_unknown);
    }
}

#[test]
fn behind_an_upgrade_everything_goes_into_one_summary() {
    let client = [
        b"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n".to_vec(),
        begin(),
        request(3, "/b"),
        frame(HEADERS, END_HEADERS, 5, &[0xff]),
        frame(DATA, 0, 5, b""),
        b"\0\0\x01\x09\0\0\0\0\x05x".to_vec(),
    ];
    let server =
        [b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n".to_vec(), settings(), response(1), response(3)].concat();
    let mut http = Http::new();
    http.data(C, &client.concat(), 0);
    http.data(S, &server, 0);
    let (summary, requests) = finish(http);
    assert_eq!(paths(&requests), ["/a", "/b"]);
    assert_eq!((summary.protocol, summary.requests, summary.responses), (Protocol::Http, 2, 3));
    assert_eq!((summary.missed, summary.stopped, summary.upgrades), (1, true, 1));
    assert_eq!(summary.request_position, client.concat().len() as u64);
}

#[test]
fn an_upgrade_cannot_be_answered_with_an_older_version() {
    // Else a server could nest upgrade in upgrade without end.
    let client = [b"GET /a HTTP/1.1\r\nUpgrade: h2c\r\n\r\n".to_vec(), begin()].concat();
    let mut http = Http::new();
    http.data(C, &client, 0);
    http.data(S, &b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n".repeat(50_000), 0);
    let (summary, _) = finish(http);
    assert_eq!((summary.responses, summary.upgrades), (1, 1));
}

#[test]
fn a_beginning_that_may_be_missing_does_not_hide_the_preface() {
    let mut http = Http::new();
    http.gap(C, 0, Gap::Unseen);
    http.data(C, &[begin(), request(1, "/a")].concat(), 0);
    let (summary, requests) = finish(http);
    assert_eq!((paths(&requests), summary.missed_unknown), (vec!["/a"], false));
}
