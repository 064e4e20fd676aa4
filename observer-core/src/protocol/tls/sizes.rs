//! TLS 1.3: what the sizes of the client's encrypted records say (RFC 8446, sections 4.4 and 5.2).
//!
//! A record's length is that of its content plus one byte of content type, plus padding, plus the tag of the cipher
//! suite. Without padding, the client's flight is one of
//!
//! * a Finished: 4 bytes of header and a hash;
//! * an empty Certificate (4 + 1 + 3 bytes) and a Finished;
//! * a Certificate, a CertificateVerify and a Finished,
//!
//! in one record or several. So a first record longer than an empty Certificate and a Finished together begins a
//! Certificate, whatever follows, *unless the client pads*. Everything below is there to tell padding apart:
//!
//! * a fixed 16 bytes on every record (OpenJDK) shows exactly in the sizes of Finished and empty Certificate;
//! * padding to blocks of N bytes makes every length a multiple of N. A first record that is a Finished padded to one
//!   block *is* N long, so every later record is a multiple of that first one, and one that is not refutes it;
//! * a first length that no one would choose as a block (no multiple of 8 or 10) refutes it at once. That is what
//!   makes the answer available while the connection is idle behind the handshake;
//! * a length that is likely as a block for handshake records alone (OpenSSL can pad those apart) needs a
//!   CertificateVerify and a Finished of their exact sizes behind it.

use super::code_point::CipherSuite;
use super::side::Sizes;
use crate::security::Reason;

/// Extra bytes of padding that are looked for: none, and OpenJDK's.
const PADDINGS: [usize; 2] = [0, 16];
/// Least that the first record of Certificate, CertificateVerify and Finished together exceeds a Finished by.
const LEAST_CERTIFIED: usize = 125;
/// Inner length of a full record, with its type.
const FULL: usize = (1 << 14) + 1;
/// Records after which a client that could be padding is taken to be.
const ENOUGH: usize = 4;

/// What the sizes of the client's flight say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    /// More records decide.
    Open,
    /// A Finished alone.
    Finished,
    /// An empty Certificate and a Finished.
    Declined,
    /// A Certificate that is not empty.
    Presented,
    /// An alert in place of the flight.
    Alert,
    /// No rule applies, and none will.
    Unclear(Reason),
}

/// Whether the server asked for a certificate, from the sizes of its own flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// More records decide.
    Open,
    /// The flight is not one message a record.
    NoAnswer,
    /// A CertificateRequest was among the messages.
    Yes,
    /// None was.
    No,
}

/// The lengths that follow from a TLS 1.3 cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    hash: usize,
    tag: usize,
}

impl Lengths {
    /// Hash and tag of a suite (RFC 8446, appendix B.4; RFC 8998; RFC 9150; RFC 9367; AEGIS suites). `None` for any
    /// other.
    pub(super) const fn of(suite: CipherSuite) -> Option<Self> {
        let (hash, tag) = match suite.0 {
            0x1301 | 0x1303 | 0x1304 | 0x1307 | 0x00c6 | 0x00c7 | 0xc103 | 0xc105 => (32, 16),
            0x1302 => (48, 16),
            0x1305 | 0xc104 | 0xc106 => (32, 8),
            0x1306 => (64, 16),
            0xc0b4 => (32, 32),
            0xc0b5 => (48, 48),
            _ => return None,
        };
        Some(Self { hash, tag })
    }

    /// A message of `content` bytes alone in an unpadded record.
    const fn record(self, content: usize) -> usize {
        content + 1 + self.tag
    }

    const fn finished(self) -> usize {
        self.record(4 + self.hash)
    }

    /// Message header, empty context, empty list.
    const fn empty(self) -> usize {
        self.record(4 + 1 + 3)
    }

    const fn empty_and_finished(self) -> usize {
        self.record(4 + 1 + 3 + 4 + self.hash)
    }

    const fn alert(self) -> usize {
        self.record(2)
    }

