//! A record as it came from a ring.

use observer_common::{Announcement, Event, Handshake, PAYLOAD_HEADER, Payload, WIRE_VERSION, kind};

/// A decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A connection becomes known.
    Announcement(Announcement),
    /// A control segment or a release.
    Event(Event),
    /// A handshake segment of a listener.
    Handshake(Handshake),
    /// Payload, the TCP options where they were carried, and the bytes that were copied.
    Payload(Payload, &'a [u8], &'a [u8]),
}

impl<'a> Record<'a> {
    /// Decodes one; `None` if it is none of ours, or says more than it holds.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        if bytes.first_chunk().copied().map(u16::from_ne_bytes)? != WIRE_VERSION {
            return None;
        }
        match *bytes.get(2)? {
            kind::ANNOUNCEMENT => Announcement::read(bytes).map(Self::Announcement),
            kind::EVENT => Event::read(bytes).map(Self::Event),
            kind::HANDSHAKE => Handshake::read(bytes).map(Self::Handshake),
            kind::PAYLOAD => {
                let payload = Payload::read(bytes)?;
                let captured = usize::try_from(payload.captured).ok()?;
                if payload.captured > payload.len {
                    return None;
                }
                let (options, rest) =
                    bytes.get(PAYLOAD_HEADER..)?.split_at_checked(payload.options_len.into())?;
                Some(Self::Payload(payload, options, rest.get(..captured)?))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[..2].copy_from_slice(&WIRE_VERSION.to_ne_bytes());
        bytes[2] = kind;
        bytes
    }

    #[test]
    fn decodes_each_kind_and_no_prefix_of_it() {
        for (kind, size) in [
            (kind::ANNOUNCEMENT, Announcement::SIZE),
            (kind::EVENT, Event::SIZE),
            (kind::HANDSHAKE, Handshake::SIZE),
            (kind::PAYLOAD, PAYLOAD_HEADER),
        ] {
            let whole = bytes(kind, size);
            assert!(Record::decode(&whole).is_some(), "kind {kind}");
            for length in 0..size {
                assert!(Record::decode(&whole[..length]).is_none(), "kind {kind}, {length} bytes");
            }
        }
    }

    #[test]
    fn rejects_a_foreign_version_or_kind() {
        let mut foreign = bytes(kind::EVENT, Event::SIZE);
        foreign[0] ^= 1;
        assert!(Record::decode(&foreign).is_none());
        assert!(Record::decode(&bytes(9, 300)).is_none());
    }

    #[test]
    fn rejects_payload_that_claims_more_than_it_holds() {
        let mut record = bytes(kind::PAYLOAD, PAYLOAD_HEADER + 4);
        record[16..20].copy_from_slice(&10_u32.to_ne_bytes());
        record[20..24].copy_from_slice(&5_u32.to_ne_bytes());
        assert!(Record::decode(&record).is_none(), "5 captured, 4 there");
        record[20..24].copy_from_slice(&4_u32.to_ne_bytes());
        assert!(matches!(Record::decode(&record), Some(Record::Payload(_, _, bytes)) if bytes.len() == 4));
        record[16..20].copy_from_slice(&3_u32.to_ne_bytes());
        assert!(Record::decode(&record).is_none(), "4 captured of 3");
    }
}
