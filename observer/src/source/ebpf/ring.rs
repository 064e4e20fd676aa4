//! A reader of a kernel ring that knows positions.
//!
//! aya's own reader hides the producer's position and maps the data twice. Both matter here: the position orders two
//! rings against each other (nothing of a connection may overtake its announcement), and the second mapping doubles
//! the resident memory. The layout is that of `kernel/bpf/ringbuf.c`: a consumer page, a producer page, the data, the
//! data again. A record is a header of 8 bytes (length, and two flags in it) and its bytes, rounded up to 8.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: usize = 8;

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

/// Reads one ring.
#[derive(Debug)]
pub(super) struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    size: usize,
    page: usize,
    position: u64,
    /// A record that crosses the end of the data, put together.
    crossing: Vec<u8>,
}

impl Ring {
    /// Maps the ring behind `fd`, of `size` bytes.
    pub(super) fn new(fd: BorrowedFd<'_>, size: u32) -> Result<Self, std::io::Error> {
        let page = rustix::param::page_size();
        let size = usize::try_from(size).map_err(std::io::Error::other)?;
        let consumer = Mapping::new(fd, 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Mapping::new(fd, page, page + size, ProtFlags::READ)?;
        let position = consumer.position().load(Ordering::Acquire);
        let fd = fcntl_dupfd_cloexec(fd, 0)?;
        Ok(Self { fd, consumer, producer, size, page, position, crossing: Vec::new() })
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
            let offset = self.offset(position);
            // SAFETY: records are aligned to 8 and the data is a multiple of 8 long, so the header never crosses its
            // end; the mapping holds `page + size` bytes.
            let header = unsafe {
                self.producer
                    .start
                    .add(self.page + offset)
                    .cast::<AtomicU32>()
                    .as_ref()
                    .load(Ordering::Acquire)
            };
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
            let start = (offset + HEADER) % self.size;
            let first = len.min(self.size - start);
            // SAFETY: `start + first` is within the data, and the kernel does not write to a committed record before
            // the consumer's position has passed it.
            let front = unsafe {
                std::slice::from_raw_parts(self.producer.start.add(self.page + start).as_ptr(), first)
            };
            if first == len {
                return (Next::Record(front), step);
            }
            self.crossing.clear();
            self.crossing.extend_from_slice(front);
            // SAFETY: as above; what remains lies at the front of the data and is shorter than it.
            self.crossing.extend_from_slice(unsafe {
                std::slice::from_raw_parts(
                    self.producer.start.add(self.page).as_ptr(),
                    (len - first).min(self.size),
                )
            });
            return (Next::Record(&self.crossing), step);
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

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below `size`, which is a usize")]
    const fn offset(&self, position: u64) -> usize {
        (position % self.size as u64) as usize
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
