//! HTTP/2 behind its preface: frames and HPACK.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::flow::Direction::{ToClient, ToServer};
use observer_core::protocol::http::Http;
use observer_core_fuzz::same_verdict_behind;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// An upgrade of HTTP/1 to h2c.
const UPGRADE: &[u8] =
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
    HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

fuzz_target!(|input: &[u8]| {
    let Some((first, script)) = input.split_first() else { return };
    match first & 3 {
        0 => same_verdict_behind(&[(ToServer, PREFACE)], script, Http::new),
        1 => same_verdict_behind(
            &[(ToServer, UPGRADE), (ToClient, SWITCHED), (ToServer, PREFACE)],
            script,
            Http::new,
        ),
        _ => same_verdict_behind(
            &[(ToServer, PREFACE), (ToServer, SETTINGS), (ToClient, SETTINGS)],
            script,
            Http::new,
        ),
    }
});
