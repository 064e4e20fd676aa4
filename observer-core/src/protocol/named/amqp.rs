//! AMQP 0-9-1 (section 4.2) and AMQP 1.0 (sections 2.2 and 5.3): the protocol header and the broker's answer.

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::{Exposed, Protocol};

const HEADERS: [&[u8; 8]; 3] = [b"AMQP\0\0\x09\x01", b"AMQP\0\x01\0\0", b"AMQP\x03\x01\0\0"];
/// How much of the client's first frame is searched for its mechanism; client properties stand before it.
const FRAME: usize = 4096;

/// The reader of the header, the answer and the client's first frame.
#[derive(Debug, Default)]
pub(crate) struct Amqp {
    header: Option<usize>,
    answered: bool,
}

impl Amqp {
    pub(crate) fn detect(client: &[u8]) -> Detect {
        if HEADERS.iter().any(|header| client.starts_with(*header)) {
            Detect::Yes
        } else if HEADERS.iter().any(|header| header.starts_with(client)) {
            Detect::NeedMore
        } else {
            Detect::No
        }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        let header = match self.header {
            Some(header) => header,
            None => {
                let bytes = streams.peek(ToServer, 8)?;
                let found =
                    HEADERS.iter().position(|header| bytes.starts_with(*header)).ok_or(Step::Reject)?;
                streams.skip(ToServer, 8);
                *self.header.insert(found)
            }
        };
        if !self.answered {
            let answer = streams.peek(ToClient, 8)?;
            if answer.starts_with(b"AMQP") {
                let same = HEADERS.get(header).is_some_and(|header| answer.starts_with(*header));
                // Another header refuses this version, and the connection ends.
                if !same || header == 0 {
                    return Ok(Step::Settled(Protocol::Amqp));
                }
                streams.skip(ToClient, 8);
            } else if header == 0 {
                // A method frame on channel 0: connection.start.
                let frame = streams.peek(ToClient, 11)?;
                if !frame.starts_with(b"\x01\0\0") || frame.get(7..11) != Some(&[0, 10, 0, 10]) {
                    return Err(Step::Reject);
                }
            } else {
                return Err(Step::Reject);
            }
            self.answered = true;
        }
        if header == 1 {
            return Ok(Step::Settled(Protocol::Amqp));
        }
        let head = streams.peek(ToServer, 8)?;
        let length = match (header, head) {
            (0, [1, 0, 0, 0, 0, high, low, ..]) => 8 + usize::from(u16::from_be_bytes([*high, *low])),
            (2, [0, 0, high, low, offset, 1, ..]) if *offset >= 2 => {
                usize::from(u16::from_be_bytes([*high, *low]))
            }
            _ => return Ok(Step::Settled(Protocol::Amqp)),
        };
        let frame = streams.peek(ToServer, length.min(FRAME))?;
        let frame = frame.get(..length.min(FRAME)).unwrap_or_default();
        let says = |word: &[u8]| frame.windows(word.len()).any(|window| window == word);
        if says(b"PLAIN") {
            notes.expose(Exposed::Password);
        }
        Ok(Step::Settled(Protocol::Amqp))
    }
}

impl Reader for Amqp {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        if self.header.is_some() { Standing::Spoken(Protocol::Amqp) } else { Standing::Unproven }
    }
}
