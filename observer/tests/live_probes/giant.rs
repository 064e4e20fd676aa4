//! Segments beyond 64 KiB ("BIG TCP").

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Limits of an interface (`include/uapi/linux/if_link.h`): `IFLA_GSO_MAX_SIZE`, `IFLA_GRO_MAX_SIZE`, and since 6.3 the
/// ones for IPv4.
const SIZES: [(u16, bool); 4] = [(41, false), (58, false), (63, true), (64, true)];

/// Allows segments of this size on this namespace's loopback: over IPv6, over IPv4. A kernel takes an attribute that it
/// does not know without a word, so the limits are read back.
pub(crate) fn allow(size: u32) -> [bool; 2] {
    for (attribute, _) in SIZES {
        set(attribute, size);
    }
    let limits = limits();
    [false, true].map(|family| {
        SIZES
            .iter()
            .filter(|(_, ipv4)| *ipv4 == family)
            .all(|(attribute, _)| limits.contains(&(*attribute, size)))
    })
}

/// `RTM_NEWLINK` with one number for interface 1 (`Documentation/userspace-api/netlink`). Whether it counts is read back.
fn set(attribute: u16, value: u32) {
    const NEWLINK: u16 = 16;
    const REQUEST_ACK: u16 = 5;
    let mut number = 8_u16.to_ne_bytes().to_vec();
    number.extend_from_slice(&attribute.to_ne_bytes());
    number.extend_from_slice(&value.to_ne_bytes());
    ask(NEWLINK, REQUEST_ACK, &number);
}

/// The attributes of interface 1 that are one number: `RTM_GETLINK`.
fn limits() -> Vec<(u16, u32)> {
    const GETLINK: u16 = 18;
    const REQUEST: u16 = 1;
    const HEADERS: usize = 16 + 16;
    let answer = ask(GETLINK, REQUEST, &[]);
    let mut rest = answer.get(HEADERS..).expect("an answer with attributes");
    let mut limits = Vec::new();
    while let [l0, l1, t0, t1, behind @ ..] = rest {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        if let (8, [a, b, c, d, ..]) = (length, behind) {
            limits.push((u16::from_ne_bytes([*t0, *t1]), u32::from_ne_bytes([*a, *b, *c, *d])));
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    limits
}

/// One message on interface 1, and the kernel's answer.
fn ask(kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    let length = 32 + attributes.len();
    let mut message = (length as u32).to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    // ifinfomsg: family and type, index, flags, change.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(attributes);
    let mut answer = vec![0_u8; 16_384];
    // SAFETY: plain system calls on buffers that live through them; the descriptor is ours alone.
    let received = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE);
        assert!(fd >= 0, "netlink: {}", std::io::Error::last_os_error());
        let fd = OwnedFd::from_raw_fd(fd);
        let sent = libc::send(fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0);
        assert_eq!(usize::try_from(sent), Ok(length), "netlink: {}", std::io::Error::last_os_error());
        libc::recv(fd.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    assert!(received >= 20, "netlink: {}", std::io::Error::last_os_error());
    answer.truncate(received as usize);
    answer
}
