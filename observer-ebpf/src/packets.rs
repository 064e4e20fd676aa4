//! The hooks that every packet of every socket passes: out of them as soon as possible.

use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_tcp_sock,
};
use observer_common::{Config, Facts, Mode, SocketState, decide, direction, flag, reach, role, state};

use crate::ends::{packet_ends, read, socket_ends};
use crate::headers::{self, ACK, FIN, Headers, RST, SYN, Unread};
use crate::maps::{CONFIG, SENDERS};
use crate::pairs;
use crate::payload::{self, Plan};
use crate::ring;
use crate::rules::Maps;
use crate::scope::{adopt_owner, in_scope};
use crate::storage;
use crate::streams;
use crate::tcp::Tcp;
use crate::tell;

/// One packet.
#[inline(always)]
pub fn observe<const DIRECTION: u8>(skb: *mut __sk_buff) {
    // SAFETY: context fields and checked pointers throughout; the verifier holds us to it.
    unsafe {
        let sk = (*skb).__bindgen_anon_2.sk;
        if sk.is_null() {
            return;
        }
        let headers = match headers::read(skb) {
            Ok(headers) => headers,
            Err(Unread::OtherProtocol) => return,
            Err(Unread::Encapsulated) => {
                ring::count(|counters| addr_of_mut!((*counters).encapsulated), 1);
                return;
            }
            Err(Unread::Unreadable) => {
                ring::count(|counters| addr_of_mut!((*counters).unreadable), 1);
                return;
            }
        };
        let listening = (*sk).state as u8 == state::LISTEN;
        // A reset in place of a socket that is gone leaves from one that the kernel keeps on each CPU for all of them
        // (`tcp_v4_send_reset`). It listens to nobody and has no peer, and is no end of any connection.
        if !listening && (*sk).dst_port == 0 {
            return;
        }
        // A pure acknowledgement says nothing, except the third of a handshake, which runs with the listener's socket.
        if headers.len == 0 && headers.flags & (SYN | FIN | RST) == 0 && !listening {
            return;
        }
        let mut socket = storage::find(sk.cast());
        if socket.is_null() {
            socket = storage::find_or_make(sk.cast());
            if socket.is_null() {
                ring::count(|counters| addr_of_mut!((*counters).no_storage), 1);
                return;
            }
            (*socket).older = u8::from(!listening && headers.flags & SYN == 0);
        }
        let Some(config) = CONFIG.get(0) else { return };
        if (*socket).generation == config.generation && headers.flags & SYN == 0 {
            // A fresh clone of a listener's state still has to find out what it is.
            if (*socket).mode == Mode::UNWATCHED && ((*socket).role != role::LISTENER || listening) {
                if !listening || config.addresses == 0 {
                    return;
                }
            } else if (*socket).mode == Mode::ENOUGH
                && headers.flags & (FIN | RST) == 0
                && (*socket).announced != 0
            {
                return;
            }
        }
        let headers = headers.forgotten(config.zero);
        let plan = if listening {
            on_listener::<DIRECTION>(skb, sk, socket, config, &headers)
        } else {
            on_connection::<DIRECTION>(skb, sk, socket, config, &headers)
        };
        // One place for all payload, entered with one view of the world: what follows is the largest part by far.
        let Some(plan) = plan else { return };
        payload::copy(skb, socket, &headers, DIRECTION, &plan, config.zero);
    }
}

