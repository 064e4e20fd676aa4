//! Where the two streams of a connection begin, and how much of them is copied.

use core::ptr::addr_of_mut;

use observer_common::{
    Budget, Config, Mode, Rate, SocketState, Window, Wish, direction, face_key, offset_from, role,
};

use crate::headers::{Headers, SYN};
use crate::maps::FEEDBACK;
use crate::payload::Plan;
use crate::ring;
use crate::tcp::Tcp;

/// Where the two streams begin.
#[inline(always)]
pub unsafe fn begin<const DIRECTION: u8>(socket: *mut SocketState, headers: &Headers, tcp: &Tcp) {
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
pub unsafe fn plan<const DIRECTION: u8>(
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
            wished::<DIRECTION>(socket, config, headers, now, Wish::decode(*wanted));
        }
        let mode = (*socket).mode;
        let mut unwanted = 0;
        let (allowed, last) = if mode == Mode::REQUESTS {
            if !to_server::<DIRECTION>(socket) {
                return None;
            }
            if (*socket).has_window != 0 {
                let mut window = Window { start: (*socket).window, since: (*socket).window_since };
                let portion = window.portion(now, headers.seq, headers.len, config.request_window);
                (*socket).window = window.start;
                (*socket).window_since = window.since;
                if portion.unwanted >= headers.len {
                    return None;
                }
                unwanted = portion.unwanted;
                if portion.beyond {
                    skipped(socket, headers.len.wrapping_sub(unwanted));
                    return None;
                }
            }
            let mut rate = Rate { since: (*socket).rate_since, used: (*socket).rate_used };
            let allowed = rate.take(now, headers.len.wrapping_sub(unwanted), config.request_rate);
            (*socket).rate_since = rate.since;
            (*socket).rate_used = rate.used;
            if allowed == 0 {
                skipped(socket, headers.len.wrapping_sub(unwanted));
                return None;
            }
            (headers.len, false)
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
        Some(Plan { key, unwanted, allowed, last: last.into(), now, rcv_nxt, role: (*socket).role, flags: 0 })
    }
}

/// Whether a packet travels to the server; of a socket whose role is not known either way may be that.
#[inline(always)]
unsafe fn to_server<const DIRECTION: u8>(socket: *mut SocketState) -> bool {
    // SAFETY: the caller checked the pointer.
    match unsafe { (*socket).role } {
        role::CLIENT => DIRECTION == direction::OUT,
        role::SERVER => DIRECTION == direction::IN,
        _ => true,
    }
}

/// Takes a wish over into the socket's state.
#[inline(always)]
unsafe fn wished<const DIRECTION: u8>(
    socket: *mut SocketState,
    config: &Config,
    headers: &Headers,
    now: u64,
    wish: Wish,
) {
    // SAFETY: the caller checked the pointer.
    unsafe {
        (*socket).mode = wish.mode;
        let Some(from) = wish.from else { return };
        // The place is one of the direction to the server, which has to be known for it.
        if (*socket).role == role::UNKNOWN || !to_server::<DIRECTION>(socket) {
            return;
        }
        if (*socket).has_window != 0 {
            let mut window = Window { start: (*socket).window, since: (*socket).window_since };
            window.advance(from, now);
            (*socket).window = window.start;
            (*socket).window_since = window.since;
            return;
        }
        (*socket).has_window = 1;
        (*socket).window = from;
        (*socket).window_since = now;
        // Between the end of the budget and the arrival of the wish nothing was copied.
        let base = if DIRECTION == direction::OUT { (*socket).base_out } else { (*socket).base_in };
        let copied = base.wrapping_add(config.budget);
        let first = if from.wrapping_sub(copied).cast_signed() > 0 { from } else { copied };
        let passed = headers.seq.wrapping_sub(first);
        if passed.cast_signed() > 0 {
            skipped(socket, passed);
        }
    }
}

/// Bytes that may be requests are not copied.
#[inline(always)]
unsafe fn skipped(socket: *mut SocketState, bytes: u32) {
    // SAFETY: the caller checked the pointer.
    unsafe { (*socket).skipped_bytes += u64::from(bytes) };
    ring::count(|counters| unsafe { addr_of_mut!((*counters).bytes_skipped) }, bytes.into());
}
