//! The ClientHello (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2; SSLv2 form RFC 5246, appendix E.2).

use super::code_point::{Group, Version, escaped, extension};
use super::cursor::{Cursor, Malformed, code_points};

/// Longest text kept of one name from the wire.
const MAX_NAME: usize = 512;
/// Most protocol names kept of one ALPN extension.
const MAX_PROTOCOLS: usize = 32;

/// What a client offered. Key shares and tickets are dropped, so a kept hello is a few hundred bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The version field of the message itself (`legacy_version` in TLS 1.3).
    pub legacy_version: Version,
    /// Whether it came in the form of SSL 2.0.
    pub sslv2_form: bool,
    /// The random value; zeros before the bytes of an SSLv2 challenge.
    pub random: [u8; 32],
    /// The session id was not empty.
    pub session_id: bool,
    /// Cipher suites in the order offered, GREASE included.
    pub ciphers: Box<[u16]>,
    /// Extension types in the order sent, GREASE included.
    pub extensions: Box<[u16]>,
    /// Supported groups, GREASE included.
    pub groups: Box<[u16]>,
    /// Groups that a key share was sent for.
    pub key_shares: Box<[u16]>,
    /// Point formats.
    pub point_formats: Box<[u8]>,
    /// Signature algorithms in the order sent.
    pub signature_algorithms: Box<[u16]>,
    /// The supported_versions extension, GREASE included; empty without one.
    pub versions: Box<[u16]>,
    /// Server name (escaped), if one was sent.
    pub server_name: Option<Box<str>>,
    /// First protocol name of ALPN as it was on the wire, at most 255 bytes.
    pub first_protocol: Box<[u8]>,
    /// Protocol names of ALPN (escaped).
    pub protocols: Box<[Box<str>]>,
    /// Algorithms for compressed certificates (RFC 8879).
    pub certificate_compression: Box<[u16]>,
    /// Types of certificate the client can present (RFC 7250).
    pub client_certificate_types: Box<[u8]>,
    /// A session ticket that was not empty (RFC 5077).
    pub session_ticket: bool,
}