/// A handshake segment that runs with the listener's socket.
#[inline(always)]
unsafe fn on_listener<const DIRECTION: u8>(
    skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    socket: *mut SocketState,
    config: &Config,
    headers: &Headers,
) -> Option<Plan> {
    // SAFETY: the caller checked the pointers.
    unsafe {
        (*socket).role = role::LISTENER;
        if (*socket).cookie == 0 {
            (*socket).cookie = bpf_get_socket_cookie(skb.cast());
        }
        let rules = Maps { config };
        if (*socket).generation != config.generation {
            adopt_owner(socket, config);
            let facts = Facts {
                service_port: (*sk).src_port as u16,
                tgid: (*socket).tgid,
                command: Some(&(*socket).command),
                cgroup: (*socket).cgroup,
                cookie: (*socket).cookie,
                ..Facts::default()
            };
            (*socket).reach = decide(&rules, &facts);
            (*socket).mode = if read(addr_of!((*socket).reach)) == 0 { Mode::UNWATCHED } else { Mode::COPY };
            (*socket).generation = config.generation;
        }
        // A plain SYN needs no record: the SYN-ACK repeats its number. With Fast Open it carries data; and one that joins
        // a connection of Multipath TCP names it: in 12 bytes of options, besides at least 12 others.
        let opens = headers.flags & (SYN | ACK) == SYN;
        let joins = headers.payload.wrapping_sub(headers.tcp) >= 20 + 12 + 12;
        if headers.flags & RST != 0 || (opens && headers.len == 0 && !joins) {
            return None;
        }
        // Whether it is watched or not: the socket that dialled it may be.
        let told = if DIRECTION == direction::OUT {
            headers.flags & (SYN | ACK) == SYN | ACK && pairs::answers(socket, headers)
        } else {
            headers.flags & SYN == 0 && pairs::is_told(headers)
        };
        if told {
            return None;
        }
        let mut why = read(addr_of!((*socket).reach));
        if why == 0 && config.addresses == 0 {
            return None;
        }
        let Some(ends) = packet_ends::<DIRECTION>(skb, headers) else {
            ring::count(|counters| addr_of_mut!((*counters).unreadable), 1);
            return None;
        };
        if why == 0 {
            if !observer_common::Rules::address(&rules, &ends.remote.ip) {
                return None;
            }
            why = reach::ADDRESS;
        }
        let now = bpf_ktime_get_ns();
        tell::handshake(skb, socket, config, headers, DIRECTION, why, now, &ends);
        if headers.len == 0 || DIRECTION != direction::IN {
            return None;
        }
        Some(Plan {
            key: (*socket).cookie,
            unwanted: 0,
            allowed: headers.len,
            last: 0,
            now,
            rcv_nxt: 0,
            role: role::LISTENER,
            flags: flag::LISTENER,
        })
    }
}

/// A packet of a connection's own socket.
#[inline(always)]
unsafe fn on_connection<const DIRECTION: u8>(
    skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    socket: *mut SocketState,
    config: &Config,
    headers: &Headers,
) -> Option<Plan> {
    // SAFETY: the caller checked the pointers.
    unsafe {
        if (*socket).role == role::LISTENER {
            // A clone of the listener's state: the first packet of the accepted socket's own.
            (*socket).listener = (*socket).cookie;
            (*socket).cookie = bpf_get_socket_cookie(skb.cast());
            (*socket).role = role::SERVER;
            (*socket).mode = Mode::FRESH;
            (*socket).generation = 0;
            (*socket).lost_records = 0;
            (*socket).lost_bytes = 0;
            (*socket).older = 0;
        } else if (*socket).cookie == 0 {
            (*socket).cookie = bpf_get_socket_cookie(skb.cast());
            if headers.flags & (SYN | ACK) == SYN && DIRECTION == direction::OUT {
                (*socket).role = role::CLIENT;
            }
        }
        let state = (*sk).state as u8;
        let syn = headers.flags & SYN != 0;
        let mut now = 0;
        if (*socket).generation != config.generation || (*socket).announced == 0 || syn {
            // Where the first packet really went stays true: an answer comes from where the program dialled.
            if (*socket).wire.port == 0 {
                let Some(packet) = packet_ends::<DIRECTION>(skb, headers) else {
                    ring::count(|counters| addr_of_mut!((*counters).unreadable), 1);
                    return None;
                };
                (*socket).wire = packet.remote;
                (*socket).local = packet.local;
            }
            now = bpf_ktime_get_ns();
            if !in_scope::<DIRECTION>(sk, socket, config, headers, state, now) {
                return None;
            }
            if DIRECTION == direction::OUT && headers.flags & (SYN | ACK) == SYN {
                if waits(skb, socket, headers, now) {
                    pairs::dialled(socket, config);
                    return None;
                }
                pairs::repeated(socket);
            }
        }
        let Some(tcp) = Tcp::read(bpf_tcp_sock(sk)) else {
            ring::count(|counters| addr_of_mut!((*counters).unreadable), 1);
            return None;
        };
        streams::begin::<DIRECTION>(socket, headers, &tcp);
        if now == 0 {
            now = bpf_ktime_get_ns();
        }
        if headers.flags & FIN != 0 {
            if DIRECTION == direction::OUT {
                (*socket).fin_out = 1;
            } else {
                (*socket).fin_in = 1;
            }
        }
        let mut told = false;
        if (*socket).announced == 0 {
            let mut peer = 0;
            if (*socket).role == role::CLIENT {
                if DIRECTION == direction::IN && syn {
                    peer = pairs::answered(socket, headers);
                }
            } else if (*socket).has_isn_local & (*socket).has_isn_remote != 0 && (*socket).late == 0 {
                pairs::accepted(socket);
            }
            let ends = socket_ends(sk);
            told = tell::announce::<true>(skb, socket, headers, DIRECTION, state, now, &ends, peer);
            if told && peer != 0 {
                pairs::told(socket);
            }
        }
        // The announcement itself tells a SYN. Where the other end tells the bytes, it tells its FIN too.
        let fin = headers.flags & FIN != 0 && !((*socket).paired != 0 && DIRECTION == direction::IN);
        if fin || headers.flags & RST != 0 || (syn && !told && headers.flags & ACK != 0) {
            tell::event(socket, headers, DIRECTION, state, 0, now, &tcp);
        }
        if headers.len == 0 || (*socket).mode == Mode::ENOUGH {
            return None;
        }
        if DIRECTION == direction::OUT && SENDERS.load() != 0 {
            sent(socket);
        }
        if (*socket).announced == 0 {
            // Nobody could place these bytes. The announcement is tried again with the next packet.
            ring::unannounced(socket, headers.len);
            return None;
        }
        streams::plan::<DIRECTION>(socket, config, headers, now, tcp.rcv_nxt)
    }
}

