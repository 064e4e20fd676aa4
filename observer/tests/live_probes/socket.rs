//! Sockets with options that the standard library has no word for.

use std::ffi::c_int;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// `IPPROTO_MPTCP` (`include/uapi/linux/in.h`).
pub(crate) const MPTCP: c_int = 262;

/// A socket.
pub(crate) struct Socket(OwnedFd);

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The bytes of a `sockaddr`, and its length.
fn raw(address: SocketAddr) -> ([u8; 28], u32) {
    let mut bytes = [0; 28];
    match address {
        SocketAddr::V4(v4) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&v4.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(v6) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&v6.port().to_be_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            (bytes, 28)
        }
    }
}

impl Socket {
    pub(crate) fn new(address: SocketAddr, protocol: c_int) -> io::Result<Self> {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // SAFETY: a plain system call; the descriptor is ours alone.
        unsafe {
            let fd = check(libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, protocol))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    pub(crate) fn set(&self, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
        // SAFETY: the value lives through the call.
        check(unsafe { libc::setsockopt(self.0.as_raw_fd(), level, name, (&raw const value).cast(), 4) })
            .map(drop)
    }

    pub(crate) fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        let (bytes, len) = raw(address);
        // SAFETY: the address lives through the call.
        check(unsafe { libc::bind(self.0.as_raw_fd(), bytes.as_ptr().cast(), len) }).map(drop)
    }

    pub(crate) fn listen(self, backlog: c_int) -> io::Result<TcpListener> {
        // SAFETY: a plain system call; the descriptor is handed on.
        unsafe {
            check(libc::listen(self.0.as_raw_fd(), backlog))?;
            Ok(TcpListener::from_raw_fd(self.0.into_raw_fd()))
        }
    }

    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<()> {
        let (bytes, len) = raw(address);
        // SAFETY: the address lives through the call.
        check(unsafe { libc::connect(self.0.as_raw_fd(), bytes.as_ptr().cast(), len) }).map(drop)
    }

    /// `connect(AF_UNSPEC)`.
    pub(crate) fn disconnect(&self) -> io::Result<()> {
        let bytes = [0_u8; 16];
        // SAFETY: the address lives through the call.
        check(unsafe { libc::connect(self.0.as_raw_fd(), bytes.as_ptr().cast(), 16) }).map(drop)
    }

    /// `sendto(MSG_FASTOPEN)`.
    pub(crate) fn send_fast(&self, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        let (bytes, len) = raw(address);
        // SAFETY: data and address live through the call.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                data.as_ptr().cast(),
                data.len(),
                libc::MSG_FASTOPEN,
                bytes.as_ptr().cast(),
                len,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    pub(crate) fn stream(self) -> TcpStream {
        // SAFETY: the descriptor is handed on.
        unsafe { TcpStream::from_raw_fd(self.0.into_raw_fd()) }
    }
}

/// Makes the next close send a reset.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the value lives through the call.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as u32,
        )
    };
    assert_eq!(result, 0);
}
