//! Whether a connection is watched.

use core::hint::black_box;
use core::ptr::addr_of;

use aya_ebpf::bindings::bpf_sock;
use observer_common::{Config, Facts, Mode, SocketState, decide, mark, reach, role};

use crate::ends::read;
use crate::headers::{Headers, SYN};
use crate::maps::OWNERS;
use crate::pairs;
use crate::rules::Maps;
use crate::tcp::Tcp;
use crate::tell;

/// Decides whether the connection is watched, and keeps the answer.
#[inline(always)]
pub unsafe fn in_scope<const DIRECTION: u8>(
    sk: *mut bpf_sock,
    socket: *mut SocketState,
    config: &Config,
    headers: &Headers,
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
            role::CLIENT => (remote, 0, (*socket).wire.port),
            role::SERVER => (local, 0, 0),
            _ => (remote, local, (*socket).wire.port),
        };
        let facts = Facts {
            dialled_port: (*socket).dialled.port,
            service_port: service,
            wire_port: translated,
            other_port: other,
            tgid: (*socket).tgid,
            command: Some(&(*socket).command),
            cgroup: (*socket).cgroup,
            peer: Some(&(*socket).wire.ip),
            dialled: if (*socket).dialled.port != 0 { Some(&(*socket).dialled.ip) } else { None },
            cookie: (*socket).cookie,
        };
        let before = read(addr_of!((*socket).reach));
        (*socket).reach = decide(&Maps { config }, &facts);
        if (*socket).generation == 0
            && (*socket).role == role::SERVER
            && read(addr_of!((*socket).reach)) == 0
            && pairs::is_other_end::<DIRECTION>(socket, headers)
        {
            (*socket).reach = reach::PEER;
        }
        (*socket).reach = still(read(addr_of!((*socket).reach)), before, read(addr_of!((*socket).paired)));
        // Read back from memory, so that the verifier goes on with one unknown number and not with every combination
        // of reasons.
        let why = read(addr_of!((*socket).reach));
        let was = (*socket).mode;
        let first = (*socket).generation == 0;
        (*socket).generation = config.generation;
        if why == 0 {
            (*socket).mode = Mode::UNWATCHED;
            if (*socket).announced != 0 {
                tell::event(socket, headers, DIRECTION, state, mark::LEFT_SCOPE, now, &Tcp::NONE);
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
                (*socket).paired = 0;
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

/// The reasons `now`; or, of a paired socket that has none, that it is watched for its other end's sake if that is why it was
/// `before`: that may still be so. One that had a reason of its own has lost it. Without branches, each of which the verifier
/// would follow to the end of the program.
#[inline(always)]
fn still(now: u32, before: u32, paired: u8) -> u32 {
    let some = black_box(now | now.wrapping_neg()) >> 31;
    let kept = before & reach::PEER & black_box(u32::from(paired)).wrapping_neg();
    now | (kept & some.wrapping_sub(1))
}

/// What user space knows of a socket that is older than the programs.
#[inline(always)]
pub unsafe fn adopt_owner(socket: *mut SocketState, config: &Config) {
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
