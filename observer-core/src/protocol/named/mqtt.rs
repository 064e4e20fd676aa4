//! MQTT 3.1, 3.1.1 and 5: CONNECT and CONNACK (MQTT 5.0, sections 3.1 and 3.2).

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::{Exposed, Protocol};

/// The reader of one CONNECT and its answer.
#[derive(Debug, Default)]
pub(crate) struct Mqtt {
    /// The protocol level, once CONNECT was read.
    level: Option<u8>,
}

impl Mqtt {
    /// Packet type, remaining length, protocol name and level.
    pub(crate) fn detect(client: &[u8]) -> Detect {
        match client.first() {
            None => return Detect::NeedMore,
            Some(0x10) => {}
            Some(_) => return Detect::No,
        }
        let Some((length, used)) = (match remaining(client.get(1..).unwrap_or_default()) {
            Ok(found) => Some(found),
            Err(detect) => return detect,
        }) else {
            return Detect::No;
        };
        if length < 10 {
            return Detect::No;
        }
        let header = client.get(1 + used..).unwrap_or_default();
        let names: [&[u8]; 3] = [b"\0\x04MQTT\x04", b"\0\x04MQTT\x05", b"\0\x06MQIsdp\x03"];
        if names.iter().any(|name| header.starts_with(name)) {
            Detect::Yes
        } else if names.iter().any(|name| name.starts_with(header)) {
            Detect::NeedMore
        } else {
            Detect::No
        }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        let level = match self.level {
            Some(level) => level,
            None => {
                let bytes = streams.peek(ToServer, 2)?;
                let (length, used) =
                    remaining(bytes.get(1..).unwrap_or_default()).map_err(|_| Step::Reject)?;
                let name = if bytes.get(1 + used + 1) == Some(&6) { 6 } else { 4 };
                let at = 1 + used + 2 + name;
                let header = streams.peek(ToServer, at + 2)?;
                let (level, flags) = (header.get(at).copied(), header.get(at + 1).copied());
                let (Some(level), Some(flags)) = (level, flags) else { return Err(Step::Reject) };
                // The lowest flag is reserved; will QoS 3 does not exist.
                if flags & 1 != 0 || flags & 0x18 == 0x18 {
                    return Err(Step::Reject);
                }
                if flags & 0x40 != 0 {
                    notes.expose(Exposed::Password);
                }
                streams.skip(ToServer, 1 + used as u64 + u64::from(length));
                *self.level.insert(level)
            }
        };
        let head = streams.peek(ToClient, 4)?;
        let fits = match head {
            [0x20, 2, session, code, ..] if level < 5 => *session <= 1 && *code <= 5,
            [0x20, length, session, ..] if level == 5 => *length >= 3 && *session <= 1,
            _ => false,
        };
        if fits { Ok(Step::Settled(Protocol::Mqtt)) } else { Err(Step::Reject) }
    }
}

/// A variable byte integer (MQTT 5.0, section 1.5.5) and its size.
fn remaining(bytes: &[u8]) -> Result<(u32, usize), Detect> {
    let mut value = 0_u32;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, index + 1));
        }
    }
    Err(if bytes.len() < 4 { Detect::NeedMore } else { Detect::No })
}

impl Reader for Mqtt {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        // Fixed header, name and level of CONNECT are unmistakable without the broker's answer.
        if self.level.is_some() { Standing::Spoken(Protocol::Mqtt) } else { Standing::Unproven }
    }
}
