//! The hooks that run in the caller's own context: they alone know the process.

use core::ptr::addr_of_mut;

use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_socket_cookie,
    bpf_ktime_get_ns,
};
use observer_common::{Address, Mode, SocketState, direction, mark, role, state};

use crate::ends::Ends;
use crate::headers::Headers;
use crate::ring;
use crate::storage;
use crate::tcp::Tcp;
use crate::tell;

const STREAM: u32 = 1;
const TCP: u32 = 6;

/// The TCP socket that a call is about.
#[inline(always)]
unsafe fn stream(ctx: *mut bpf_sock_addr) -> Option<*mut bpf_sock> {
    // SAFETY: context fields.
    unsafe {
        if (*ctx).type_ != STREAM || (*ctx).protocol != TCP {
            return None;
        }
        let sk = (*ctx).__bindgen_anon_1.sk;
        if sk.is_null() { None } else { Some(sk) }
    }
}

/// A program dials. Remembers who, and what was asked for; what becomes of it is decided when the SYN leaves, because
/// only then the real destination is known.
#[inline(always)]
pub fn dialled<const VERSION: u8>(ctx: *mut bpf_sock_addr) {
    // SAFETY: context fields, and a storage that the helper returned and that was checked.
    unsafe {
        let Some(sk) = stream(ctx) else { return };
        let socket = storage::find_or_make(sk.cast());
        if socket.is_null() {
            ring::count(|counters| addr_of_mut!((*counters).no_storage), 1);
            return;
        }
        if (*socket).cookie != 0 {
            unanswered(socket);
            if (*socket).announced != 0 {
                // The socket was connected before (and disconnected, or refused): another connection, another name.
                (*socket).epoch = (*socket).epoch.wrapping_add(1);
            }
            forget(socket);
        }
        (*socket).cookie = bpf_get_socket_cookie(ctx.cast());
        (*socket).role = role::CLIENT;
        caller(socket);
        if VERSION == 4 {
            (*socket).dialled.ip[0] = 0;
            (*socket).dialled.ip[1] = 0;
            (*socket).dialled.ip[2] = Address::MAPPED;
            (*socket).dialled.ip[3] = (*ctx).user_ip4;
        } else {
            (*socket).dialled.ip[0] = (*ctx).user_ip6[0];
            (*socket).dialled.ip[1] = (*ctx).user_ip6[1];
            (*socket).dialled.ip[2] = (*ctx).user_ip6[2];
            (*socket).dialled.ip[3] = (*ctx).user_ip6[3];
        }
        (*socket).dialled.port = u16::from_be((*ctx).user_port as u16);
    }
}

/// A program bound a socket: if it comes to listen, this is who opened it.
#[inline(always)]
pub fn bound(ctx: *mut bpf_sock) {
    // SAFETY: as above.
    unsafe {
        if (*ctx).type_ != STREAM || (*ctx).protocol != TCP {
            return;
        }
        let socket = storage::find_or_make(ctx.cast());
        if socket.is_null() {
            ring::count(|counters| addr_of_mut!((*counters).no_storage), 1);
            return;
        }
        caller(socket);
        (*socket).generation = 0;
    }
}

/// A program asks for a socket's peer. `accept` does so itself on its way out, where its caller wants to know the peer's
/// address (`do_accept` in `net/socket.c`): no other hook runs while a connection is accepted. The first that asks is whoever
/// accepted it, or somebody who was handed it since and is seen with it here.
#[inline(always)]
pub fn met(ctx: *mut bpf_sock_addr) {
    // SAFETY: as above.
    unsafe {
        let Some(sk) = stream(ctx) else { return };
        let socket = storage::find(sk.cast());
        // A fresh clone of its listener's state does not know yet that it was accepted.
        if socket.is_null() || (*socket).holder != 0 || (*socket).role < role::SERVER {
            return;
        }
        (*socket).holder = (bpf_get_current_pid_tgid() >> 32) as u32;
        (*socket).held = bpf_ktime_get_ns();
        // Otherwise its announcement says so.
        if (*socket).role == role::SERVER && (*socket).announced != 0 && (*socket).mode > Mode::UNWATCHED {
            tell::event(
                socket,
                &NO_PACKET,
                direction::NONE,
                state::NONE,
                mark::ACCEPTED,
                (*socket).held,
                &Tcp::NONE,
            );
        }
    }
}

