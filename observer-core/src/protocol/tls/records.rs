//! The record layer of one direction (RFC 8446, section 5): record headers and where their bodies go.

use super::detect::MAX_FRAGMENT;

/// Length of a record header: type, version, length.
pub(super) const HEADER: usize = 5;

/// Content types of records (RFC 8446, section 5.1). Heartbeats (24, RFC 6520) are passed over.
pub(super) mod content {
    pub(in super::super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(in super::super) const ALERT: u8 = 21;
    pub(in super::super) const HANDSHAKE: u8 = 22;
    pub(in super::super) const APPLICATION_DATA: u8 = 23;
}

/// A record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) length: u16,
    /// Acknowledgement mark of the byte that completed the header.
    pub(super) acked: u64,
    /// Where in the stream the header ended.
    pub(super) at: u64,
}

/// What becomes of a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Given to [`Sink::body`].
    Read,
    /// Skipped by length.
    Skip,
}

/// The bytes are no record, or one that breaks the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotARecord;

/// Where records go.
pub(super) trait Sink {
    /// A record begins.
    fn record(&mut self, record: Record) -> Result<Body, NotARecord>;
    /// The next bytes of the body of a record that is read.
    fn body(&mut self, bytes: &[u8]) -> Result<(), NotARecord>;
    /// `length` bytes of the body of a record that is read are missing; `false` if that cannot be borne.
    fn hole(&mut self, length: u64) -> bool;
}

/// Reads records of one direction, cut anywhere. Holds at most a part of a header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER],
    have: u8,
    read: bool,
    left: u16,
    position: u64,
}

impl Records {
    /// Header bytes of the record that has begun but whose header is incomplete.
    pub(super) fn partial_header(&self) -> &[u8] {
        &self.header[..usize::from(self.have)]
    }

    /// Length of the stream so far, gaps included.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        acked: u64,
        sink: &mut impl Sink,
    ) -> Result<(), NotARecord> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (body, rest) = bytes.split_at(bytes.len().min(self.left.into()));
                bytes = rest;
                // At most `left`, which is a u16.
                self.left -= u16::try_from(body.len()).unwrap_or(self.left);
                self.position += body.len() as u64;
                if self.read {
                    sink.body(body)?;
                }
                continue;
            }
            let have = usize::from(self.have);
            let taken = bytes.len().min(HEADER - have);
            self.header[have..have + taken].copy_from_slice(&bytes[..taken]);
            self.have += u8::try_from(taken).unwrap_or(0);
            self.position += taken as u64;
            bytes = &bytes[taken..];
            self.check_start()?;
            if usize::from(self.have) == HEADER {
                self.have = 0;
                let [kind, _, _, high, low] = self.header;
                let length = u16::from_be_bytes([high, low]);
                if usize::from(length) > MAX_FRAGMENT {
                    return Err(NotARecord);
                }
                self.left = length;
                self.read = sink.record(Record { kind, length, acked, at: self.position })? == Body::Read;
            }
        }
        Ok(())
    }

    /// `length` missing bytes: borne only inside the body of a record whose header was seen.
    pub(super) fn gap(&mut self, length: u64, sink: &mut impl Sink) -> bool {
        match u16::try_from(length) {
            Ok(missing) if missing <= self.left && (!self.read || sink.hole(length)) => {
                self.left -= missing;
                self.position += length;
                true
            }
            _ => false,
        }
    }

    fn check_start(&self) -> Result<(), NotARecord> {
        let fits = match *self.partial_header() {
            [] => true,
            [kind] => (20..=24).contains(&kind),
            [kind, major, ..] => (20..=24).contains(&kind) && major == 3,
        };
        if fits { Ok(()) } else { Err(NotARecord) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Log(Vec<(u8, u16)>, Vec<u8>);

    impl Sink for Log {
        fn record(&mut self, record: Record) -> Result<Body, NotARecord> {
            self.0.push((record.kind, record.length));
            Ok(if record.kind == content::HANDSHAKE { Body::Read } else { Body::Skip })
        }
        fn body(&mut self, bytes: &[u8]) -> Result<(), NotARecord> {
            self.1.extend(bytes);
            Ok(())
        }
        fn hole(&mut self, _length: u64) -> bool {
            false
        }
    }

    const BYTES: [u8; 22] = [22, 3, 3, 0, 2, 1, 2, 23, 3, 3, 0, 0, 23, 3, 3, 0, 3, 9, 9, 9, 22, 3];

    #[test]
    fn reads_the_same_however_the_bytes_are_cut() {
        for cut in 0..BYTES.len() {
            let (mut records, mut log) = (Records::default(), Log::default());
            records.feed(&BYTES[..cut], 0, &mut log).unwrap();
            records.feed(&BYTES[cut..], 0, &mut log).unwrap();
            assert_eq!(log.0, [(22, 2), (23, 0), (23, 3)]);
            assert_eq!(log.1, [1, 2]);
            assert_eq!(records.partial_header(), [22, 3]);
        }
    }

    #[test]
    fn bears_a_gap_inside_a_skipped_body_only() {
        let (mut records, mut log) = (Records::default(), Log::default());
        records.feed(&[23, 3, 3, 0, 9, 1, 1], 0, &mut log).unwrap();
        assert!(records.gap(7, &mut log));
        assert!(!records.gap(1, &mut log));
        records.feed(&[22, 3, 3, 0, 9, 1, 1], 0, &mut log).unwrap();
        assert!(!records.gap(2, &mut log));
    }

    #[test]
    fn rejects_a_record_over_the_limit() {
        let (mut records, mut log) = (Records::default(), Log::default());
        assert_eq!(records.feed(&[23, 3, 3, 0x48, 1], 0, &mut log), Err(NotARecord));
    }
}
