//! The one way to the rings: reserve, fill in place, submit, or count the loss.

use core::arch::asm;
use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::{self, addr_of_mut};

use aya_ebpf::bindings::{__sk_buff, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, bpf_tcp_sock};
use aya_ebpf::helpers::generated::{
    bpf_get_netns_cookie, bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_skb_load_bytes,
};
use observer_common::{
    Address, Announcement, CLASSES, Config, Counters, Event, Handshake, PAYLOAD_HEADER, Payload, SocketState,
    WIRE_VERSION, face_key, flag, kind, mark, next_piece,
};

use crate::headers::{FIN, Headers, RST, SYN, forget};
use crate::maps::{CONFIG, COUNTERS, LIFECYCLE, NETNS_COOKIE, PAYLOAD, WAKE};

/// Pieces of the largest class that one segment may take before its last piece: enough for the default budget.
const FULL: u32 = 5;

/// The socket's counters, read before the packet took effect.
pub struct Tcp {
    pub known: bool,
    pub snd_una: u32,
    pub snd_nxt: u32,
    pub rcv_nxt: u32,
    pub bytes_acked: u64,
    pub bytes_received: u64,
}

impl Tcp {
    pub const NONE: Self =
        Self { known: false, snd_una: 0, snd_nxt: 0, rcv_nxt: 0, bytes_acked: 0, bytes_received: 0 };

    /// Reads them; `None` if the socket is not TCP's.
    #[inline(always)]
    pub unsafe fn read(tcp: *mut bpf_tcp_sock) -> Option<Self> {
        if tcp.is_null() {
            return None;
        }
        // SAFETY: checked; the verifier rewrites these loads.
        unsafe {
            Some(Self {
                known: true,
                snd_una: (*tcp).snd_una,
                snd_nxt: (*tcp).snd_nxt,
                rcv_nxt: (*tcp).rcv_nxt,
                bytes_acked: (*tcp).bytes_acked,
                bytes_received: (*tcp).bytes_received,
            })
        }
    }
}

/// Both ends of a packet.
pub struct Ends {
    pub local: Address,
    pub remote: Address,
}

/// Adds to one counter of this CPU. Atomically, because a packet that leaves in process context can be interrupted by
/// one that arrives.
#[inline(always)]
pub fn count(which: impl FnOnce(*mut Counters) -> *mut u64, amount: u64) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        add(which(counters), amount);
    }
}

