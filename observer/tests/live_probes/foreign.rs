//! Beside a program of somebody else's that rewrites addresses.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use observer_core::engine::Role;
use observer_core::flow::Direction;

use crate::heard::watch;
use crate::namespace::Namespace;
use crate::needs_probes;

/// A connect4 program on the root of the cgroup tree that turns port `from` into `to`; detached when dropped.
struct Rewriter {
    _program: OwnedFd,
    _link: OwnedFd,
}

fn bpf(command: libc::c_int, attributes: &mut [u64; 16]) -> OwnedFd {
    // SAFETY: the attributes live through the call and are as long as stated.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) };
    assert!(fd >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    // SAFETY: a fresh descriptor of our own.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

impl Rewriter {
    fn attach(from: u16, to: u16) -> Self {
        const LOAD: libc::c_int = 5;
        const LINK: libc::c_int = 28;
        const SOCK_ADDR: u64 = 18;
        const CONNECT4: u64 = 10;
        let wire = |port: u16| u64::from(port.to_be());
        // `user_port` lies 24 bytes into the context (include/uapi/linux/bpf.h, struct bpf_sock_addr).
        let instructions: [u64; 6] = [
            0x61 | 2 << 8 | 1 << 12 | 24 << 16,         // r2 = *(u32 *)(r1 + 24)
            0x55 | 2 << 8 | 2 << 16 | wire(from) << 32, // if r2 != from goto +2
            0xb7 | 2 << 8 | wire(to) << 32,             // r2 = to
            0x63 | 1 << 8 | 2 << 12 | 24 << 16,         // *(u32 *)(r1 + 24) = r2
            0xb7 | 1 << 32,                             // r0 = 1
            0x95,                                       // exit
        ];
        let mut load = [0; 16];
        load[0] = SOCK_ADDR | (instructions.len() as u64) << 32;
        load[1] = instructions.as_ptr() as u64;
        load[2] = c"GPL".as_ptr() as u64;
        load[8] = CONNECT4 << 32;
        let program = bpf(LOAD, &mut load);
        let root = File::open(observer::source::ebpf::cgroup_root().unwrap()).unwrap();
        let mut link = [0; 16];
        link[0] = program.as_raw_fd() as u64 | (root.as_raw_fd() as u64) << 32;
        link[1] = CONNECT4;
        Self { _link: bpf(LINK, &mut link), _program: program }
    }
}

fn exchange(namespace: &Namespace, dialled: u16, real: u16) {
    namespace.run(|| {
        let listener = TcpListener::bind(("127.0.0.1", real)).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", dialled)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
    });
}

#[test]
fn an_address_that_is_rewritten_behind_us_is_told_both_ways() {
    needs_probes!();
    let namespace = Namespace::new();
    let (_live, ear) = watch(&[17401]);
    let _rewriter = Rewriter::attach(17401, 17402);
    exchange(&namespace, 17401, 17402);
    ear.wait("the end", |log| !log.closed.is_empty());
    let log = ear.log();
    // The dialled port is watched, the listener's is not.
    let client = log.faces(Role::Client)[0];
    assert_eq!(log.opened.len(), 1);
    assert_eq!(client.tuple.server.port(), 17402);
    assert_eq!(client.dialled.map(|dialled| dialled.port()), Some(17401));
    assert_eq!(log.stream(client.key, Direction::ToServer), b"hello");
}

#[test]
fn an_address_that_is_rewritten_before_us_is_watched_by_its_result() {
    needs_probes!();
    let namespace = Namespace::new();
    let _rewriter = Rewriter::attach(17403, 17404);
    let (_live, ear) = watch(&[17404]);
    exchange(&namespace, 17403, 17404);
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    let client = log.faces(Role::Client)[0];
    assert_eq!(client.tuple.server.port(), 17404);
    assert_eq!(log.stream(client.key, Direction::ToServer), b"hello");
}
