//! A captured connection that can be played again between other ends, with other sequence numbers.

use std::net::Ipv4Addr;

use anyhow::{Result, bail, ensure};

use super::frame::{ACK, FIN, IP, SYN, TCP, seal};
use crate::fixtures::SERVER;
use crate::fixtures::pcap::Packet;

const RST: u8 = 4;
const SACK: u8 = 5;

/// A captured connection.
#[derive(Debug, Default)]
pub struct Template {
    packets: Vec<Played>,
}

#[derive(Debug)]
struct Played {
    /// Microseconds after the first packet.
    after: u64,
    frame: Vec<u8>,
    to_server: bool,
    /// Where sequence numbers of the sender stand, and of the receiver.
    numbers: [Vec<usize>; 2],
}

/// What one playing has for its own.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub client: Ipv4Addr,
    pub server: Ipv4Addr,
    /// Added to the client's sequence numbers, and to the server's.
    pub shift: [u32; 2],
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// The client's port and the server's.
    pub ports: [u16; 2],
    /// The next sequence number of the client, and of the server.
    pub next: [u32; 2],
    /// The server chose TLS 1.3.
    pub tls13: bool,
}

impl Template {
    /// Adds the next packet.
    pub fn push(&mut self, first: u64, packet: &Packet) -> Result<()> {
        let frame = &packet.frame;
        ensure!(
            frame.get(12..15) == Some(&[8, 0, 0x45]) && frame.len() >= TCP + 20,
            "not IPv4 without options"
        );
        let to_server = frame[IP + 16..IP + 20] == SERVER.octets();
        let mut numbers = [vec![TCP + 4], Vec::new()];
        if frame[TCP + 13] & ACK != 0 {
            numbers[1].push(TCP + 8);
        }
        let end = TCP + usize::from(frame[TCP + 12] >> 4) * 4;
        let mut at = TCP + 20;
        while at + 1 < end {
            let (kind, length) = (frame[at], usize::from(frame[at + 1]));
            match kind {
                0 => break,
                1 => at += 1,
                _ if length < 2 || at + length > end => bail!("a TCP option is cut"),
                _ => {
                    if kind == SACK {
                        numbers[1].extend((at + 2..at + length).step_by(4));
                    }
                    at += length;
                }
            }
        }
        let after = packet.time.saturating_sub(first);
        self.packets.push(Played { after, frame: frame.clone(), to_server, numbers });
        Ok(())
    }

    /// Packets of the connection.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Packets before the first that ends it.
    pub fn open(&self) -> usize {
        let ends = |it: &Played| it.frame[TCP + 13] & (FIN | RST) != 0;
        self.packets.iter().position(ends).unwrap_or(self.packets.len())
    }

    /// Where the connection stands before the first packet that ends it.
    pub fn state(&self) -> Option<State> {
        let first = self.packets.first()?;
        let port = |at: usize| Some(u16::from_be_bytes(*first.frame.get(at..)?.first_chunk()?));
        let mut state = State { ports: [port(TCP)?, port(TCP + 2)?], next: [0; 2], tls13: false };
        for packet in self.packets.get(..self.open())? {
            let frame = &packet.frame;
            let header = usize::from(frame[TCP + 12] >> 4) * 4;
            let length = usize::from(u16::from_be_bytes([frame[IP + 2], frame[IP + 3]])) - 20 - header;
            let seq = u32::from_be_bytes(*frame.get(TCP + 4..)?.first_chunk()?);
            let syn = u32::from(frame[TCP + 13] & SYN != 0);
            let next = &mut state.next[usize::from(!packet.to_server)];
            *next = seq.wrapping_add(u32::try_from(length).ok()?).wrapping_add(syn);
            // A ServerHello of TLS 1.3 ends in the extension that says so (RFC 8446, section 4.2.1).
            let bytes = frame.get(TCP + header..).unwrap_or_default();
            state.tls13 |= !packet.to_server && bytes.windows(6).any(|it| it == [0, 0x2b, 0, 2, 3, 4]);
        }
        Some(state)
    }

    /// Microseconds from the first packet to the packet number `place`, which `frame` becomes.
    pub fn play(&self, place: usize, ends: Ends, frame: &mut Vec<u8>) -> Option<u64> {
        let played = self.packets.get(place)?;
        frame.clone_from(&played.frame);
        let [mut source, mut destination] = [ends.client, ends.server];
        let [mut own, mut other] = ends.shift;
        if !played.to_server {
            (source, destination) = (destination, source);
            (own, other) = (other, own);
        }
        frame[IP + 12..IP + 16].copy_from_slice(&source.octets());
        frame[IP + 16..IP + 20].copy_from_slice(&destination.octets());
        for (places, shift) in played.numbers.iter().zip([own, other]) {
            for at in places {
                if let Some(number) = frame.get_mut(*at..).and_then(|it| it.first_chunk_mut()) {
                    *number = u32::from_be_bytes(*number).wrapping_add(shift).to_be_bytes();
                }
            }
        }
        seal(frame);
        Some(played.after)
    }
}
