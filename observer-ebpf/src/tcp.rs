//! The socket's own account of its connection.

use aya_ebpf::bindings::bpf_tcp_sock;

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
