//! One JSON object a line.

use std::io::{self, Write};

use observer_core::event::Event;
use serde::Serialize as _;

use super::compact::Compact;
use super::{BUFFER, Sink};

/// One JSON object a line, gathered into large writes until it is flushed.
#[derive(Debug)]
pub struct JsonLines<W> {
    output: W,
    held: Vec<u8>,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `output`, which need not buffer.
    pub fn new(output: W) -> Self {
        Self { output, held: Vec::with_capacity(2 * BUFFER) }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        event.serialize(&mut Compact::new(&mut self.held)).map_err(io::Error::other)?;
        self.held.push(b'\n');
        if self.held.len() < BUFFER {
            return Ok(());
        }
        self.write()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write()?;
        self.output.flush()
    }
}

impl<W: Write> JsonLines<W> {
    fn write(&mut self) -> io::Result<()> {
        let outcome = self.output.write_all(&self.held);
        self.held.clear();
        outcome
    }
}
