//! Fingerprints of hellos: JA3 and JA3S (Salesforce, 2017) and JA4 (FoxIO, BSD-licensed).

use md5::{Digest, Md5};
use sha2::Sha256;

use super::client_hello::ClientHello;
use super::code_point::{extension, is_grease};
use super::server_hello::ServerHello;

/// Hex digits kept of each hash in a JA4.
const JA4_DIGITS: usize = 12;

impl ClientHello {
    /// The text that JA3 hashes: version, ciphers, extensions, groups and point formats in decimal, without GREASE.
    #[must_use]
    pub fn ja3_text(&self) -> String {
        let mut text = String::with_capacity(512);
        join_decimal(&mut text, core::iter::once(self.legacy_version.0));
        for list in [&self.ciphers, &self.extensions, &self.groups] {
            text.push(',');
            join_decimal(&mut text, list.iter().copied().filter(|code| !is_grease(*code)));
        }
        text.push(',');
        join_decimal(&mut text, self.point_formats.iter().map(|format| u16::from(*format)));
        text
    }

    /// JA3: the MD5 of [`Self::ja3_text`] in hex.
    #[must_use]
    pub fn ja3(&self) -> String {
        hex(&Md5::digest(self.ja3_text()))
    }

    /// JA4 of a hello over TCP.
    #[must_use]
    pub fn ja4(&self) -> String {
        let plain = |list: &[u16], codes: &mut Vec<u16>| {
            codes.clear();
            codes.extend(list.iter().copied().filter(|code| !is_grease(*code)));
        };
        let mut codes = Vec::with_capacity(self.ciphers.len().max(self.extensions.len()));
        let version = self.versions.iter().copied().filter(|code| !is_grease(*code)).max();
        let version = match version.unwrap_or(self.legacy_version.0) {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        };
        let mut text = String::with_capacity(10 + 2 * (1 + JA4_DIGITS));
        text.push('t');
        text.push_str(version);
        text.push(if self.extensions.contains(&extension::SERVER_NAME) { 'd' } else { 'i' });
        let mut hashed = String::with_capacity(256);
        plain(&self.ciphers, &mut codes);
        let ciphers = codes.len().min(99);
        codes.sort_unstable();
        join_hex(&mut hashed, &codes);
        plain(&self.extensions, &mut codes);
        let extensions = codes.len().min(99);
        for count in [ciphers, extensions] {
            text.push(char::from(DIGITS[count / 10]));
            text.push(char::from(DIGITS[count % 10]));
        }
        text.push_str(&self.ja4_protocol());
        text.push('_');
        push_ja4_hash(&mut text, &hashed);
        text.push('_');
        hashed.clear();
        codes.retain(|kind| !matches!(*kind, extension::SERVER_NAME | extension::ALPN));
        codes.sort_unstable();
        join_hex(&mut hashed, &codes);
        plain(&self.signature_algorithms, &mut codes);
        if !hashed.is_empty() && !codes.is_empty() {
            hashed.push('_');
            join_hex(&mut hashed, &codes);
        }
        push_ja4_hash(&mut text, &hashed);
        text
    }

    /// First and last character of the first protocol name; of its hex form if either is not alphanumeric.
    fn ja4_protocol(&self) -> String {
        match &*self.first_protocol {
            [] => "00".to_owned(),
            name @ ([only] | [only, ..]) => {
                let last = *name.last().unwrap_or(only);
                if only.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
                    [char::from(*only), char::from(last)].iter().collect()
                } else {
                    format!("{:x}{:x}", only >> 4, last & 15)
                }
            }
        }
    }
}

impl ServerHello {
    /// The text that JA3S hashes: version, cipher and extensions in decimal.
    #[must_use]
    pub fn ja3s_text(&self) -> String {
        let mut text = format!("{},{},", self.legacy_version.0, self.cipher.0);
        join_decimal(&mut text, self.extensions.iter().copied());
        text
    }

