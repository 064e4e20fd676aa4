//! SOCKS 4 and 4a: one request, one answer of eight bytes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams};
use crate::protocol::prefix::{Claim, claim};

/// The longest user name, and the longest host name, that is read.
const NAME: usize = 255;

/// The reader of one negotiation.
#[derive(Debug, Default)]
pub(crate) struct Socks4 {
    requested: bool,
}

impl Socks4 {
    /// Version 4, CONNECT, and a port that is not zero.
    pub(crate) fn detect(client: &[u8]) -> Detect {
        match client {
            [] | [4] | [4, 1] | [4, 1, _] => Detect::NeedMore,
            [4, 1, 0, 0, ..] => Detect::No,
            [4, 1, ..] if client.len() < 9 => Detect::NeedMore,
            [4, 1, ..] => Detect::Yes,
            _ => Detect::No,
        }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        if !self.requested {
            let head = streams.peek(ToServer, 9)?;
            let [_, _, high, low, a, b, c, d] = head.first_chunk::<8>().copied().ok_or(Step::Reject)?;
            let port = u16::from_be_bytes([high, low]);
            let user = text(head.get(8..).unwrap_or_default())?;
            let mut length = 8 + user.len() + 1;
            let mut says = Claim::new(Encapsulation::Socks4);
            // 4a: an address of the form 0.0.0.x says that a name follows.
            if [a, b, c] == [0; 3] && d != 0 {
                let host = text(head.get(length..).unwrap_or_default())?;
                says.name = Some(claim::name(host, port));
                length += host.len() + 1;
            } else {
                says.destination = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port));
            }
            notes.claims.push(says);
            streams.skip(ToServer, length as u64);
            self.requested = true;
        }
        let [version, code] = streams.peek(ToClient, 2)?.first_chunk::<2>().copied().ok_or(Step::Reject)?;
        if version != 0 || !(90..=93).contains(&code) {
            return Err(Step::Reject);
        }
        streams.peek(ToClient, 8)?;
        streams.skip(ToClient, 8);
        Ok(Step::Upgraded(Encapsulation::Socks4))
    }
}

/// Printable bytes up to a zero.
fn text(bytes: &[u8]) -> Result<&[u8], Step> {
    let end = bytes.iter().take(NAME + 1).position(|byte| *byte == 0);
    let text = bytes.get(..end.unwrap_or(bytes.len().min(NAME + 1))).unwrap_or_default();
    match end {
        _ if !text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => Err(Step::Reject),
        Some(_) => Ok(text),
        None if text.len() > NAME => Err(Step::Reject),
        None => Err(Step::Wait(ToServer)),
    }
}

impl Reader for Socks4 {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        Standing::Unproven
    }
}
