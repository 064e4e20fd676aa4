//! Events on their way to the main thread, by the handful: it is woken once for all of a reading.

use observer_core::event::Event;
use tokio::sync::mpsc::Sender;

use super::counts::Counts;

/// Events that are kept back at most.
const HANDFUL: usize = 256;

/// Hands events to the main thread, which may be waiting for a slow output; the rings cannot wait.
pub(super) struct Outlet {
    events: Sender<Box<Event>>,
    #[expect(clippy::vec_box, reason = "an event is large, and boxed in the channel anyway")]
    kept: Vec<Box<Event>>,
}

impl Outlet {
    pub(super) fn new(events: Sender<Box<Event>>) -> Self {
        Self { events, kept: Vec::with_capacity(HANDFUL) }
    }

    /// Takes an event, which goes with the next [`Outlet::post`] at the latest.
    pub(super) fn put(&mut self, event: Event, counts: &Counts) {
        self.kept.push(Box::new(event));
        if self.kept.len() >= HANDFUL {
            self.post(counts);
        }
    }

    /// Hands on what it has; what has no room is lost and counted.
    pub(super) fn post(&mut self, counts: &Counts) {
        for event in self.kept.drain(..) {
            if self.events.try_send(event).is_err() {
                Counts::add(&counts.events_lost, 1);
            }
        }
    }

    /// Whether there is room for more.
    pub(super) fn has_room(&self) -> bool {
        self.events.capacity() > 0
    }

    /// The same as [`Outlet::put`] at the end: the main thread takes events until the queue is closed, and waiting for room
    /// loses nothing.
    pub(super) fn put_last(&mut self, event: Event, counts: &Counts) {
        self.kept.push(Box::new(event));
        self.post_last(counts);
    }

    /// The same as [`Outlet::post`] at the end.
    pub(super) fn post_last(&mut self, counts: &Counts) {
        for event in self.kept.drain(..) {
            if self.events.blocking_send(event).is_err() {
                Counts::add(&counts.events_lost, 1);
            }
        }
    }
}
