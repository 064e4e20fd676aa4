//! Both ends of a packet, and of a socket.

use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use observer_common::{Address, direction};

use crate::headers::Headers;

/// Both ends of a packet.
pub struct Ends {
    pub local: Address,
    pub remote: Address,
}

/// Both ends as the packet has them.
#[inline(always)]
pub unsafe fn packet_ends<const DIRECTION: u8>(skb: *mut __sk_buff, headers: &Headers) -> Option<Ends> {
    let mut ips = [[0u32; 4]; 2];
    let mut ports = [0u16; 2];
    // SAFETY: loads into our own stack of exactly the size given.
    unsafe {
        let failed = if headers.version == 4 {
            let mut both = [0u32; 2];
            let failed = bpf_skb_load_bytes(skb.cast(), 12, addr_of_mut!(both).cast(), 8);
            ips[0] = [0, 0, Address::MAPPED, both[0]];
            ips[1] = [0, 0, Address::MAPPED, both[1]];
            failed
        } else {
            bpf_skb_load_bytes(skb.cast(), 8, addr_of_mut!(ips).cast(), 32)
        };
        if failed != 0 || bpf_skb_load_bytes(skb.cast(), headers.tcp, addr_of_mut!(ports).cast(), 4) != 0 {
            return None;
        }
    }
    let source = Address { ip: ips[0], port: u16::from_be(ports[0]), padding: [0; 3] };
    let destination = Address { ip: ips[1], port: u16::from_be(ports[1]), padding: [0; 3] };
    Some(if DIRECTION == direction::OUT {
        Ends { local: source, remote: destination }
    } else {
        Ends { local: destination, remote: source }
    })
}

/// Both ends as the socket has them.
#[inline(always)]
pub unsafe fn socket_ends(sk: *mut bpf_sock) -> Ends {
    const INET: u32 = 2;
    // Every field is read, and then chosen from: were the choice made first, LLVM would choose between two addresses
    // within the socket, which the verifier prohibits.
    // SAFETY: the caller checked the pointer; the verifier rewrites these loads.
    unsafe {
        let local4 = read(addr_of!((*sk).src_ip4));
        let remote4 = read(addr_of!((*sk).dst_ip4));
        let mut local = [0; 4];
        let mut remote = [0; 4];
        let local6 = addr_of!((*sk).src_ip6).cast::<u32>();
        let remote6 = addr_of!((*sk).dst_ip6).cast::<u32>();
        local[0] = read(local6);
        local[1] = read(local6.add(1));
        local[2] = read(local6.add(2));
        local[3] = read(local6.add(3));
        remote[0] = read(remote6);
        remote[1] = read(remote6.add(1));
        remote[2] = read(remote6.add(2));
        remote[3] = read(remote6.add(3));
        if (*sk).family == INET {
            local = [0, 0, Address::MAPPED, local4];
            remote = [0, 0, Address::MAPPED, remote4];
        }
        Ends {
            local: Address { ip: local, port: (*sk).src_port as u16, padding: [0; 3] },
            remote: Address { ip: remote, port: u16::from_be((*sk).dst_port), padding: [0; 3] },
        }
    }
}

/// A load that stays where it is written.
#[inline(always)]
pub unsafe fn read<T: Copy>(place: *const T) -> T {
    // SAFETY: the caller vouches for the place.
    unsafe { core::ptr::read_volatile(place) }
}
