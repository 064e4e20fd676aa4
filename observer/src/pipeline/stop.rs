//! A wish to stop, from a signal or from within.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};

/// A wish to stop, which threads ask for between two blocks. SIGINT and SIGTERM express it.
#[derive(Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// Readable once a signal came, for whoever waits for input.
    wake: Option<UnixStream>,
}

impl Stop {
    /// Takes SIGINT and SIGTERM as a wish to stop from now on; a second one ends the process at once.
    ///
    /// # Errors
    /// The operating system refuses a handler or a socket.
    pub fn on_signal() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (wake, signalled) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset and sets it, a second one finds it set.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
            signal_hook::low_level::pipe::register(signal, signalled.try_clone()?)?;
        }
        Ok(Self { asked, wake: Some(wake) })
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// A descriptor that is readable once a signal came.
    #[must_use]
    pub fn wake(&self) -> Option<OwnedFd> {
        self.wake.as_ref().and_then(|wake| wake.try_clone().ok()).map(OwnedFd::from)
    }
}
