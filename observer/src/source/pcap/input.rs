//! Where a capture's bytes come from: a file or a pipe, unpacked on the way.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::open_error::OpenError;
use super::zstd::Zstd;

/// Bytes that are read of a packed file at once.
const PACKED_READ: usize = 1 << 17;

/// A pipe from which nothing came for so long is quiet: the reading of it says so, as an error of the kind `TimedOut`.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How a capture's bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the first four bytes, never by the name.
    fn sniff(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "capture",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The unpacked bytes of one capture.
pub(super) struct Input {
    pub(super) reader: Box<dyn Read + Send>,
    pub(super) packing: Packing,
    /// Whether bytes come as they are captured, so that nothing may wait for a full block.
    pub(super) live: bool,
    /// Length of the file, where it is one.
    pub(super) length: Option<u64>,
    /// Bytes read of the file, before unpacking.
    pub(super) position: Arc<AtomicU64>,
}

impl Input {
    /// Opens the capture called `name`; `-` is standard input. A byte on `wake` ends a live input.
    pub(super) fn open(name: &Path, wake: Option<OwnedFd>) -> Result<Self, OpenError> {
        let file = if name.as_os_str() == "-" {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(OpenError::Terminal);
            }
            File::from(stdin.as_fd().try_clone_to_owned().map_err(OpenError::Read)?)
        } else {
            File::open(name).map_err(OpenError::Open)?
        };
        let metadata = file.metadata().map_err(OpenError::Read)?;
        if metadata.is_dir() {
            return Err(OpenError::Directory);
        }
        let live = !metadata.is_file();
        let position = Arc::new(AtomicU64::new(0));
        let mut source =
            Source { file, tells_quiet: false, wake: wake.filter(|_| live), position: Arc::clone(&position) };
        let magic = begin(&mut source)?;
        let packing = Packing::sniff(&magic);
        source.tells_quiet = packing == Packing::Plain;
        let source = Cursor::new(magic).chain(source);
        let reader: Box<dyn Read + Send> = match packing {
            Packing::Plain => Box::new(source),
            Packing::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(PACKED_READ, source))),
            Packing::Zstd => Box::new(Zstd::new(BufReader::with_capacity(PACKED_READ, source))),
        };
        Ok(Self { reader, packing, live, length: metadata.is_file().then_some(metadata.len()), position })
    }
}

/// The first four bytes, or as many as there are.
fn begin(source: &mut Source) -> Result<Vec<u8>, OpenError> {
    let mut magic = Vec::with_capacity(4);
    source.take(4).read_to_end(&mut magic).map_err(OpenError::Read)?;
    Ok(magic)
}

struct Source {
    file: File,
    /// Whether it is told when nothing comes; decoders would lose their place by it.
    tells_quiet: bool,
    /// Readable when a live input is to end.
    wake: Option<OwnedFd>,
    position: Arc<AtomicU64>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(wake) = &self.wake {
            let mut fds = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
            if poll(&mut fds, self.tells_quiet.then_some(&QUIET))? == 0 {
                return Err(ErrorKind::TimedOut.into());
            }
            if !fds[1].revents().is_empty() {
                return Ok(0);
            }
        }
        let length = self.file.read(buffer)?;
        self.position.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}
