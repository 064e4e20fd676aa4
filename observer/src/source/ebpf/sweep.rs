//! Lists the node's sockets now and then, so that a face whose end was lost does not stay for ever.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use crate::attribution::Roots;
use crate::source::existing;

/// How often, ns.
const PAUSE: u64 = 30_000_000_000;

/// The present list, or the one to come.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    coming: Option<Receiver<Option<HashSet<u64>>>>,
    next: u64,
}

impl Sweep {
    /// The cookies of all sockets, if a list of them is there at `now` (monotonic, ns); begins one when it is time, on
    /// a thread of its own. A list with holes is none.
    pub(super) fn turn(&mut self, now: u64, idle: bool) -> Option<HashSet<u64>> {
        if let Some(coming) = &self.coming {
            return match coming.try_recv() {
                Ok(list) => {
                    self.coming = None;
                    list
                }
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => {
                    self.coming = None;
                    None
                }
            };
        }
        if self.next == 0 || idle {
            self.next = self.next.max(now + PAUSE);
            return None;
        }
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        let (sender, coming) = channel();
        let begun = std::thread::Builder::new().name("sweep".into()).spawn(move || {
            let _ = rustix::process::setpriority_process(None, 5);
            let list = Roots::of_this_machine().and_then(|roots| existing::cookies(&roots)).ok().flatten();
            let _ = sender.send(list);
        });
        self.coming = begun.ok().map(|_| coming);
        None
    }
}