#[inline(always)]
fn add(place: *mut u64, amount: u64) {
    // The target has no compare-and-swap in its oldest instruction set, so `core` offers no `fetch_add` for it; the
    // atomic addition that it does have is reached by name.
    // SAFETY: `place` is a field of a map value or of a socket's storage, aligned to 8.
    unsafe { asm!("lock *(u64 *)({place} + 0) += {amount}", place = in(reg) place, amount = in(reg) amount) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    Lifecycle,
    Payload,
}

impl Ring {
    #[inline(always)]
    fn map(self) -> *mut c_void {
        match self {
            Self::Lifecycle => ptr::from_ref(&LIFECYCLE).cast_mut().cast(),
            Self::Payload => ptr::from_ref(&PAYLOAD).cast_mut().cast(),
        }
    }

    /// A place for a record, or null with the loss counted, for the socket too.
    #[inline(always)]
    fn reserve(self, size: u64, socket: *mut SocketState, bytes: u64) -> *mut c_void {
        // SAFETY: helper calls on our own maps; `socket` is a storage that was checked.
        unsafe {
            let place = bpf_ringbuf_reserve(self.map(), size, 0);
            if let Some(counters) = COUNTERS.get_ptr_mut(0) {
                let ring = match self {
                    Self::Lifecycle => addr_of_mut!((*counters).lifecycle),
                    Self::Payload => addr_of_mut!((*counters).payload),
                };
                add(addr_of_mut!((*ring).wanted), 1);
                if place.is_null() {
                    add(addr_of_mut!((*ring).full), 1);
                    add(addr_of_mut!((*counters).payload_bytes_lost), bytes);
                } else {
                    add(addr_of_mut!((*ring).submitted), 1);
                }
            }
            if place.is_null() {
                add(addr_of_mut!((*socket).lost_records), 1);
                add(addr_of_mut!((*socket).lost_bytes), bytes);
            }
            place
        }
    }

    /// Hands a record over. Wakes the reader if it sleeps, or if this record makes the ring a quarter full.
    #[inline(always)]
    fn submit(self, place: *mut c_void, size: u64) {
        let mut flags = BPF_RB_NO_WAKEUP;
        if let Some(switch) = WAKE.get_ptr_mut(0)
            // SAFETY: a map value.
            && unsafe { (*switch).armed } != 0
        {
            // SAFETY: as above.
            unsafe { (*switch).armed = 0 };
            flags = BPF_RB_FORCE_WAKEUP;
        } else if let Some(config) = CONFIG.get(0) {
            let from = match self {
                Self::Lifecycle => config.lifecycle_wake,
                Self::Payload => config.payload_wake,
            };
            // SAFETY: a helper call on our own map.
            let filled = unsafe { bpf_ringbuf_query(self.map(), BPF_RB_AVAIL_DATA.into()) };
            if filled >= from && filled.wrapping_sub(size + 8) < from {
                flags = BPF_RB_FORCE_WAKEUP;
            }
        }
        // SAFETY: `place` is the reservation.
        unsafe { bpf_ringbuf_submit(place, flags.into()) };
    }
}

/// What is known of the connection, as [`mark`] bits. Without a branch: the verifier would go on with every
/// combination.
#[inline(always)]
unsafe fn marks(socket: *const SocketState) -> u32 {
    #[inline(always)]
    fn bit(flag: u8, mark: u32) -> u32 {
        u32::from(flag & 1) * mark
    }
    // SAFETY: the caller checked the pointer.
    unsafe {
        bit((*socket).has_isn_local, mark::ISN_LOCAL)
            | bit((*socket).has_isn_remote, mark::ISN_REMOTE)
            | bit((*socket).older, mark::OLDER)
            | bit((*socket).late, mark::LATE)
            | bit((*socket).has_caller, mark::OWNER)
            | bit((*socket).released, mark::WAS_RELEASED)
            | bit((*socket).fin_out, mark::FIN_OUT)
            | bit((*socket).fin_in, mark::FIN_IN)
    }
}

/// Announces a connection. Marks it as announced only if the record was submitted.
#[inline(always)]
pub unsafe fn announce(
    skb: *mut __sk_buff,
    socket: *mut SocketState,
    headers: &Headers,
    direction: u8,
    state: u8,
    now: u64,
    ends: &Ends,
    wire: &Address,
) -> bool {
    const SIZE: u64 = Announcement::SIZE as u64;
    let place = Ring::Lifecycle.reserve(SIZE, socket, 0);
    if place.is_null() {
        return false;
    }
    let record = place.cast::<Announcement>();
    // SAFETY: the reservation is as large as the record; the socket was checked.
    unsafe {
        (*record).version = WIRE_VERSION;
        (*record).kind = kind::ANNOUNCEMENT;
        (*record).role = (*socket).role;
        (*record).tcp_flags = headers.flags;
        (*record).direction = direction;
        (*record).state = state;
        (*record).options_len = options(skb, headers, addr_of_mut!((*record).options).cast());
        (*record).marks = marks(socket);
        (*record).reach = (*socket).reach;
        (*record).time = now;
        (*record).called = (*socket).called;
        (*record).key = face_key((*socket).cookie, (*socket).epoch);
        (*record).listener = (*socket).listener;
        (*record).netns = if NETNS_COOKIE.load() != 0 { bpf_get_netns_cookie(skb.cast()) } else { 0 };
        (*record).cgroup = (*socket).cgroup;
        (*record).tgid = (*socket).tgid;
        (*record).tid = (*socket).tid;
        (*record).command[0] = (*socket).command[0];
        (*record).command[1] = (*socket).command[1];
        (*record).isn_local = (*socket).isn_local;
        (*record).isn_remote = (*socket).isn_remote;
        (*record).local = ends.local;
        (*record).remote = ends.remote;
        (*record).wire = *wire;
        (*record).dialled = (*socket).dialled;
        (*record).reserved = 0;
        Ring::Lifecycle.submit(place, SIZE);
        (*socket).announced = 1;
    }
    true
}

/// Tells a control segment or a release. A loss is made good by the next event, which carries the same marks.
#[inline(always)]
pub unsafe fn event(
    socket: *mut SocketState,
    headers: &Headers,
    direction: u8,
    state: u8,
    extra: u32,
    now: u64,
    tcp: &Tcp,
) {
    const SIZE: u64 = Event::SIZE as u64;
    let place = Ring::Lifecycle.reserve(SIZE, socket, 0);
    if place.is_null() {
        return;
    }
    let record = place.cast::<Event>();
    // SAFETY: as above.
    unsafe {
        (*record).version = WIRE_VERSION;
        (*record).kind = kind::EVENT;
        (*record).role = (*socket).role;
        (*record).tcp_flags = headers.flags;
        (*record).direction = direction;
        (*record).state = state;
        (*record).padding = 0;
        (*record).marks = marks(socket) | extra | if tcp.known { mark::COUNTERS } else { 0 };
        (*record).lost_records = (*socket).lost_records as u32;
        (*record).time = now;
        (*record).key = face_key((*socket).cookie, (*socket).epoch);
        (*record).lost_bytes = (*socket).lost_bytes;
        (*record).skipped_bytes = (*socket).skipped_bytes;
        (*record).bytes_acked = tcp.bytes_acked;
        (*record).bytes_received = tcp.bytes_received;
        (*record).seq = headers.seq;
        (*record).ack = headers.ack;
        (*record).len = headers.len;
        (*record).snd_una = tcp.snd_una;
        (*record).rcv_nxt = tcp.rcv_nxt;
        (*record).snd_nxt = tcp.snd_nxt;
        (*record).isn_local = (*socket).isn_local;
        (*record).isn_remote = (*socket).isn_remote;
        Ring::Lifecycle.submit(place, SIZE);
    }
}

/// Tells a handshake segment that ran with the listener's socket. These can be forced upon a listener by anyone, so
/// they are given up before the ring is full.
#[inline(always)]
pub unsafe fn handshake(
    skb: *mut __sk_buff,
    socket: *mut SocketState,
    config: &Config,
    headers: &Headers,
    direction: u8,
    reach: u32,
    now: u64,
    ends: &Ends,
) {
    const SIZE: u64 = Handshake::SIZE as u64;
    // SAFETY: a helper call on our own map.
    if unsafe { bpf_ringbuf_query(Ring::Lifecycle.map(), BPF_RB_AVAIL_DATA.into()) } >= config.shed_from {
        count(|counters| unsafe { addr_of_mut!((*counters).lifecycle.wanted) }, 1);
        count(|counters| unsafe { addr_of_mut!((*counters).lifecycle.shed) }, 1);
        return;
    }
    let place = Ring::Lifecycle.reserve(SIZE, socket, 0);
    if place.is_null() {
        return;
    }
    let record = place.cast::<Handshake>();
    // SAFETY: as above.
    unsafe {
        (*record).version = WIRE_VERSION;
        (*record).kind = kind::HANDSHAKE;
        (*record).tcp_flags = headers.flags;
        (*record).direction = direction;
        (*record).options_len = options(skb, headers, addr_of_mut!((*record).options).cast());
        (*record).padding = 0;
        (*record).time = now;
        (*record).listener = (*socket).cookie;
        (*record).seq = headers.seq;
        (*record).ack = headers.ack;
        (*record).len = headers.len;
        (*record).reach = reach;
        (*record).local = ends.local;
        (*record).remote = ends.remote;
        Ring::Lifecycle.submit(place, SIZE);
    }
}

/// Copies the TCP options to `to`, which has room for 40 bytes; returns how many.
#[inline(always)]
unsafe fn options(skb: *mut __sk_buff, headers: &Headers, to: *mut u8) -> u8 {
    let len = headers.payload.wrapping_sub(headers.tcp + 20);
    if len == 0 || len > 40 {
        return 0;
    }
    let from = headers.tcp + 20;
    let first = if len > 32 { 32 } else { len };
    // SAFETY: `first` is 1 to 32 and the second copy 8 bytes behind it; the verifier checks both.
    unsafe {
        let size = (black_box(first - 1) & 31) + 1;
        if bpf_skb_load_bytes(skb.cast(), from, to.cast(), size) != 0 {
            return 0;
        }
        if len > 32 && bpf_skb_load_bytes(skb.cast(), from + len - 8, to.add(32).cast(), 8) != 0 {
            return 32;
        }
    }
    // An odd tail (36 bytes) would need a third copy; the last four bytes are then given up.
    if len > 32 && len < 40 { 32 } else { len as u8 }
}

/// Counts payload whose connection could not be announced for want of room.
#[inline(always)]
pub unsafe fn unannounced(socket: *mut SocketState, bytes: u32) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: a map value, and a storage that the caller checked.
        unsafe {
            add(addr_of_mut!((*counters).payload.wanted), 1);
            add(addr_of_mut!((*counters).payload.shed), 1);
            add(addr_of_mut!((*counters).payload_bytes_lost), bytes.into());
        }
    }
    // SAFETY: as above.
    unsafe {
        add(addr_of_mut!((*socket).lost_records), 1);
        add(addr_of_mut!((*socket).lost_bytes), bytes.into());
    }
}

