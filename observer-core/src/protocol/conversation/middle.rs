//! Connections whose beginning was not seen: what the first bytes after it really show.
//!
//! | what is seen | verdict |
//! |---|---|
//! | two TLS records in a row, the first of application data, in either direction | TLS, client certificate unknown |
//! | one direction begins with a ClientHello, an HTTP request head or an HTTP/2 preface | as from the handshake; that direction is the client's |
//! | two TLS records in a row of other kinds | TLS, client certificate unknown |
//! | one direction begins with an HTTP response head that announces a body, the other with no request | plaintext HTTP |
//! | anything else, or both directions claim to be the client's | unknown, for the reason that the beginning is missing |
//!
//! A response without a body could be the answer to a CONNECT or to an upgrade, behind which anything follows, TLS too.
//! So could a request whose method is the rest of CONNECT, and one answered with 407 will be made again.
//!
//! All but the first row wait until both directions have spoken or stopped, so that the order of arrival plays no part.

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::conversation::Streams;
use crate::protocol::conversation::detect::{Choice, begins, opened_by_client};
use crate::protocol::http;
use crate::protocol::prefix::http_connect::HttpConnect;
use crate::protocol::{Detect, tls};

/// The longest response head that is looked at.
const HEAD: usize = 16 * 1024;

/// What one direction begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Open,
    Request,
    Response,
    Records,
    Nothing,
}

/// What the middle of a connection shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Middle {
    Wait,
    Tls,
    /// An exchange begins here, and this direction is the client's.
    Begins(Direction),
    /// HTTP/1, and this direction is the client's.
    Http(Direction),
    Nothing,
}

pub(crate) fn judge(streams: &Streams) -> Middle {
    for direction in [ToServer, ToClient] {
        let bytes = streams.of(direction).bytes();
        if bytes.first() == Some(&23) && tls::detect_records(bytes) == Detect::Yes {
            return Middle::Tls;
        }
    }
    let shapes = [shape(streams, ToServer), shape(streams, ToClient)];
    match shapes {
        [Shape::Open, _] | [_, Shape::Open] => Middle::Wait,
        [Shape::Request, Shape::Request] | [Shape::Response, Shape::Response] => Middle::Nothing,
        [Shape::Request, _] => Middle::Begins(ToServer),
        [_, Shape::Request] => Middle::Begins(ToClient),
        [Shape::Records, Shape::Response] | [Shape::Response, Shape::Records] => Middle::Nothing,
        [Shape::Records, _] | [_, Shape::Records] => Middle::Tls,
        [_, Shape::Response] => Middle::Http(ToServer),
        [Shape::Response, _] => Middle::Http(ToClient),
        _ => Middle::Nothing,
    }
}

fn shape(streams: &Streams, direction: Direction) -> Shape {
    let stream = streams.of(direction);
    let bytes = stream.bytes();
    let records = tls::detect_records(bytes);
    let response = response(bytes);
    let request = match opened_by_client(bytes) {
        _ if bytes.is_empty() => Detect::NeedMore,
        // Either end may send an alert.
        _ if bytes.first() == Some(&21) => Detect::No,
        _ if rest_of_connect(bytes) => Detect::No,
        Ok(Choice::Tls | Choice::Http) => Detect::Yes,
        // What it leads to is what counts.
        Ok(_) if HttpConnect::detect(bytes) == Detect::Yes => Detect::Yes,
        // The beginnings of the other protocols are too short to stand out of the middle of a stream.
        Ok(_) => Detect::No,
        Err(true) => Detect::NeedMore,
        Err(false) => Detect::No,
    };
    if request == Detect::Yes {
        Shape::Request
    } else if response == Detect::Yes {
        Shape::Response
    } else if records == Detect::Yes {
        Shape::Records
    } else if stream.stop().is_none() && [request, response, records].contains(&Detect::NeedMore) {
        Shape::Open
    } else {
        Shape::Nothing
    }
}

/// Whether a stream may go on in the middle of a CONNECT, or of a request with a CONNECT behind it: of such a pair, the
/// answer that is seen first may belong to either.
fn rest_of_connect(bytes: &[u8]) -> bool {
    const METHOD: &[u8] = b"CONNECT ";
    let text = bytes.trim_ascii_start();
    (0..METHOD.len())
        .filter(|from| *from > 0 || text.len() < bytes.len())
        .any(|from| METHOD.get(from..).is_some_and(|rest| text.starts_with(rest)))
}

/// A whole response head of HTTP/1 (RFC 9112, section 4) that announces a body.
fn response(bytes: &[u8]) -> Detect {
    match http::detect(ToClient, bytes) {
        Detect::Yes if bytes.starts_with(b"HTTP/1.") => {}
        // A response of which too little is there to say more.
        Detect::NeedMore if begins(bytes, b"HTTP/1.") != Detect::No => return Detect::NeedMore,
        _ => return Detect::No,
    }
    if bytes.get(8..12) == Some(b" 407") {
        return Detect::No;
    }
    let head = bytes.get(..HEAD.min(bytes.len())).unwrap_or_default();
    let Some(end) = memchr::memmem::find(head, b"\r\n\r\n") else {
        return if bytes.len() < HEAD { Detect::NeedMore } else { Detect::No };
    };
    let announces = |line: &[u8]| {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let length = value.iter().any(|byte| matches!(byte, b'1'..=b'9'));
        name.eq_ignore_ascii_case(b"content-length") && length
            || name.eq_ignore_ascii_case(b"transfer-encoding")
    };
    let head = head.get(..end).unwrap_or_default();
    if head.split(|byte| *byte == b'\n').skip(1).any(announces) { Detect::Yes } else { Detect::No }
}
