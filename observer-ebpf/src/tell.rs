//! Announcements, events and handshakes: what the lifecycle ring carries.

use core::hint::black_box;
use core::ptr::addr_of_mut;

use aya_ebpf::bindings::{__sk_buff, BPF_RB_AVAIL_DATA};
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_ringbuf_query, bpf_skb_load_bytes};
use observer_common::{
    Announcement, Config, Event, Handshake, SocketState, WIRE_VERSION, face_key, kind, mark,
};

use crate::ends::Ends;
use crate::headers::Headers;
use crate::maps::NETNS_COOKIE;
use crate::ring::{Ring, count};
use crate::tcp::Tcp;

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
            | bit((*socket).multipath, mark::MULTIPATH)
            | bit((*socket).joins, mark::JOINS)
            | bit((*socket).paired, mark::PAIRED)
    }
}

/// Announces a connection, with a packet of it or without (`PACKET`; then `skb` is not looked at). Marks it as announced
/// only if the record was submitted.
#[inline(always)]
pub unsafe fn announce<const PACKET: bool>(
    skb: *mut __sk_buff,
    socket: *mut SocketState,
    headers: &Headers,
    direction: u8,
    state: u8,
    now: u64,
    ends: &Ends,
    peer: u64,
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
        (*record).options_len =
            if PACKET { options(skb, headers, addr_of_mut!((*record).options).cast()) } else { 0 };
        (*record).marks = marks(socket);
        (*record).reach = (*socket).reach;
        (*record).time = now;
        (*record).called = (*socket).called;
        (*record).key = face_key((*socket).cookie, (*socket).epoch);
        (*record).listener = (*socket).listener;
        (*record).netns =
            if PACKET && NETNS_COOKIE.load() != 0 { bpf_get_netns_cookie(skb.cast()) } else { 0 };
        (*record).cgroup = (*socket).cgroup;
        (*record).tgid = (*socket).tgid;
        (*record).holder = (*socket).holder;
        (*record).command[0] = (*socket).command[0];
        (*record).command[1] = (*socket).command[1];
        (*record).isn_local = (*socket).isn_local;
        (*record).isn_remote = (*socket).isn_remote;
        (*record).local = ends.local;
        (*record).remote = ends.remote;
        (*record).wire = (*socket).wire;
        (*record).dialled = (*socket).dialled;
        (*record).opened = (*socket).opened;
        (*record).peer = peer;
        (*record).held = (*socket).held;
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
        (*record).holder = (*socket).holder;
        (*record).held = (*socket).held;
        (*record).sender = (*socket).sender;
        (*record).padding2 = 0;
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
        // Options end on a multiple of four: what is left is 4 or 8 bytes.
        if len > 32 && bpf_skb_load_bytes(skb.cast(), from + 28, to.add(28).cast(), 8) != 0 {
            return 28;
        }
        if len > 36 && bpf_skb_load_bytes(skb.cast(), from + 32, to.add(32).cast(), 8) != 0 {
            return 36;
        }
    }
    len as u8
}