    /// Whether a record can be a CertificateVerify alone: header 4, algorithm 2, length 2, signature.
    fn is_certificate_verify(self, length: usize) -> bool {
        let Some(signature) = length.checked_sub(self.record(8)) else { return false };
        match signature {
            // Ed25519, Ed448; ECDSA in DER on 256, 384 and 521 bits.
            64 | 114 | 66..=72 | 98..=104 | 133..=139 => true,
            // ML-DSA (FIPS 204).
            2420 | 3309 | 4627 => true,
            // RSA from 1024 to 16384 bits.
            128..=2048 => signature % 64 == 0,
            _ => false,
        }
    }

    /// Whether a CertificateVerify and a Finished, each alone in a record, stand behind the first record.
    fn has_verified_end(self, records: &[u16]) -> bool {
        PADDINGS.iter().any(|padding| {
            records.windows(3).any(|w| {
                let [_, verify, finished] = [w[0], w[1], w[2]].map(usize::from);
                finished == self.finished() + padding
                    && verify.checked_sub(*padding).is_some_and(|verify| self.is_certificate_verify(verify))
            })
        })
    }

    /// The same with every record padded to a multiple of 16 (Mbed TLS 3): Certificate, CertificateVerify, Finished.
    fn has_aligned_end(self, records: &[u16]) -> bool {
        let [first, verify, finished, ..] = *records else { return false };
        let [first, verify, finished] =
            [first, verify, finished].map(|r| usize::from(r).saturating_sub(self.tag));
        first.is_multiple_of(16)
            && verify.is_multiple_of(16)
            && (0..16).any(|less| self.is_certificate_verify((verify + self.tag).saturating_sub(less)))
            && finished == (4 + self.hash + 1).next_multiple_of(16)
    }

    /// What the client's records behind its last ClientHello say; `complete` when no more will come.
    ///
    /// The shortest run of first records that gives an answer gives it, so that the answer does not depend on how
    /// many records arrive at once.
    pub(super) fn flight(self, sizes: &Sizes, asked: Asked, complete: bool) -> Flight {
        let records = sizes.kept();
        for end in 1..=records.len() {
            match self.flight_of(&records[..end], asked, false) {
                Flight::Open => {}
                answer => return answer,
            }
        }
        if complete { self.flight_of(records, asked, true) } else { Flight::Open }
    }

    fn flight_of(self, records: &[u16], asked: Asked, complete: bool) -> Flight {
        let Some(first) = records.first().copied().map(usize::from) else { return Flight::Open };
        let second = records.get(1).copied().map(usize::from);
        let open = |reason| if complete { Flight::Unclear(reason) } else { Flight::Open };
        for padding in PADDINGS {
            if first == self.finished() + padding {
                return Flight::Finished;
            }
            if first == self.empty_and_finished() + padding {
                return Flight::Declined;
            }
            if first == self.alert() + padding {
                return Flight::Alert;
            }
            if first == self.empty() + padding {
                return match second {
                    None => open(Reason::HandshakeIncomplete),
                    Some(second) if second == self.finished() + padding => Flight::Declined,
                    Some(second) if second == self.alert() + padding => Flight::Alert,
                    Some(_) => Flight::Unclear(Reason::NotRecognized),
                };
            }
        }
        if first == self.tag + 16 {
            // Padded to 16: an alert or an empty Certificate. Behind an alert no Finished can come.
            return match second {
                None => open(Reason::Padded),
                Some(second) if second == self.tag + (4 + self.hash + 1).next_multiple_of(16) => {
                    Flight::Declined
                }
                Some(_) => Flight::Unclear(Reason::Padded),
            };
        }
        if first < self.finished() + LEAST_CERTIFIED {
            return self.small(records, complete);
        }
        self.large(first, records, asked, complete)
    }

    /// A first record that is none of the known messages and small: a raw public key (RFC 7250), or padding.
    fn small(self, records: &[u16], complete: bool) -> Flight {
        let first = records.first().map_or(0, |first| usize::from(*first));
        // The smallest raw key, Ed25519, makes a Certificate of 57 bytes.
        if first >= self.record(57) && records.len() >= 3 && self.has_verified_end(&records[..3]) {
            return Flight::Presented;
        }
        if records.len() < 3 && !complete && first >= self.record(57) {
            return Flight::Open;
        }
        let aligned = records.iter().take(3).all(|r| usize::from(*r).wrapping_sub(self.tag) % 16 == 0);
        Flight::Unclear(if aligned { Reason::Padded } else { Reason::NotRecognized })
    }