/// What is to be copied of a segment, and what its records say besides the bytes.
pub struct Plan {
    pub key: u64,
    /// Bytes to copy, from the first on; at least 1.
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
pub unsafe fn payload(
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
        allowed: plan.allowed,
        last: forget(plan.last, zero),
        now: forget(plan.now, zero),
        rcv_nxt: forget(plan.rcv_nxt.into(), zero) as u32,
        role: forget(plan.role.into(), zero) as u8,
        flags: forget(plan.flags.into(), zero) as u8,
    };
    let mut done: u64 = zero;
    let mut pieces = 0;
    while pieces < FULL && allowed.wrapping_sub(done) > u64::from(CLASSES[3]) {
        let piece = Piece {
            headers,
            plan: &plan,
            direction,
            done: done as u32,
            bytes: CLASSES[3],
            len: CLASSES[3],
            last: 0,
        };
        // SAFETY: the caller checked `skb` and `socket`.
        unsafe { piece.emit::<16384>(skb, socket) };
        done = done.wrapping_add(CLASSES[3].into()).wrapping_add(zero);
        pieces += 1;
    }
    // The last piece answers for all that is not copied.
    let next = next_piece(allowed.wrapping_sub(done) as u32);
    let piece = Piece {
        headers,
        plan: &plan,
        direction,
        done: done as u32,
        bytes: next.bytes,
        len: headers.len.wrapping_sub(done as u32),
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
    /// Payload bytes of the segment before this piece.
    done: u32,
    /// Bytes to copy.
    bytes: u32,
    /// Bytes it stands for.
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
                headers.payload.wrapping_add(self.done),
                place.cast::<u8>().add(PAYLOAD_HEADER).cast(),
                clamped,
            ) != 0;
            (*record).captured = self.bytes;
            (*record).flags = plan.flags | self.last * flag::BUDGET_SPENT;
            if unread {
                (*record).captured = 0;
                (*record).flags |= flag::UNREADABLE;
                count(|counters| addr_of_mut!((*counters).uncopied), 1);
            }
            (*record).version = WIRE_VERSION;
            (*record).kind = kind::PAYLOAD;
            (*record).role = plan.role;
            (*record).tcp_flags = headers.flags & !(SYN | FIN | RST);
            (*record).direction = self.direction;
            (*record).padding = 0;
            (*record).seq =
                headers.seq.wrapping_add(u32::from((headers.flags & SYN) >> 1)).wrapping_add(self.done);
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
