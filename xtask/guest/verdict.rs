//! The last program of a guest: ends QEMU with an exit code of its own, `status * 2 + 1`.
//!
//! Compiled by `rustc` alone, for a machine that has no libraries. QEMU's `isa-debug-exit` device waits on an I/O port;
//! Debian's kernels have no `/dev/port`, so the port is opened with `ioperm` and written to directly.

unsafe extern "C" {
    fn ioperm(from: u64, count: u64, allow: i32) -> i32;
}

const PORT: u16 = 0xf4;

fn main() {
    let status: u8 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    // SAFETY: the C library's function, called with plain numbers; it changes the rights of this process alone.
    let opened = unsafe { ioperm(u64::from(PORT), 1, 1) };
    if opened != 0 {
        eprintln!("ioperm: {}", std::io::Error::last_os_error());
        std::process::exit(1);
    }
    // SAFETY: the port was opened above and belongs to a device whose only effect is to end the guest.
    unsafe {
        std::arch::asm!("out dx, al", in("dx") PORT, in("al") status, options(nomem, nostack, preserves_flags));
    }
}
