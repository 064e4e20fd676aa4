//! Whether a stream begins like TLS (RFC 8446, section 5.1) or with an SSLv2 ClientHello (RFC 5246, appendix E.2).

use super::records::HEADER;
use crate::flow::Direction;
use crate::protocol::Detect;

/// Longest plaintext fragment of a record (RFC 8446, section 5.1).
pub(super) const MAX_PLAINTEXT: usize = 1 << 14;
/// Longest fragment of any record: 2^14 + 2048, the TLS 1.2 limit (RFC 5246, section 6.2.3).
pub(super) const MAX_FRAGMENT: usize = (1 << 14) + 2048;

/// Shortest body of a ClientHello: version, random, empty session id, one cipher suite, one compression method
/// (RFC 5246, section 7.4.1.2; extensions may be absent).
const MIN_CLIENT_HELLO: usize = 2 + 32 + 1 + 2 + 2 + 1 + 1;
/// Shortest body of a ServerHello (RFC 5246, section 7.4.1.3).
const MIN_SERVER_HELLO: usize = 2 + 32 + 1 + 2 + 1;
/// Longest hello taken for one; real ones stay far below.
const MAX_HELLO: usize = 1 << 17;

/// Whether the first bytes of the stream of `direction` are TLS: a ClientHello from the client; a ServerHello,
/// HelloRequest or alert from the server. Both SSLv2 forms of a ClientHello count.
///
/// `bytes` is the stream from its first byte on. The answer for a longer prefix never contradicts that for a shorter.
#[must_use]
pub fn detect(direction: Direction, bytes: &[u8]) -> Detect {
    match bytes.first() {
        None => Detect::NeedMore,
        Some(&22) => handshake(direction, bytes),
        Some(&21) if direction == Direction::ToClient => alert(bytes),
        Some(_) if direction == Direction::ToServer => sslv2_client_hello(bytes),
        Some(&first) if first & 0x80 != 0 => sslv2_server_hello(bytes),
        Some(_) => Detect::No,
    }
}

/// Whether bytes from the middle of a connection are TLS records: two headers in a row that fit each other. `bytes`
/// begins where the observer began to see the stream, which is a record boundary only by luck, so `No` means no
/// more than that it was not one.
#[must_use]
pub fn detect_records(bytes: &[u8]) -> Detect {
    let mut rest = bytes;
    for _ in 0..2 {
        match header(rest) {
            Err(answer) => return answer,
            Ok(length) => match rest.get(HEADER + length..) {
                Some(next) => rest = next,
                None => return Detect::NeedMore,
            },
        }
    }
    Detect::Yes
}

