//! The reader of a capture, without any I/O: bytes in, packets out.

use super::classic::Classic;
use super::damage::{Damage, Fault};
use super::packet::Packet;
use super::section::{Block, SECTION_HEADER, Section};

/// Reads a capture of either format, piece by piece.
///
/// It holds no bytes: what [`Capture::read`] leaves over is to be put in front of the bytes that follow.
#[derive(Clone, Debug)]
pub struct Capture {
    format: Format,
    /// Bytes of the capture that were taken so far.
    offset: u64,
    skipping: Option<Skipping>,
}

#[derive(Clone, Debug)]
enum Format {
    Undecided,
    Classic(Classic),
    Sections(Section),
}

/// A pcapng block that holds nothing of use is being passed over.
#[derive(Clone, Copy, Debug)]
struct Skipping {
    /// Where it began.
    start: u64,
    /// Bytes before its trailing length field.
    left: u64,
    length: u32,
}

impl Default for Capture {
    fn default() -> Self {
        Self { format: Format::Undecided, offset: 0, skipping: None }
    }
}

impl Capture {
    /// Takes whole records from the front of `bytes`, appends their packets to `packets`, and tells how many bytes
    /// that used up. The rest, at most [`super::MAX_BLOCK`] bytes of an unfinished record, has to be presented again
    /// with more behind it.
    ///
    /// # Errors
    /// The first damage. The packets before it were appended.
    pub fn read(&mut self, bytes: &[u8], packets: &mut Vec<Packet>) -> Result<usize, Damage> {
        let mut at = 0;
        let outcome = self.advance(bytes, &mut at, packets);
        let base = self.offset;
        self.offset += at as u64;
        match outcome {
            Ok(()) => Ok(at),
            Err(Misfit::Here(fault)) => Err(Damage { offset: base + at as u64, fault }),
            Err(Misfit::At(offset, fault)) => Err(Damage { offset, fault }),
        }
    }

    /// To be asked when the capture ends with `rest` bytes that [`Capture::read`] did not take.
    ///
    /// # Errors
    /// The capture ends within a record, or before its first byte.
    pub fn finish(&self, rest: usize) -> Result<(), Damage> {
        let (offset, present) = match self.skipping {
            Some(skipping) => (skipping.start, self.offset - skipping.start + rest as u64),
            None => (self.offset, rest as u64),
        };
        match (&self.format, present) {
            (Format::Undecided, 0) => Err(Damage { offset, fault: Fault::Empty }),
            (Format::Undecided, 1..4) => Err(Damage { offset, fault: Fault::Foreign }),
            (_, 0) => Ok(()),
            _ => Err(Damage { offset, fault: Fault::CutShort { present } }),
        }
    }

    /// Bytes of the capture that were taken so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn advance(&mut self, bytes: &[u8], at: &mut usize, packets: &mut Vec<Packet>) -> Result<(), Misfit> {
        if let Format::Undecided = self.format {
            let Some(magic) = bytes.first_chunk::<4>() else { return Ok(()) };
            if u32::from_be_bytes(*magic) == SECTION_HEADER {
                self.format = Format::Sections(Section::before_first());
            } else if Classic::sniff(*magic) {
                let Some(begun) = Classic::begin(bytes) else { return Ok(()) };
                let (classic, length) = begun?;
                self.format = Format::Classic(classic);
                *at = length;
            } else {
                return Err(Fault::Foreign.into());
            }
        }
        match &mut self.format {
            Format::Undecided => Ok(()),
            Format::Classic(classic) => {
                while let Some(record) = classic.record(bytes, *at) {
                    let (packet, end) = record?;
                    packets.push(packet);
                    *at = end;
                }
                Ok(())
            }
            Format::Sections(section) => loop {
                if let Some(skipping) = &mut self.skipping {
                    if !skipping.pass(section, bytes, at)? {
                        return Ok(());
                    }
                    self.skipping = None;
                }
                let Some(block) = section.block(bytes, *at) else { return Ok(()) };
                match block? {
                    Block::Packet(packet, end) => {
                        packets.push(packet);
                        *at = end;
                    }
                    Block::Other(end) => *at = end,
                    Block::Skip { length } => {
                        let start = self.offset + *at as u64;
                        self.skipping = Some(Skipping { start, left: u64::from(length) - 4, length });
                    }
                }
            },
        }
    }
}

impl Skipping {
    /// Goes on passing over the block; whether its end was reached.
    fn pass(&mut self, section: &Section, bytes: &[u8], at: &mut usize) -> Result<bool, Misfit> {
        let here = self.left.min((bytes.len() - *at) as u64);
        self.left -= here;
        // Never more than `bytes.len()`, which is a usize.
        *at += usize::try_from(here).unwrap_or(usize::MAX);
        if self.left > 0 || bytes.len() - *at < 4 {
            return Ok(false);
        }
        let trailing = section.order().u32(bytes, *at);
        if trailing != self.length {
            return Err(Misfit::At(self.start, Fault::TrailingLength { leading: self.length, trailing }));
        }
        *at += 4;
        Ok(true)
    }
}

/// A fault, and where: at the record that is being read, or further back.
enum Misfit {
    Here(Fault),
    At(u64, Fault),
}

impl From<Fault> for Misfit {
    fn from(fault: Fault) -> Self {
        Self::Here(fault)
    }
}