    fn large(self, first: usize, records: &[u16], asked: Asked, complete: bool) -> Flight {
        let block = first - self.tag;
        if !block.is_multiple_of(8) && !block.is_multiple_of(10) || self.has_verified_end(records) {
            return Flight::Presented;
        }
        if asked == Asked::Yes && self.has_aligned_end(records) {
            return Flight::Presented;
        }
        let refutes = |record: &u16| {
            let inner = usize::from(*record).wrapping_sub(self.tag);
            // A block that a full record has no room for is cut short.
            inner != FULL && !inner.is_multiple_of(if block.is_multiple_of(16) { 16 } else { block })
        };
        let refuted = records[1..].iter().take(ENOUGH - 1).any(refutes);
        // Handshake records alone may be padded, to a length that someone chose.
        let chosen = block.is_power_of_two() || block.is_multiple_of(512) || block.is_multiple_of(500);
        // A server that asked rules out a lone Finished, and an empty Certificate that was padded would be followed by
        // a padded Finished.
        let asked_for = asked == Asked::Yes && records.get(1).is_some_and(refutes);
        if refuted && (!chosen || asked_for) {
            Flight::Presented
        } else if complete || records.len() >= if chosen && refuted { Sizes::KEPT } else { ENOUGH } {
            Flight::Unclear(Reason::Padded)
        } else {
            Flight::Open
        }
    }

    /// Whether a first client record can only be an alert, an empty Certificate or something that needs its
    /// successor; such a record does not tell that the client went on with the handshake.
    pub(super) fn may_be_alert(self, sizes: &Sizes) -> bool {
        match sizes.kept().first().copied().map(usize::from) {
            None => true,
            Some(first) => first == self.tag + 16 || PADDINGS.iter().any(|p| first == self.alert() + p),
        }
    }

    /// Whether the server's flight holds a CertificateRequest. Answers only for a flight of one message a record:
    /// EncryptedExtensions, \[CertificateRequest\], Certificate, CertificateVerify, Finished. `complete` when no more
    /// records belong to the flight.
    pub(super) fn asked(self, records: &[u16], complete: bool) -> Asked {
        let mut open = false;
        for padding in PADDINGS {
            match self.asked_padded(records, padding) {
                Asked::NoAnswer => {}
                Asked::Open => open = true,
                answer => return answer,
            }
        }
        if open && !complete { Asked::Open } else { Asked::NoAnswer }
    }