/// Length of the encrypted record that begins at `bytes`.
fn header(bytes: &[u8]) -> Result<usize, Detect> {
    let shape = [(20, 23), (3, 3), (1, 3)];
    for (byte, (low, high)) in bytes.iter().zip(shape) {
        if !(low..=high).contains(byte) {
            return Err(Detect::No);
        }
    }
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<HEADER>() else { return Err(Detect::NeedMore) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > MAX_FRAGMENT { Err(Detect::No) } else { Ok(length) }
}

/// The first message of a handshake, which may be spread over many records.
fn handshake(direction: Direction, bytes: &[u8]) -> Detect {
    // Type, three length bytes and version of the message, gathered over record boundaries.
    let mut start = [0_u8; 6];
    let mut have = 0;
    let mut rest = bytes;
    loop {
        for (place, byte) in rest.iter().take(3).enumerate() {
            let fits = match place {
                0 => *byte == 22,
                1 => *byte == 3,
                _ => *byte <= 4,
            };
            if !fits {
                return Detect::No;
            }
        }
        let Some(&[_, _, _, high, low]) = rest.first_chunk::<HEADER>() else { return Detect::NeedMore };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > MAX_PLAINTEXT {
            return Detect::No;
        }
        for byte in rest[HEADER..].iter().take(length) {
            start[have] = *byte;
            have += 1;
            match hello_start(direction, &start[..have]) {
                Detect::NeedMore => {}
                answer => return answer,
            }
        }
        match rest.get(HEADER + length..) {
            Some(next) => rest = next,
            None => return Detect::NeedMore,
        }
    }
}

fn hello_start(direction: Direction, start: &[u8]) -> Detect {
    let kind = start[0];
    let least = match (direction, kind) {
        (Direction::ToServer, 1) => MIN_CLIENT_HELLO,
        (Direction::ToClient, 2) => MIN_SERVER_HELLO,
        // HelloRequest, always empty (RFC 5246, section 7.4.1.1).
        (Direction::ToClient, 0) => 0,
        _ => return Detect::No,
    };
    if start.len() < 4 {
        return if start.get(1).is_some_and(|high| *high > 2) { Detect::No } else { Detect::NeedMore };
    }
    let length = usize::from(start[1]) << 16 | usize::from(start[2]) << 8 | usize::from(start[3]);
    match kind {
        0 if length == 0 => return Detect::Yes,
        0 => return Detect::No,
        _ if length < least || length > MAX_HELLO => return Detect::No,
        _ => {}
    }
    match start.get(4..) {
        Some([]) | None => Detect::NeedMore,
        Some([3]) => Detect::NeedMore,
        Some([3, minor, ..]) if *minor <= 4 => Detect::Yes,
        // Drafts of TLS 1.3 up to 21 carried their number here in a ServerHello.
        Some([0x7f]) if kind == 2 => Detect::NeedMore,
        Some([0x7f, _, ..]) if kind == 2 => Detect::Yes,
        Some(_) => Detect::No,
    }
}

/// A plaintext alert record (RFC 8446, section 6).
fn alert(bytes: &[u8]) -> Detect {
    for (place, byte) in bytes.iter().take(6).enumerate() {
        let fits = match place {
            0 => *byte == 21,
            1 => *byte == 3,
            2 => *byte <= 4,
            3 => *byte == 0,
            4 => *byte == 2,
            _ => matches!(byte, 1 | 2),
        };
        if !fits {
            return Detect::No;
        }
    }
    if bytes.len() < 7 { Detect::NeedMore } else { Detect::Yes }
}

/// Header length and message length of an SSLv2 record, from its first bytes.
pub(super) fn sslv2_lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    let second = usize::from(*bytes.get(1)?);
    if first & 0x80 == 0 {
        // Three-byte header: bit 6 marks a security escape, which no hello is; the third byte counts padding.
        (first & 0x40 == 0).then_some((3, usize::from(first & 0x3f) << 8 | second))
    } else {
        Some((2, usize::from(first & 0x7f) << 8 | second))
    }
}

fn sslv2_client_hello(bytes: &[u8]) -> Detect {
    if bytes[0] & 0xc0 == 0x40 {
        return Detect::No;
    }
    let Some((header, length)) = sslv2_lengths(bytes) else { return Detect::NeedMore };
    if !(9 + 3 + 16..=9 + 3 * 256 + 16 + 32).contains(&length)
        || header == 3 && bytes.get(2).is_some_and(|p| *p != 0)
    {
        return Detect::No;
    }
    let body = bytes.get(header..).unwrap_or_default();
    let at = |place: usize| body.get(place).copied();
    let pair = |place: usize| Some(usize::from(at(place)?) << 8 | usize::from(at(place + 1)?));
    let wrong = |wrong: Option<bool>| wrong == Some(true);
    if wrong(at(0).map(|kind| kind != 1))
        || wrong(at(1).map(|major| major != 0 && major != 3))
        || wrong(pair(1).map(|version| version != 2 && !(0x0300..=0x0304).contains(&version)))
        || wrong(pair(3).map(|ciphers| ciphers == 0 || ciphers % 3 != 0 || ciphers > length))
        || wrong(pair(5).map(|session| session != 0 && session != 16))
        || wrong(pair(7).map(|challenge| !(16..=32).contains(&challenge)))
    {
        return Detect::No;
    }
    match (pair(3), pair(5), pair(7)) {
        (Some(ciphers), Some(session), Some(challenge)) if 9 + ciphers + session + challenge == length => {
            Detect::Yes
        }
        (Some(_), Some(_), Some(_)) => Detect::No,
        _ => Detect::NeedMore,
    }
}

