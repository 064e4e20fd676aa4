//! The one way to the rings: reserve, fill in place, submit, or count the loss.

use core::arch::asm;
use core::ffi::c_void;
use core::ptr::{self, addr_of_mut};

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit};
use observer_common::{Counters, SocketState};

use crate::maps::{CONFIG, COUNTERS, LIFECYCLE, PAYLOAD, WAKE};

/// Adds to one counter of this CPU. Atomically, because a packet that leaves in process context can be interrupted by
/// one that arrives.
#[inline(always)]
pub fn count(which: impl FnOnce(*mut Counters) -> *mut u64, amount: u64) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        add(which(counters), amount);
    }
}

#[inline(always)]
pub fn add(place: *mut u64, amount: u64) {
    // The target has no compare-and-swap in its oldest instruction set, so `core` offers no `fetch_add` for it; the
    // atomic addition that it does have is reached by name.
    // SAFETY: `place` is a field of a map value or of a socket's storage, aligned to 8.
    unsafe { asm!("lock *(u64 *)({place} + 0) += {amount}", place = in(reg) place, amount = in(reg) amount) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    Lifecycle,
    Payload,
}

impl Ring {
    #[inline(always)]
    pub fn map(self) -> *mut c_void {
        match self {
            Self::Lifecycle => ptr::from_ref(&LIFECYCLE).cast_mut().cast(),
            Self::Payload => ptr::from_ref(&PAYLOAD).cast_mut().cast(),
        }
    }

    /// A place for a record, or null with the loss counted, for the socket too.
    #[inline(always)]
    pub fn reserve(self, size: u64, socket: *mut SocketState, bytes: u64) -> *mut c_void {
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
    pub fn submit(self, place: *mut c_void, size: u64) {
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