/// Who sends. Bytes nearly always leave in the call that wrote them; those that an acknowledgement lets go leave with whoever
/// was interrupted by it, so this names nobody.
#[inline(always)]
unsafe fn sent(socket: *mut SocketState) {
    // SAFETY: the caller checked the pointer.
    unsafe {
        let sender = (bpf_get_current_pid_tgid() >> 32) as u32;
        if sender == 0 || sender == (*socket).sender {
            return;
        }
        (*socket).sender = if (*socket).sender == 0 { sender } else { u32::MAX };
    }
}

/// Whether the SYN that goes out is announced with its answer, which is nearly always there at once: it is the first,
/// and carries no data. What it offers is kept with the socket.
#[inline(always)]
unsafe fn waits(skb: *mut __sk_buff, socket: *mut SocketState, headers: &Headers, now: u64) -> bool {
    // SAFETY: the caller checked the pointers; the loads are as large as the places.
    unsafe {
        if (*socket).dialling != 0 || (*socket).announced != 0 {
            return false;
        }
        (*socket).dialling = 1;
        (*socket).opened = now;
        (*socket).isn_local = headers.seq;
        (*socket).base_out = headers.seq.wrapping_add(1);
        (*socket).has_isn_local = 1;
        (*socket).has_base_out = 1;
        // The kernel writes the options of Multipath TCP last (`tcp_options_write` in net/ipv4/tcp_output.c): 4 bytes
        // that offer it, or 12 that join. Kind 30, length, and the subtype in the upper half of a byte.
        let options = headers.payload.wrapping_sub(headers.tcp + 20);
        let mut bytes = [0u8; 4];
        if options >= 4
            && options <= 40
            && bpf_skb_load_bytes(skb.cast(), headers.payload - 4, addr_of_mut!(bytes).cast(), 4) == 0
            && bytes[0] == 30
            && bytes[1] == 4
        {
            (*socket).multipath = u8::from(bytes[2] >> 4 == 0);
        } else if options >= 12
            && options <= 40
            && bpf_skb_load_bytes(skb.cast(), headers.payload - 12, addr_of_mut!(bytes).cast(), 4) == 0
            && bytes[0] == 30
            && bytes[1] == 12
        {
            (*socket).joins = u8::from(bytes[2] >> 4 == 1);
        }
        headers.len == 0
    }
}
