//! One message head of HTTP/1.x (RFC 9112): finding its end while it arrives, and reading it.

use std::borrow::Cow;

use memchr::memchr;

use super::body::Body;
use super::detect;
use super::facts;
use super::field::Field;
use super::framing::{Framing, FramingLost};
use super::redact;
use super::request::Request;
use super::response::Response;
use crate::protocol::Detect;

/// Finds the empty line that ends a head, in bytes that arrive in any pieces; bare LF counts as a line end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scan {
    /// Within a line.
    #[default]
    Text,
    /// Behind LF.
    Line,
    /// Behind LF CR.
    Return,
}

impl Scan {
    /// The number of `bytes` up to and including the end of the head; `None` if it is not among them.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            *self = match (*self, bytes[at]) {
                (Self::Line | Self::Return, b'\n') => {
                    *self = Self::Text;
                    return Some(at + 1);
                }
                (Self::Line, b'\r') => Self::Return,
                _ => match memchr(b'\n', &bytes[at..]) {
                    Some(n) => {
                        at += n;
                        Self::Line
                    }
                    None => {
                        *self = Self::Text;
                        return None;
                    }
                },
            };
            at += 1;
        }
        None
    }
}

/// A request head, read.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) request: Request,
    pub(super) body: Result<Body, FramingLost>,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// Its bytes, with the empty line.
    pub(super) length: usize,
}

/// A response head, read.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) response: Response,
    /// The body's framing, were it the answer to a plain request.
    pub(super) body: Result<Body, FramingLost>,
    pub(super) upgrade: Option<String>,
    pub(super) ambiguous: bool,
    /// Its bytes, with the empty line.
    pub(super) length: usize,
}

/// Reads the request head that `bytes` begin with; `None` if its first line is none, or its end is not there. With
/// `keep`, its strings are kept.
pub(super) fn request(bytes: &[u8], keep: bool) -> Option<RequestHead> {
    let line = detect::RequestLine::read(bytes)?;
    let (method, target) = (&bytes[..line.method], &bytes[line.target.clone()]);
    let version = if line.minor == b'0' { "1.0" } else { "1.1" };
    let mut request = Request { method: redact::method(method, keep), version, ..Request::default() };
    let is_connect = method == b"CONNECT";
    if is_connect {
        request.authority = redact::authority(target, &mut request.exposed, keep);
    } else {
        let target = redact::target(target, &mut request.exposed, keep);
        request.path = target.path;
        request.authority = target.authority;
        request.scheme = target.scheme;
        request.has_query = target.has_query;
    }
    let mut framing = Framing::default();
    let rest = each_field(&bytes[line.end..], &mut framing, |field, value| {
        facts::request_field(&mut request, field, value, keep);
    })?;
    // gRPC is HTTP/2.
    request.grpc = false;
    let (body, ambiguous) = framing.request(line.minor == b'0');
    request.ambiguous = ambiguous;
    let length = bytes.len() - rest.len();
    Some(RequestHead { request, body, is_head: method == b"HEAD", is_connect, length })
}

/// Reads the response head that `bytes` begin with, as [`request`].
pub(super) fn response(bytes: &[u8], keep: bool) -> Option<ResponseHead> {
    if detect::status_line(bytes) != Detect::Yes {
        return None;
    }
    let end = memchr(b'\n', bytes)?;
    let status = bytes.get(9..12)?.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    let version = if bytes[7] == b'0' { "1.0" } else { "1.1" };
    let mut response = Response { status, version, ..Response::default() };
    let mut framing = Framing::default();
    let mut upgrade = None;
    let rest = each_field(&bytes[end + 1..], &mut framing, |field, value| {
        facts::response_field(&mut response, field, value, keep);
        if field == Field::Upgrade && upgrade.is_none() {
            upgrade = facts::upgrade(value);
        }
    })?;
    let (body, ambiguous) = framing.response(status);
    Some(ResponseHead { response, body, upgrade, ambiguous, length: bytes.len() - rest.len() })
}

