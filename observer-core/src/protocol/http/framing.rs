//! What the fields of a head say about its body (RFC 9112, section 6.3).

use super::body::Body;
use super::field::Field;

/// A head that says nothing sure about where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramingLost;

/// How the fields read so far frame the body.
#[derive(Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    bad_length: bool,
    transfer_encoding: bool,
    chunked: bool,
    /// Two readers may take it differently.
    pub(super) ambiguous: bool,
}

impl Framing {
    /// Takes one field.
    pub(super) fn field(&mut self, field: Field, value: &[u8]) {
        if field == Field::ContentLength {
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
        } else if field == Field::TransferEncoding {
            self.ambiguous |= self.transfer_encoding;
            self.transfer_encoding = true;
            let last = value.rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii();
            self.chunked = last.eq_ignore_ascii_case(b"chunked");
        }
    }

    /// The body of a request, and whether two readers may take it differently.
    pub(super) fn request(&self, is_old: bool) -> (Result<Body, FramingLost>, bool) {
        let body = match () {
            () if self.chunked => Ok(Body::CHUNKED),
            () if self.transfer_encoding || self.bad_length => Err(FramingLost),
            () => Ok(Body::Length(self.length.unwrap_or(0))),
        };
        let both = self.transfer_encoding && (self.length.is_some() || is_old);
        (body, self.ambiguous || self.bad_length || both)
    }

    /// The body of a response with `status`, were it the answer to a plain request; and as in [`Framing::request`].
    pub(super) fn response(&self, status: u16) -> (Result<Body, FramingLost>, bool) {
        let body = match () {
            () if matches!(status, 100..=199 | 204 | 304) => Ok(Body::Length(0)),
            () if self.chunked => Ok(Body::CHUNKED),
            () if self.transfer_encoding => Ok(Body::UntilClose),
            () if self.bad_length => Err(FramingLost),
            () => Ok(self.length.map_or(Body::UntilClose, Body::Length)),
        };
        let both = self.transfer_encoding && self.length.is_some();
        (body, self.ambiguous || self.bad_length || both)
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
