//! The hooks that every packet of every socket passes: out of them as soon as possible.

use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_tcp_sock,
};
use observer_common::{
    Address, Budget, Config, Facts, Mode, Rate, SocketState, decide, direction, face_key, flag, mark,
    offset_from, reach, role, state,
};

use crate::emit::{self, Ends, Plan, Tcp};
use crate::headers::{self, ACK, FIN, Headers, RST, SYN, Unread};
use crate::maps::{CONFIG, FEEDBACK, OWNERS};
use crate::rules::Maps;
use crate::storage;

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
                emit::count(|counters| addr_of_mut!((*counters).encapsulated), 1);
                return;
            }
            Err(Unread::Unreadable) => {
                emit::count(|counters| addr_of_mut!((*counters).unreadable), 1);
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
                emit::count(|counters| addr_of_mut!((*counters).no_storage), 1);
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
        emit::payload(skb, socket, &headers, DIRECTION, &plan, config.zero);
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
        // A plain SYN needs no record: the SYN-ACK repeats its number. With Fast Open it carries data.
        let opens = headers.flags & (SYN | ACK) == SYN;
        if headers.flags & RST != 0 || (opens && headers.len == 0) {
            return None;
        }
        let mut why = read(addr_of!((*socket).reach));
        if why == 0 && config.addresses == 0 {
            return None;
        }
        let Some(ends) = packet_ends::<DIRECTION>(skb, headers) else {
            emit::count(|counters| addr_of_mut!((*counters).unreadable), 1);
            return None;
        };
        if why == 0 {
            if !observer_common::Rules::address(&rules, &ends.remote.ip) {
                return None;
            }
            why = reach::ADDRESS;
        }
        let now = bpf_ktime_get_ns();
        emit::handshake(skb, socket, config, headers, DIRECTION, why, now, &ends);
        if headers.len == 0 || DIRECTION != direction::IN {
            return None;
        }
        Some(Plan {
            key: (*socket).cookie,
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
        let mut wire = Address { ip: [0; 4], port: 0, padding: [0; 3] };
        if (*socket).generation != config.generation || (*socket).announced == 0 || syn {
            let Some(packet) = packet_ends::<DIRECTION>(skb, headers) else {
                emit::count(|counters| addr_of_mut!((*counters).unreadable), 1);
                return None;
            };
            wire = packet.remote;
            now = bpf_ktime_get_ns();
            if !in_scope::<DIRECTION>(skb, sk, socket, config, headers, &wire, state, now) {
                return None;
            }
        }
        let Some(tcp) = Tcp::read(bpf_tcp_sock(sk)) else {
            emit::count(|counters| addr_of_mut!((*counters).unreadable), 1);
            return None;
        };
        begin::<DIRECTION>(socket, headers, &tcp);
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
            let ends = socket_ends(sk);
            if wire.port == 0 {
                wire = ends.remote;
            }
            told = emit::announce(skb, socket, headers, DIRECTION, state, now, &ends, &wire);
        }
        // The announcement itself tells a SYN.
        if headers.flags & (FIN | RST) != 0 || (syn && !told && headers.flags & ACK != 0) {
            emit::event(socket, headers, DIRECTION, state, 0, now, &tcp);
        }
        if headers.len == 0 || (*socket).mode == Mode::ENOUGH {
            return None;
        }
        if (*socket).announced == 0 {
            // Nobody could place these bytes. The announcement is tried again with the next packet.
            emit::unannounced(socket, headers.len);
            return None;
        }
        copy::<DIRECTION>(socket, config, headers, now, tcp.rcv_nxt)
    }
}

/// Decides whether the connection is watched, and keeps the answer.
#[inline(always)]
unsafe fn in_scope<const DIRECTION: u8>(
    _skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    socket: *mut SocketState,
    config: &Config,
    headers: &Headers,
    wire: &Address,
    state: u8,
    now: u64,
) -> bool {
    // SAFETY: the caller checked the pointers.
    unsafe {
        if (*socket).generation == config.generation
            && (*socket).mode != Mode::FRESH
            && headers.flags & SYN == 0
        {
            return (*socket).mode != Mode::UNWATCHED;
        }
        adopt_owner(socket, config);
        let local = (*sk).src_port as u16;
        let remote = u16::from_be((*sk).dst_port);
        let (service, other, translated) = match (*socket).role {
            role::CLIENT => (remote, 0, wire.port),
            role::SERVER => (local, 0, 0),
            _ => (remote, local, wire.port),
        };
        let facts = Facts {
            dialled_port: (*socket).dialled.port,
            service_port: service,
            wire_port: translated,
            other_port: other,
            tgid: (*socket).tgid,
            command: Some(&(*socket).command),
            cgroup: (*socket).cgroup,
            peer: Some(&wire.ip),
            dialled: if (*socket).dialled.port != 0 { Some(&(*socket).dialled.ip) } else { None },
            cookie: (*socket).cookie,
        };
        (*socket).reach = decide(&Maps { config }, &facts);
        // Read back from memory, so that the verifier goes on with one unknown number and not with every combination
        // of reasons.
        let why = read(addr_of!((*socket).reach));
        let was = (*socket).mode;
        let first = (*socket).generation == 0;
        (*socket).generation = config.generation;
        if why == 0 {
            (*socket).mode = Mode::UNWATCHED;
            if (*socket).announced != 0 {
                emit::event(socket, headers, DIRECTION, state, mark::LEFT_SCOPE, now, &Tcp::NONE);
                // If it comes back, it is another face: what was missed in between is unknown.
                (*socket).announced = 0;
                (*socket).epoch = (*socket).epoch.wrapping_add(1);
            }
            return false;
        }
        if was <= Mode::UNWATCHED {
            (*socket).mode = Mode::COPY;
            if was == Mode::UNWATCHED && !first && headers.flags & SYN == 0 {
                (*socket).late = 1;
                (*socket).has_base_in = 0;
                (*socket).has_base_out = 0;
                (*socket).has_isn_local = 0;
                (*socket).has_isn_remote = 0;
                (*socket).spent_in = 0;
                (*socket).spent_out = 0;
            }
        }
        true
    }
}

