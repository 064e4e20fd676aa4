//! Socket diagnostics (`NETLINK_SOCK_DIAG`, sock_diag(7)) of one network namespace.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket as Netlink, SocketAddr as Kernel};

use super::socket::Socket;

/// The kernel fills at most 32 KiB at a time for a reader with room for that much (`netlink_dump`).
const BUFFER: usize = 64 << 10;
/// Longest message header (`struct nlmsghdr`), and what messages are padded to.
const HEADER: usize = 16;

/// Sockets of one namespace, and what was not listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) sockets: Vec<Socket>,
    /// Sockets beyond the bound.
    pub(crate) left_out: u64,
    /// Messages that were not of the form.
    pub(crate) not_understood: u64,
    /// Whether sockets came and went so that the kernel may have skipped some (`NLM_F_DUMP_INTR`).
    pub(crate) interrupted: bool,
}

/// Lists the TCP sockets of the calling thread's network namespace, at most `most` of them.
pub(crate) fn list(most: usize) -> io::Result<Listed> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&Kernel::new(0, 0))?;
    let mut listed = Listed::default();
    for family in [AF_INET, AF_INET6] {
        netlink.send(&request(family), 0)?;
        receive(&netlink, most, &mut listed)?;
    }
    Ok(listed)
}

fn request(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let states = StateFlags::LISTEN
        | StateFlags::SYN_SENT
        | StateFlags::ESTABLISHED
        | StateFlags::CLOSE_WAIT
        | StateFlags::FIN_WAIT1
        | StateFlags::FIN_WAIT2
        | StateFlags::LAST_ACK
        | StateFlags::CLOSING;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        // Brings tcp_info and the name of the protocol above (MPTCP).
        extensions: ExtensionFlags::INFO,
        states,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn receive(netlink: &Netlink, most: usize, listed: &mut Listed) -> io::Result<()> {
    let mut buffer = vec![0u8; BUFFER];
    loop {
        let length = netlink.recv(&mut &mut buffer[..], 0)?;
        let mut rest =
            buffer.get(..length).ok_or_else(|| io::Error::other("a diagnostics message was cut"))?;
        if rest.is_empty() {
            return Err(io::Error::other("the kernel ended the list of sockets early"));
        }
        while !rest.is_empty() {
            let (message, behind) = split(rest)?;
            rest = behind;
            match NetlinkMessage::<SockDiagMessage>::deserialize(message) {
                Ok(message) => {
                    // NLM_F_DUMP_INTR of include/uapi/linux/netlink.h.
                    listed.interrupted |= message.header.flags & 0x10 != 0;
                    match message.payload {
                        NetlinkPayload::Done(_) => return Ok(()),
                        NetlinkPayload::Error(error) => return Err(error.to_io()),
                        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                            match Socket::from_response(&response) {
                                Some(socket) if listed.sockets.len() < most => listed.sockets.push(socket),
                                Some(_) => listed.left_out += 1,
                                None => {}
                            }
                        }
                        _ => listed.not_understood += 1,
                    }
                }
                Err(_) => listed.not_understood += 1,
            }
        }
    }
}

/// One message by the length in its header, and what is behind it.
fn split(bytes: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let broken = || io::Error::other("a diagnostics message of impossible length");
    let length = bytes.first_chunk::<4>().map(|length| u32::from_ne_bytes(*length)).ok_or_else(broken)?;
    let length = usize::try_from(length).ok().filter(|length| *length >= HEADER).ok_or_else(broken)?;
    let message = bytes.get(..length).ok_or_else(broken)?;
    let padded = length.next_multiple_of(4).min(bytes.len());
    Ok((message, bytes.get(padded..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_messages_of_impossible_length() {
        assert!(split(&[]).is_err());
        assert!(split(&[0; 16]).is_err());
        assert!(split(&[17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        let mut one = vec![0; 20];
        one[0] = 17;
        let (message, behind) = split(&one).unwrap();
        assert_eq!((message.len(), behind.len()), (17, 0));
    }

    proptest::proptest! {
        #[test]
        fn always_comes_forward(bytes: Vec<u8>) {
            if let Ok((message, behind)) = split(&bytes) {
                proptest::prop_assert!(message.len() >= HEADER && behind.len() < bytes.len());
            }
        }
    }
}
