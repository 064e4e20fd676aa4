//! MySQL and MariaDB client/server protocol: the server's greeting (HandshakeV10) and the client's answer to it,
//! an SSLRequest or a HandshakeResponse41 (MySQL Source Code Documentation, "Connection Phase Packets").

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::{Exposed, Protocol};

const SSL: u32 = 0x0800;
const PROTOCOL_41: u32 = 0x0200;
/// The length of an SSLRequest, and of the fixed part of a HandshakeResponse41.
const FIXED: usize = 32;
/// The longest version text.
const VERSION: usize = 80;

/// The reader of one connection phase.
#[derive(Debug, Default)]
pub(crate) struct Mysql {
    greeted: bool,
    proven: bool,
}

impl Mysql {
    /// Packet header with sequence 0, protocol version 10, a version text that begins with a digit and ends with
    /// zero, and the zero behind the first half of the salt.
    pub(crate) fn detect(server: &[u8]) -> Detect {
        let Some(head) = server.first_chunk::<5>() else {
            return match server {
                [_, _, high, ..] if *high != 0 => Detect::No,
                [_, _, _, sequence, ..] if *sequence != 0 => Detect::No,
                _ => Detect::NeedMore,
            };
        };
        let [low, middle, high, sequence, version] = *head;
        let length = u32::from_le_bytes([low, middle, high, 0]);
        if sequence != 0 || version != 10 || !(30..=1024).contains(&length) {
            return Detect::No;
        }
        let text = server.get(5..).unwrap_or_default();
        for (index, byte) in text.iter().enumerate() {
            match byte {
                0 if index >= 3 => {
                    return match text.get(index + 13) {
                        Some(0) => Detect::Yes,
                        Some(_) => Detect::No,
                        None => Detect::NeedMore,
                    };
                }
                b'0'..=b'9' => {}
                b' '..=b'~' if index > 0 => {}
                _ => return Detect::No,
            }
            if index > VERSION {
                return Detect::No;
            }
        }
        Detect::NeedMore
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        if !self.greeted {
            let length = packet(streams.peek(ToClient, 4)?, 0)?;
            streams.skip(ToClient, 4 + length as u64);
            self.greeted = true;
        }
        let length = packet(streams.peek(ToServer, 4)?, 1)?;
        if !(FIXED..=4096).contains(&length) {
            return Err(Step::Reject);
        }
        let fixed = streams.peek(ToServer, 4 + FIXED)?;
        let flags = fixed.get(4..8).and_then(|flags| flags.try_into().ok()).map_or(0, u32::from_le_bytes);
        // The filler is zero but for MariaDB's extended capabilities in its last four bytes.
        let filler = fixed.get(13..32).unwrap_or_default();
        if flags & PROTOCOL_41 == 0 || filler.iter().any(|byte| *byte != 0) {
            return if flags & SSL != 0 && length == FIXED {
                self.secured(streams)
            } else {
                Err(Step::Reject)
            };
        }
        self.proven = true;
        if length == FIXED && flags & SSL != 0 {
            return self.secured(streams);
        }
        let rest = streams.peek(ToServer, 4 + length)?.get(4 + FIXED..4 + length).unwrap_or_default();
        let user = rest.iter().position(|byte| *byte == 0).ok_or(Step::Reject)?;
        if rest.get(user + 1).is_some_and(|length| *length > 0) {
            notes.expose(Exposed::Password);
        }
        Ok(Step::Settled(Protocol::Mysql))
    }

    /// An SSLRequest has no answer: the client goes on with its ClientHello at once.
    fn secured(&mut self, streams: &mut Streams) -> Result<Step, Step> {
        self.proven = true;
        streams.skip(ToServer, 4 + FIXED as u64);
        Ok(Step::Upgraded(Encapsulation::StarttlsMysql))
    }
}

/// The length of a packet with the wanted sequence number.
fn packet(bytes: &[u8], wanted: u8) -> Result<usize, Step> {
    match bytes.first_chunk::<4>() {
        Some([low, middle, 0, sequence]) if *sequence == wanted => {
            Ok(usize::from(u16::from_le_bytes([*low, *middle])))
        }
        _ => Err(Step::Reject),
    }
}

impl Reader for Mysql {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        if self.proven { Standing::Spoken(Protocol::Mysql) } else { Standing::Unproven }
    }
}
