//! A reader of a kernel ring that knows positions.
//!
//! aya's own reader hides the producer's position and maps all the data twice. Both matter here: the position orders
//! two rings against each other (nothing of a connection may overtake its announcement), and what is mapped is resident
//! memory of the daemon on top of the kernel's. So a window is mapped that moves along with the reading. The layout is
//! that of `kernel/bpf/ringbuf.c`: a consumer page, a producer page, the data, the data again, so that a window over the
//! end of the data shows its beginning. A record is a header of 8 bytes (length, and two flags in it) and its bytes,
//! rounded up to 8.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: usize = 8;

/// Bytes of data that are mapped at a time: moving the window costs some microseconds.
const WINDOW: usize = 256 << 10;

/// One mapped range.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is shared memory that any thread may touch; what is written through it is written by this
// reader alone, which is not `Sync`.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: usize, len: usize, protection: ProtFlags) -> Result<Self, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start =
            unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, fd, offset as u64)? };
        Ok(Self { start: NonNull::new(start.cast()).ok_or(Errno::NOMEM)?, len })
    }

    fn position(&self) -> &AtomicU64 {
        // SAFETY: the first eight bytes of a position page, aligned to a page, valid as long as the mapping.
        unsafe { self.start.cast::<AtomicU64>().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped; every reference into it borrows `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// What lies next in a ring.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A record.
    Record(&'a [u8]),
    /// Nothing up to the position asked for.
    Nothing,
    /// A record that is being written on another CPU at this moment.
    Busy,
}

/// The part of the data that is mapped.
#[derive(Debug)]
struct Window {
    mapping: Mapping,
    /// Position in the ring of its first byte.
    from: u64,
}

/// Reads one ring.
#[derive(Debug)]
pub(super) struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    window: Option<Window>,
    size: usize,
    page: usize,
    position: u64,
}

impl Ring {
    /// Maps the ring behind `fd`, of `size` bytes.
    pub(super) fn new(fd: BorrowedFd<'_>, size: u32) -> Result<Self, std::io::Error> {
        let page = rustix::param::page_size();
        let size = usize::try_from(size).map_err(std::io::Error::other)?;
        let consumer = Mapping::new(fd, 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Mapping::new(fd, page, page, ProtFlags::READ)?;
        let position = consumer.position().load(Ordering::Acquire);
        let fd = fcntl_dupfd_cloexec(fd, 0)?;
        let mut ring = Self { fd, consumer, producer, window: None, size, page, position };
        // Fails now rather than at the first record.
        ring.show(position, HEADER)?;
        Ok(ring)
    }

    /// Where the next record will be written. Everything before it was reserved earlier.
    pub(super) fn end(&self) -> u64 {
        self.producer.position().load(Ordering::Acquire)
    }

    /// Where the next record is read.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// The next record before position `end`, and the step behind it, which [`Ring::consume`] takes.
    pub(super) fn peek(&mut self, end: u64) -> (Next<'_>, u64) {
        let mut skipped = 0;
        loop {
            let position = self.position + skipped;
            if position >= end {
                self.advance(skipped);
                return (Next::Nothing, 0);
            }
            let Ok(start) = self.show(position, HEADER) else {
                // No memory for the window: what the ring has no room for meanwhile is counted in the kernel.
                self.advance(skipped);
                return (Next::Busy, 0);
            };
            // SAFETY: records are aligned to 8, and `show` mapped the header.
            let header = unsafe { start.cast::<AtomicU32>().as_ref().load(Ordering::Acquire) };
            if header & BUSY != 0 {
                self.advance(skipped);
                return (Next::Busy, 0);
            }
            let len = (header & !(BUSY | DISCARDED)) as usize;
            let step = (HEADER + len).next_multiple_of(8) as u64;
            if header & DISCARDED != 0 {
                skipped += step;
                continue;
            }
            self.advance(skipped);
            let Ok(start) = self.show(position, HEADER + len) else { return (Next::Busy, 0) };
            // SAFETY: `show` mapped the header and the `len` bytes behind it, and the kernel does not write to a committed
            // record before the consumer's position has passed it.
            let record = unsafe { std::slice::from_raw_parts(start.add(HEADER).as_ptr(), len) };
            return (Next::Record(record), step);
        }
    }

    /// Gives the space of the record that [`Ring::peek`] showed back to the kernel.
    pub(super) fn consume(&mut self, step: u64) {
        self.advance(step);
    }

    fn advance(&mut self, step: u64) {
        if step > 0 {
            self.position += step;
            self.consumer.position().store(self.position, Ordering::Release);
        }
    }

    /// Where `len` bytes from `position` on are mapped; moves the window if they are not in it.
    fn show(&mut self, position: u64, len: usize) -> Result<NonNull<u8>, Errno> {
        let inside = |window: &Window| {
            let offset = usize::try_from(position.checked_sub(window.from)?).ok()?;
            (offset.checked_add(len)? <= window.mapping.len).then_some(offset)
        };
        let window = match &mut self.window {
            Some(window) if inside(window).is_some() => window,
            window => {
                // Two windows are never mapped at a time.
                *window = None;
                let from = position - position % self.page as u64;
                let (size, page) = (self.size, self.page);
                let offset = usize::try_from(from % size as u64).map_err(|_| Errno::OVERFLOW)?;
                // A record of any length fits behind the first page; `offset` is at most a page short of `size`, and
                // the data lies there twice.
                let length = if len <= WINDOW { WINDOW.min(size) } else { size } + page;
                let mapping = Mapping::new(self.fd.as_fd(), 2 * page + offset, length, ProtFlags::READ)?;
                window.insert(Window { mapping, from })
            }
        };
        let offset = inside(window).ok_or(Errno::OVERFLOW)?;
        // SAFETY: `inside` found `offset + len` within the mapping.
        Ok(unsafe { window.mapping.start.add(offset) })
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
