//! Segments beyond 64 KiB ("BIG TCP").

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Limits of an interface (`include/uapi/linux/if_link.h`): `IFLA_GSO_MAX_SIZE`, `IFLA_GRO_MAX_SIZE`, and since 6.3 the
/// ones for IPv4.
const SIZES: [(u16, bool); 4] = [(41, false), (58, false), (63, true), (64, true)];

/// Allows segments of this size on this namespace's loopback: over IPv6, over IPv4.
pub(crate) fn allow(size: u32) -> [bool; 2] {
    let done = SIZES.map(|(attribute, ipv4)| (ipv4, set(attribute, size)));
    [false, true].map(|family| done.iter().filter(|(ipv4, _)| *ipv4 == family).all(|(_, done)| *done))
}

/// `RTM_NEWLINK` with one number for interface 1, and the kernel's answer (`Documentation/userspace-api/netlink`).
fn set(attribute: u16, value: u32) -> bool {
    const NEWLINK: u16 = 16;
    const REQUEST_ACK: u16 = 5;
    let mut message = Vec::new();
    message.extend_from_slice(&40_u32.to_ne_bytes());
    message.extend_from_slice(&NEWLINK.to_ne_bytes());
    message.extend_from_slice(&REQUEST_ACK.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    // ifinfomsg: family and type, index, flags, change.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&8_u16.to_ne_bytes());
    message.extend_from_slice(&attribute.to_ne_bytes());
    message.extend_from_slice(&value.to_ne_bytes());
    let mut answer = [0_u8; 1024];
    // SAFETY: plain system calls on buffers that live through them; the descriptor is ours alone.
    let length = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE);
        assert!(fd >= 0, "netlink: {}", std::io::Error::last_os_error());
        let fd = OwnedFd::from_raw_fd(fd);
        let sent = libc::send(fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0);
        assert_eq!(sent, 40, "netlink: {}", std::io::Error::last_os_error());
        libc::recv(fd.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    assert!(length >= 20, "netlink: {}", std::io::Error::last_os_error());
    c_int::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) == 0
}
