//! Whatever the order in which the two directions are fed, what is told of them is the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use observer_core::flow::{Direction, End, Gap};
use observer_core::protocol::http::{Http, Items, Request, Summary};
use observer_core::protocol::{Dissector, Progress, Verdict};
use observer_core::security::Reason;
use proptest::prelude::*;
use support::h2;

/// What a stream holds at one place.
#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Gap(u64),
    End(End),
}

impl core::fmt::Debug for Piece {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Self::Gap(length) => write!(f, "gap {length}"),
            Self::End(end) => write!(f, "{end:?}"),
        }
    }
}

/// Keeps what it is fed.
#[derive(Default, Debug, PartialEq)]
struct Recorder([Vec<Result<u8, Option<u64>>>; 2]);

impl Dissector for Recorder {
    fn data(&mut self, direction: Direction, bytes: &[u8], _: u64) -> Progress {
        self.0[direction.index()].extend(bytes.iter().map(|b| Ok(*b)));
        Progress::Undecided
    }
    fn gap(&mut self, direction: Direction, length: u64, _: Gap) -> Progress {
        self.0[direction.index()].push(Err(Some(length)));
        Progress::Undecided
    }
    fn end(&mut self, direction: Direction, _: End) -> Progress {
        self.0[direction.index()].push(Err(None));
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

#[derive(Debug, PartialEq)]
struct Told {
    summary: Summary,
    requests: Vec<Request>,
    verdict: Verdict,
    tunnel: Option<([u64; 2], Recorder)>,
}

fn one(into: &mut dyn Dissector, direction: Direction, piece: &Piece) {
    match piece {
        Piece::Bytes(bytes) => _ = into.data(direction, bytes, u64::MAX),
        Piece::Gap(length) => _ = into.gap(direction, *length, Gap::Unseen),
        Piece::End(end) => _ = into.end(direction, *end),
    }
}

fn read<'a>(pieces: impl IntoIterator<Item = (Direction, &'a Piece)>, items: Items) -> Told {
    let mut http = Http::with_items(items);
    let mut tunnel: Option<([u64; 2], Recorder)> = None;
    for (direction, piece) in pieces {
        if let Some((_, inner)) = &mut tunnel {
            one(inner, direction, piece);
            continue;
        }
        one(&mut http, direction, piece);
        if let Some(handover) = http.handover() {
            let mut inner = Recorder::default();
            handover.feed(&mut inner);
            tunnel =
                Some(([handover.start(Direction::ToServer), handover.start(Direction::ToClient)], inner));
        }
    }
    http.conclude(Reason::StillOpen);
    let requests = http.take_requests();
    Told { summary: http.summary().clone(), requests, verdict: http.verdict(), tunnel }
}

const REQUESTS: &[&str] = &[
    "GET /a?token=x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /b HTTP/1.1\r\nUser-Agent: curl/8\r\nCookie: a=b\r\n\r\n",
    "\r\nHEAD /h HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p HTTP/1.1\r\nContent-Length: 21\r\n\r\nGET /no HTTP/1.1\r\n\r\n..",
    "PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n",
    "PUT /broken HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
    "POST /lost HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\nhello",
    "GET /w HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "POST /s HTTP/1.1\r\nUpgrade: SPDY/3.1\r\nContent-Length: 3\r\n\r\nabc",
    "GET /u HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n",
    "CONNECT web:443 HTTP/1.1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x03\x02\x06\x04",
    "\x01\u{2}garbage\r\n\r\n",
    "opaque",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 204 No\r\nServer: a\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n",
    "HTTP/1.1 101 Switching\r\n\r\n",
    "HTTP/1.0 404 Not\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x03\u{8}",
    "junk\r\n\r\n",
    "opaque",
];

fn stream(of: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let message = (0..of.len() * 2).prop_map(move |n| of[if n < of.len() { n } else { n % 4 }].as_bytes());
    prop::collection::vec(message, 0..7).prop_map(|messages| messages.concat())
}

