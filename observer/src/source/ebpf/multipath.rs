//! Multipath TCP: where the bytes of a subflow lie in their connection's stream.
//!
//! A subflow's own sequence numbers have no holes, but the connection's may: what is missing travelled on another
//! subflow (RFC 8684, section 3.3). Each mapping says where a run of the subflow's bytes belongs. Here sequence numbers
//! are moved to that place, so that the reassembly sees the hole and tells it; bytes whose place is not known are
//! withheld, which is a hole too. A verdict then rests on the bytes that lie together, or is `unknown`.

use observer_core::flow::Direction;
use sha2::{Digest, Sha256};

/// TCP option kind (RFC 8684, section 8).
const KIND: u8 = 30;

/// One option of Multipath TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MpOption {
    /// MP_CAPABLE (section 3.1): the keys of its sender and its receiver as far as they are given, and the bytes that a
    /// mapping in it covers.
    Capable { sender: Option<u64>, receiver: Option<u64>, length: Option<u16> },
    /// MP_JOIN of a SYN (section 3.2), with the token of the connection that it joins, or of a SYN-ACK, without.
    Join { token: Option<u32> },
    /// A data sequence mapping (section 3.3): the low halves of the numbers.
    Mapping { data: u32, subflow: u32, length: u16 },
}

impl MpOption {
    /// The first in the options of a segment.
    pub(super) fn find(options: &[u8]) -> Option<Self> {
        let mut rest = options;
        while let [kind, tail @ ..] = rest {
            match kind {
                0 => return None,
                1 => rest = tail,
                _ => {
                    let length =
                        tail.first().map(|length| usize::from(*length)).filter(|length| *length >= 2)?;
                    if *kind == KIND
                        && let Some(option) = rest.get(2..length).and_then(Self::read)
                    {
                        return Some(option);
                    }
                    rest = rest.get(length..)?;
                }
            }
        }
        None
    }

    /// The same, from options kept in words.
    pub(super) fn in_words(options: &[u32; 10], len: u8) -> Option<Self> {
        let mut bytes = [0; 40];
        for (place, word) in bytes.chunks_exact_mut(4).zip(options) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Self::find(bytes.get(..usize::from(len))?)
    }

    /// Reads what follows kind and length.
    fn read(body: &[u8]) -> Option<Self> {
        let key =
            |at: usize| body.get(at..).and_then(|rest| rest.first_chunk()).copied().map(u64::from_be_bytes);
        let word =
            |at: usize| body.get(at..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_be_bytes);
        let half =
            |at: usize| body.get(at..).and_then(|rest| rest.first_chunk()).copied().map(u16::from_be_bytes);
        match (*body.first()? >> 4, *body.get(1)?) {
            (0, _) => Some(Self::Capable { sender: key(2), receiver: key(10), length: half(18) }),
            (1, _) => Some(Self::Join { token: (body.len() == 10).then(|| word(2)).flatten() }),
            // Flags: 1 a data acknowledgement, 2 of 8 bytes, 4 a mapping, 8 its number of 8 bytes.
            (2, flags) if flags & 4 != 0 => {
                let mut at = 2;
                if flags & 1 != 0 {
                    at += if flags & 2 != 0 { 8 } else { 4 };
                }
                if flags & 8 != 0 {
                    at += 4;
                }
                Some(Self::Mapping { data: word(at)?, subflow: word(at + 4)?, length: half(at + 8)? })
            }
            _ => None,
        }
    }
}

/// What a key stands for (section 3.2: the token; section 3.3: the initial data sequence number; both of its SHA-256).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) token: u32,
    /// The number of the first byte: the one behind the initial number.
    first: u32,
}

impl Key {
    pub(super) fn new(key: u64) -> Self {
        let hash: [u8; 32] = Sha256::digest(key.to_be_bytes()).into();
        let word = |at: usize| {
            hash.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_be_bytes)
        };
        Self { token: word(0), first: word(28).wrapping_add(1) }
    }
}

/// A run of the subflow's bytes and its place. Offsets count from the first byte of the subflow, `shift` is what lies
/// before it on other subflows.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u32,
    length: u32,
    shift: u32,
}

impl Run {
    fn covers(&self, offset: u32, len: u32) -> bool {
        let before = offset.wrapping_sub(self.start);
        before <= self.length && len <= self.length - before
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    key: Option<Key>,
    /// Sequence number of the first byte on this subflow.
    base: u32,
    run: Option<Run>,
    /// Offset in the connection's stream of the byte behind all that were mapped.
    reached: u32,
    /// Data came before any mapping: the connection has fallen back to plain TCP (section 3.7).
    plain: bool,
}

/// How much is known of a connection's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Both ends agreed on Multipath TCP.
    Agreed,
    /// The beginning was missed: the first mapping is taken for the truth, and another one that does not continue it
    /// ends what can be placed.
    Missed,
    /// In that mode, another one came.
    Lost,
}

