//! How far a replay has come, for whoever watches a terminal.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// A bar on standard error that follows the reading of one file, until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    done: Arc<AtomicBool>,
    drawing: Option<JoinHandle<()>>,
}

impl Progress {
    /// Follows `position` up to `length` bytes. Nothing is drawn unless standard error is a terminal.
    pub(super) fn follow(name: &Path, length: u64, position: Arc<AtomicU64>) -> Option<Self> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        let style =
            ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
                .ok()?;
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr()).with_style(style);
        bar.set_message(
            name.file_name().unwrap_or_default().display().to_string().escape_debug().to_string(),
        );
        let done = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&done);
        let drawing = thread::spawn(move || {
            // Short files end before the first drawing, so that they leave no flicker.
            thread::park_timeout(2 * INTERVAL);
            while !asked.load(Ordering::Relaxed) {
                bar.set_position(position.load(Ordering::Relaxed));
                thread::park_timeout(INTERVAL);
            }
            bar.finish_and_clear();
        });
        Some(Self { done, drawing: Some(drawing) })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drawing.thread().unpark();
            // It only draws; if that went wrong there is nothing left to do about it.
            let _ = drawing.join();
        }
    }
}
