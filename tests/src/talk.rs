//! Captures of made-up conversations: what was said is given, TCP around it is made.

use std::io::Write as _;
use std::path::Path;

/// Which end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The one that dialled.
    Client,
    /// The one that listened.
    Server,
}

use Speaker::{Client, Server};

/// What was said, in order.
pub type Talk<'a> = &'a [(Speaker, &'a [u8])];

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
/// `LINKTYPE_RAW`: packets begin with their IP header.
const RAW: u32 = 101;
/// Client addresses begin here, one for each talk.
const CLIENTS: u32 = 0x0a00_0001;
const SERVER: u32 = 0x0a01_0001;

/// Writes a classic pcap file of these talks, one after the other, each from a client of its own (10.0.0.1 on) to
/// 10.1.0.1:30000, opened and closed as usual.
pub fn write(path: &Path, talks: &[Talk<'_>]) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 65_535, RAW] {
        file.write_all(&word.to_le_bytes()).unwrap();
    }
    let mut millisecond = 0_u32;
    for (client, talk) in (CLIENTS..).zip(talks) {
        // The next number of each end.
        let mut next = [client.wrapping_mul(77), client.wrapping_mul(991)];
        let mut send = |from: Speaker, flags: u8, payload: &[u8]| {
            let (own, other) = if from == Client { (0, 1) } else { (1, 0) };
            let acknowledged = if flags & ACK == 0 { 0 } else { next[other] };
            let packet = packet(client, from, [next[own], acknowledged], flags, payload);
            let length = u32::try_from(packet.len()).unwrap();
            millisecond += 1;
            for word in [1_700_000_000 + millisecond / 1000, millisecond % 1000 * 1000, length, length] {
                file.write_all(&word.to_le_bytes()).unwrap();
            }
            file.write_all(&packet).unwrap();
            let counted = u32::from(flags & (SYN | FIN) != 0);
            next[own] = next[own].wrapping_add(u32::try_from(payload.len()).unwrap() + counted);
        };
        send(Client, SYN, b"");
        send(Server, SYN | ACK, b"");
        send(Client, ACK, b"");
        for (from, said) in *talk {
            send(*from, ACK, said);
            send(if *from == Client { Server } else { Client }, ACK, b"");
        }
        send(Client, FIN | ACK, b"");
        send(Server, FIN | ACK, b"");
        send(Client, ACK, b"");
    }
    std::fs::write(path, file).unwrap();
}

fn packet(
    client: u32,
    from: Speaker,
    [sequence, acknowledged]: [u32; 2],
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let (source, target) = if from == Client { (client, SERVER) } else { (SERVER, client) };
    let (here, there) = if from == Client { (40_000_u16, 30_000_u16) } else { (30_000, 40_000) };
    let length = u16::try_from(40 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend(source.to_be_bytes());
    packet.extend(target.to_be_bytes());
    packet.extend(here.to_be_bytes());
    packet.extend(there.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(acknowledged.to_be_bytes());
    packet.extend([0x50, flags, 0xff, 0, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}
