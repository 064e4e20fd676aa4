//! A secret, planted in every place where secrets travel over plain HTTP, never comes out in an event, whatever stands
//! around it, however it is cut and whatever is missing.
#![no_main]

use core::time::Duration;

use libfuzzer_sys::fuzz_target;
use observer_core::connection::{Context, Joiner, JoinerLimits, Seed};
use observer_core::engine::{Copied, Engine, FaceKey, Input, Limits, Opened, Origin, Role, Tuple};
use observer_core::flow::{Direction, Flags, Segment};
use observer_core::time::Timestamp;

const SECRET: &str = "Zq7vX2mP9tKc4RbW8sLd3NfH";

/// What fills the places that are not hostile: nothing in it ends a line, a target or a value.
const TAME: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-_/.%:;,=&+~()AZ ";

/// Text of those characters alone.
fn tame(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(TAME[usize::from(*byte) % TAME.len()])).collect()
}

fn word(bytes: &[u8]) -> String {
    tame(bytes).replace([' ', ':', '/'], "-")
}

/// One request with the secret in the place that `kind` names.
fn request(kind: u8, filler: &[u8]) -> String {
    let (left, right) = filler.split_at(filler.len() / 2);
    let (text, more) = (tame(left), tame(right));
    let target = format!("/{}", word(left));
    let field = |name: &str, value: String| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nX-{}: {text}\r\n{name}: {value}\r\nAccept: {more}\r\n\r\n",
            word(right)
        )
    };
    match kind % 16 {
        0 => format!("GET {target}?{}={SECRET} HTTP/1.1\r\nHost: a\r\n\r\n", word(right)),
        1 => field("Authorization", format!("Bearer {SECRET}")),
        2 => field("authorization", format!("{} {SECRET}", word(right))),
        3 => field("Cookie", format!("{}={SECRET}; {more}", word(left))),
        4 => field("Proxy-Authorization", format!("Basic {SECRET}")),
        5 => field("X-Api-Key", SECRET.into()),
        6 => field("X-Remote-User", SECRET.into()),
        7 => format!("GET http://user:{SECRET}@a.test{target} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        8 => format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\n{SECRET}"),
        9 => format!("GET /x/{SECRET}/{} HTTP/1.1\r\nHost: a\r\n\r\n", word(right)),
        10 => format!("GET /{}/{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n", word(left)),
        11 => field(
            "Sec-WebSocket-Protocol",
            format!("base64url.bearer.authorization.k8s.io.{SECRET}, {}", word(left)),
        ),
        12 => field("User-Agent", format!("x Bearer {SECRET}")),
        13 => field("Referer", format!("http://a/{target}?t={SECRET}")),
        14 => field("X-Forwarded-Uri", format!("/a?token={SECRET}")),
        _ => format!("CONNECT user:{SECRET}@a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    }
}

fn response(kind: u8, filler: &[u8]) -> String {
    let text = tame(filler);
    match kind >> 4 & 3 {
        0 => format!("HTTP/1.1 200 OK\r\nX: {text}\r\nSet-Cookie: a={SECRET}\r\nContent-Length: 0\r\n\r\n"),
        1 => format!("HTTP/1.1 302 Found\r\nLocation: /cb?code={SECRET}\r\nContent-Length: 0\r\n\r\n"),
        2 => format!("HTTP/1.1 200 OK\r\nContent-Length: 24\r\nServer: x\r\n\r\n{SECRET}"),
        _ => format!("HTTP/1.1 401 No\r\nWWW-Authenticate: {SECRET}\r\nContent-Length: 0\r\n\r\n"),
    }
}

fuzz_target!(|input: &[u8]| {
    let mut streams = [String::new(), String::new()];
    let mut rest = input;
    let Some((&[cut, drop], tail)) = rest.split_first_chunk::<2>() else { return };
    rest = tail;
    while let Some((&[kind, length], tail)) = rest.split_first_chunk::<2>() {
        let (filler, tail) = tail.split_at(usize::from(length % 48).min(tail.len()));
        streams[0].push_str(&request(kind, filler));
        streams[1].push_str(&response(kind, filler));
        rest = tail;
    }
    let context = Context {
        seed: Seed(Box::default()),
        hostname: None,
        log: None,
        since: Timestamp::default(),
        cluster: None,
    };
    let limits = JoinerLimits { hold: Duration::ZERO, close: Duration::from_secs(1), connections: 8 };
    let (mut joiner, mut engine) = (Joiner::new(context, limits), Engine::new(Limits::default()));
    let (key, time) = (FaceKey(1), Timestamp(1));
    let mut reports = Vec::new();
    let end = |last: u8, port: u16| ([10, 0, 0, last], port).into();
    let opened = Opened {
        key,
        time,
        tuple: Tuple { client: end(1, 40_000), server: end(2, 8080) },
        dialled: None,
        role: Role::Wire,
        origin: Origin::Handshake,
        subflow: false,
        paired: false,
        client_isn: Some(0),
        server_isn: Some(0),
        party: None,
    };
    engine.feed(Input::Opened(opened), &mut |report| reports.push(report));
    let mut number = 0_usize;
    let mut at = [0_usize; 2];
    while at[0] < streams[0].len() || at[1] < streams[1].len() {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let index = direction.index();
            let stream = streams[index].as_bytes();
            let size = usize::from(cut).max(1) * (1 + index);
            let payload = &stream[at[index].min(stream.len())..(at[index] + size).min(stream.len())];
            number += 1;
            let lost = drop > 1 && number.is_multiple_of(usize::from(drop));
            if !payload.is_empty() && !lost {
                let segment = Segment {
                    time,
                    seq: u32::try_from(at[index] + 1).unwrap_or(0),
                    ack: u32::try_from(at[1 - index] + 1).unwrap_or(0),
                    flags: Flags::ACK,
                    len: u32::try_from(payload.len()).unwrap_or(0),
                    payload,
                };
                let input = Input::Segment { key, direction, segment, copied: Copied::All };
                engine.feed(input, &mut |report| reports.push(report));
            }
            at[index] += size;
        }
    }
    engine.finish(time, &mut |report| reports.push(report));
    let mut check = |event| {
        let text = serde_json::to_string(&event).unwrap_or_default();
        for part in [SECRET, &SECRET[..10], &SECRET[SECRET.len() - 10..]] {
            assert!(!text.contains(part), "{part} came out: {text}");
        }
    };
    for report in reports {
        joiner.report(report, &mut check);
    }
    joiner.finish(&mut check);
});
