//! Whether the first bytes of a stream are HTTP.

use core::ops::Range;

use super::MAX_HEAD;
use super::redact;
use crate::flow::Direction;
use crate::protocol::Detect;

/// The client connection preface (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest method taken for one (RFC 9110 sets no limit; registered ones have at most 17 bytes).
const MAX_METHOD: usize = 32;

/// What HTTP it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1.x: a request line or a status line.
    Http1,
    /// HTTP/2: the client's preface or the server's first SETTINGS frame.
    Http2,
}

/// Whether `bytes`, the beginning of the stream in `direction`, are HTTP of either major version.
///
/// Strict on purpose (one space, a version, a line end): `GET key` of another text protocol is not HTTP.
#[must_use]
pub fn detect(direction: Direction, bytes: &[u8]) -> Detect {
    let (one, two) = both(direction, bytes);
    match (one, two) {
        (Detect::Yes, _) | (_, Detect::Yes) => Detect::Yes,
        (Detect::No, Detect::No) => Detect::No,
        _ => Detect::NeedMore,
    }
}

/// Which HTTP it is, once [`detect`] says yes.
#[must_use]
pub fn kind(direction: Direction, bytes: &[u8]) -> Option<Kind> {
    match both(direction, bytes) {
        (Detect::Yes, _) => Some(Kind::Http1),
        (_, Detect::Yes) => Some(Kind::Http2),
        _ => None,
    }
}

fn both(direction: Direction, bytes: &[u8]) -> (Detect, Detect) {
    match direction {
        Direction::ToServer => (request_line(bytes), preface(bytes)),
        Direction::ToClient => (status_line(bytes), first_settings(bytes)),
    }
}

/// The client preface of HTTP/2.
pub(super) fn preface(bytes: &[u8]) -> Detect {
    let n = bytes.len().min(PREFACE.len());
    match bytes[..n] == PREFACE[..n] {
        false => Detect::No,
        true if n == PREFACE.len() => Detect::Yes,
        true => Detect::NeedMore,
    }
}

/// A request line of HTTP/1.x (RFC 9112, section 3), whole.
#[derive(Debug)]
pub(super) struct RequestLine {
    /// Bytes of the method.
    pub(super) method: usize,
    /// Where the target is.
    pub(super) target: Range<usize>,
    /// The digit after `HTTP/1.`.
    pub(super) minor: u8,
    /// Bytes of the line with its end.
    pub(super) end: usize,
}

impl RequestLine {
    /// The line that `bytes` begin with, if it is one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Self::scan(bytes).ok()
    }

    fn scan(bytes: &[u8]) -> Result<Self, Detect> {
        let method = bytes.iter().take(MAX_METHOD + 1).take_while(|b| redact::is(**b, redact::TOKEN)).count();
        if method == 0 && !bytes.is_empty() || method > MAX_METHOD {
            return Err(Detect::No);
        }
        match bytes.get(method) {
            None => return Err(Detect::NeedMore),
            Some(b' ') => {}
            Some(_) => return Err(Detect::No),
        }
        let start = method + 1;
        let target = target_length(&bytes[start..]);
        match bytes.get(start + target) {
            None if target < MAX_HEAD => return Err(Detect::NeedMore),
            Some(b' ') if target > 0 && target < MAX_HEAD => {}
            _ => return Err(Detect::No),
        }
        let version = start + target + 1;
        let tail = version_tail(&bytes[version..])?;
        let end = match tail {
            [] | [b'\r'] => return Err(Detect::NeedMore),
            [b'\n', ..] => bytes.len() - tail.len() + 1,
            [b'\r', b'\n', ..] => bytes.len() - tail.len() + 2,
            _ => return Err(Detect::No),
        };
        Ok(Self { method, target: start..start + target, minor: bytes[version + NAME.len()], end })
    }
}

/// Bytes up to the first that no target holds, at most [`MAX_HEAD`].
fn target_length(bytes: &[u8]) -> usize {
    bytes.iter().take(MAX_HEAD).take_while(|b| redact::is(**b, redact::TARGET)).count()
}

/// Whether `bytes` begin with a request line.
pub(super) fn request_line(bytes: &[u8]) -> Detect {
    RequestLine::scan(bytes).map_or_else(|open| open, |_| Detect::Yes)
}

/// Asks [`request_line`] of a beginning that grows, without reading a long target again for each byte that comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Glance {
    /// So many bytes hold the method, the space and a part of the target.
    seen: usize,
}

impl Glance {
    /// What [`request_line`] says of `bytes`, which begin with those given before.
    pub(super) fn request_line(&mut self, bytes: &[u8]) -> Detect {
        if self.seen > 0 && bytes.len() < MAX_HEAD {
            let more = bytes.get(self.seen..).unwrap_or_default();
            if target_length(more) == more.len() {
                self.seen = bytes.len();
                return Detect::NeedMore;
            }
        }
        let found = request_line(bytes);
        if found == Detect::NeedMore && bytes.iter().filter(|b| **b == b' ').count() == 1 {
            self.seen = bytes.len();
        }
        found
    }
}

