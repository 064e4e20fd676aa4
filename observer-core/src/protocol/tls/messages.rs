//! Handshake messages of one direction, put together from the fragments that records carry (RFC 8446, section 4).

/// Most bytes of one handshake message that are held; a longer one is passed by length and only its start is kept.
/// Large enough for a Certificate message of 64 KiB.
pub(super) const MAX_MESSAGE: usize = (64 << 10) + 64;
/// What is kept of a message that is too long or damaged.
const START: usize = 16;

/// Types of handshake messages (RFC 8446, section 4; RFC 5246, section 7.4; RFC 6066; RFC 8879).
pub(super) mod kind {
    pub(in super::super) const HELLO_REQUEST: u8 = 0;
    pub(in super::super) const CLIENT_HELLO: u8 = 1;
    pub(in super::super) const SERVER_HELLO: u8 = 2;
    pub(in super::super) const CERTIFICATE: u8 = 11;
    pub(in super::super) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(in super::super) const CERTIFICATE_REQUEST: u8 = 13;
    pub(in super::super) const SERVER_HELLO_DONE: u8 = 14;
    pub(in super::super) const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub(in super::super) const CERTIFICATE_URL: u8 = 21;
}

/// One handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    /// The body, or as much of its beginning as was kept.
    pub(super) body: &'a [u8],
    /// Whether `body` is all of it.
    pub(super) whole: bool,
}

/// Puts messages together. Holds the kept part of one message.
#[derive(Debug, Default)]
pub(super) struct Messages {
    head: [u8; 4],
    have: u8,
    /// Body bytes still to come.
    left: usize,
    /// Body bytes still to be kept.
    keep: usize,
    whole: bool,
    held: Vec<u8>,
}

impl Messages {
    /// Whether a message has begun and not ended.
    pub(super) const fn in_message(&self) -> bool {
        self.have > 0
    }

    /// Bytes of heap held.
    pub(super) const fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Gives up what is held.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next fragment. `wanted` tells how many bytes of a message's body are of use, from its type; `found` takes
    /// each message that ends in this fragment and tells whether to go on.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        wanted: impl Fn(u8) -> usize,
        mut found: impl FnMut(Message<'_>) -> bool,
    ) {
        loop {
            let have = usize::from(self.have);
            if have < 4 {
                let taken = bytes.len().min(4 - have);
                self.head[have..have + taken].copy_from_slice(&bytes[..taken]);
                self.have += u8::try_from(taken).unwrap_or(0);
                bytes = &bytes[taken..];
                if self.have < 4 {
                    return;
                }
                let [kind, a, b, c] = self.head;
                self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let wanted = wanted(kind);
                self.keep = if self.left > MAX_MESSAGE { START.min(wanted) } else { wanted.min(self.left) };
                self.whole = self.keep == self.left;
            }
            let kind = self.head[0];
            if self.held.is_empty() && bytes.len() >= self.left {
                // All of it is here: no copy.
                let (body, rest) = bytes.split_at(self.left);
                let message = Message { kind, body: &body[..self.keep.min(body.len())], whole: self.whole };
                let go_on = found(message);
                self.begin_next();
                bytes = rest;
                if !go_on || bytes.is_empty() {
                    return;
                }
                continue;
            }
            let (body, rest) = bytes.split_at(bytes.len().min(self.left));
            self.keep(&body[..body.len().min(self.keep)]);
            self.left -= body.len();
            bytes = rest;
            if self.left > 0 {
                return;
            }
            let go_on = found(Message { kind, body: &self.held, whole: self.whole });
            self.begin_next();
            if !go_on || bytes.is_empty() {
                return;
            }
        }
    }

    /// `length` bytes are missing; `false` unless they all lie inside the body of a known message.
    pub(super) fn hole(&mut self, length: u64) -> bool {
        let Ok(length) = usize::try_from(length) else { return false };
        if self.have < 4 || length >= self.left {
            return false;
        }
        self.left -= length;
        if self.keep > 0 {
            self.keep = 0;
            self.whole = false;
        }
        true
    }

    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.held.len() + bytes.len();
        if needed > self.held.capacity() {
            // Doubling keeps the copying linear for bytes that come one at a time; the end is exact.
            let goal = (self.held.capacity() * 2).max(needed).min(self.held.len() + self.keep);
            self.held.reserve_exact(goal - self.held.len());
        }
        self.held.extend_from_slice(bytes);
        self.keep -= bytes.len();
    }

    fn begin_next(&mut self) {
        self.have = 0;
        self.left = 0;
        self.held = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(cuts: &[&[u8]]) -> Vec<(u8, Vec<u8>, bool)> {
        let mut reader = Messages::default();
        let mut found = Vec::new();
        for cut in cuts {
            reader.feed(
                cut,
                |kind| if kind == 9 { 2 } else { usize::MAX },
                |m| {
                    found.push((m.kind, m.body.to_vec(), m.whole));
                    true
                },
            );
        }
        found
    }

    #[test]
    fn reads_the_same_however_the_bytes_are_cut() {
        let bytes = [1, 0, 0, 3, 7, 8, 9, 14, 0, 0, 0, 9, 0, 0, 4, 1, 2, 3, 4, 2, 0, 0, 1, 5];
        let whole = messages(&[&bytes]);
        assert_eq!(
            whole,
            [(1, vec![7, 8, 9], true), (14, vec![], true), (9, vec![1, 2], false), (2, vec![5], true)]
        );
        for cut in 0..bytes.len() {
            assert_eq!(messages(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        assert_eq!(messages(&bytes.chunks(1).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn keeps_only_the_start_of_a_message_over_the_bound() {
        let mut bytes = vec![11, 2, 0, 0];
        bytes.extend(vec![3; 2 << 16]);
        let mut reader = Messages::default();
        let mut seen = 0;
        for piece in bytes.chunks(1000) {
            reader.feed(
                piece,
                |_| usize::MAX,
                |m| {
                    assert_eq!((m.body.len(), m.whole), (START, false));
                    seen += 1;
                    true
                },
            );
            assert!(reader.held() <= START);
        }
        assert_eq!(seen, 1);
    }

    #[test]
    fn bears_a_hole_inside_a_body() {
        let mut reader = Messages::default();
        reader.feed(&[11, 0, 0, 9, 1, 2], |_| usize::MAX, |_| panic!("too early"));
        assert!(reader.hole(4));
        assert!(!reader.hole(3));
        let mut seen = None;
        reader.feed(
            &[3, 4, 5],
            |_| usize::MAX,
            |m| {
                seen = Some((m.body.to_vec(), m.whole));
                true
            },
        );
        assert_eq!(seen, Some((vec![1, 2], false)));
    }
}
