//! The ServerHello and HelloRetryRequest (RFC 8446, sections 4.1.3 and 4.1.4).

use super::code_point::{CipherSuite, Group, Version, escaped, extension};
use super::cursor::{Cursor, Malformed};

/// The random value that makes a ServerHello a HelloRetryRequest (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a server chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// The version field of the message itself.
    pub legacy_version: Version,
    /// The version in force: supported_versions where it is there.
    pub version: Version,
    /// The random value.
    pub random: [u8; 32],
    /// The cipher suite.
    pub cipher: CipherSuite,
    /// Extension types in the order sent.
    pub extensions: Box<[u16]>,
    /// The group of the key share (TLS 1.3).
    pub group: Option<Group>,
    /// The protocol chosen by ALPN (TLS 1.2 and older; in 1.3 it is encrypted), escaped.
    pub protocol: Option<Box<str>>,
    /// The type of certificate that the client is to present (RFC 7250); 0 is X.509.
    pub client_certificate_type: u8,
    /// The type of the server's certificate.
    pub server_certificate_type: u8,
    /// Whether it is a HelloRetryRequest.
    pub retry: bool,
}

impl ServerHello {
    /// Parses the body of the message.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body);
        let legacy_version = Version(cursor.u16()?);
        let mut hello = Self { legacy_version, version: legacy_version, ..Self::default() };
        hello.random.copy_from_slice(cursor.take(32)?);
        hello.retry = hello.random == RETRY;
        cursor.vec8()?;
        hello.cipher = CipherSuite(cursor.u16()?);
        cursor.u8()?;
        if cursor.is_empty() {
            return Ok(hello);
        }
        let mut cursor = Cursor::new(cursor.vec16()?);
        let mut types = Vec::with_capacity(4);
        while !cursor.is_empty() {
            let kind = cursor.u16()?;
            let body = cursor.vec16()?;
            types.push(kind);
            // The version decides everything else, so that one has to parse.
            hello
                .read_extension(kind, body)
                .or_else(|e| if kind == extension::SUPPORTED_VERSIONS { Err(e) } else { Ok(()) })?;
        }
        hello.extensions = types.into_boxed_slice();
        Ok(hello)
    }

    fn read_extension(&mut self, kind: u16, body: &[u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(body);
        match kind {
            extension::SUPPORTED_VERSIONS => self.version = Version(cursor.u16()?),
            extension::KEY_SHARE => self.group = Some(Group(cursor.u16()?)),
            extension::ALPN => {
                let mut names = Cursor::new(cursor.vec16()?);
                self.protocol = Some(escaped(names.vec8()?, 512));
            }
            extension::CLIENT_CERTIFICATE_TYPE => self.client_certificate_type = cursor.u8()?,
            extension::SERVER_CERTIFICATE_TYPE => self.server_certificate_type = cursor.u8()?,
            _ => {}
        }
        Ok(())
    }

    /// Whether an extension was sent.
    #[must_use]
    pub fn has(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }

    /// Bytes of heap held.
    pub(super) fn held(&self) -> usize {
        2 * self.extensions.len() + self.protocol.as_ref().map_or(0, |name| name.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_hello_retry_request() {
        let mut body = vec![3, 3];
        body.extend(RETRY);
        body.extend([0, 0x13, 2, 0, 0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 24]);
        let hello = ServerHello::parse(&body).unwrap();
        assert!(hello.retry);
        assert_eq!(
            (hello.version, hello.cipher, hello.group),
            (Version::TLS_1_3, CipherSuite(0x1302), Some(Group(24)))
        );
        for end in (0..body.len()).filter(|end| *end != 38) {
            assert_eq!(ServerHello::parse(&body[..end]), Err(Malformed), "cut at {end}");
        }
    }
}
