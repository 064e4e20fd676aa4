//! Socket diagnostics (`NETLINK_SOCK_DIAG`, sock_diag(7)) of one network namespace: all sockets, or one by its ends and
//! cookie.

use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket as Netlink, SocketAddr as Kernel};

use super::socket::Socket;
use crate::attribution::Sought;

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

/// Looks up one socket after the other in the calling thread's network namespace; `None` for one that is not there (any
/// more). Each costs one hash look-up in the kernel (`inet_diag_find_one_icsk` in `net/ipv4/inet_diag.c`). `space`: the
/// namespace's cookie, if it has to be that one.
///
/// # Errors
/// `NotFound` if the namespace is another one; else the kernel's.
pub(crate) fn look_up(sought: &[&Sought], space: Option<u64>) -> io::Result<Vec<Option<Socket>>> {
    let netlink = open()?;
    if let Some(space) = space
        && space_cookie(&netlink).is_some_and(|cookie| cookie != space)
    {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    let mut buffer = vec![0u8; BUFFER];
    sought.iter().map(|sought| look_up_one(&netlink, sought, &mut buffer)).collect()
}

fn look_up_one(netlink: &Netlink, sought: &Sought, buffer: &mut [u8]) -> io::Result<Option<Socket>> {
    let (local, remote) = (sought.local.socket(), sought.remote.socket());
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::empty(),
        socket_id: SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: local.ip(),
            destination_address: remote.ip(),
            interface_id: 0,
            cookie: sought.cookie.to_ne_bytes(),
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    netlink.send(&bytes, 0)?;
    let length = netlink.recv(&mut &mut buffer[..], 0)?;
    let (message, _) = split(buffer.get(..length).unwrap_or_default())?;
    match NetlinkMessage::<SockDiagMessage>::deserialize(message).map(|message| message.payload) {
        Ok(NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response))) => {
            Ok(Socket::from_response(&response).filter(|socket| socket.cookie == sought.cookie))
        }
        // ENOENT: nothing has these ends; ESTALE: another socket has them by now.
        Ok(NetlinkPayload::Error(_)) => Ok(None),
        _ => Err(io::Error::other("an answer of socket diagnostics was not understood")),
    }
}

/// The cookie of the calling thread's network namespace, as the kernel programs see it (`bpf_get_netns_cookie`); `None`
/// before Linux 5.14.
pub(crate) fn own_space_cookie() -> io::Result<Option<u64>> {
    Ok(space_cookie(&Netlink::new(NETLINK_SOCK_DIAG)?))
}

fn space_cookie(netlink: &Netlink) -> Option<u64> {
    /// `SO_NETNS_COOKIE` of `include/uapi/asm-generic/socket.h`.
    const NETNS_COOKIE: libc::c_int = 71;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).ok()?;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which has as many.
    let failed = unsafe {
        libc::getsockopt(
            netlink.as_raw_fd(),
            libc::SOL_SOCKET,
            NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (failed == 0).then_some(cookie)
}

fn open() -> io::Result<Netlink> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&Kernel::new(0, 0))?;
    Ok(netlink)
}

/// Lists the TCP sockets of the calling thread's network namespace, at most `most` of them.
pub(crate) fn list(most: usize) -> io::Result<Listed> {
    let netlink = open()?;
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