/// A connection that is, or may be, one of Multipath TCP.
#[derive(Clone, Debug)]
pub(super) struct Multipath {
    mode: Mode,
    streams: [Stream; 2],
    /// Another subflow has joined: bytes after the last ones seen may have gone there.
    pub(super) split: bool,
}

impl Multipath {
    /// A connection that both ends began with MP_CAPABLE. `client` and `server` are the initial sequence numbers.
    pub(super) fn agreed(client: u32, server: u32) -> Self {
        let stream = |isn: u32| Stream { base: isn.wrapping_add(1), ..Stream::default() };
        Self { mode: Mode::Agreed, streams: [stream(client), stream(server)], split: false }
    }

    /// A connection whose beginning was missed.
    pub(super) fn missed() -> Self {
        Self { mode: Mode::Missed, streams: [Stream::default(); 2], split: false }
    }

    /// Whether both ends speak it, and not plain TCP after all.
    pub(super) fn is_spoken(&self) -> bool {
        self.mode == Mode::Agreed && self.streams.iter().all(|stream| stream.key.is_some() && !stream.plain)
    }

    /// A key of the end that sends in `direction`.
    pub(super) fn learn(&mut self, direction: Direction, key: Option<u64>) {
        let stream = self.stream(direction);
        stream.key = stream.key.or(key.map(Key::new));
    }

    /// The tokens of both ends, as far as their keys are known.
    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> {
        self.streams.iter().filter_map(|stream| stream.key).map(|key| key.token)
    }

    /// Where data of `direction` belongs: its sequence number in the connection's stream; `None` if that is not known.
    pub(super) fn place(&mut self, direction: Direction, seq: u32, len: u32, options: &[u8]) -> Option<u32> {
        let option = MpOption::find(options);
        if let Some(MpOption::Capable { sender, receiver, .. }) = option
            && self.mode == Mode::Agreed
        {
            self.learn(direction, sender);
            self.learn(direction.reversed(), receiver);
        }
        let (mode, split) = (self.mode, self.split);
        let stream = self.stream(direction);
        if stream.plain || mode == Mode::Lost {
            return (mode != Mode::Lost).then_some(seq);
        }
        match option {
            Some(MpOption::Capable { length: Some(length), .. }) if mode == Mode::Agreed => {
                stream.run = Some(Run { start: 0, length: length.into(), shift: 0 });
                stream.reached = stream.reached.max(length.into());
            }
            Some(MpOption::Mapping { data, subflow, length }) => {
                let start = subflow.wrapping_sub(1);
                // An infinite mapping: from here on plain TCP.
                let length = if length == 0 { u32::MAX >> 1 } else { length.into() };
                if mode == Mode::Missed {
                    let shift = data.wrapping_sub(subflow);
                    match stream.run {
                        Some(run) if run.shift != shift => {
                            self.mode = Mode::Lost;
                            return None;
                        }
                        _ => stream.run = Some(Run { start, length, shift }),
                    }
                    return Some(seq);
                }
                let offset = data.wrapping_sub(stream.key?.first);
                let run = Run { start, length, shift: offset.wrapping_sub(start) };
                stream.run = Some(run);
                // A probe of a closed window carries one byte of no meaning at a place that was acknowledged before
                // (`mptcp_sendmsg_frag` in net/mptcp/protocol.c). A byte that was really written continues the stream;
                // where others carry a part of it, that cannot be told.
                if length == 1 && (split || offset != stream.reached) {
                    return None;
                }
                let end = offset.wrapping_add(length);
                if end.wrapping_sub(stream.reached) < 1 << 31 {
                    stream.reached = end;
                }
            }
            _ if mode == Mode::Missed => return Some(seq),
            _ => {}
        }
        let Some(run) = stream.run else {
            stream.plain = true;
            return Some(seq);
        };
        run.covers(seq.wrapping_sub(stream.base), len).then(|| seq.wrapping_add(run.shift))
    }

    /// Where a segment without data belongs. A FIN of a subflow says nothing of the connection's end where others have
    /// joined: it is put behind a hole.
    pub(super) fn place_control(&self, direction: Direction, seq: u32) -> u32 {
        seq.wrapping_add(self.shift(direction)).wrapping_add(self.split.into())
    }

    /// What an acknowledgement in `direction` says of the other stream.
    pub(super) fn acknowledges(&self, direction: Direction, ack: u32) -> u32 {
        ack.wrapping_add(self.shift(direction.reversed()))
    }

