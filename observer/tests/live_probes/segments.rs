//! Segments that are no plain run of bytes: longer than an IP header can say, or lying in the pages of a file.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use observer::source::ebpf::Settings;
use observer_common::CLASSES;
use observer_core::flow::{Direction, Flags};

use crate::giant;
use crate::heard::{Heard, Log, watch_with};
use crate::namespace::Namespace;
use crate::needs_probes;
use crate::socket::Socket;

const LENGTH: u32 = 900_000;

/// Bytes of a piece that is not its segment's last.
const FULL: u32 = CLASSES[3];

fn pattern() -> Vec<u8> {
    (0..LENGTH).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_giant_segment_is_cut_into_pieces_that_fit_together() {
    needs_probes!();
    let namespace = Namespace::new();
    // Beyond 64 KiB where the kernel can (IPv6: 5.19, IPv4: 6.3); elsewhere the largest there is.
    let allowed = namespace.run(|| {
        // No segment is longer than half the largest window the peer ever offered (`tcp_bound_to_half_wnd`), which the
        // usual buffer keeps at 64 KiB for longer than this takes.
        std::fs::write("/proc/sys/net/ipv4/tcp_rmem", "4096 8388608 8388608").unwrap();
        std::fs::write("/proc/sys/net/ipv4/tcp_wmem", "4096 4194304 4194304").unwrap();
        giant::allow(180_000)
    });
    for (address, beyond) in ["[::1]:17106", "127.0.0.1:17106"].into_iter().zip(allowed) {
        let sent = pattern();
        let longest = transfer(&namespace, address.parse().unwrap(), &sent, |mut stream| {
            // How long segments may be is asked once a call: the first calls open the window.
            for part in sent.chunks(LENGTH as usize / 3) {
                stream.write_all(part).unwrap();
                acknowledged(&stream);
            }
        });
        println!("measured: longest segment to {address}: {longest} bytes");
        if beyond {
            assert!(longest > 65_536, "the kernel was asked for longer ones");
        } else {
            println!("measured: this kernel knows no segments beyond 64 KiB to {address}");
        }
    }
}

#[test]
fn bytes_in_the_pages_of_a_file_are_copied_from_there() {
    needs_probes!();
    let namespace = Namespace::new();
    let sent = pattern();
    let path = std::env::temp_dir().join(format!("observer-pages-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(&sent).unwrap();
    for (address, step) in [("127.0.0.1:17107", 10_000), ("[::1]:17108", 300_000)] {
        file.rewind().unwrap();
        let longest = transfer(&namespace, address.parse().unwrap(), &sent, |stream| {
            send_file(&file, &stream, step);
        });
        println!("measured: longest segment from a file to {address}: {longest} bytes");
    }
}

/// Waits until the peer acknowledged all that was written.
fn acknowledged(stream: &TcpStream) {
    loop {
        let mut left: libc::c_int = 0;
        // SAFETY: the number lives through the call (`SIOCOUTQ`, of the same value).
        let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        if left == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// `sendfile`, at most `step` bytes a call: the segments then refer to the file's pages (`MSG_SPLICE_PAGES`, before 6.5
/// `sendpage`), so none of their payload lies beside their headers.
fn send_file(file: &File, stream: &TcpStream, step: usize) {
    let mut left = LENGTH as usize;
    while left > 0 {
        // SAFETY: both descriptors are open; no offset is kept for us.
        let sent = unsafe {
            libc::sendfile(stream.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), left.min(step))
        };
        assert!(sent > 0, "sendfile: {}", std::io::Error::last_os_error());
        left -= sent as usize;
    }
}

/// Has `send` send what `sent` says, and holds every piece heard against it. The longest segment.
fn transfer(
    namespace: &Namespace,
    address: SocketAddr,
    sent: &[u8],
    send: impl FnOnce(TcpStream) + Send,
) -> u32 {
    let mut settings = Settings { budget: 1 << 20, payload_ring: 16 << 20, ..Settings::default() };
    settings.scope.ports.insert(address.port());
    let (_live, ear) = watch_with(&settings);
    namespace.run(|| {
        let socket = Socket::new(address, 0).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                send(TcpStream::connect(address).unwrap());
            });
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            assert!(received == sent);
        });
    });
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    assert!(log.lost.is_empty(), "{:?}", log.lost);
    log.opened.iter().map(|face| longest(&log, face.key, sent)).max().unwrap()
}

/// The longest segment of a face's, all of whose bytes are there: copied, or told as cut off.
fn longest(log: &Log, key: observer_core::engine::FaceKey, sent: &[u8]) -> u32 {
    let mine = || log.segments.iter().filter(|heard| heard.key == key);
    let base = mine().find(|heard| heard.flags.contains(Flags::SYN)).unwrap().seq.wrapping_add(1);
    let offset = |heard: &Heard| heard.seq.wrapping_sub(base);
    let mut pieces: Vec<_> =
        mine().filter(|heard| heard.direction == Direction::ToServer && heard.len > 0).collect();
    pieces.sort_by_key(|heard| offset(heard));
    let (mut at, mut longest, mut segment) = (0, 0, 0);
    for heard in pieces {
        let start = offset(heard);
        assert!(start <= at, "a hole at {at}");
        assert!(heard.payload == sent[start as usize..][..heard.payload.len()], "other bytes at {start}");
        segment += heard.len;
        longest = longest.max(segment);
        // Every piece of a segment but its last is a full one.
        if heard.len != FULL {
            segment = 0;
        }
        at = at.max(start + heard.len);
    }
    assert_eq!(at as usize, sent.len());
    longest
}