/// A status line of HTTP/1.x up to what follows the code (RFC 9112, section 4).
pub(super) fn status_line(bytes: &[u8]) -> Detect {
    let tail = match version_tail(bytes) {
        Ok(tail) => tail,
        Err(open) => return open,
    };
    for (at, byte) in tail.iter().take(5).enumerate() {
        let fits = match at {
            0 => *byte == b' ',
            1 => (b'1'..=b'9').contains(byte),
            2 | 3 => byte.is_ascii_digit(),
            _ => matches!(byte, b' ' | b'\r' | b'\n'),
        };
        if !fits {
            return Detect::No;
        }
    }
    if tail.len() < 5 { Detect::NeedMore } else { Detect::Yes }
}

const NAME: &[u8] = b"HTTP/1.";

/// What follows the version that `bytes` begin with.
fn version_tail(bytes: &[u8]) -> Result<&[u8], Detect> {
    let n = bytes.len().min(NAME.len());
    if bytes[..n] != NAME[..n] {
        return Err(Detect::No);
    }
    match bytes.get(NAME.len()) {
        None => Err(Detect::NeedMore),
        Some(digit) if digit.is_ascii_digit() => Ok(&bytes[NAME.len() + 1..]),
        Some(_) => Err(Detect::No),
    }
}

/// The server's first frame of HTTP/2: SETTINGS, no ACK, stream 0 (RFC 9113, sections 3.4 and 6.5), with a length
/// that a real server would send.
pub(super) fn first_settings(bytes: &[u8]) -> Detect {
    for (at, byte) in bytes.iter().take(9).enumerate() {
        let fits = match at {
            2 => *byte % 6 == 0,
            3 => *byte == 4,
            _ => *byte == 0,
        };
        if !fits {
            return Detect::No;
        }
    }
    if bytes.len() < 9 { Detect::NeedMore } else { Detect::Yes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds every prefix; the answer may change once, from `NeedMore`.
    fn settled(direction: Direction, bytes: &[u8]) -> Detect {
        let mut last = Detect::NeedMore;
        for cut in 0..=bytes.len() {
            let now = detect(direction, &bytes[..cut]);
            assert!(last == Detect::NeedMore || now == last, "changed its mind at {cut}");
            last = now;
        }
        last
    }

    #[test]
    fn accepts_requests_of_any_method() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "M-SEARCH * HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "get /a HTTP/1.0\n",
            "CONNECT a:1 HTTP/1.1\r\nHost",
        ] {
            assert_eq!(settled(Direction::ToServer, line.as_bytes()), Detect::Yes, "{line}");
        }
    }

    #[test]
    fn a_glance_at_a_growing_line_says_what_a_look_says() {
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(300));
        let spaced = format!("GET /{} /x HTTP/1.1\r\n", "x".repeat(300));
        let endless = format!("GET /{}", "x".repeat(MAX_HEAD + 10));
        for line in [&long, &spaced, "\x16\x03", "GET", &endless] {
            let mut glance = Glance::default();
            let step = if line.len() > 1000 { 997 } else { 1 };
            for cut in (0..=line.len()).step_by(step) {
                let bytes = &line.as_bytes()[..cut];
                assert_eq!(
                    glance.request_line(bytes),
                    request_line(bytes),
                    "{cut} of {}",
                    &line[..3.min(line.len())]
                );
            }
        }
    }

    #[test]
    fn refuses_other_text_protocols() {
        for line in [
            "EHLO example.org\r\n",
            "GET key\r\n",
            "get key another\r\n",
            "*1\r\n$4\r\nPING\r\n",
            "USER ftp\r\n",
            "OPTIONS rtsp://a/b RTSP/1.0\r\n",
            "INVITE sip:a@b SIP/2.0\r\n",
            "a1 LOGIN u p\r\n",
            "SSH-2.0-x\r\n",
            "GET / HTTP/2.0\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            "PRI * HTTP/2.0\r\n\r\nSX",
            "\x16\x03\x01",
        ] {
            assert_eq!(settled(Direction::ToServer, line.as_bytes()), Detect::No, "{line}");
        }
    }

    #[test]
    fn tells_answers_by_status_line_or_settings() {
        assert_eq!(settled(Direction::ToClient, b"HTTP/1.0 400 Bad Request\r\n"), Detect::Yes);
        assert_eq!(settled(Direction::ToClient, b"HTTP/1.1 200\r\n"), Detect::Yes);
        assert_eq!(settled(Direction::ToClient, &[0, 0, 18, 4, 0, 0, 0, 0, 0]), Detect::Yes);
        assert_eq!(settled(Direction::ToClient, &[0, 0, 17, 4, 0, 0, 0, 0, 0]), Detect::No);
        assert_eq!(settled(Direction::ToClient, b"220 mail ESMTP\r\n"), Detect::No);
        assert_eq!(settled(Direction::ToClient, b"HTTP/1.1 20x OK\r\n"), Detect::No);
    }
}
