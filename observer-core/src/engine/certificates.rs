//! Certificates that were read lately.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::tls_facts;
use crate::event::CertificateField;
use crate::protocol::tls::Encoded;

/// Bytes of DER that are remembered; what was read of it takes a few times as much.
const MOST: usize = 128 << 10;
/// A longer one is read anew each time.
const LONGEST: usize = 8 << 10;

/// Certificates that were read lately: a server sends the same one on each of its connections, and to read it costs more
/// than all else that its connection asks for. What is found is what reading anew would give.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// By DER; a raw public key and a certificate are told apart.
    known: HashMap<Box<[u8]>, (bool, Arc<CertificateField>), RandomState>,
    /// Bytes of DER among the keys.
    bytes: usize,
}

impl Certificates {
    /// What a certificate says.
    pub(super) fn read(&mut self, sent: Encoded<'_>) -> Arc<CertificateField> {
        if let Some((raw, field)) = self.known.get(sent.der)
            && *raw == sent.raw
        {
            return Arc::clone(field);
        }
        let field = Arc::new(tls_facts::certificate(sent.read()));
        if sent.der.len() <= LONGEST {
            if self.bytes + sent.der.len() > MOST {
                self.known.clear();
                self.bytes = 0;
            }
            if self.known.insert(sent.der.into(), (sent.raw, Arc::clone(&field))).is_none() {
                self.bytes += sent.der.len().max(64);
            }
        }
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(field: &CertificateField) -> String {
        field.hash.sha256.clone()
    }

    #[test]
    fn what_is_remembered_is_what_is_read_and_never_grows_beyond_its_bound() {
        let mut certificates = Certificates::default();
        for number in 0..5000_u32 {
            let mut der = vec![0; 40 + number as usize % 300];
            der[..4].copy_from_slice(&number.to_be_bytes());
            let sent = Encoded { der: &der, raw: number % 2 == 0 };
            let first = certificates.read(sent);
            assert_eq!(hash(&first), sent.read().sha256);
            assert!(Arc::ptr_eq(&first, &certificates.read(sent)));
            assert!(certificates.known.keys().map(|der| der.len()).sum::<usize>() <= MOST);
        }
        let long = vec![1; LONGEST + 1];
        certificates.read(Encoded { der: &long, raw: false });
        assert!(!certificates.known.contains_key(&*long));
    }

    #[test]
    fn the_same_bytes_as_a_raw_key_and_as_a_certificate_are_two_things() {
        let mut der = vec![0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
        der.extend([7; 32]);
        let mut certificates = Certificates::default();
        let algorithm =
            |field: Arc<CertificateField>| field.x509.as_ref().and_then(|it| it.public_key_algorithm.clone());
        for _ in 0..2 {
            assert_eq!(algorithm(certificates.read(Encoded { der: &der, raw: false })), None);
            assert_eq!(
                algorithm(certificates.read(Encoded { der: &der, raw: true })).as_deref(),
                Some("Ed25519")
            );
        }
    }
}