/// SSL 2.0 SERVER-HELLO: type 4, session-id-hit, certificate type, version 2.
pub(super) fn sslv2_server_hello(bytes: &[u8]) -> Detect {
    for (place, byte) in bytes.iter().take(7).enumerate() {
        let fits = match place {
            0 => byte & 0x80 != 0,
            2 => *byte == 4,
            3 | 4 => *byte <= 1,
            5 => *byte == 0,
            6 => *byte == 2,
            _ => true,
        };
        if !fits {
            return Detect::No;
        }
    }
    if bytes.len() < 7 { Detect::NeedMore } else { Detect::Yes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never_changes_its_mind(direction: Direction, bytes: &[u8]) -> Detect {
        let mut settled = Detect::NeedMore;
        for end in 0..=bytes.len() {
            let answer = detect(direction, &bytes[..end]);
            assert!(settled == Detect::NeedMore || answer == settled, "changed at {end}");
            settled = answer;
        }
        settled
    }

    #[test]
    fn finds_a_client_hello_spread_over_one_byte_records() {
        let mut bytes = Vec::new();
        for byte in [1, 0, 0, 0x80, 3, 3] {
            bytes.extend([22, 3, 1, 0, 1, byte]);
        }
        assert_eq!(never_changes_its_mind(Direction::ToServer, &bytes), Detect::Yes);
    }

    #[test]
    fn finds_both_forms_of_an_sslv2_client_hello() {
        let mut body = vec![1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 0x35];
        body.extend([7; 16]);
        let mut two = vec![0x80, 28];
        two.extend(&body);
        let mut three = vec![0, 28, 0];
        three.extend(&body);
        assert_eq!(never_changes_its_mind(Direction::ToServer, &two), Detect::Yes);
        assert_eq!(never_changes_its_mind(Direction::ToServer, &three), Detect::Yes);
        two[8] = 9;
        assert_eq!(never_changes_its_mind(Direction::ToServer, &two), Detect::No);
    }

    #[test]
    fn finds_what_a_server_may_answer() {
        let hello = [22, 3, 3, 0, 90, 2, 0, 0, 86, 3, 3];
        assert_eq!(never_changes_its_mind(Direction::ToClient, &hello), Detect::Yes);
        assert_eq!(never_changes_its_mind(Direction::ToServer, &hello), Detect::No);
        assert_eq!(never_changes_its_mind(Direction::ToClient, &[21, 3, 3, 0, 2, 2, 40]), Detect::Yes);
        assert_eq!(never_changes_its_mind(Direction::ToClient, b"HTTP/1.1 400 Bad Request"), Detect::No);
    }

    #[test]
    fn rejects_other_protocols() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"SSH-2.0-x\r\n",
            b"PRI * HTTP/2.0",
            &[0; 40],
            &[0x16; 40],
            &[255; 40],
        ] {
            assert_eq!(never_changes_its_mind(Direction::ToServer, bytes), Detect::No, "{bytes:?}");
        }
    }

    #[test]
    fn rejects_a_record_longer_than_plaintext_may_be() {
        assert_eq!(never_changes_its_mind(Direction::ToServer, &[22, 3, 1, 0x40, 1, 1]), Detect::No);
        assert_eq!(never_changes_its_mind(Direction::ToServer, &[22, 3, 1, 0, 0, 1]), Detect::No);
    }

    #[test]
    fn tells_records_in_the_middle_of_a_connection() {
        let mut bytes = vec![23, 3, 3, 0, 20];
        bytes.extend([9; 20]);
        assert_eq!(detect_records(&bytes), Detect::NeedMore);
        bytes.extend([23, 3, 3, 0, 1, 0]);
        assert_eq!(detect_records(&bytes), Detect::Yes);
        assert_eq!(detect_records(b"GET"), Detect::No);
    }
}
