//! One message head of HTTP/1.x (RFC 9112): finding its end while it arrives, and reading it once it is whole.

use std::borrow::Cow;

use memchr::memchr;

use super::body::Body;
use super::detect;
use super::facts;
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

/// How the fields of a head frame its body.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    bad_length: bool,
    transfer_encoding: bool,
    chunked: bool,
    ambiguous: bool,
}

/// A head that says nothing sure about where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramingLost;

/// A request head, read.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) request: Request,
    pub(super) body: Result<Body, FramingLost>,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
}

/// A response head, read.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) response: Response,
    /// The body's framing, were it the answer to a plain request.
    pub(super) body: Result<Body, FramingLost>,
    pub(super) upgrade: Option<String>,
    pub(super) ambiguous: bool,
}

/// Reads a whole request head; `None` if its first line is none.
pub(super) fn request(head: &[u8]) -> Option<RequestHead> {
    if detect::request_line(head) != Detect::Yes {
        return None;
    }
    let (line, fields) = first_line(head);
    let mut words = line.split(|b| *b == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let mut request =
        Request { method: redact::method(method), version: minor(version), ..Request::default() };
    let is_connect = method == b"CONNECT";
    if is_connect {
        request.authority = redact::authority(target, &mut request.exposed);
    } else {
        let target = redact::target(target, &mut request.exposed);
        request.path = target.path;
        request.authority = target.authority;
        request.scheme = target.scheme;
        request.has_query = target.has_query;
    }
    let mut framing = Framing::default();
    each_field(fields, &mut framing, |framing, name, value| {
        framing.field(name, value);
        facts::request_field(&mut request, name, value);
    });
    framing.ambiguous |= framing.transfer_encoding && (framing.length.is_some() || request.version == "1.0");
    request.ambiguous = framing.ambiguous || framing.bad_length;
    let body = if framing.transfer_encoding {
        if framing.chunked { Ok(Body::CHUNKED) } else { Err(FramingLost) }
    } else if framing.bad_length {
        Err(FramingLost)
    } else {
        Ok(Body::Length(framing.length.unwrap_or(0)))
    };
    Some(RequestHead { request, body, is_head: method == b"HEAD", is_connect })
}

/// Reads a whole response head; `None` if its first line is none.
pub(super) fn response(head: &[u8]) -> Option<ResponseHead> {
    if detect::status_line(head) != Detect::Yes {
        return None;
    }
    let (line, fields) = first_line(head);
    let digits = line.get(9..12)?;
    let status = digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    let mut response = Response { status, version: minor(&line[..8]), ..Response::default() };
    let mut framing = Framing::default();
    let mut upgrade = None;
    each_field(fields, &mut framing, |framing, name, value| {
        framing.field(name, value);
        facts::response_field(&mut response, name, value);
        if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = upgrade.take().or_else(|| facts::upgrade(value));
        }
    });
    framing.ambiguous |= framing.transfer_encoding && framing.length.is_some();
    let ambiguous = framing.ambiguous || framing.bad_length;
    let body = if matches!(status, 100..=199 | 204 | 304) {
        Ok(Body::Length(0))
    } else if framing.transfer_encoding {
        Ok(if framing.chunked { Body::CHUNKED } else { Body::UntilClose })
    } else if framing.bad_length {
        Err(FramingLost)
    } else {
        Ok(framing.length.map_or(Body::UntilClose, Body::Length))
    };
    Some(ResponseHead { response, body, upgrade, ambiguous })
}

fn minor(version: &[u8]) -> &'static str {
    if version.ends_with(b".0") { "1.0" } else { "1.1" }
}

/// The first line without its end, and the rest.
fn first_line(head: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr(b'\n', head).unwrap_or(head.len());
    let line = &head[..end];
    (line.strip_suffix(b"\r").unwrap_or(line), head.get(end + 1..).unwrap_or_default())
}

/// Calls `take` for each field with its value unfolded (RFC 9112, sections 5 and 5.2). Lines that servers read
/// differently (no colon, space before it, control bytes) are noted as ambiguous.
fn each_field(mut rest: &[u8], framing: &mut Framing, mut take: impl FnMut(&mut Framing, &[u8], &[u8])) {
    while !rest.is_empty() {
        let (line, mut after) = first_line(rest);
        if line.is_empty() {
            return;
        }
        let mut line = Cow::Borrowed(line);
        while let [b' ' | b'\t', ..] = after {
            let (more, next) = first_line(after);
            let joined = line.to_mut();
            joined.push(b' ');
            joined.extend_from_slice(more.trim_ascii());
            after = next;
        }
        rest = after;
        match memchr(b':', &line) {
            Some(colon) if colon > 0 => {
                let (name, value) = (&line[..colon], &line[colon + 1..]);
                let trimmed = name.trim_ascii();
                framing.ambiguous |=
                    trimmed.len() != name.len() || memchr::memchr2(b'\r', 0, value).is_some();
                take(framing, trimmed, value);
            }
            _ => framing.ambiguous = true,
        }
    }
}

impl Framing {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            // A list of equal values is one value (RFC 9110, section 8.6).
            for (at, one) in value.split(|b| *b == b',').enumerate() {
                let length = number(one.trim_ascii());
                self.ambiguous |= at > 0 || self.length.is_some();
                match (length, self.length) {
                    (None, _) => self.bad_length = true,
                    (Some(new), Some(old)) if new != old => self.bad_length = true,
                    (new, _) => self.length = new,
                }
            }
        } else if name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.ambiguous |= self.transfer_encoding;
            self.transfer_encoding = true;
            let last = value.rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii();
            self.chunked = last.eq_ignore_ascii_case(b"chunked");
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
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
            let head = request(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes()).unwrap();
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
        let head = response(b"HTTP/1.1 204\r\n\r\n").unwrap();
        assert_eq!((head.response.status, head.body), (204, Ok(Body::Length(0))));
        assert_eq!(response(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().body, Ok(Body::UntilClose));
    }
}
