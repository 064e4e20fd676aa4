//! One capture, read as blocks of whole packets.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use super::block::Block;
use super::capture::Capture;
use super::input::Input;
use super::open_error::OpenError;
use super::read_error::ReadError;

/// Bytes that tell a capture from anything else.
const FIRST: usize = 24;

/// One capture, read as blocks of whole packets.
pub struct Stream {
    input: Input,
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

    /// Fills `block` with the next packets; false when there are none left. A pipe's packets come as soon as they
    /// are there, a file's by the megabyte. A pipe that is quiet gives a block without packets each second.
    ///
    /// # Errors
    /// Once, after the last packet that could be read, if the capture does not end as it should.
    pub fn fill(&mut self, block: &mut Block) -> Result<bool, ReadError> {
        block.packets.clear();
        block.quiet = false;
        block.first = self.count;
        let mut filled = self.carried.len();
        if block.bytes.len() < filled {
            block.bytes.resize(filled, 0);
        }
        if let Some(front) = block.bytes.get_mut(..filled) {
            front.copy_from_slice(&self.carried);
        }
        self.carried.clear();
        while block.packets.is_empty() {
            match core::mem::replace(&mut self.state, State::Ended) {
                State::Reading => self.state = State::Reading,
                State::Failed(error) => return Err(error),
                State::Ended => return Ok(false),
            }
            if filled == block.bytes.len() {
                // A record that is longer than the block; the capture's own bounds keep this from going on.
                block.bytes.resize(filled * 2, 0);
            }
            self.read(block, &mut filled);
            let bytes = block.bytes.get(..filled).unwrap_or_default();
            let taken = match self.capture.read(bytes, &mut block.packets) {
                Ok(taken) => taken,
                Err(damage) => {
                    self.state = State::Failed(ReadError::damage(damage, self.input.packing));
                    break;
                }
            };
            let rest = filled - taken;
            if self.quiet && block.packets.is_empty() {
                self.quiet = false;
                block.quiet = true;
                self.carried.extend_from_slice(bytes.get(taken..).unwrap_or_default());
                return Ok(true);
            }
            if let State::Ended = self.state {
                if let Err(damage) = self.capture.finish(rest) {
                    self.state = State::Failed(ReadError::damage(damage, self.input.packing));
                }
                continue;
            }
            if block.packets.is_empty() {
                block.bytes.copy_within(taken..filled, 0);
                filled = rest;
            } else {
                self.carried.extend_from_slice(bytes.get(taken..).unwrap_or_default());
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

    /// Reads until the block is full, the input ends, or (from a pipe) something came.
    fn read(&mut self, block: &mut Block, filled: &mut usize) {
        while let Some(room @ [_, ..]) = block.bytes.get_mut(*filled..) {
            match self.input.reader.read(room) {
                Ok(0) => {
                    self.state = State::Ended;
                    return;
                }
                Ok(length) => {
                    *filled += length;
                    if self.input.live {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::TimedOut && self.input.live => {
                    self.quiet = true;
                    return;
                }
                Err(error) => {
                    let position = self.input.position.load(Ordering::Relaxed);
                    let unpacked = self.capture.offset() + *filled as u64;
                    self.state =
                        State::Failed(ReadError::input(error, self.input.packing, position, unpacked));
                    return;
                }
            }
        }
    }
}
