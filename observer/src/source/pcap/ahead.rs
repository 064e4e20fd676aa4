//! A file that several threads read in turns. Most of the time that a large capture takes is the copy of its bytes out
//! of the page cache, and one thread alone is not what limits it. (To map the file would save that copy, but a mapping
//! of a file that is cut short meanwhile ends the process.)

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::MAX_BLOCK;
use super::block::READ;

/// Room in front of each piece for the beginning of the record that the piece before broke off, bytes. What is not used
/// of it takes no memory.
pub(super) const FRONT: usize = MAX_BLOCK as usize;

/// Threads at most: so many fill the way to the memory.
const THREADS: usize = 4;

/// Pieces that one thread holds ready.
const READY: usize = 2;

/// A piece of the file, behind [`FRONT`].
struct Piece {
    bytes: Vec<u8>,
    length: usize,
    outcome: io::Result<()>,
}

/// One thread.
struct Reader {
    pieces: Receiver<Piece>,
    /// Buffers that are free again.
    spare: Sender<Vec<u8>>,
}

/// A file that several threads read in turns. They end when this is dropped.
pub(super) struct Ahead {
    readers: Vec<Reader>,
    next: usize,
}

impl Ahead {
    /// Reads `file` on from where it stands.
    ///
    /// # Errors
    /// The place cannot be told, or a thread not be started.
    pub(super) fn new(file: &Arc<File>, threads: usize) -> io::Result<Self> {
        let mut from = (&**file).stream_position()?;
        let threads = threads.clamp(1, THREADS);
        let mut readers = Vec::new();
        for _ in 0..threads {
            let (to_stream, pieces) = bounded(READY);
            let (spare, free) = bounded(READY);
            for _ in 0..READY {
                // There is room for all of them.
                let _ = spare.send(Vec::new());
            }
            let (file, step) = (Arc::clone(file), (threads * READ) as u64);
            thread::Builder::new()
                .name("reading".into())
                .spawn(move || read(&file, from, step, &free, &to_stream))?;
            readers.push(Reader { pieces, spare });
            from += READ as u64;
        }
        Ok(Self { readers, next: 0 })
    }

    /// Puts the next piece into `bytes`, behind [`FRONT`]; the buffer that was there is used again. How long it is, and
    /// whether more follows.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> (usize, io::Result<bool>) {
        let Some(reader) = self.readers.get(self.next) else { return (0, Ok(false)) };
        let Ok(piece) = reader.pieces.recv() else {
            return (0, Err(io::Error::other("a thread that reads has ended")));
        };
        // Fails only if the thread has reached the end of the file.
        let _ = reader.spare.try_send(core::mem::replace(bytes, piece.bytes));
        self.next = (self.next + 1) % self.readers.len();
        (piece.length, piece.outcome.map(|()| piece.length == READ))
    }
}

/// Reads each `step`th piece, beginning `from`.
fn read(file: &File, mut from: u64, step: u64, free: &Receiver<Vec<u8>>, pieces: &Sender<Piece>) {
    for mut bytes in free {
        if bytes.len() != FRONT + READ {
            bytes = vec![0; FRONT + READ];
        }
        let mut length = 0;
        let outcome = loop {
            let Some(room @ [_, ..]) = bytes.get_mut(FRONT + length..) else { break Ok(()) };
            match file.read_at(room, from + length as u64) {
                Ok(0) => break Ok(()),
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let last = length < READ;
        if pieces.send(Piece { bytes, length, outcome }).is_err() || last {
            return;
        }
        from += step;
    }
}