impl ClientHello {
    /// Parses the body of the message.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body);
        let mut hello = Self { legacy_version: Version(cursor.u16()?), ..Self::default() };
        hello.random.copy_from_slice(cursor.take(32)?);
        hello.session_id = !cursor.vec8()?.is_empty();
        hello.ciphers = code_points(cursor.vec16()?);
        cursor.vec8()?;
        if !cursor.is_empty() {
            // Bytes behind the extensions break the rules, but say nothing about what was offered.
            hello.read_extensions(cursor.vec16()?)?;
        }
        Ok(hello)
    }

    /// Parses the body of an SSLv2 CLIENT-HELLO, from its type on.
    pub(super) fn parse_sslv2(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body);
        cursor.u8()?;
        let mut hello = Self { legacy_version: Version(cursor.u16()?), sslv2_form: true, ..Self::default() };
        let (ciphers, session, challenge) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        // Three-byte code points; those with a first byte of zero are the suites of SSL 3.0 and later.
        hello.ciphers = cursor
            .take(ciphers.into())?
            .chunks_exact(3)
            .filter(|c| c[0] == 0)
            .map(|c| u16::from_be_bytes([c[1], c[2]]))
            .collect();
        hello.session_id = !cursor.take(session.into())?.is_empty();
        let challenge = cursor.take(challenge.into())?;
        let start = 32_usize.checked_sub(challenge.len()).ok_or(Malformed)?;
        hello.random[start..].copy_from_slice(challenge);
        Ok(hello)
    }

    fn read_extensions(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(bytes);
        let mut types = Vec::with_capacity(24);
        while !cursor.is_empty() {
            let kind = cursor.u16()?;
            let body = cursor.vec16()?;
            types.push(kind);
            // A body that does not parse is left out: other extensions still count.
            let _ = self.read_extension(kind, body);
        }
        self.extensions = types.into_boxed_slice();
        Ok(())
    }

    fn read_extension(&mut self, kind: u16, body: &[u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(body);
        match kind {
            extension::SERVER_NAME => {
                let mut names = Cursor::new(cursor.vec16()?);
                if names.u8()? == 0 {
                    self.server_name = Some(escaped(names.vec16()?, MAX_NAME));
                }
            }
            extension::SUPPORTED_GROUPS => self.groups = code_points(cursor.vec16()?),
            extension::EC_POINT_FORMATS => self.point_formats = cursor.vec8()?.into(),
            extension::SIGNATURE_ALGORITHMS => self.signature_algorithms = code_points(cursor.vec16()?),
            extension::ALPN => {
                let mut names = Cursor::new(cursor.vec16()?);
                let mut protocols = Vec::new();
                while !names.is_empty() && protocols.len() < MAX_PROTOCOLS {
                    let name = names.vec8()?;
                    if protocols.is_empty() {
                        self.first_protocol = name.into();
                    }
                    protocols.push(escaped(name, MAX_NAME));
                }
                self.protocols = protocols.into_boxed_slice();
            }
            extension::CLIENT_CERTIFICATE_TYPE => self.client_certificate_types = cursor.vec8()?.into(),
            extension::COMPRESS_CERTIFICATE => self.certificate_compression = code_points(cursor.vec8()?),
            extension::SESSION_TICKET => self.session_ticket = !body.is_empty(),
            extension::SUPPORTED_VERSIONS => self.versions = code_points(cursor.vec8()?),
            extension::KEY_SHARE => {
                let mut shares = Cursor::new(cursor.vec16()?);
                let mut groups = Vec::new();
                while !shares.is_empty() {
                    groups.push(shares.u16()?);
                    shares.vec16()?;
                }
                self.key_shares = groups.into_boxed_slice();
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether an extension was sent.
    #[must_use]
    pub fn has(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }

    /// Whether TLS 1.3 or a draft of it was offered.
    #[must_use]
    pub fn offers_tls_1_3(&self) -> bool {
        self.versions.iter().any(|v| *v == Version::TLS_1_3.0 || v >> 8 == 0x7f)
    }

    /// The group of the first key share that is not GREASE.
    #[must_use]
    pub fn first_key_share(&self) -> Option<Group> {
        self.key_shares.iter().copied().find(|g| !super::code_point::is_grease(*g)).map(Group)
    }

    /// Bytes of heap held.
    pub(super) fn held(&self) -> usize {
        2 * (self.ciphers.len()
            + self.extensions.len()
            + self.groups.len()
            + self.key_shares.len()
            + self.signature_algorithms.len()
            + self.versions.len()
            + self.certificate_compression.len())
            + self.point_formats.len()
            + self.first_protocol.len()
            + self.client_certificate_types.len()
            + self.server_name.as_ref().map_or(0, |name| name.len())
            + self.protocols.iter().map(|name| name.len() + size_of::<Box<str>>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0x1a, 0x1a, 0x13, 1, 1, 0]);
        let extensions: &[u8] = &[
            0, 0, 0, 6, 0, 4, 0, 0, 1, b'a', // server name
            0, 16, 0, 5, 0, 3, 2, b'h', b'2', // ALPN
            0, 43, 0, 5, 4, 0x3a, 0x3a, 3, 4, // versions
            0, 49, 0, 0, // post-handshake authentication
            0, 51, 0, 7, 0, 5, 0, 29, 0, 1, 9, // key share
        ];
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        body
    }

    #[test]
    fn reads_what_was_offered() {
        let hello = ClientHello::parse(&hello()).unwrap();
        assert_eq!(*hello.ciphers, [0x1a1a, 0x1301]);
        assert_eq!(hello.server_name.as_deref(), Some("a"));
        assert_eq!(&*hello.first_protocol, b"h2");
        assert!(hello.offers_tls_1_3() && hello.has(extension::POST_HANDSHAKE_AUTH));
        assert_eq!(hello.first_key_share(), Some(Group(29)));
        assert!(!hello.session_id);
    }

    #[test]
    fn rejects_every_cut_of_a_hello() {
        let hello = hello();
        // Without the extensions it is a whole hello again (RFC 5246, section 7.4.1.2).
        let bare = 2 + 32 + 1 + 6 + 2;
        for end in (0..hello.len()).filter(|end| *end != bare) {
            assert_eq!(ClientHello::parse(&hello[..end]), Err(Malformed), "cut at {end}");
        }
    }

    #[test]
    fn reads_the_sslv2_form() {
        let mut body = vec![1, 3, 1, 0, 6, 0, 0, 0, 16, 0, 0, 0x35, 1, 0, 0x80];
        body.extend([5; 16]);
        let hello = ClientHello::parse_sslv2(&body).unwrap();
        assert_eq!(*hello.ciphers, [0x35]);
        assert_eq!(hello.random[15..17], [0, 5]);
    }
}
