//! Skipping a message body by its framing (RFC 9112, sections 6 and 7).

use memchr::memchr;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk and its trailer section.
    Chunked(Chunk),
    /// With the connection.
    UntilClose,
}

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the hexadecimal size.
    Size { value: u64, digits: u8 },
    /// Between the size and its line end: chunk extensions.
    Extension { value: u64 },
    /// In the chunk's bytes.
    Data(u64),
    /// After them, before the line end.
    AfterData,
    /// In the trailer section; `empty` while nothing of the line was read.
    Trailer { empty: bool },
}

/// What came of skipping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// The body goes on after the given bytes.
    More,
    /// It ended after so many of the given bytes.
    Done(usize),
    /// It is not framed as it said.
    Broken,
}

impl Body {
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::Size { value: 0, digits: 0 });

    /// Skips the body's part of `bytes`.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> Skipped {
        match self {
            Self::UntilClose => Skipped::More,
            Self::Length(left) => match take(left, bytes.len()) {
                n if *left == 0 => Skipped::Done(n),
                _ => Skipped::More,
            },
            Self::Chunked(chunk) => chunk.skip(bytes),
        }
    }

    /// Bytes ahead that surely belong to the body and frame nothing.
    pub(super) const fn ahead(&self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) => *left,
            Self::Chunked(_) | Self::UntilClose => 0,
        }
    }

    /// Accounts for `length` missing bytes; `false` if they may hold more than body.
    pub(super) fn gap(&mut self, length: u64) -> bool {
        match self {
            Self::UntilClose => true,
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) if *left >= length => {
                *left -= length;
                true
            }
            _ => false,
        }
    }
}

/// Takes up to `available` off `left`; returns how many.
fn take(left: &mut u64, available: usize) -> usize {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= n as u64;
    n
}

impl Chunk {
    fn skip(&mut self, bytes: &[u8]) -> Skipped {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::Data(left) => {
                    at += take(left, bytes.len() - at);
                    if *left == 0 {
                        *self = Self::AfterData;
                    }
                }
                Self::Size { value, digits } => {
                    let byte = bytes[at];
                    at += 1;
                    if let Some(digit) = char::from(byte).to_digit(16) {
                        // Leading zeros are free; sixteen significant digits fill the value.
                        if *value >> 60 != 0 {
                            return Skipped::Broken;
                        }
                        *value = *value << 4 | u64::from(digit);
                        *digits = 1;
                    } else if *digits == 0 {
                        return Skipped::Broken;
                    } else {
                        match byte {
                            b'\n' => *self = Self::after_size(*value),
                            b'\r' | b';' | b' ' | b'\t' => *self = Self::Extension { value: *value },
                            _ => return Skipped::Broken,
                        }
                    }
                }
                Self::Extension { value } => match memchr(b'\n', &bytes[at..]) {
                    Some(n) => {
                        at += n + 1;
                        *self = Self::after_size(*value);
                    }
                    None => at = bytes.len(),
                },
                Self::AfterData => {
                    match bytes[at] {
                        b'\r' => {}
                        b'\n' => *self = Self::Size { value: 0, digits: 0 },
                        _ => return Skipped::Broken,
                    }
                    at += 1;
                }
                Self::Trailer { empty } => match bytes[at] {
                    b'\n' if *empty => return Skipped::Done(at + 1),
                    b'\r' if *empty => at += 1,
                    _ => match memchr(b'\n', &bytes[at..]) {
                        Some(n) => {
                            at += n + 1;
                            *empty = true;
                        }
                        None => {
                            at = bytes.len();
                            *empty = false;
                        }
                    },
                },
            }
        }
        Skipped::More
    }

    fn after_size(value: u64) -> Self {
        if value == 0 { Self::Trailer { empty: true } } else { Self::Data(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of `input` that belong to the body, however it is cut.
    fn end(input: &[u8]) -> Option<usize> {
        let mut whole = Body::CHUNKED;
        let expected = match whole.skip(input) {
            Skipped::Done(n) => Some(n),
            _ => None,
        };
        let mut body = Body::CHUNKED;
        let bytewise = input.iter().enumerate().find_map(|(at, b)| match body.skip(&[*b]) {
            Skipped::More => None,
            Skipped::Done(n) => Some(Some(at + n)),
            Skipped::Broken => Some(None),
        });
        assert_eq!(bytewise.unwrap_or_default(), expected);
        expected
    }

    #[test]
    fn ends_a_chunked_body_after_extensions_and_trailers() {
        assert_eq!(end(b"5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\nGET"), Some(27));
        assert_eq!(end(b"00A\nhelloworld\n0\n\nrest"), Some(18));
        assert_eq!(end(b"0\r\n\r\n"), Some(5));
        assert_eq!(end(b"5\r\nhello"), None);
    }

    #[test]
    fn refuses_sizes_that_are_no_size() {
        for bad in [&b"\r\n"[..], b"x\r\n", b"-1\r\n", b"11111111111111111\r\n", b"1\r\nab\r\n"] {
            let mut body = Body::CHUNKED;
            assert_eq!(body.skip(bad), Skipped::Broken, "{bad:?}");
        }
    }

    #[test]
    fn counts_a_gap_inside_known_lengths_only() {
        let mut body = Body::CHUNKED;
        assert_eq!(body.skip(b"a\r\nxx"), Skipped::More);
        assert!(body.gap(8));
        assert_eq!(body.skip(b"\r\n0\r\n\r\n"), Skipped::Done(7));
        assert!(!Body::Length(5).gap(6));
    }
}