/// The last holder let go of a socket. What follows (a FIN, a reset) is the kernel's doing.
#[inline(always)]
pub fn released(ctx: *mut bpf_sock) {
    // SAFETY: as above.
    unsafe {
        if (*ctx).protocol != TCP {
            return;
        }
        let socket = storage::find(ctx.cast());
        if socket.is_null() {
            return;
        }
        (*socket).released = 1;
        let state = (*ctx).state as u8;
        let listener = state == state::LISTEN;
        let marks = if listener { mark::RELEASED | mark::LISTENER } else { mark::RELEASED };
        if (*socket).mode <= Mode::UNWATCHED {
            (*socket).holder = 0;
            return;
        }
        // Whoever had it last.
        (*socket).holder = (bpf_get_current_pid_tgid() >> 32) as u32;
        (*socket).held = bpf_ktime_get_ns();
        if !listener {
            if (*socket).announced == 0 {
                unanswered(socket);
                return;
            }
            // Its FIN follows, or a reset, and carries the mark; if neither ever does, the sweep finds it gone.
            if (state == state::ESTABLISHED || state == state::CLOSE_WAIT) && (*socket).fin_out == 0 {
                return;
            }
        }
        tell::event(socket, &NO_PACKET, direction::NONE, state, marks, bpf_ktime_get_ns(), &Tcp::NONE);
    }
}

const NO_PACKET: Headers = Headers { version: 0, flags: 0, tcp: 0, payload: 0, len: 0, seq: 0, ack: 0 };

/// Tells of a connection that nobody answered before its socket was let go, or used again.
#[inline(always)]
unsafe fn unanswered(socket: *mut SocketState) {
    // SAFETY: the caller checked the pointer; the packet's is not used.
    unsafe {
        if (*socket).dialling == 0 || (*socket).announced != 0 || (*socket).mode <= Mode::UNWATCHED {
            return;
        }
        let now = bpf_ktime_get_ns();
        // The hook may not read the socket's addresses; its SYN had them.
        let ends = Ends { local: (*socket).local, remote: (*socket).wire };
        if tell::announce::<false>(
            core::ptr::null_mut(),
            socket,
            &NO_PACKET,
            direction::NONE,
            state::SYN_SENT,
            now,
            &ends,
            0,
        ) {
            tell::event(
                socket,
                &NO_PACKET,
                direction::NONE,
                state::SYN_SENT,
                mark::RELEASED,
                now,
                &Tcp::NONE,
            );
        }
    }
}

/// Everything that belonged to an earlier connection of the same socket.
#[inline(always)]
unsafe fn forget(socket: *mut SocketState) {
    // SAFETY: the caller checked the pointer.
    unsafe {
        (*socket).listener = 0;
        (*socket).generation = 0;
        (*socket).reach = 0;
        (*socket).mode = Mode::FRESH;
        (*socket).announced = 0;
        (*socket).has_isn_local = 0;
        (*socket).has_isn_remote = 0;
        (*socket).has_base_out = 0;
        (*socket).has_base_in = 0;
        (*socket).spent_out = 0;
        (*socket).spent_in = 0;
        (*socket).older = 0;
        (*socket).late = 0;
        (*socket).released = 0;
        (*socket).holder = 0;
        (*socket).sender = 0;
        (*socket).fin_out = 0;
        (*socket).fin_in = 0;
        (*socket).dialling = 0;
        (*socket).multipath = 0;
        (*socket).joins = 0;
        (*socket).opened = 0;
        (*socket).wire.port = 0;
        (*socket).lost_records = 0;
        (*socket).lost_bytes = 0;
        (*socket).skipped_bytes = 0;
        (*socket).rate_used = 0;
        (*socket).has_window = 0;
        (*socket).paired = 0;
    }
}

/// Who calls, and when.
#[inline(always)]
unsafe fn caller(socket: *mut SocketState) {
    // SAFETY: the caller checked the pointer.
    unsafe {
        let ids = bpf_get_current_pid_tgid();
        (*socket).tgid = (ids >> 32) as u32;
        (*socket).cgroup = bpf_get_current_cgroup_id();
        bpf_get_current_comm(addr_of_mut!((*socket).command).cast(), 16);
        (*socket).called = bpf_ktime_get_ns();
        (*socket).has_caller = 1;
    }
}
