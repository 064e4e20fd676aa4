//! The table of tracked connections of one network namespace (conntrack's netlink, `net/netfilter/nf_conntrack_netlink.c`).

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket as Netlink, SocketAddr as Kernel};

/// Longest answer: one connection's attributes are some hundred bytes.
const BUFFER: usize = 8 << 10;

/// Two ends, the client's first.
pub(super) type Ends = [SocketAddr; 2];

/// Looks up one connection after the other in the calling thread's network namespace: its ends behind the translation, the
/// same where there is none, `None` where the connection is not tracked. Each costs one hash look-up in the kernel.
///
/// # Errors
/// The kernel's: `PermissionDenied` without `CAP_NET_ADMIN`, others where it has no connection tracking.
pub(super) fn look_up(sought: &[Ends]) -> io::Result<Vec<Option<Ends>>> {
    let mut netlink = Netlink::new(NETLINK_NETFILTER)?;
    netlink.bind_auto()?;
    netlink.connect(&Kernel::new(0, 0))?;
    // The kernel answers within the call that asks.
    netlink.set_non_blocking(true)?;
    let mut buffer = vec![0; BUFFER];
    sought.iter().map(|ends| look_up_one(&netlink, *ends, &mut buffer)).collect()
}

fn look_up_one(netlink: &Netlink, ends: Ends, buffer: &mut [u8]) -> io::Result<Option<Ends>> {
    netlink.send(&request(ends), 0)?;
    let length = netlink.recv(&mut &mut buffer[..], 0)?;
    answer(buffer.get(..length).unwrap_or_default(), ends)
}

fn request(ends: Ends) -> Vec<u8> {
    let family = if ends[0].is_ipv4() { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 };
    let tuple = vec![
        Tuple::Ip(vec![IPTuple::SourceAddress(ends[0].ip()), IPTuple::DestinationAddress(ends[1].ip())]),
        Tuple::Proto(vec![
            ProtoTuple::Protocol(Protocol::Tcp),
            ProtoTuple::SourcePort(ends[0].port()),
            ProtoTuple::DestinationPort(ends[1].port()),
        ]),
    ];
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let get = ConntrackMessage::Get(vec![ConntrackAttribute::CtaTupleOrig(tuple)]);
    let message = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), get);
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What the kernel says of the connection between `ends`.
fn answer(bytes: &[u8], ends: Ends) -> io::Result<Option<Ends>> {
    let not_understood = || io::Error::other("an answer of connection tracking was not understood");
    let message = NetlinkMessage::<NetfilterMessage>::deserialize(bytes).map_err(|_| not_understood())?;
    let attributes = match message.payload {
        NetlinkPayload::Error(error) => {
            let error = error.to_io();
            return if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) };
        }
        NetlinkPayload::InnerMessage(message) => match message.inner {
            NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) => attributes,
            _ => return Err(not_understood()),
        },
        _ => return Err(not_understood()),
    };
    let mut way = None;
    let mut back = None;
    for attribute in &attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => way = between(tuple),
            ConntrackAttribute::CtaTupleReply(tuple) => back = between(tuple),
            _ => {}
        }
    }
    // The kernel finds a connection by its way back as well: that would be another one.
    Ok(way.zip(back).filter(|(way, _)| *way == ends).map(|(_, [server, client])| [client, server]))
}

/// Source and destination of one direction.
fn between(tuple: &[Tuple]) -> Option<Ends> {
    let mut ips: [Option<IpAddr>; 2] = [None; 2];
    let mut ports: [Option<u16>; 2] = [None; 2];
    for part in tuple {
        match part {
            Tuple::Ip(parts) => {
                for part in parts {
                    match part {
                        IPTuple::SourceAddress(ip) => ips[0] = Some(*ip),
                        IPTuple::DestinationAddress(ip) => ips[1] = Some(*ip),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(parts) => {
                for part in parts {
                    match part {
                        ProtoTuple::SourcePort(port) => ports[0] = Some(*port),
                        ProtoTuple::DestinationPort(port) => ports[1] = Some(*port),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some([SocketAddr::new(ips[0]?, ports[0]?), SocketAddr::new(ips[1]?, ports[1]?)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, server: &str) -> Ends {
        [client.parse().unwrap(), server.parse().unwrap()]
    }

    /// As the kernel would answer: the tuple that was asked for, and that of the way back.
    fn told(way: Ends, back: Ends) -> Vec<u8> {
        let tuple = |[from, to]: Ends| {
            vec![
                Tuple::Ip(vec![IPTuple::SourceAddress(from.ip()), IPTuple::DestinationAddress(to.ip())]),
                Tuple::Proto(vec![
                    ProtoTuple::Protocol(Protocol::Tcp),
                    ProtoTuple::SourcePort(from.port()),
                    ProtoTuple::DestinationPort(to.port()),
                ]),
            ]
        };
        let new = ConntrackMessage::New(vec![
            ConntrackAttribute::CtaTupleOrig(tuple(way)),
            ConntrackAttribute::CtaTupleReply(tuple(back)),
        ]);
        let message = NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0), new);
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn the_way_back_tells_both_ends_behind_the_translation() {
        for (asked, back, expected) in [
            (
                ends("10.0.0.1:999", "10.96.0.1:443"),
                ends("10.0.0.9:6443", "10.0.0.254:50000"),
                ends("10.0.0.254:50000", "10.0.0.9:6443"),
            ),
            (
                ends("[fd00::1]:999", "[fd00::96]:443"),
                ends("[fd00::9]:6443", "[fd00::1]:999"),
                ends("[fd00::1]:999", "[fd00::9]:6443"),
            ),
        ] {
            assert_eq!(answer(&told(asked, back), asked).unwrap(), Some(expected));
        }
    }

    #[test]
    fn the_way_back_of_another_connection_is_not_this_one() {
        let asked = ends("10.0.0.9:6443", "10.0.0.1:999");
        let other = ends("10.0.0.1:999", "10.96.0.1:443");
        assert_eq!(answer(&told(other, asked), asked).unwrap(), None);
    }

    #[test]
    fn what_is_cut_is_refused() {
        let asked = ends("10.0.0.1:999", "10.96.0.1:443");
        let bytes = told(asked, asked);
        for length in 0..bytes.len() {
            assert!(answer(&bytes[..length], asked).is_err(), "{length}");
        }
    }
}
