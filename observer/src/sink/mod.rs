//! Where events go.

mod compact;
mod json;
mod printable;
mod table;
mod terminal;

pub use json::JsonLines;
pub use table::Table;
pub use terminal::Terminal;

use std::io;

use observer_core::event::Event;

/// Where events go. A sink may hold events back until it is flushed, but changes neither their number nor their order.
pub trait Sink {
    /// Takes one event.
    ///
    /// # Errors
    /// Those of the output; [`io::ErrorKind::BrokenPipe`] means that nobody reads on.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Writes out what was held back.
    ///
    /// # Errors
    /// As for [`Sink::event`].
    fn flush(&mut self) -> io::Result<()>;
}

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 18;
