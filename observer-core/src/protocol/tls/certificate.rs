//! What a certificate says (RFC 5280), as far as it travels in the clear (TLS ≤ 1.2).

use core::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::code_point::escaped;
use super::cursor::Cursor;
use super::fingerprint::hex;

/// Longest text kept of one name.
const MAX_NAME: usize = 1024;
/// Most alternative names kept of one certificate.
const MAX_NAMES: usize = 64;
/// Most certificates read of one chain.
const MAX_CHAIN: usize = 8;

/// One certificate, or a raw public key (RFC 7250), of which only the key and the hash are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
    /// Subject, as text; `None` for a raw public key and for DER that does not parse.
    pub subject: Option<String>,
    /// Issuer, as text.
    pub issuer: Option<String>,
    /// Serial number, upper-case hex.
    pub serial: Option<String>,
    /// Start of validity, seconds since 1970-01-01T00:00:00 UTC.
    pub not_before: Option<i64>,
    /// End of validity, likewise.
    pub not_after: Option<i64>,
    /// Alternative names, escaped: DNS names, addresses, URIs, mail addresses. At most 64.
    pub alternative_names: Vec<String>,
    /// `RSA`, `EC`, … or the object identifier of the algorithm.
    pub key_algorithm: Option<String>,
    /// Size of the key in bits; `None` where it is not known.
    pub key_bits: Option<usize>,
}

/// A certificate, or a raw public key, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded<'a> {
    /// The bytes.
    pub der: &'a [u8],
    /// They are a raw public key (RFC 7250).
    pub raw: bool,
}

impl Encoded<'_> {
    /// What it says. This parses and hashes.
    #[must_use]
    pub fn read(self) -> Certificate {
        if self.raw { Certificate::raw_key(self.der) } else { Certificate::of(self.der) }
    }
}

/// The sender's own certificate, the first of [`chain`].
pub(super) fn first(message: &[u8], raw: bool) -> Option<Encoded<'_>> {
    let list = Cursor::new(message).vec24().ok()?;
    let der = if raw { Some(list).filter(|key| !key.is_empty())? } else { Cursor::new(list).vec24().ok()? };
    Some(Encoded { der, raw })
}

/// The certificates in the body of a Certificate message of TLS ≤ 1.2, the sender's own first; at most 8. `raw` tells
/// that it holds a raw public key instead.
pub(super) fn chain(message: &[u8], raw: bool) -> Vec<Certificate> {
    let Ok(list) = Cursor::new(message).vec24() else { return Vec::new() };
    if raw {
        return if list.is_empty() { Vec::new() } else { vec![Certificate::raw_key(list)] };
    }
    let mut list = Cursor::new(list);
    let mut chain = Vec::new();
    while let (true, Ok(der)) = (chain.len() < MAX_CHAIN, list.vec24()) {
        chain.push(Certificate::of(der));
    }
    chain
}

impl Certificate {
    fn of(der: &[u8]) -> Self {
        let mut certificate = Self { sha256: digest(der), ..Self::default() };
        let Ok((_, parsed)) = X509Certificate::from_der(der) else { return certificate };
        certificate.subject = Some(name(parsed.subject()));
        certificate.issuer = Some(name(parsed.issuer()));
        certificate.serial =
            Some(hex(&parsed.raw_serial()[..parsed.raw_serial().len().min(64)]).to_uppercase());
        certificate.not_before = Some(parsed.validity().not_before.timestamp());
        certificate.not_after = Some(parsed.validity().not_after.timestamp());
        if let Ok(Some(extension)) = parsed.subject_alternative_name() {
            let names = extension.value.general_names.iter().filter_map(alternative_name);
            certificate.alternative_names = names.take(MAX_NAMES).collect();
        }
        certificate.read_key(parsed.public_key());
        certificate
    }

    fn raw_key(der: &[u8]) -> Self {
        let mut certificate = Self { sha256: digest(der), ..Self::default() };
        if let Ok((_, key)) = SubjectPublicKeyInfo::from_der(der) {
            certificate.read_key(&key);
        }
        certificate
    }

    fn read_key(&mut self, key: &SubjectPublicKeyInfo<'_>) {
        let (algorithm, bits) = match key.parsed() {
            Ok(ParsedKey::RSA(rsa)) => ("RSA".to_owned(), Some(rsa.key_size())),
            Ok(ParsedKey::EC(point)) => {
                // 521-bit points are padded to whole bytes.
                let bits = if point.key_size() == 528 { 521 } else { point.key_size() };
                ("EC".to_owned(), Some(bits))
            }
            Ok(ParsedKey::DSA(_)) => ("DSA".to_owned(), None),
            _ => match key.algorithm.algorithm.to_id_string().as_str() {
                "1.3.101.112" => ("Ed25519".to_owned(), Some(256)),
                "1.3.101.113" => ("Ed448".to_owned(), Some(456)),
                other => (other.chars().take(MAX_NAME).collect(), None),
            },
        };
        self.key_algorithm = Some(algorithm);
        self.key_bits = bits;
    }
}

fn name(name: &X509Name<'_>) -> String {
    escaped(name.to_string().as_bytes(), MAX_NAME).into()
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            Some(escaped(text.as_bytes(), MAX_NAME).into())
        }
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

/// SHA-256 in upper-case hex, as ECS has hashes of certificates.
fn digest(der: &[u8]) -> String {
    hex(&Sha256::digest(der)).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_that_does_not_parse_keeps_its_hash() {
        let found = chain(&[0, 0, 5, 0, 0, 2, 0x30, 0x80], false);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject, None);
        assert_eq!(found[0].sha256.len(), 64);
    }

    #[test]
    fn a_chain_is_bounded_and_a_cut_one_gives_what_is_whole() {
        let mut message = vec![0, 0, 120];
        message.extend([0, 0, 0].repeat(40));
        assert_eq!(chain(&message, false).len(), MAX_CHAIN);
        assert_eq!(chain(&[0, 0, 9, 0, 0, 1], false), []);
        for (message, raw) in [(&message[..], false), (&[0, 0, 9, 0, 0, 1], false), (&[0, 0, 0], true)] {
            let own = first(message, raw).map(Encoded::read);
            assert_eq!(own, chain(message, raw).into_iter().next());
        }
        assert_eq!(chain(&[0, 0, 5, 0, 0, 0, 0, 0], false).len(), 1);
    }

    #[test]
    fn a_raw_public_key_shows_its_algorithm() {
        let mut message = vec![0, 0, 44, 0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
        message.extend([7; 32]);
        let found = chain(&message, true);
        assert_eq!(found[0].key_algorithm.as_deref(), Some("Ed25519"));
        assert_eq!(found[0].key_bits, Some(256));
    }
}
