//! PROXY protocol, versions 1 and 2: a header before the client's stream, nothing in the server's
//! (HAProxy `doc/proxy-protocol.txt`, sections 2.1 and 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::flow::Direction::ToServer;
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams, begins};
use crate::protocol::prefix::Claim;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, CR LF included.
const LINE: usize = 107;

/// The reader of one header.
#[derive(Debug)]
pub(crate) struct Proxy;

impl Proxy {
    pub(crate) fn detect(client: &[u8]) -> Detect {
        match (begins(client, b"PROXY "), begins(client, SIGNATURE)) {
            (Detect::Yes, _) | (_, Detect::Yes) => Detect::Yes,
            (Detect::No, Detect::No) => Detect::No,
            _ => Detect::NeedMore,
        }
    }
}

impl Reader for Proxy {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        let read = if streams.of(ToServer).bytes().first() == Some(&b'P') { text } else { binary };
        match read(streams) {
            Ok((claim, step)) => {
                notes.claims.push(claim);
                step
            }
            Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        Standing::Unproven
    }
}

fn text(streams: &mut Streams) -> Result<(Claim, Step), Step> {
    let waiting = streams.of(ToServer).bytes();
    if !waiting.iter().take(LINE).any(|byte| *byte == b'\n') {
        return Err(if waiting.len() >= LINE { Step::Reject } else { Step::Wait(ToServer) });
    }
    let line = streams.line(ToServer)?;
    let line = core::str::from_utf8(&line).map_err(|_| Step::Reject)?;
    let mut words = line.split(' ').skip(1);
    let mut claim = Claim::new(Encapsulation::ProxyV1);
    match words.next() {
        Some("TCP4" | "TCP6") => {
            let mut address =
                || words.next().and_then(|word| word.parse::<IpAddr>().ok()).ok_or(Step::Reject);
            let (source, destination) = (address()?, address()?);
            let mut port = || words.next().and_then(|word| word.parse::<u16>().ok()).ok_or(Step::Reject);
            claim.source = Some(SocketAddr::new(source, port()?));
            claim.destination = Some(SocketAddr::new(destination, port()?));
        }
        Some("UNKNOWN") => {}
        _ => return Err(Step::Reject),
    }
    Ok((claim, Step::Upgraded(Encapsulation::ProxyV1)))
}

fn binary(streams: &mut Streams) -> Result<(Claim, Step), Step> {
    let head = streams.peek(ToServer, 16)?;
    let [.., command, family, high, low] = head.first_chunk::<16>().copied().ok_or(Step::Reject)?;
    if command >> 4 != 2 || command & 15 > 1 {
        return Err(Step::Reject);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    // Long headers (TLVs with a certificate, for example) are skipped as they come; only the addresses are read.
    let body = streams.peek(ToServer, 16 + length.min(36))?.get(16..16 + length.min(36)).unwrap_or_default();
    let mut claim = Claim::new(Encapsulation::ProxyV2);
    let port = |at: usize| body.get(at..at + 2).and_then(|port| port.try_into().ok()).map(u16::from_be_bytes);
    // LOCAL is the proxy's own connection (a health check): its addresses mean nothing.
    if command & 15 == 1 {
        match family >> 4 {
            1 => {
                let address = |at: usize| {
                    let octets: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
                    Some(IpAddr::V4(Ipv4Addr::from(octets)))
                };
                claim.source = address(0).zip(port(8)).map(SocketAddr::from);
                claim.destination = address(4).zip(port(10)).map(SocketAddr::from);
            }
            2 => {
                let address = |at: usize| {
                    let octets: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
                    Some(IpAddr::V6(Ipv6Addr::from(octets)))
                };
                claim.source = address(0).zip(port(32)).map(SocketAddr::from);
                claim.destination = address(16).zip(port(34)).map(SocketAddr::from);
            }
            _ => {}
        }
    }
    streams.skip(ToServer, 16 + length as u64);
    Ok((claim, Step::Upgraded(Encapsulation::ProxyV2)))
}