fn h2_client() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..6, 0..6).prop_map(|kinds| {
        let mut out = [h2::PREFACE, &h2::settings()].concat();
        for (n, kind) in kinds.into_iter().enumerate() {
            let stream = u32::try_from(n * 2 + 1).unwrap();
            out.extend(match kind {
                0 => h2::frame(h2::DATA, 0, stream, &[b'x'; 40]),
                1 => h2::frame(h2::HEADERS, 0, stream, &h2::get("/cut")),
                2 => h2::frame(h2::CONTINUATION, h2::END_HEADERS, stream, &[]),
                _ => h2::request(stream, "/two"),
            });
        }
        out
    })
}

fn h2_server() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just([h2::settings(), h2::response(1), h2::response(3)].concat()),
        Just(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n".to_vec()),
        stream(RESPONSES),
    ]
}

/// A stream cut into pieces, with a gap instead of some bytes, and its end.
fn pieces(bytes: &[u8], cuts: &[usize], gap: Option<(usize, usize)>, end: Option<End>) -> Vec<Piece> {
    let gap = gap.filter(|_| !bytes.is_empty()).map(|(at, length)| {
        let at = at % bytes.len();
        at..(at + 1 + length).min(bytes.len())
    });
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.extend(gap.iter().flat_map(|gap| [gap.start, gap.end]));
    places.retain(|at| gap.as_ref().is_none_or(|gap| *at <= gap.start || *at >= gap.end));
    places.sort_unstable();
    places.dedup();
    let mut out = Vec::new();
    for pair in places.windows(2) {
        if gap.as_ref().is_some_and(|gap| gap.start == pair[0]) {
            out.push(Piece::Gap((pair[1] - pair[0]) as u64));
        } else {
            out.push(Piece::Bytes(bytes[pair[0]..pair[1]].to_vec()));
        }
    }
    out.extend(end.map(Piece::End));
    out
}

fn side(bytes: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = (Vec<Piece>, Vec<Piece>)> {
    let cuts = || prop::collection::vec(any::<usize>(), 0..12);
    let gap = prop::option::weighted(0.4, (any::<usize>(), 0usize..60));
    let end = prop::option::of(prop_oneof![Just(End::Fin), Just(End::Reset)]);
    (bytes, cuts(), cuts(), gap, end).prop_map(|(bytes, one, two, gap, end)| {
        (pieces(&bytes, &one, gap, end), pieces(&bytes, &two, gap, end))
    })
}

fn any_case() -> impl Strategy<Value = [(Vec<Piece>, Vec<Piece>); 2]> {
    prop_oneof![
        3 => (side(stream(REQUESTS).boxed()), side(stream(RESPONSES).boxed())).prop_map(<[_; 2]>::from),
        1 => (side(h2_client().boxed()), side(h2_server().boxed())).prop_map(<[_; 2]>::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn every_interleaving_tells_the_same([client, server] in any_case(), mut order in any::<u128>()) {
        let whole = client.0.iter().map(|piece| (Direction::ToServer, piece));
        let first = read(whole.chain(server.0.iter().map(|piece| (Direction::ToClient, piece))), Items::Kept);

        let mut mixed = Vec::new();
        let (mut c, mut s) = (client.1.iter().peekable(), server.1.iter().peekable());
        while c.peek().is_some() || s.peek().is_some() {
            let take_client = s.peek().is_none() || c.peek().is_some() && order & 1 == 1;
            order = order.rotate_right(1);
            mixed.extend(if take_client {
                c.next().map(|piece| (Direction::ToServer, piece))
            } else {
                s.next().map(|piece| (Direction::ToClient, piece))
            });
        }
        prop_assert_eq!(&read(mixed.iter().copied(), Items::Kept), &first);

        let counted = read(mixed, Items::Counted);
        prop_assert_eq!(counted.summary, first.summary);
        prop_assert_eq!((counted.verdict, counted.requests.len()), (first.verdict, 0));
    }
}