    fn shift(&self, direction: Direction) -> u32 {
        let stream = self.streams[direction.index()];
        match (self.mode, stream.run) {
            (Mode::Agreed, Some(run)) => run.shift,
            _ => 0,
        }
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream {
        &mut self.streams[direction.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn mapping(data: u32, subflow: u32, length: u16) -> Vec<u8> {
        // Timestamps, then an acknowledgement of 4 bytes and a mapping of 8.
        let mut options =
            vec![1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, KIND, 22, 0x20, 0x0d, 9, 9, 9, 9, 7, 7, 7, 7];
        options.extend_from_slice(&data.to_be_bytes());
        options.extend_from_slice(&subflow.to_be_bytes());
        options.extend_from_slice(&length.to_be_bytes());
        options
    }

    fn agreed() -> (Multipath, u32) {
        let mut multipath = Multipath::agreed(99, 499);
        multipath.learn(ToServer, Some(1));
        multipath.learn(ToClient, Some(2));
        (multipath, Key::new(1).first)
    }

    #[test]
    fn reads_each_option_and_survives_every_cut() {
        let join = [KIND, 12, 0x10, 1, 0, 0, 0, 5, 0, 0, 0, 6];
        assert_eq!(MpOption::find(&join), Some(MpOption::Join { token: Some(5) }));
        let capable = [KIND, 12, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(
            MpOption::find(&capable),
            Some(MpOption::Capable { sender: Some(3), receiver: None, length: None })
        );
        let whole = mapping(5, 6, 7);
        assert_eq!(MpOption::find(&whole), Some(MpOption::Mapping { data: 5, subflow: 6, length: 7 }));
        for length in 0..whole.len() {
            assert_eq!(MpOption::find(&whole[..length]), None, "{length}");
        }
        assert_eq!(MpOption::find(&[KIND, 0, 0, 0]), None);
    }

    #[test]
    fn bytes_that_lie_together_keep_their_numbers() {
        let (mut multipath, first) = agreed();
        assert_eq!(multipath.place(ToServer, 100, 10, &mapping(first, 1, 10)), Some(100));
        assert_eq!(multipath.place(ToServer, 110, 5, &mapping(first.wrapping_add(10), 11, 5)), Some(110));
        assert_eq!(multipath.place_control(ToServer, 115), 115);
    }

    #[test]
    fn bytes_that_went_another_way_leave_a_hole() {
        let (mut multipath, first) = agreed();
        assert_eq!(multipath.place(ToServer, 100, 10, &mapping(first, 1, 10)), Some(100));
        assert_eq!(multipath.place(ToServer, 110, 5, &mapping(first.wrapping_add(60), 11, 5)), Some(160));
        assert_eq!(multipath.place_control(ToServer, 115), 165);
        assert_eq!(multipath.acknowledges(ToClient, 115), 165);
    }

    #[test]
    fn a_first_byte_that_went_another_way_is_missed_too() {
        let (mut multipath, first) = agreed();
        assert_eq!(multipath.place(ToServer, 100, 5, &mapping(first.wrapping_add(3), 1, 5)), Some(103));
    }

    #[test]
    fn bytes_outside_every_mapping_are_withheld() {
        let (mut multipath, first) = agreed();
        assert_eq!(multipath.place(ToServer, 100, 10, &mapping(first, 1, 10)), Some(100));
        assert_eq!(multipath.place(ToServer, 104, 6, &[]), Some(104));
        assert_eq!(multipath.place(ToServer, 110, 1, &[]), None);
        assert_eq!(multipath.place(ToServer, 110, 9, &mapping(first.wrapping_add(10), 11, 5)), None);
    }

    #[test]
    fn a_probe_of_a_closed_window_says_nothing() {
        let (mut multipath, first) = agreed();
        assert_eq!(multipath.place(ToServer, 100, 10, &mapping(first, 1, 10)), Some(100));
        assert_eq!(multipath.place(ToServer, 110, 1, &mapping(first.wrapping_add(9), 11, 1)), None);
        assert_eq!(multipath.place(ToServer, 111, 1, &mapping(first.wrapping_add(10), 12, 1)), Some(110));
        multipath.split = true;
        assert_eq!(multipath.place(ToServer, 112, 1, &mapping(first.wrapping_add(11), 13, 1)), None);
    }

    #[test]
    fn without_a_key_the_place_is_not_known() {
        let mut multipath = Multipath::agreed(99, 499);
        assert_eq!(multipath.place(ToServer, 100, 5, &mapping(1, 1, 5)), None);
    }

    #[test]
    fn data_without_a_mapping_at_the_beginning_is_plain_tcp() {
        let (mut multipath, _) = agreed();
        assert_eq!(multipath.place(ToServer, 100, 5, &[]), Some(100));
        assert_eq!(multipath.place(ToServer, 105, 5, &mapping(77, 6, 5)), Some(105));
    }

    #[test]
    fn where_the_beginning_was_missed_only_what_continues_is_believed() {
        let mut multipath = Multipath::missed();
        assert_eq!(multipath.place(ToServer, 5000, 5, &mapping(70, 6, 5)), Some(5000));
        assert_eq!(multipath.place(ToServer, 5005, 5, &mapping(75, 11, 5)), Some(5005));
        assert_eq!(multipath.place(ToServer, 5010, 5, &mapping(90, 16, 5)), None);
        assert_eq!(multipath.place(ToServer, 5015, 5, &mapping(95, 21, 5)), None);
    }

    #[test]
    fn a_subflow_that_joined_leaves_a_hole_before_the_end() {
        let (mut multipath, first) = agreed();
        multipath.place(ToServer, 100, 10, &mapping(first, 1, 10));
        multipath.split = true;
        assert_eq!(multipath.place_control(ToServer, 110), 111);
    }
}
