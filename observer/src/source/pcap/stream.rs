//! One capture, read as blocks of whole packets.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use super::ahead::{Ahead, FRONT};
use super::block::Block;
use super::capture::Capture;
use super::input::Input;
use super::open_error::OpenError;
use super::read_error::ReadError;

/// Bytes that tell a capture from anything else.
const FIRST: usize = 24;

/// Bytes of a file that several threads are worth.
const WORTHWHILE: u64 = 8 << 20;

/// One capture, read as blocks of whole packets.
pub struct Stream {
    input: Input,
    /// Who reads the input in its place.
    ahead: Option<Ahead>,
    capture: Capture,
    /// The beginning of a record whose end was not in the last block.
    carried: Vec<u8>,
    /// Packets read so far.
    count: u64,
    state: State,
    /// Nothing came for a while.
    quiet: bool,
}

enum State {
    Reading,
    /// The error to tell once the packets before it are out.
    Failed(ReadError),
    Ended,
}

impl Stream {
    /// Opens the capture called `name`; `-` is standard input. A byte on `wake` ends the reading of a pipe.
    ///
    /// # Errors
    /// It cannot be opened, or its first bytes cannot be read. Whether it is a capture shows in the first
    /// [`Stream::fill`].
    pub fn open(name: &Path, wake: Option<OwnedFd>) -> Result<Self, OpenError> {
        Ok(Self {
            input: Input::open(name, wake)?,
            ahead: None,
            capture: Capture::default(),
            carried: Vec::new(),
            count: 0,
            state: State::Reading,
            quiet: false,
        })
    }

    /// Looks at the first bytes only: whether they are those of a capture.
    ///
    /// # Errors
    /// They are not, which [`ReadError::is_foreign`] tells too. Any other trouble is left for [`Stream::fill`].
    pub fn check(mut self) -> Result<(), ReadError> {
        let mut bytes = Vec::with_capacity(FIRST);
        if self.input.reader.by_ref().take(FIRST as u64).read_to_end(&mut bytes).is_err() {
            return Ok(());
        }
        let outcome = match self.capture.read(&bytes, &mut Vec::new()) {
            Ok(taken) if bytes.len() < FIRST => self.capture.finish(bytes.len() - taken),
            outcome => outcome.map(drop),
        };
        match outcome.map_err(|damage| ReadError::damage(damage, self.input.packing)) {
            Err(error) if error.is_foreign() => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the capture comes through a pipe, as it is made.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.input.live
    }

    /// Length of the file in bytes; `None` for a pipe.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.input.length
    }

    /// How many bytes of the file were read so far, kept up to date.
    #[must_use]
    pub fn position(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.input.position)
    }

    /// From now on `threads` threads read what comes next, while this one takes what they have read. No effect before the
    /// first packets, and where it cannot pay: on what is packed, a pipe, or short.
    pub fn read_ahead(&mut self, threads: usize) {
        let left = self.input.length.unwrap_or(0).saturating_sub(self.capture.offset());
        let file = self.input.file.take_if(|_| self.count > 0);
        if let Some(file) = file.filter(|_| left >= WORTHWHILE) {
            self.ahead = Ahead::new(&file, threads).ok();
        }
    }

    /// Fills `block` with the next packets; false when there are none left. A pipe's packets come as soon as they
    /// are there, a file's by the megabyte. A pipe that is quiet gives a block without packets each second.
    ///
    /// # Errors
    /// Once, after the last packet that could be read, if the capture does not end as it should.
    pub fn fill(&mut self, block: &mut Block) -> Result<bool, ReadError> {
        block.packets.clear();
        block.quiet = false;
        block.first = self.count;
        while block.packets.is_empty() {
            match core::mem::replace(&mut self.state, State::Ended) {
                State::Reading => self.state = State::Reading,
                State::Failed(error) => return Err(error),
                State::Ended => return Ok(false),
            }
            self.read(block);
            let bytes = block.bytes.get(block.begin..block.end).unwrap_or_default();
            let taken = match self.capture.read(bytes, &mut block.packets) {
                Ok(taken) => taken,
                Err(damage) => {
                    self.state = State::Failed(ReadError::damage(damage, self.input.packing));
                    break;
                }
            };
            self.carried.clear();
            self.carried.extend_from_slice(block.read().get(taken..).unwrap_or_default());
            if self.quiet && block.packets.is_empty() {
                self.quiet = false;
                block.quiet = true;
                return Ok(true);
            }
            if let State::Ended = self.state
                && let Err(damage) = self.capture.finish(self.carried.len())
            {
                self.state = State::Failed(ReadError::damage(damage, self.input.packing));
            }
        }
        self.count += block.packets.len() as u64;
        if let (true, State::Failed(_)) = (block.packets.is_empty(), &self.state)
            && let State::Failed(error) = core::mem::replace(&mut self.state, State::Ended)
        {
            return Err(error);
        }
        Ok(!block.packets.is_empty())
    }

    /// Puts what was carried over into `block`, and what comes next behind it.
    fn read(&mut self, block: &mut Block) {
        let carried = self.carried.len();
        let outcome = if let Some(ahead) = &mut self.ahead {
            let (length, outcome) = ahead.next(&mut block.bytes);
            (block.begin, block.end) = (FRONT - carried, FRONT + length);
            self.input.position.fetch_add(length as u64, Ordering::Relaxed);
            outcome
        } else {
            (block.begin, block.end) = (0, carried);
            if block.bytes.len() <= carried {
                // A record that is longer than the block; the capture's own bounds keep this from going on.
                block.bytes.resize(2 * carried, 0);
            }
            self.read_on(block)
        };
        if let Some(front) = block.bytes.get_mut(block.begin..).and_then(|it| it.get_mut(..carried)) {
            front.copy_from_slice(&self.carried);
        }
        match outcome {
            Ok(true) => {}
            Ok(false) => self.state = State::Ended,
            Err(error) => {
                let position = self.input.position.load(Ordering::Relaxed);
                let unpacked = self.capture.offset() + (block.end - block.begin) as u64;
                self.state = State::Failed(ReadError::input(error, self.input.packing, position, unpacked));
            }
        }
    }

    /// Reads until the block is full, the input ends (false), or (from a pipe) something came or nothing does.
    fn read_on(&mut self, block: &mut Block) -> io::Result<bool> {
        while let Some(room @ [_, ..]) = block.bytes.get_mut(block.end..) {
            match self.input.reader.read(room) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    block.end += length;
                    if self.input.live {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::TimedOut && self.input.live => {
                    self.quiet = true;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
