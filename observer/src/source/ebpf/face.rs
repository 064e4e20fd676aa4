//! What the source keeps of a face.

use observer_common::{Event, direction, mark, role, state};
use observer_core::engine::{Ending, FaceKey, LossPlace, Lost};
use observer_core::flow::{Direction, Flags};
use observer_core::time::Timestamp;

use super::multipath::Multipath;

/// How a face stood with the lists of all sockets of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// Not looked for yet.
    Never,
    /// It was there.
    There,
    /// It was missing in the last list.
    Missing,
}

/// What was counted of a face: until it ends, nothing of most.
#[derive(Debug, Default)]
struct Counted {
    lost_records: u32,
    lost_bytes: u64,
    skipped: u64,
    bytes_out: Option<u64>,
    bytes_in: Option<u64>,
}

/// One face, as far as it is not the engine's affair.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) key: FaceKey,
    pub(super) role: u8,
    pub(super) listener: u64,
    pub(super) answered: bool,
    pub(super) fin: [bool; 2],
    pub(super) doubtful_reset: bool,
    pub(super) closed: bool,
    /// It was told who accepted the socket.
    pub(super) accept_told: bool,
    /// It was told who let go of the socket.
    pub(super) release_told: bool,
    /// Cookie of its network namespace; 0 where the kernel does not say.
    pub(super) netns: u64,
    pub(super) multipath: Option<Box<Multipath>>,
    counted: Option<Box<Counted>>,
    /// The end that dialled is on this node and tells the bytes; of this one comes but the end.
    pub(super) paired: bool,
    /// How it stood with the last lists of all sockets.
    pub(super) listed: Listed,
}

impl Face {
    pub(super) fn new(key: FaceKey, role: u8, listener: u64, netns: u64) -> Self {
        Self {
            key,
            role,
            listener,
            answered: role == role::SERVER,
            fin: [false; 2],
            doubtful_reset: false,
            closed: false,
            accept_told: false,
            release_told: false,
            netns,
            multipath: None,
            counted: None,
            paired: false,
            listed: Listed::Never,
        }
    }

    /// What was lost since the last record of this face, and what was left out on purpose.
    pub(super) fn lost(
        &mut self,
        time: Timestamp,
        records: u32,
        bytes: u64,
        skipped: u64,
    ) -> impl Iterator<Item = Lost> + use<> {
        let key = Some(self.key);
        let (mut records_more, mut bytes_more, mut skipped_more) = (0, 0, 0);
        if records != 0 || bytes != 0 || skipped != 0 {
            let told = self.counted.get_or_insert_default();
            records_more = u64::from(records.saturating_sub(told.lost_records));
            bytes_more = bytes.saturating_sub(told.lost_bytes);
            skipped_more = skipped.saturating_sub(told.skipped);
            told.lost_records = told.lost_records.max(records);
            told.lost_bytes = told.lost_bytes.max(bytes);
            told.skipped = told.skipped.max(skipped);
        }
        let ring = (records_more > 0 || bytes_more > 0).then_some(Lost {
            time,
            place: LossPlace::PayloadRing,
            key,
            records: records_more,
            bytes: bytes_more,
        });
        // However many requests it was, it is one run of them without a reader.
        let rate = (skipped_more > 0).then_some(Lost {
            time,
            place: LossPlace::RequestRate,
            key,
            records: 1,
            bytes: skipped_more,
        });
        ring.into_iter().chain(rate)
    }

    /// Payload bytes that left this end, and that it received, where they were counted.
    pub(super) fn bytes(&self) -> (Option<u64>, Option<u64>) {
        self.counted.as_ref().map_or((None, None), |counted| (counted.bytes_out, counted.bytes_in))
    }

    /// Counts the payload bytes each way, from the socket's counters as they will be when the packet has taken effect.
    pub(super) fn count(&mut self, event: &Event) {
        if event.marks & mark::COUNTERS == 0 || event.tcp_flags & (Flags::FIN.0 | Flags::RST.0) == 0 {
            return;
        }
        if event.state == state::SYN_SENT {
            if event.tcp_flags & Flags::RST.0 != 0 {
                // Nothing was agreed, so nothing was carried; the counters count the SYN.
                let counted = self.counted.get_or_insert_default();
                (counted.bytes_out, counted.bytes_in) = (Some(0), Some(0));
            }
            // Else it is a whole answer behind the SYN-ACK (Fast Open), which waits until the caller lets go of the socket: the
            // counters know nothing of it yet.
            return;
        }
        // RFC 4898 counts from the first acknowledged number: for the end that dialled that is its SYN.
        let syn = u64::from(self.role == role::CLIENT);
        let counted = self.counted.get_or_insert_default();
        let acked = event.bytes_acked.saturating_sub(syn);
        // The kernel's counter has the peer's FIN in it (`tcp_rcv_nxt_update`), where that was not told with a count.
        let told = event.direction == direction::IN && event.tcp_flags & Flags::FIN.0 != 0;
        let untold = self.fin[1] && counted.bytes_in.is_none() && !told;
        let received = event.bytes_received.saturating_sub(untold.into());
        if event.direction == direction::OUT {
            let unacked = event.seq.wrapping_add(event.len).wrapping_sub(event.snd_una);
            if unacked < 1 << 31 {
                counted.bytes_out = Some(acked + u64::from(unacked));
            }
            counted.bytes_in = counted.bytes_in.or(Some(received));
        } else {
            let ahead = event.seq.wrapping_add(event.len).wrapping_sub(event.rcv_nxt);
            // Behind a FIN nothing more comes in, and the kernel's counter has the FIN in it (`tcp_rcv_nxt_update`).
            let ended = self.fin[1] && counted.bytes_in.is_some() && event.tcp_flags & Flags::FIN.0 == 0;
            if ahead < 1 << 31 && !ended {
                counted.bytes_in = Some(received + u64::from(ahead));
            }
            if counted.bytes_out.is_none() {
                // A reset need not acknowledge anything, and then has no number (RFC 9293, section 3.5.2).
                let newly = event.ack.wrapping_sub(event.snd_una);
                let counts = event.tcp_flags & Flags::ACK.0 != 0 && newly < 1 << 31;
                counted.bytes_out = Some(acked + if counts { u64::from(newly) } else { 0 });
            }
        }
    }
}

/// The stream that a packet of a socket belongs to.
pub(super) fn toward(role: u8, way: u8) -> Direction {
    // A socket of unknown role is taken for the dialling end; the origin says that this is a guess.
    if (role == role::SERVER) == (way == direction::IN) { Direction::ToServer } else { Direction::ToClient }
}

/// Only `direction` was closed.
pub(super) const fn half_closed(direction: Direction) -> Ending {
    match direction {
        Direction::ToServer => Ending::HalfClosedByClient,
        Direction::ToClient => Ending::HalfClosedByServer,
    }
}
