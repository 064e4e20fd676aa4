//! The state kept with each TCP socket.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use aya_ebpf::macros::btf_map;
use observer_common::SocketState;

const FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;

/// A socket storage map whose entries are cloned from a listener to the sockets accepted from it. (aya-ebpf's own type
/// has no `BPF_F_CLONE` and takes a `connect` context alone.)
#[repr(C)]
pub struct ClonedStorage {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const SocketState,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the pointers are only types for the loader; nothing ever follows them.
unsafe impl Sync for ClonedStorage {}

#[btf_map]
pub static SOCKETS: ClonedStorage = ClonedStorage {
    r#type: ptr::null(),
    key: ptr::null(),
    value: ptr::null(),
    max_entries: ptr::null(),
    map_flags: ptr::null(),
};

/// The state of a socket; null if it has none yet.
#[inline(always)]
pub fn find(sk: *mut c_void) -> *mut SocketState {
    // SAFETY: the helper checks the socket; the verifier checks that `sk` is one.
    unsafe { bpf_sk_storage_get(map(), sk, ptr::null_mut(), 0) }.cast()
}

/// The state of a socket, made of zeroes if it has none yet; null if there is no memory for it.
#[inline(always)]
pub fn find_or_make(sk: *mut c_void) -> *mut SocketState {
    // SAFETY: as above.
    unsafe { bpf_sk_storage_get(map(), sk, ptr::null_mut(), BPF_SK_STORAGE_GET_F_CREATE.into()) }.cast()
}

#[inline(always)]
fn map() -> *mut c_void {
    ptr::from_ref(&SOCKETS).cast_mut().cast()
}