    /// JA3S: the MD5 of [`Self::ja3s_text`] in hex.
    #[must_use]
    pub fn ja3s(&self) -> String {
        hex(&Md5::digest(self.ja3s_text()))
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The numbers in decimal with dashes between them. By hand: each hello asks for a hundred of these.
fn join_decimal(text: &mut String, codes: impl Iterator<Item = u16>) {
    for (place, code) in codes.enumerate() {
        if place > 0 {
            text.push('-');
        }
        let mut below = 10_000;
        while below > 1 && code < below {
            below /= 10;
        }
        while below > 0 {
            text.push(char::from(DIGITS[usize::from(code / below % 10)]));
            below /= 10;
        }
    }
}

/// Appends the numbers in hex with commas between them.
fn join_hex(text: &mut String, codes: &[u16]) {
    for (place, code) in codes.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        push_hex(text, &code.to_be_bytes());
    }
}

fn push_ja4_hash(text: &mut String, hashed: &str) {
    if hashed.is_empty() {
        text.push_str(&"0".repeat(JA4_DIGITS));
    } else {
        push_hex(text, &Sha256::digest(hashed)[..JA4_DIGITS / 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tls::code_point::{CipherSuite, Version};

    /// The example of FoxIO's technical description of JA4.
    #[test]
    fn ja4_of_the_published_example() {
        let hello = ClientHello {
            legacy_version: Version(0x0303),
            ciphers: [
                0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
                0x009c, 0x009d, 0x002f, 0x0035, 0x2a2a,
            ]
            .into(),
            extensions: [
                0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
                0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x1a1a,
            ]
            .into(),
            versions: [0x0a0a, 0x0304, 0x0303].into(),
            signature_algorithms: [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601].into(),
            first_protocol: (*b"h2").into(),
            ..ClientHello::default()
        };
        assert_eq!(hello.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    /// Both examples of the JA3 description.
    #[test]
    fn ja3_of_the_published_examples() {
        let hello = ClientHello {
            legacy_version: Version(769),
            ciphers: [47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4].into(),
            extensions: [0, 10, 11].into(),
            groups: [23, 24, 25].into(),
            point_formats: [0].into(),
            ..ClientHello::default()
        };
        assert_eq!(hello.ja3_text(), "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
        assert_eq!(hello.ja3(), "ada70206e40642a3e4461f35503241d5");
        let bare = ClientHello {
            legacy_version: Version(769),
            ciphers: [4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99].into(),
            ..ClientHello::default()
        };
        assert_eq!(bare.ja3_text(), "769,4-5-10-9-100-98-3-6-19-18-99,,,");
        assert_eq!(bare.ja3(), "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn ja3s_of_a_known_text() {
        let hello = ServerHello {
            legacy_version: Version(769),
            cipher: CipherSuite(47),
            extensions: [65281, 0, 11, 35, 5, 16].into(),
            ..ServerHello::default()
        };
        assert_eq!(hello.ja3s_text(), "769,47,65281-0-11-35-5-16");
        assert_eq!(hello.ja3s(), "836ce314215654b5b1f85f97c73e506f");
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for code in 0..=u16::MAX {
            let (mut decimal, mut hex) = (String::new(), String::new());
            join_decimal(&mut decimal, [code, code].into_iter());
            join_hex(&mut hex, &[code, code]);
            assert_eq!(decimal, format!("{code}-{code}"));
            assert_eq!(hex, format!("{code:04x},{code:04x}"));
        }
    }

    #[test]
    fn ja4_writes_protocol_names_that_are_no_text_in_hex() {
        let with = |name: &[u8]| {
            ClientHello { first_protocol: name.into(), ..ClientHello::default() }.ja4_protocol()
        };
        assert_eq!(with(&[0xab]), "ab");
        assert_eq!(with(&[0x30, 0xab]), "3b");
        assert_eq!(with(b"x"), "xx");
        assert_eq!(with(b"http/1.1"), "h1");
        assert_eq!(with(b""), "00");
    }
}