/// What user space knows of a socket that is older than the programs.
#[inline(always)]
unsafe fn adopt_owner(socket: *mut SocketState, config: &Config) {
    // SAFETY: the caller checked the pointer; the entry is plain integers.
    unsafe {
        if config.owners == 0 {
            return;
        }
        if let Some(rule) = OWNERS.get(&(*socket).cookie) {
            if (*socket).tgid == 0 {
                (*socket).tgid = rule.tgid;
            }
            if (*socket).role == role::UNKNOWN {
                (*socket).role = rule.role as u8;
            }
        }
    }
}

/// Where the two streams begin.
#[inline(always)]
unsafe fn begin<const DIRECTION: u8>(socket: *mut SocketState, headers: &Headers, tcp: &Tcp) {
    // SAFETY: the caller checked the pointer.
    unsafe {
        if headers.flags & SYN != 0 {
            if DIRECTION == direction::OUT {
                (*socket).isn_local = headers.seq;
                (*socket).base_out = headers.seq.wrapping_add(1);
                (*socket).has_isn_local = 1;
                (*socket).has_base_out = 1;
            } else {
                (*socket).isn_remote = headers.seq;
                (*socket).base_in = headers.seq.wrapping_add(1);
                (*socket).has_isn_remote = 1;
                (*socket).has_base_in = 1;
            }
        }
        if ((*socket).has_base_in != 0 && (*socket).has_base_out != 0) || !tcp.known {
            return;
        }
        if (*socket).role == role::SERVER && (*socket).older == 0 && (*socket).late == 0 {
            // The handshake ran with the listener's socket; the counters lead back to both its numbers.
            if (*socket).has_base_in == 0 {
                let base = tcp.rcv_nxt.wrapping_sub(tcp.bytes_received as u32);
                (*socket).base_in = base;
                (*socket).isn_remote = base.wrapping_sub(1);
                (*socket).has_isn_remote = 1;
                (*socket).has_base_in = 1;
            }
            if (*socket).has_base_out == 0 {
                let base = tcp.snd_una.wrapping_sub(tcp.bytes_acked as u32);
                (*socket).base_out = base;
                (*socket).isn_local = base.wrapping_sub(1);
                (*socket).has_isn_local = 1;
                (*socket).has_base_out = 1;
            }
        } else if headers.flags & SYN == 0 {
            if (*socket).has_base_in == 0 {
                (*socket).base_in = tcp.rcv_nxt;
                (*socket).has_base_in = 1;
            }
            if (*socket).has_base_out == 0 {
                (*socket).base_out = tcp.snd_una;
                (*socket).has_base_out = 1;
            }
        }
    }
}

/// What the budget, or the rate, allows of a segment's payload.
#[inline(always)]
unsafe fn copy<const DIRECTION: u8>(
    socket: *mut SocketState,
    config: &Config,
    headers: &Headers,
    now: u64,
    rcv_nxt: u32,
) -> Option<Plan> {
    // SAFETY: the caller checked the pointers.
    unsafe {
        let key = face_key((*socket).cookie, (*socket).epoch);
        if let Some(wanted) = FEEDBACK.get(&key) {
            (*socket).mode = *wanted as u8;
        }
        let mode = (*socket).mode;
        let (allowed, last) = if mode == Mode::REQUESTS {
            let to_server = match (*socket).role {
                role::CLIENT => DIRECTION == direction::OUT,
                role::SERVER => DIRECTION == direction::IN,
                _ => true,
            };
            if !to_server {
                return None;
            }
            let mut rate = Rate { since: (*socket).rate_since, used: (*socket).rate_used };
            let allowed = rate.take(now, headers.len, config.request_rate);
            (*socket).rate_since = rate.since;
            (*socket).rate_used = rate.used;
            if allowed == 0 {
                (*socket).skipped_bytes += u64::from(headers.len);
                emit::count(|counters| addr_of_mut!((*counters).bytes_skipped), u64::from(headers.len));
                return None;
            }
            (allowed, false)
        } else if mode == Mode::COPY {
            let (base, spent) = if DIRECTION == direction::OUT {
                ((*socket).base_out, (*socket).spent_out)
            } else {
                ((*socket).base_in, (*socket).spent_in)
            };
            if spent != 0 {
                return None;
            }
            let first = headers.seq.wrapping_add(u32::from(headers.flags & SYN != 0));
            let budget = Budget::of(config.budget, offset_from(base, first), headers.len);
            if budget.spent {
                if DIRECTION == direction::OUT {
                    (*socket).spent_out = 1;
                } else {
                    (*socket).spent_in = 1;
                }
            }
            (budget.allowed, budget.last)
        } else {
            return None;
        };
        if allowed == 0 {
            return None;
        }
        Some(Plan { key, allowed, last: last.into(), now, rcv_nxt, role: (*socket).role, flags: 0 })
    }
}

/// Both ends as the packet has them.
#[inline(always)]
unsafe fn packet_ends<const DIRECTION: u8>(skb: *mut __sk_buff, headers: &Headers) -> Option<Ends> {
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
unsafe fn socket_ends(sk: *mut bpf_sock) -> Ends {
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
unsafe fn read<T: Copy>(place: *const T) -> T {
    // SAFETY: the caller vouches for the place.
    unsafe { core::ptr::read_volatile(place) }
}
