//! Connections whose beginning was not seen: what the first bytes after it really show.
//!
//! | what is seen | verdict |
//! |---|---|
//! | two TLS records in a row, the first of application data, in either direction | TLS, client certificate unknown |
//! | one direction begins with a ClientHello, an HTTP request head or an HTTP/2 preface | as from the handshake; that direction is the client's |
//! | one direction begins with an HTTP response head, the other with no request | plaintext HTTP |
//! | two TLS records in a row of other kinds | TLS, client certificate unknown |
//! | anything else, or both directions claim to be the client's | unknown, for the reason that the beginning is missing |
//!
//! All but the first row wait until both directions have spoken or stopped, so that the order of arrival plays no part.

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::conversation::Streams;
use crate::protocol::conversation::detect::{Choice, begins, opened_by_client};
use crate::protocol::{Detect, tls};

/// A place in a stream and what its byte has to be.
type Check = (usize, fn(u8) -> bool);

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
        [_, Shape::Response] => Middle::Http(ToServer),
        [Shape::Response, _] => Middle::Http(ToClient),
        [Shape::Records, _] | [_, Shape::Records] => Middle::Tls,
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
        Ok(Choice::Tls | Choice::Http) => Detect::Yes,
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

/// A status line of HTTP/1 (RFC 9112, section 4) up to the space behind the code.
fn response(bytes: &[u8]) -> Detect {
    match begins(bytes, b"HTTP/1.") {
        Detect::Yes => {}
        detect => return detect,
    }
    let digit = |byte: u8| byte.is_ascii_digit();
    let checks: [Check; 6] = [
        (7, |byte| byte == b'0' || byte == b'1'),
        (8, |byte| byte == b' '),
        (9, |byte| (b'1'..=b'5').contains(&byte)),
        (10, digit),
        (11, digit),
        (12, |byte| byte == b' ' || byte == b'\r'),
    ];
    for (at, holds) in checks {
        match bytes.get(at) {
            None => return Detect::NeedMore,
            Some(byte) if !holds(*byte) => return Detect::No,
            Some(_) => {}
        }
    }
    Detect::Yes
}
