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
//! * a fixed 16 bytes on every record (OpenJDK) shows exactly in the sizes of Finished and empty Certificate. Where a
//!   client lets the server limit its records (RFC 8449), a fragment of its Certificate could be as long; then these
//!   sizes say nothing;
//! * a Certificate is beyond doubt once a CertificateVerify and a Finished of their exact sizes follow it;
//! * padding to blocks of N bytes makes every length a multiple of N. A first record that is a Finished padded to one
//!   block *is* N long, so every later record is a multiple of that first one, and one that is not refutes it. So a
//!   Certificate, CertificateVerify and Finished in one record are told with the next record, whatever it is;
//! * handshake records alone can be padded (OpenSSL from 3.4 on). Where the first length is likely as a block (a
//!   multiple of 128 or 100), nothing but the exact sizes counts.
//!
//! Padding that makes one message exactly as long as another has a file of its own ([`super::imitation`]). What remains
//! is padding to a random length for each record, which nothing on the wire tells from the real thing where the server's
//! flight does not show whether it asked.

use super::code_point::CipherSuite;
use super::imitation::{ENOUGH, Imitation};
use super::side::Sizes;
use crate::security::Reason;

/// Extra bytes of padding that are looked for: none, and OpenJDK's.
const PADDINGS: [usize; 2] = [0, 16];
/// Least that the first record of Certificate, CertificateVerify and Finished together exceeds a Finished by.
const LEAST_CERTIFIED: usize = 125;
/// Inner length of a full record, with its type.
pub(super) const FULL: usize = (1 << 14) + 1;

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
    /// Extra bytes of padding that are looked for.
    paddings: &'static [usize],
}

impl Lengths {
    /// Hash and tag of a suite (RFC 8446, appendix B.4; RFC 8998; RFC 9150; RFC 9367; AEGIS suites). `None` for any
    /// other. `limited` if the peers may have agreed on records of any size from 64 bytes on (RFC 8449).
    pub(super) const fn of(suite: CipherSuite, limited: bool) -> Option<Self> {
        let (hash, tag) = match suite.0 {
            0x1301 | 0x1303 | 0x1304 | 0x1307 | 0x00c6 | 0x00c7 | 0xc103 | 0xc105 => (32, 16),
            0x1302 => (48, 16),
            0x1305 | 0xc104 | 0xc106 => (32, 8),
            0x1306 => (64, 16),
            0xc0b4 => (32, 32),
            0xc0b5 => (48, 48),
            _ => return None,
        };
        Some(Self { hash, tag, paddings: if limited { &[0] } else { &PADDINGS } })
    }

    /// Content of an empty Certificate, of a Finished, and of both.
    pub(super) const fn contents(self) -> (usize, usize, usize) {
        (4 + 1 + 3, 4 + self.hash, 4 + 1 + 3 + 4 + self.hash)
    }

    /// A message of `content` bytes alone in an unpadded record.
    pub(super) const fn record(self, content: usize) -> usize {
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

    /// Whether a record can be an alert, padded or not.
    pub(super) fn may_be_alert(self, length: u16) -> bool {
        usize::from(length) <= self.alert() + 16
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
            128..=2048 => signature.is_multiple_of(64),
            _ => false,
        }
    }

    /// Whether a CertificateVerify and a Finished, each alone in a record, stand behind the first record.
    fn has_verified_end(self, records: &[u16]) -> bool {
        // Only a Certificate in several records stands before them, and all but the last of these are equally full.
        let lead = records.iter().take_while(|record| records.first() == Some(record)).count();
        self.paddings.iter().any(|padding| {
            records.windows(3).take(lead + 1).any(|w| {
                let [_, verify, finished] = [w[0], w[1], w[2]].map(usize::from);
                finished == self.finished() + padding
                    && verify.checked_sub(*padding).is_some_and(|verify| self.is_certificate_verify(verify))
            })
        })
    }

    /// What the client's records behind its last ClientHello say; `complete` when no more will come.
    ///
    /// The shortest run of first records that gives an answer gives it, so that the answer does not depend on how
    /// many records arrive at once. `alone` is whether the first record is known to be a whole flight, or not to be.
    pub(super) fn flight(self, sizes: &Sizes, asked: Asked, alone: Option<bool>, complete: bool) -> Flight {
        let records = sizes.kept();
        for end in 1..=records.len() {
            match self.believed(&records[..end], asked, alone, false) {
                Flight::Open => {}
                answer => return answer,
            }
        }
        if complete { self.believed(records, asked, alone, true) } else { Flight::Open }
    }

