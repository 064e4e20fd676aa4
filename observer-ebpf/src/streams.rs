//! Where the two streams of a connection begin, and how much of them is copied.

use core::ptr::addr_of_mut;

use observer_common::{Budget, Config, Mode, Rate, SocketState, direction, face_key, offset_from, role};

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
                ring::count(|counters| addr_of_mut!((*counters).bytes_skipped), u64::from(headers.len));
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
