//! Code points of TLS and their names. Unknown ones survive and print as hex.

use std::borrow::Cow;

use super::cipher_names::NAMES;

/// Extension types that the analysis reads (IANA registry "TLS ExtensionType Values").
pub mod extension {
    #![allow(missing_docs)] // The registry's own names.
    pub const SERVER_NAME: u16 = 0;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const EC_POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const CLIENT_CERTIFICATE_TYPE: u16 = 19;
    pub const SERVER_CERTIFICATE_TYPE: u16 = 20;
    pub const COMPRESS_CERTIFICATE: u16 = 27;
    pub const RECORD_SIZE_LIMIT: u16 = 28;
    pub const CERT_WITH_EXTERN_PSK: u16 = 33;
    pub const SESSION_TICKET: u16 = 35;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    pub const POST_HANDSHAKE_AUTH: u16 = 49;
    pub const KEY_SHARE: u16 = 51;
    pub const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// A protocol version as it is on the wire: 0x0304 is TLS 1.3, 0x0300 SSL 3.0, 0x0002 SSL 2.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// TLS 1.3 (RFC 8446).
    pub const TLS_1_3: Self = Self(0x0304);

    /// `tls` or `ssl` (`tls.version_protocol`).
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        if self.0 <= 0x0300 { "ssl" } else { "tls" }
    }

    /// The number alone, as `1.3` (`tls.version`); hex for a code point that is none of ours.
    #[must_use]
    pub fn number(self) -> Cow<'static, str> {
        match self.0 {
            0x0002 => "2.0",
            0x0300 => "3.0",
            0x0301 => "1.0",
            0x0302 => "1.1",
            0x0303 => "1.2",
            0x0304 => "1.3",
            other => return format!("0x{other:04x}").into(),
        }
        .into()
    }
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CipherSuite(pub u16);

impl CipherSuite {
    /// The registered name; `None` if the code point is not registered.
    #[must_use]
    pub fn known(self) -> Option<&'static str> {
        let place = NAMES.binary_search_by_key(&self.0, |(code, _)| *code).ok()?;
        Some(NAMES[place].1)
    }

    /// The registered name, or hex.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        self.known().map_or_else(|| format!("0x{:04x}", self.0).into(), Cow::Borrowed)
    }
}

/// A named group of the key exchange (IANA registry "TLS Supported Groups").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u16);

impl Group {
    /// The registered name, or hex.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        let known = match self.0 {
            18 => "secp192k1",
            19 => "secp192r1",
            20 => "secp224k1",
            21 => "secp224r1",
            22 => "secp256k1",
            23 => "secp256r1",
            24 => "secp384r1",
            25 => "secp521r1",
            26 => "brainpoolP256r1",
            27 => "brainpoolP384r1",
            28 => "brainpoolP512r1",
            29 => "x25519",
            30 => "x448",
            31 => "brainpoolP256r1tls13",
            32 => "brainpoolP384r1tls13",
            33 => "brainpoolP512r1tls13",
            34 => "GC256A",
            35 => "GC256B",
            36 => "GC256C",
            37 => "GC256D",
            38 => "GC512A",
            39 => "GC512B",
            40 => "GC512C",
            41 => "curveSM2",
            256 => "ffdhe2048",
            257 => "ffdhe3072",
            258 => "ffdhe4096",
            259 => "ffdhe6144",
            260 => "ffdhe8192",
            512 => "MLKEM512",
            513 => "MLKEM768",
            514 => "MLKEM1024",
            4587 => "SecP256r1MLKEM768",
            4588 => "X25519MLKEM768",
            4589 => "SecP384r1MLKEM1024",
            0x6399 => "X25519Kyber768Draft00",
            other => return format!("0x{other:04x}").into(),
        };
        known.into()
    }
}

/// Whether a code point is one of those sent only to keep peers tolerant (GREASE, RFC 8701).
#[must_use]
pub const fn is_grease(code: u16) -> bool {
    code & 0x0f0f == 0x0a0a && code >> 8 == code & 0xff
}

/// Bytes from the wire as bounded text: at most `limit` characters, anything but printable ASCII as `\xNN`.
pub(super) fn escaped(bytes: &[u8], limit: usize) -> Box<str> {
    let mut text = String::with_capacity(bytes.len().min(limit));
    for byte in bytes {
        let room = limit - text.len();
        if (0x20..0x7f).contains(byte) && *byte != b'\\' && room > 0 {
            text.push(char::from(*byte));
        } else if room >= 4 {
            text.push_str("\\x");
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
            }
        } else {
            break;
        }
    }
    text.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cipher_suites_are_in_order_and_unknown_ones_print_as_hex() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(CipherSuite(0x1302).name(), "TLS_AES_256_GCM_SHA384");
        assert_eq!(CipherSuite(0xc02b).name(), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(CipherSuite(0xfefe).name(), "0xfefe");
        assert_eq!(Group(4588).name(), "X25519MLKEM768");
        assert_eq!(Group(0x1a1a).name(), "0x1a1a");
        assert_eq!((Version(0x0304).number(), Version(0x0301).number()), ("1.3".into(), "1.0".into()));
    }

    #[test]
    fn grease_is_told_from_other_code_points() {
        assert!(is_grease(0x0a0a) && is_grease(0xfafa));
        assert!(!is_grease(0x0a1a) && !is_grease(0x1301));
    }

    #[test]
    fn text_from_the_wire_is_escaped_and_bounded() {
        assert_eq!(&*escaped(b"a\n\\b", 100), "a\\x0a\\x5cb");
        assert_eq!(&*escaped(&[0; 100], 10), "\\x00\\x00");
    }
}
