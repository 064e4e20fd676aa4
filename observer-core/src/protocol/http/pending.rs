//! Requests that wait for their response, as far as a response's framing depends on them.

use std::collections::VecDeque;

/// What a response has to know of the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing special.
    Plain,
    /// `HEAD`: no body follows whatever the head says.
    Head,
    /// `CONNECT`: a 2xx answer opens a tunnel.
    Connect,
    /// It offered an upgrade: a 101 answer switches protocols.
    Upgrade,
}

/// Which request a response answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paired {
    /// This one.
    With(Asked),
    /// It cannot be known: bytes of requests are missing.
    Unknown,
    /// Its request has not been read yet.
    NotYet,
}

/// Most runs of like requests that are kept; pairing is given up beyond.
const MAX_RUNS: usize = 1024;

/// A queue of requests in runs of the same kind, so that a million like requests take one entry.
#[derive(Debug, Default)]
pub(super) struct Pending {
    runs: VecDeque<(Asked, u64)>,
    lost: bool,
}

impl Pending {
    pub(super) fn push(&mut self, asked: Asked) {
        if self.lost {
            return;
        }
        if let Some((last, count)) = self.runs.back_mut()
            && *last == asked
        {
            *count += 1;
        } else if self.runs.len() == MAX_RUNS {
            self.lose();
        } else {
            self.runs.push_back((asked, 1));
        }
    }

    /// From here on no request is known.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// Whether requests after those in the queue are unknown.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The request that the next final response answers.
    pub(super) fn pop(&mut self) -> Paired {
        let Some((asked, count)) = self.runs.front_mut() else {
            return if self.lost { Paired::Unknown } else { Paired::NotYet };
        };
        let asked = *asked;
        *count -= 1;
        if *count == 0 {
            self.runs.pop_front();
        }
        Paired::With(asked)
    }

    pub(super) fn held(&self) -> usize {
        self.runs.capacity() * size_of::<(Asked, u64)>()
    }
}
