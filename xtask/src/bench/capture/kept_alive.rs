//! Plain HTTP connections that are kept alive for thousands of requests.

use std::fmt::Write as _;

use super::frame::{ACK, FIN, PSH, SYN, Segment};
use super::mix::Script;
use super::scattered;
use super::short_tls::ends;

/// Requests of one connection.
const REQUESTS: u32 = 2000;
/// Microseconds between two packets.
const STEP: u64 = 60;

/// Connections as of an API server that asks a kubelet's read-only port.
pub fn connections() -> impl Fn(u32) -> Conversation {
    |number| {
        let ends = ends(number);
        Conversation { number, seq: ends.shift, place: 0, payload: String::new() }
    }
}

/// One such connection.
pub struct Conversation {
    number: u32,
    /// The next sequence number of the client, and of the server.
    seq: [u32; 2],
    /// Packets so far.
    place: u32,
    payload: String,
}

impl Conversation {
    fn request(&mut self, number: u32) {
        let pod = scattered(self.number, number) % 10_000;
        self.payload.clear();
        let _ = write!(
            self.payload,
            "GET /api/v1/namespaces/shop-{}/pods/cart-{pod:04}/status?timeout=10s&limit=500 HTTP/1.1\r\n\
             Host: 10.1.0.1:10255\r\nUser-Agent: kube-probe/1.31 (linux/amd64) kubernetes/9edcffc\r\n\
             Accept: application/json, */*\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer {:016x}{pod:016x}\r\n\
             X-Request-Id: {number:08x}\r\n\r\n",
            pod % 37,
            scattered(number, self.number),
        );
    }

    fn response(&mut self, number: u32) {
        let length = 200 + scattered(number, self.number ^ 7) % 1000;
        self.payload.clear();
        let _ = write!(
            self.payload,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-cache, private\r\n\
             Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Length: {length}\r\n\r\n"
        );
        for at in 0..length {
            self.payload
                .push(char::from(b"{\"kind\":\"Pod\", }"[usize::try_from(at % 16).unwrap_or_default()]));
        }
    }
}

impl Script for Conversation {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<u64> {
        let place = self.place;
        // Three packets of handshake, then request, response and acknowledgement, then both FINs and the last ACK.
        let last = 3 + 3 * REQUESTS;
        self.payload.clear();
        let (from_client, flags) = match place {
            0 => (true, SYN),
            1 => (false, SYN | ACK),
            2 => (true, ACK),
            _ if place == last => (true, FIN | ACK),
            _ if place == last + 1 => (false, FIN | ACK),
            _ if place == last + 2 => (true, ACK),
            _ if place > last => return None,
            _ => match place % 3 {
                0 => {
                    self.request(place / 3);
                    (true, PSH | ACK)
                }
                1 => {
                    self.response(place / 3);
                    (false, PSH | ACK)
                }
                _ => (true, ACK),
            },
        };
        self.place += 1;
        let ends = ends(self.number);
        let mut ends = [(ends.client, 40_000), (ends.server, 10_255)];
        let [client, server] = self.seq;
        let (seq, ack, own) = if from_client { (client, server, 0) } else { (server, client, 1) };
        if !from_client {
            ends.reverse();
        }
        let ack = if place == 0 { 0 } else { ack };
        Segment { ends, seq, ack, flags, payload: self.payload.as_bytes() }.put(frame);
        let sent =
            u32::try_from(self.payload.len()).unwrap_or_default() + u32::from(flags & (SYN | FIN) != 0);
        self.seq[own] = self.seq[own].wrapping_add(sent);
        Some(u64::from(place) * STEP)
    }
}
