//! Copies payload, straight from the packet into the ring.

use core::hint::black_box;
use core::ptr::addr_of_mut;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use observer_common::{
    CLASSES, OPTIONS_MAX, PAYLOAD_HEADER, PLAIN_OPTIONS, Payload, SocketState, WIRE_VERSION, flag, kind,
    next_piece,
};

use crate::headers::{FIN, Headers, RST, SYN, forget};
use crate::ring::{self, Ring};

/// Pieces of the largest class that one segment may take before its last piece: enough for the default budget.
const FULL: u32 = 5;

/// What is to be copied of a segment, and what its records say besides the bytes.
pub struct Plan {
    pub key: u64,
    /// Bytes at the front that nobody wants.
    pub unwanted: u32,
    /// Up to where bytes are to be copied; at least 1 more than `unwanted`.
    pub allowed: u32,
    /// 1: the budget ends with what is copied.
    pub last: u64,
    pub now: u64,
    pub rcv_nxt: u32,
    pub role: u8,
    /// [`flag`] bits of every piece.
    pub flags: u8,
}

/// Copies the payload of a segment, straight into the ring, in as many pieces as it takes. `zero` is 0 from a map:
/// added to a number, it makes the verifier forget what it knows, so that every way here and every turn of the loop
/// looks the same to it. Otherwise it follows every combination.
#[inline(always)]
pub unsafe fn copy(
    skb: *mut __sk_buff,
    socket: *mut SocketState,
    headers: &Headers,
    direction: u8,
    plan: &Plan,
    zero: u64,
) {
    let headers = &headers.forgotten(zero);
    let allowed = forget(plan.allowed.into(), zero);
    let plan = Plan {
        key: forget(plan.key, zero),
        unwanted: plan.unwanted,
        allowed: plan.allowed,
        last: forget(plan.last, zero),
        now: forget(plan.now, zero),
        rcv_nxt: forget(plan.rcv_nxt.into(), zero) as u32,
        role: forget(plan.role.into(), zero) as u8,
        flags: forget(plan.flags.into(), zero) as u8,
    };
    // A mapping of Multipath TCP goes with the first piece, as if the payload began with it.
    let mut options = headers.payload.wrapping_sub(headers.tcp.wrapping_add(20));
    if options <= PLAIN_OPTIONS || options > OPTIONS_MAX as u32 || plan.unwanted != 0 {
        options = 0;
    }
    let lead = forget(options.into(), zero);
    let allowed = forget(allowed.wrapping_add(lead), zero);
    let mut done = forget(plan.unwanted.into(), zero);
    let mut options = forget(lead, zero);
    let mut pieces = 0;
    while pieces < FULL && allowed.wrapping_sub(done) > u64::from(CLASSES[3]) {
        let piece = Piece {
            headers,
            plan: &plan,
            direction,
            lead: lead as u32,
            options: options as u32,
            done: done as u32,
            bytes: CLASSES[3],
            len: CLASSES[3].wrapping_sub(options as u32),
            last: 0,
        };
        // SAFETY: the caller checked `skb` and `socket`.
        unsafe { piece.emit::<16384>(skb, socket) };
        done = done.wrapping_add(CLASSES[3].into()).wrapping_add(zero);
        options = zero;
        pieces += 1;
    }
    // The last piece answers for all that is not copied.
    let next = next_piece(allowed.wrapping_sub(done) as u32);
    let piece = Piece {
        headers,
        plan: &plan,
        direction,
        lead: lead as u32,
        options: options as u32,
        done: done as u32,
        bytes: next.bytes,
        len: headers.len.wrapping_add(lead as u32).wrapping_sub(done as u32).wrapping_sub(options as u32),
        last: plan.last as u8,
    };
    // SAFETY: as above.
    unsafe {
        match next.class {
            0 => piece.emit::<256>(skb, socket),
            1 => piece.emit::<1024>(skb, socket),
            2 => piece.emit::<4096>(skb, socket),
            _ => piece.emit::<16384>(skb, socket),
        }
    }
}

const _: () = assert!(
    CLASSES[0] == 256 && CLASSES[1] == 1024 && CLASSES[2] == 4096 && CLASSES[3] == 16384,
    "the classes of `payload` are those of the wire"
);

struct Piece<'a> {
    headers: &'a Headers,
    plan: &'a Plan,
    direction: u8,
    /// Bytes of options that the segment's first piece begins with.
    lead: u32,
    /// The same of this piece: nothing but of the first.
    options: u32,
    /// Bytes of the segment, options counted, before this piece.
    done: u32,
    /// Bytes to copy, options counted.
    bytes: u32,
    /// Payload bytes it stands for.
    len: u32,
    /// 1: the budget ends with it.
    last: u8,
}

impl Piece<'_> {
    #[inline(always)]
    unsafe fn emit<const ROOM: u32>(&self, skb: *mut __sk_buff, socket: *mut SocketState) {
        let size = PAYLOAD_HEADER as u64 + u64::from(ROOM);
        let place = Ring::Payload.reserve(size, socket, u64::from(self.len));
        if place.is_null() {
            return;
        }
        let record = place.cast::<Payload>();
        let (headers, plan) = (self.headers, self.plan);
        // SAFETY: the reservation holds the header and `ROOM` bytes behind it.
        unsafe {
            // LLVM would drop the clamp that the verifier needs, since it knows the range already.
            let clamped = (black_box(self.bytes - 1) & (ROOM - 1)) + 1;
            let unread = bpf_skb_load_bytes(
                skb.cast(),
                headers.payload.wrapping_sub(self.lead).wrapping_add(self.done),
                place.cast::<u8>().add(PAYLOAD_HEADER).cast(),
                clamped,
            ) != 0;
            (*record).captured = self.bytes.wrapping_sub(self.options);
            (*record).options_len = self.options as u8;
            (*record).flags = plan.flags | self.last * flag::BUDGET_SPENT;
            if unread {
                (*record).captured = 0;
                (*record).options_len = 0;
                (*record).flags |= flag::UNREADABLE;
                ring::count(|counters| addr_of_mut!((*counters).uncopied), 1);
            }
            (*record).version = WIRE_VERSION;
            (*record).kind = kind::PAYLOAD;
            (*record).role = plan.role;
            (*record).tcp_flags = headers.flags & !(SYN | FIN | RST);
            (*record).direction = self.direction;
            (*record).seq = headers
                .seq
                .wrapping_add(u32::from((headers.flags & SYN) >> 1))
                .wrapping_add(self.done)
                .wrapping_add(self.options)
                .wrapping_sub(self.lead);
            (*record).ack = headers.ack;
            (*record).len = self.len;
            (*record).time = plan.now;
            (*record).key = plan.key;
            (*record).lost_bytes = (*socket).lost_bytes;
            (*record).skipped_bytes = (*socket).skipped_bytes;
            (*record).lost_records = (*socket).lost_records as u32;
            (*record).rcv_nxt = plan.rcv_nxt;
            Ring::Payload.submit(place, size);
        }
    }
}
