//! Plain connections of the test's own threads, of every kind that a kernel offers.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, bind, connect, listen, sendto, socket};

/// What is asked.
pub const ASK: &[u8] = b"GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// What is answered.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// `MSG_FASTOPEN` (`include/linux/socket.h`).
const FAST_OPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// How a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Plain,
    /// Multipath TCP on both ends.
    Multipath,
    /// TCP with the question on the SYN.
    Fast,
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn made(kind: Kind, address: SocketAddr) -> io::Result<std::os::fd::OwnedFd> {
    let protocol = (kind == Kind::Multipath).then_some(rustix::net::ipproto::MPTCP);
    Ok(socket(family(address), SocketType::STREAM, protocol.or(None::<Protocol>))?)
}

/// Listens.
///
/// # Errors
/// The kernel has no such sockets, or the port is taken.
pub fn listener(kind: Kind, address: SocketAddr) -> io::Result<TcpListener> {
    let fd = made(kind, address)?;
    bind(&fd, &address)?;
    listen(&fd, 16)?;
    Ok(fd.into())
}

/// Dials and asks.
///
/// # Errors
/// As any dialling.
pub fn dial(kind: Kind, address: SocketAddr) -> io::Result<TcpStream> {
    let fd = made(kind, address)?;
    if kind == Kind::Fast {
        sendto(&fd, ASK, FAST_OPEN, &address)?;
        return Ok(fd.into());
    }
    connect(&fd, &address)?;
    let mut stream = TcpStream::from(fd);
    stream.write_all(ASK)?;
    Ok(stream)
}

/// Reads a question on an accepted connection and answers it.
///
/// # Errors
/// As any reading and writing.
pub fn answer(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.read_exact(&mut vec![0; ASK.len()])?;
    stream.write_all(ANSWER)
}

/// Reads an answer.
///
/// # Errors
/// As any reading.
pub fn answered(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.read_exact(&mut vec![0; ANSWER.len()])
}

/// One question and its answer; the client's address.
///
/// # Errors
/// As any of the above.
pub fn exchange(listener: &TcpListener, kind: Kind, to: SocketAddr) -> io::Result<SocketAddr> {
    std::thread::scope(|scope| {
        let server = listener.try_clone()?;
        let serving = scope.spawn(move || answer(&mut server.accept()?.0));
        let mut client = dial(kind, to)?;
        let address = client.local_addr()?;
        answered(&mut client)?;
        serving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(address)
    })
}
