//! SOCKS 5 (RFC 1928) with user name and password (RFC 1929). The password is skipped, never kept.

use std::net::{IpAddr, SocketAddr};

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::Exposed;
use crate::protocol::prefix::{Claim, claim};

const PASSWORD: u8 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Greeting,
    Method,
    Credentials,
    Admission,
    Request,
    Answer,
}

/// The reader of one negotiation.
#[derive(Debug, Default)]
pub(crate) struct Socks5(State);

impl Socks5 {
    /// Version 5, a plausible number of methods, and only methods that are assigned (RFC 1928, section 3, and the
    /// IANA registry; 0x80 and up are private).
    pub(crate) fn detect(client: &[u8]) -> Detect {
        match client {
            [] | [5] => Detect::NeedMore,
            [5, count, rest @ ..] if (1..=16).contains(count) => {
                let methods = rest.get(..rest.len().min(usize::from(*count))).unwrap_or_default();
                if methods.iter().any(|method| (0x0a..0x80).contains(method) || *method == 0xff) {
                    Detect::No
                } else if methods.len() < usize::from(*count) {
                    Detect::NeedMore
                } else {
                    Detect::Yes
                }
            }
            _ => Detect::No,
        }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        loop {
            match self.0 {
                State::Greeting => {
                    let count = byte(streams, ToServer, 1)?;
                    streams.peek(ToServer, 2 + usize::from(count))?;
                    streams.skip(ToServer, 2 + u64::from(count));
                    self.0 = State::Method;
                }
                State::Method => {
                    expect(byte(streams, ToClient, 0)? == 5)?;
                    let method = byte(streams, ToClient, 1)?;
                    streams.skip(ToClient, 2);
                    self.0 = match method {
                        0 => State::Request,
                        PASSWORD => State::Credentials,
                        // Others wrap what follows (GSSAPI) or refuse.
                        _ => return Err(Step::Reject),
                    };
                }
                State::Credentials => {
                    expect(byte(streams, ToServer, 0)? == 1)?;
                    let user = usize::from(byte(streams, ToServer, 1)?);
                    let password = usize::from(byte(streams, ToServer, 2 + user)?);
                    streams.peek(ToServer, 3 + user + password)?;
                    streams.skip(ToServer, (3 + user + password) as u64);
                    notes.expose(Exposed::Password);
                    self.0 = State::Admission;
                }
                State::Admission => {
                    expect(byte(streams, ToClient, 0)? == 1)?;
                    expect(byte(streams, ToClient, 1)? == 0)?;
                    streams.skip(ToClient, 2);
                    self.0 = State::Request;
                }
                State::Request => {
                    let (length, claim) = message(streams, ToServer)?;
                    notes.claims.push(claim);
                    streams.skip(ToServer, length);
                    self.0 = State::Answer;
                }
                State::Answer => {
                    let code = byte(streams, ToClient, 1)?;
                    let (length, _) = message(streams, ToClient)?;
                    expect(code <= 8)?;
                    streams.skip(ToClient, length);
                    return Ok(Step::Upgraded(Encapsulation::Socks5));
                }
            }
        }
    }
}

/// A request or an answer: both have the same shape (RFC 1928, sections 4 and 6).
fn message(streams: &Streams, direction: Direction) -> Result<(u64, Claim), Step> {
    expect(byte(streams, direction, 0)? == 5)?;
    expect(byte(streams, direction, 2)? == 0)?;
    let kind = byte(streams, direction, 3)?;
    let address = match kind {
        1 => 4..8,
        4 => 4..20,
        3 => 5..5 + usize::from(byte(streams, direction, 4)?),
        _ => return Err(Step::Reject),
    };
    let length = address.end + 2;
    let bytes = streams.peek(direction, length)?;
    let port =
        bytes.get(address.end..length).and_then(|port| port.try_into().ok()).map_or(0, u16::from_be_bytes);
    let address = bytes.get(address).unwrap_or_default();
    let mut says = Claim::new(Encapsulation::Socks5);
    let ip = match kind {
        1 => <[u8; 4]>::try_from(address).ok().map(IpAddr::from),
        4 => <[u8; 16]>::try_from(address).ok().map(IpAddr::from),
        _ => None,
    };
    match ip {
        Some(ip) => says.destination = Some(SocketAddr::new(ip, port)),
        None => says.name = Some(claim::name(address, port)),
    }
    Ok((length as u64, says))
}

fn byte(streams: &Streams, direction: Direction, at: usize) -> Result<u8, Step> {
    streams.peek(direction, at + 1)?.get(at).copied().ok_or(Step::Reject)
}

fn expect(holds: bool) -> Result<(), Step> {
    if holds { Ok(()) } else { Err(Step::Reject) }
}

impl Reader for Socks5 {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        Standing::Unproven
    }
}