/// Calls `take` for each field that matters with its value unfolded (RFC 9112, sections 5 and 5.2), and gives what
/// follows the empty line; `None` if there is none. Lines that servers read differently (no colon, space before it,
/// bare CR, NUL) are noted as ambiguous.
fn each_field<'a>(
    all: &'a [u8],
    framing: &mut Framing,
    mut take: impl FnMut(Field, &[u8]),
) -> Option<&'a [u8]> {
    let mut rest = all;
    let mut returns = 0;
    loop {
        let (line, mut after) = next_line(rest, &mut returns)?;
        if line.is_empty() {
            let fields = &all[..all.len() - after.len()];
            let bare = memchr::memchr_iter(b'\r', fields).count() != returns;
            framing.ambiguous |= bare || memchr(0, fields).is_some();
            return Some(after);
        }
        let mut line = Cow::Borrowed(line);
        while let [b' ' | b'\t', ..] = after {
            let (more, next) = next_line(after, &mut returns)?;
            let joined = line.to_mut();
            joined.push(b' ');
            joined.extend_from_slice(more.trim_ascii());
            after = next;
        }
        rest = after;
        match line.iter().position(|b| *b == b':') {
            Some(colon) if colon > 0 => {
                let (name, value) = (&line[..colon], &line[colon + 1..]);
                let trimmed = name.trim_ascii();
                framing.ambiguous |= trimmed.len() != name.len();
                if let Some(field) = Field::named(trimmed) {
                    framing.field(field, value);
                    take(field, value);
                }
            }
            _ => framing.ambiguous = true,
        }
    }
}

/// The first line without its end, and the rest; counts the CRs of line ends.
fn next_line<'a>(bytes: &'a [u8], returns: &mut usize) -> Option<(&'a [u8], &'a [u8])> {
    let end = memchr(b'\n', bytes)?;
    let line = &bytes[..end];
    let stripped = line.strip_suffix(b"\r");
    *returns += usize::from(stripped.is_some());
    Some((stripped.unwrap_or(line), &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_head_in_any_pieces() {
        for (head, end) in [
            ("GET / HTTP/1.1\r\na: b\r\n\r\nx", Some(24)),
            ("GET / HTTP/1.1\na: b\n\nx", Some(21)),
            ("a\r\r\n\r\r\n\n", Some(8)),
            ("a\r\n", None),
        ] {
            assert_eq!(Scan::default().end(head.as_bytes()), end, "{head:?}");
            let mut scan = Scan::default();
            let bytewise = head.bytes().position(|b| scan.end(&[b]).is_some()).map(|at| at + 1);
            assert_eq!(bytewise, end, "{head:?}");
        }
    }

    #[test]
    fn frames_bodies_as_the_standard_says() {
        let body = |fields: &str| {
            let head = request(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes(), true).unwrap();
            (head.body, head.request.ambiguous)
        };
        assert_eq!(body("Content-Length: 5"), (Ok(Body::Length(5)), false));
        assert_eq!(body("content-length: 5, 5"), (Ok(Body::Length(5)), true));
        assert_eq!(body("Content-Length: 5\r\nContent-Length: 6"), (Err(FramingLost), true));
        assert_eq!(body("Content-Length: +5"), (Err(FramingLost), true));
        assert_eq!(body("Transfer-Encoding: gzip, chunked"), (Ok(Body::CHUNKED), false));
        assert_eq!(body("Transfer-Encoding: chunked\r\nContent-Length: 5"), (Ok(Body::CHUNKED), true));
        assert_eq!(body("Transfer-Encoding:\r\n chunked"), (Ok(Body::CHUNKED), false));
        assert_eq!(body("Transfer-Encoding: gzip"), (Err(FramingLost), false));
        assert_eq!(body("Content-Length : 5"), (Ok(Body::Length(5)), true));
    }

    #[test]
    fn reads_a_response_without_a_reason() {
        let head = response(b"HTTP/1.1 204\r\n\r\n", true).unwrap();
        assert_eq!((head.response.status, head.body), (204, Ok(Body::Length(0))));
        assert_eq!(response(b"HTTP/1.0 200 OK\r\n\r\n", true).unwrap().body, Ok(Body::UntilClose));
    }
}
