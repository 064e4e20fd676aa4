//! Lines from inside the kernel programs, to standard error.

use std::io::Write as _;

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Without a reader, or room, there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "kernel: {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Reads them.
pub(super) struct Diagnostics(Option<EbpfLogger<StandardError>>);

impl Diagnostics {
    /// Takes their ring; if the programs have none, nothing is ever read.
    pub(super) fn new(ebpf: &mut Ebpf) -> Self {
        Self(EbpfLogger::init_with_logger(ebpf, StandardError).ok())
    }

    /// Prints what has come.
    pub(super) fn flush(&mut self) {
        if let Some(logger) = &mut self.0 {
            logger.flush();
        }
    }
}
