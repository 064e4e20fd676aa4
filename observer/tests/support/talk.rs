//! One plain HTTP connection, as packets of every kind.

use std::net::{Ipv4Addr, SocketAddrV4};

pub const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 7), 50_000);
pub const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 1), 10_255);

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;
const TCP: u8 = 6;

/// One TCP segment of the connection.
#[derive(Clone, Debug)]
pub struct Segment {
    pub client: SocketAddrV4,
    pub server: SocketAddrV4,
    pub to_server: bool,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: Vec<u8>,
}

/// What the client sends, and what the server answers in two segments.
fn payloads() -> (Vec<u8>, [Vec<u8>; 2]) {
    let request =
        b"GET /healthz HTTP/1.1\r\nHost: 10.96.0.1:10255\r\nUser-Agent: kube-probe/1.31\r\n\r\n".to_vec();
    let mut first = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2300\r\n\r\n".to_vec();
    first.extend([b'a'; 1000]);
    (request, [first, vec![b'b'; 1300]])
}

/// Payload bytes that the client and the server send.
pub fn bytes() -> (u64, u64) {
    let (request, [first, second]) = payloads();
    (request.len() as u64, (first.len() + second.len()) as u64)
}

/// The connection from its first packet to its last.
pub fn conversation() -> Vec<Segment> {
    conversation_from(CLIENT)
}

/// The same of another client.
pub fn conversation_from(client: SocketAddrV4) -> Vec<Segment> {
    let (request, [first, second]) = payloads();
    // The server's numbers wrap around on the way.
    let mut next = [u32::from(client.port()) << 16, 0xffff_ff00];
    let mut segments = Vec::new();
    for (to_server, flags, payload) in [
        (true, SYN, vec![]),
        (false, SYN | ACK, vec![]),
        (true, ACK, vec![]),
        (true, ACK, request),
        (false, ACK, first),
        (false, ACK, second),
        (true, ACK, vec![]),
        (true, FIN | ACK, vec![]),
        (false, FIN | ACK, vec![]),
        (true, ACK, vec![]),
    ] {
        let [own, other] = if to_server { [0, 1] } else { [1, 0] };
        let ack = if flags & ACK == 0 { 0 } else { next[other] };
        let sent = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        segments.push(Segment { client, server: SERVER, to_server, seq: next[own], ack, flags, payload });
        next[own] = next[own].wrapping_add(sent);
    }
    segments
}

/// The segment behind a translation of both ends.
pub fn translated(segment: &Segment) -> Segment {
    Segment {
        client: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 50_001),
        server: SocketAddrV4::new(Ipv4Addr::new(10, 244, 1, 9), 8443),
        ..segment.clone()
    }
}

impl Segment {
    fn ends(&self) -> [SocketAddrV4; 2] {
        if self.to_server { [self.client, self.server] } else { [self.server, self.client] }
    }

    fn tcp(&self) -> Vec<u8> {
        let [source, destination] = self.ends();
        let mut bytes = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([0x50, self.flags, 255, 255, 0, 0, 0, 0]);
        bytes.extend(&self.payload);
        bytes
    }
}

/// As an IPv4 packet.
pub fn ipv4(segment: &Segment) -> Vec<u8> {
    ipv4_part(segment, 0, 0x4000, &segment.tcp())
}

fn ipv4_part(segment: &Segment, id: u16, place: u16, part: &[u8]) -> Vec<u8> {
    let [source, destination] = segment.ends();
    let mut bytes = vec![0x45, 0];
    bytes.extend((20 + part.len() as u16).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(place.to_be_bytes());
    bytes.extend([64, TCP, 0, 0]);
    bytes.extend(source.ip().octets());
    bytes.extend(destination.ip().octets());
    bytes.extend(part);
    bytes
}

/// As an IPv6 packet with these extension headers, which are named by their numbers.
pub fn ipv6(extensions: &[u8], segment: &Segment) -> Vec<u8> {
    let mut inner = Vec::new();
    for (n, kind) in extensions.iter().enumerate() {
        let next = extensions.get(n + 1).copied().unwrap_or(TCP);
        match kind {
            // An authentication header counts in words of four bytes, less two.
            51 => inner.extend([next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]),
            44 => inner.extend([next, 0, 0, 0, 0, 0, 0, 9]),
            // Padding of eight bytes, and of eight more.
            _ => inner.extend([next, 1, 1, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0]),
        }
    }
    inner.extend(segment.tcp());
    ipv6_part(segment, extensions.first().copied().unwrap_or(TCP), &inner)
}

fn ipv6_part(segment: &Segment, next: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((inner.len() as u16).to_be_bytes());
    bytes.extend([next, 64]);
    for end in segment.ends() {
        bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(end.ip().octets());
    }
    bytes.extend(inner);
    bytes
}

/// As fragments of at most 96 bytes, in order; whole where it is not longer.
pub fn fragmented(wide: bool, id: u32, segment: &Segment) -> Vec<Vec<u8>> {
    let tcp = segment.tcp();
    if tcp.len() <= 96 {
        return vec![if wide { ipv6(&[], segment) } else { ipv4(segment) }];
    }
    let last = (tcp.len() - 1) / 96;
    let piece = |(n, part): (usize, &[u8])| {
        let (offset, more) = (n as u16 * 96, n < last);
        if wide {
            let mut inner = vec![TCP, 0];
            inner.extend((offset | u16::from(more)).to_be_bytes());
            inner.extend(id.to_be_bytes());
            inner.extend(part);
            ipv6_part(segment, 44, &inner)
        } else {
            ipv4_part(segment, id as u16, (offset / 8) | if more { 0x2000 } else { 0 }, part)
        }
    };
    tcp.chunks(96).enumerate().map(piece).collect()
}

/// What a packet travels in.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    Ethernet,
    Sll,
    Sll2,
    Raw,
    Null,
    Loop,
}

impl Link {
    pub const ALL: [Self; 6] = [Self::Ethernet, Self::Sll, Self::Sll2, Self::Raw, Self::Null, Self::Loop];

    /// Its number in the registry of tcpdump.org.
    pub const fn number(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Sll => 113,
            Self::Sll2 => 276,
            Self::Raw => 101,
            Self::Null => 0,
            Self::Loop => 108,
        }
    }

    /// The packet with what goes before it.
    pub fn frame(self, packet: &[u8]) -> Vec<u8> {
        let wide = packet[0] >> 4 == 6;
        let kind: [u8; 2] = if wide { [0x86, 0xdd] } else { [8, 0] };
        let mut frame = match self {
            Self::Ethernet => [vec![2; 12], kind.to_vec()].concat(),
            Self::Sll => [vec![0, 4, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0], kind.to_vec()].concat(),
            Self::Sll2 => {
                [kind.to_vec(), vec![0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 2, 2, 2, 2, 2, 0, 0]].concat()
            }
            Self::Raw => Vec::new(),
            Self::Null => vec![if wide { 30 } else { 2 }, 0, 0, 0],
            Self::Loop => vec![0, 0, 0, if wide { 24 } else { 2 }],
        };
        frame.extend(packet);
        frame
    }
}