    /// The flight, unless padding imitates it.
    fn believed(self, records: &[u16], asked: Asked, alone: Option<bool>, complete: bool) -> Flight {
        let claim = self.flight_of(records, asked, complete);
        let exact = match claim {
            Flight::Finished | Flight::Alert => true,
            // Two records of their exact sizes are no block.
            Flight::Declined => self.paddings.iter().any(|padding| {
                records
                    .first()
                    .is_some_and(|first| usize::from(*first) == self.empty_and_finished() + padding)
            }),
            _ => false,
        };
        // Where the server's flight shows whether it asked, that decides.
        if !exact || asked != Asked::NoAnswer {
            return claim;
        }
        match self.imitation(claim, records, alone) {
            Imitation::Refuted => claim,
            // Who is silent behind an alert has said all there is.
            Imitation::Open if complete && claim == Flight::Alert && records.len() == 1 => claim,
            Imitation::Open if !complete => Flight::Open,
            Imitation::Open | Imitation::Stands => Flight::Unclear(Reason::Padded),
        }
    }

    fn flight_of(self, records: &[u16], asked: Asked, complete: bool) -> Flight {
        let Some(first) = records.first().copied().map(usize::from) else { return Flight::Open };
        let second = records.get(1).copied().map(usize::from);
        let open = |reason| if complete { Flight::Unclear(reason) } else { Flight::Open };
        for &padding in self.paddings {
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
        // The smallest raw key, Ed25519, makes a Certificate of 57 bytes. No raw key makes one that is a likely block.
        let certificate = first >= self.record(57) && !is_round(first - self.tag);
        if certificate && records.len() >= 3 && self.has_verified_end(&records[..3]) {
            return Flight::Presented;
        }
        if certificate && records.len() < 3 && !complete {
            return Flight::Open;
        }
        let aligned =
            records.iter().take(3).all(|r| usize::from(*r).wrapping_sub(self.tag).is_multiple_of(16));
        Flight::Unclear(if aligned { Reason::Padded } else { Reason::NotRecognized })
    }

    fn large(self, first: usize, records: &[u16], asked: Asked, complete: bool) -> Flight {
        if self.has_verified_end(records) {
            return Flight::Presented;
        }
        let block = first - self.tag;
        let modulus = if block.is_multiple_of(16) { 16 } else { block };
        let refutes = |record: &u16| {
            let inner = usize::from(*record).wrapping_sub(self.tag);
            // A block that a full record has no room for is cut short.
            inner < FULL - 1 && !inner.is_multiple_of(modulus)
        };
        let refuted = records[1..].iter().take(ENOUGH - 1).any(refutes);
        // Handshake records alone may be padded, to a length that someone chose.
        let chosen = block.is_multiple_of(128) || block.is_multiple_of(100);
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

    /// Whether the first record can hold a Finished, padded or not. A shorter one is an alert, an empty Certificate, or
    /// a piece of something.
    pub(super) fn may_be_finished(self, sizes: &Sizes) -> bool {
        sizes.kept().first().is_some_and(|first| usize::from(*first) >= self.finished())
    }

    /// Whether the server's flight holds a CertificateRequest. Answers only for a flight of one message a record:
    /// EncryptedExtensions, \[CertificateRequest\], Certificate, CertificateVerify, Finished. `complete` when no more
    /// records belong to the flight.
    pub(super) fn asked(self, records: &[u16], complete: bool) -> Asked {
        let mut open = false;
        for &padding in self.paddings {
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
        // EncryptedExtensions alone is 6 bytes and what it grants: a protocol name, with OpenJDK its 26 bytes of groups.
        // The least CertificateRequest (one signature algorithm) in the same record would add 15.
        let most = if padding == 0 { 20 } else { 46 };
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
            // A Certificate in two pieces, where the peers agreed on short records, has the longer one first.
            [Some(r), Some(c), Some(v), Some(f)]
                if f == finished && self.is_certificate_verify(v) && certificate(c) && r < c =>
            {
                Asked::Yes
            }
            [_, _, _, None] => Asked::Open,
            _ => Asked::NoAnswer,
        }
    }
}

/// Whether a length is one that someone would choose to pad to.
const fn is_round(block: usize) -> bool {
    block.is_multiple_of(8) || block.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(limited: bool) -> Lengths {
        Lengths::of(CipherSuite(0x1301), limited).unwrap()
    }

    fn sha384(limited: bool) -> Lengths {
        Lengths::of(CipherSuite(0x1302), limited).unwrap()
    }

    fn flight(records: &[u16]) -> Flight {
        sha256(false).flight(&records.into(), Asked::NoAnswer, Some(true), true)
    }

    #[test]
    fn tells_the_flights_of_stacks_that_do_not_pad() {
        assert_eq!(flight(&[53]), Flight::Finished);
        assert_eq!(flight(&[69, 40]), Flight::Finished);
        assert_eq!(flight(&[25, 53]), Flight::Declined);
        assert_eq!(flight(&[41, 69]), Flight::Declined);
        assert_eq!(flight(&[61, 200]), Flight::Declined);
        assert_eq!(
            flight(&[69]),
            Flight::Unclear(Reason::Padded),
            "an empty Certificate and a Finished, padded to 53"
        );
        assert_eq!(flight(&[700, 281, 53]), Flight::Presented);
        assert_eq!(flight(&[74, 89, 53]), Flight::Presented);
        assert_eq!(flight(&[16401, 3000, 281, 53]), Flight::Presented);
        assert_eq!(flight(&[529, 529, 300, 281, 53]), Flight::Presented);
        assert_eq!(flight(&[19]), Flight::Alert);
    }

    #[test]
    fn one_long_record_is_a_certificate_only_once_another_shows_that_nobody_pads() {
        assert_eq!(sha256(false).flight(&[625][..].into(), Asked::NoAnswer, Some(true), false), Flight::Open);
        assert_eq!(flight(&[625]), Flight::Unclear(Reason::Padded));
        assert_eq!(flight(&[625, 60]), Flight::Presented);
    }

    #[test]
    fn padding_to_any_block_is_unclear_whatever_was_sent() {
        for block in (125..=16384_u16).filter(|block| *block > 161) {
            let record = block + 16;
            for records in
                [&[record][..], &[record, record], &[record, record, record, 2 * block.min(8000) + 16]]
            {
                let seen = flight(records);
                let cut = block > 8000 && records.len() > 3;
                assert!(cut || seen == Flight::Unclear(Reason::Padded), "{records:?}: {seen:?}");
            }
        }
    }

    #[test]
    fn padding_of_handshake_records_alone_is_unclear_for_likely_blocks() {
        for block in [256, 512, 768, 1000, 1024, 1500, 4096, 16384_u16] {
            let seen = flight(&[block + 16, 77, 90, 19]);
            assert!(matches!(seen, Flight::Unclear(Reason::Padded)), "{block}: {seen:?}");
        }
    }

    #[test]
    fn a_limit_on_records_makes_fragments_that_look_like_padded_messages() {
        // SHA-384: a Certificate in fragments of 68 and 76 bytes.
        for fragment in [85, 93] {
            let records: &[u16] = &[fragment, fragment, fragment, fragment];
            let seen = sha384(true).flight(&records.into(), Asked::NoAnswer, Some(true), true);
            assert!(matches!(seen, Flight::Unclear(_)), "{fragment}: {seen:?}");
        }
        assert_eq!(
            sha384(false).flight(&[85, 40][..].into(), Asked::NoAnswer, Some(true), true),
            Flight::Finished
        );
    }

    #[test]
    fn a_request_is_never_missed_in_a_record_that_could_hold_one() {
        // EncryptedExtensions (6) and the least CertificateRequest (15) together, then the rest one by one.
        assert_eq!(sha256(false).asked(&[38, 700, 281, 53], true), Asked::NoAnswer);
        assert_eq!(sha256(false).asked(&[23, 700, 281, 53], true), Asked::No);
        assert_eq!(sha256(false).asked(&[23, 80, 700, 281, 53], true), Asked::Yes);
    }

    #[test]
    fn a_certificate_in_two_pieces_is_no_request() {
        assert_eq!(sha384(false).asked(&[28, 529, 281, 96, 69], true), Asked::NoAnswer);
        assert_eq!(sha384(false).asked(&[28, 529, 529, 96, 69], true), Asked::NoAnswer);
        assert_eq!(sha384(false).asked(&[23, 98, 793, 96, 69], true), Asked::Yes);
    }

    #[test]
    fn an_answer_never_changes_with_further_records() {
        let lengths = [19, 23, 25, 32, 41, 53, 61, 69, 74, 89, 281, 528, 625, 793, 16401_u16];
        for a in lengths {
            for b in lengths {
                for c in lengths {
                    let mut before = Flight::Open;
                    for end in 1..=3 {
                        let now = sha256(false).flight(
                            &[a, b, c][..end].into(),
                            Asked::NoAnswer,
                            Some(false),
                            false,
                        );
                        assert!(before == Flight::Open || now == before, "{a} {b} {c}: {before:?}, {now:?}");
                        before = now;
                    }
                }
            }
        }
    }
}