    fn asked_padded(self, records: &[u16], padding: usize) -> Asked {
        let length =
            |place: usize| records.get(place).map(|record| usize::from(*record).saturating_sub(padding));
        // EncryptedExtensions alone is 6 bytes and what it grants (a protocol name, the groups of OpenJDK). Together
        // with the least CertificateRequest it is more.
        let most = if padding == 0 { 26 } else { 48 };
        match length(0) {
            None => return Asked::Open,
            Some(first) if (self.record(6)..=self.record(most)).contains(&first) => {}
            Some(_) => return Asked::NoAnswer,
        }
        let certificate = |length: usize| (self.record(57)..self.record(FULL - 1)).contains(&length);
        let finished = self.finished();
        match [length(1), length(2), length(3), length(4)] {
            [Some(c), Some(v), Some(f), _]
                if f == finished && self.is_certificate_verify(v) && certificate(c) =>
            {
                Asked::No
            }
            [Some(r), Some(c), Some(v), Some(f)]
                if f == finished
                    && self.is_certificate_verify(v)
                    && certificate(c)
                    && r < self.record(FULL - 1) =>
            {
                Asked::Yes
            }
            [_, _, _, None] => Asked::Open,
            _ => Asked::NoAnswer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(suite: u16, records: &[u16], complete: bool) -> Flight {
        let lengths = Lengths::of(CipherSuite(suite)).unwrap();
        lengths.flight(&Sizes::from(records), Asked::NoAnswer, complete)
    }

    #[test]
    fn the_suite_decides_what_a_length_means() {
        assert_eq!(flight(0x1301, &[53], false), Flight::Finished);
        assert_eq!(flight(0x1302, &[69], false), Flight::Finished);
        assert_eq!(flight(0x1301, &[69], false), Flight::Finished, "with 16 bytes of padding");
        assert_eq!(flight(0x1305, &[45], false), Flight::Finished);
        assert_eq!(flight(0x1301, &[77], false), Flight::Declined, "with 16 bytes of padding");
        assert_eq!(flight(0x1302, &[77], false), Flight::Declined);
        assert_eq!(flight(0x1302, &[53], true), Flight::Unclear(Reason::NotRecognized));
        assert_eq!(Lengths::of(CipherSuite(0x13ff)), None);
    }

    #[test]
    fn an_empty_certificate_waits_for_its_finished() {
        assert_eq!(flight(0x1301, &[25], false), Flight::Open);
        assert_eq!(flight(0x1301, &[25, 53], false), Flight::Declined);
        assert_eq!(flight(0x1301, &[25, 19], false), Flight::Alert);
        assert_eq!(flight(0x1301, &[25], true), Flight::Unclear(Reason::HandshakeIncomplete));
        assert_eq!(flight(0x1301, &[32, 64], false), Flight::Declined, "padded to 16");
        assert_eq!(flight(0x1301, &[32], true), Flight::Unclear(Reason::Padded), "could be an alert");
    }

    #[test]
    fn a_first_record_that_no_padding_explains_is_a_certificate() {
        assert_eq!(flight(0x1301, &[525], false), Flight::Presented);
        assert_eq!(flight(0x1301, &[74, 89, 53], false), Flight::Presented, "raw public key");
        assert_eq!(flight(0x1301, &[16401], false), Flight::Presented);
    }

    #[test]
    fn padding_to_blocks_is_never_taken_for_a_certificate() {
        for block in [16, 32, 64, 128, 200, 256, 500, 512, 1000, 1024, 4096_u16] {
            for content in [37, 53_u16] {
                let first = content.next_multiple_of(block) + 16;
                for others in [&[][..], &[first], &[first; 7]] {
                    let records = [&[first], others].concat();
                    let suite = if content == 37 { 0x1301 } else { 0x1302 };
                    assert!(
                        !matches!(flight(suite, &records, true), Flight::Presented | Flight::Declined),
                        "{block}: {records:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn handshake_records_padded_alone_are_not_taken_for_a_certificate() {
        assert_eq!(flight(0x1301, &[528, 97, 333], true), Flight::Unclear(Reason::Padded));
        assert_eq!(
            flight(0x1301, &[528, 96, 53], false),
            Flight::Presented,
            "CertificateVerify and Finished"
        );
    }

    #[test]
    fn records_padded_to_16_show_a_certificate_only_where_the_server_asked() {
        let lengths = Lengths::of(CipherSuite(0x1303)).unwrap();
        for records in [&[416, 96, 64, 64, 32][..], &[624, 288, 64, 64, 32]] {
            let flight = |asked| lengths.flight(&Sizes::from(records), asked, true);
            assert_eq!(flight(Asked::Yes), Flight::Presented);
            assert_eq!(flight(Asked::NoAnswer), Flight::Unclear(Reason::Padded));
        }
        let flight = lengths.flight(&Sizes::from(&[416, 240, 64, 64][..]), Asked::Yes, true);
        assert_eq!(flight, Flight::Unclear(Reason::Padded), "no CertificateVerify");
    }

    #[test]
    fn the_server_flight_shows_the_request() {
        let lengths = Lengths::of(CipherSuite(0x1301)).unwrap();
        assert_eq!(lengths.asked(&[23, 509, 96, 53], false), Asked::No);
        assert_eq!(lengths.asked(&[23, 98, 509, 96, 53], false), Asked::Yes);
        assert_eq!(lengths.asked(&[65, 106, 525, 112, 69], false), Asked::Yes, "with 16 bytes of padding");
        assert_eq!(lengths.asked(&[900, 155], false), Asked::NoAnswer);
        assert_eq!(
            lengths.asked(&[120, 509, 96, 53], false),
            Asked::NoAnswer,
            "the request may be inside the first"
        );
        assert_eq!(lengths.asked(&[23, 98, 509], false), Asked::Open);
    }
}
