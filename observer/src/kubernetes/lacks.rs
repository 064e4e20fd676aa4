//! What the API does not say at present, and why.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use observer_core::event::{Asked, Lack, Refusal};

/// A watch that has lasted so long works.
pub(super) const SHORT: Duration = Duration::from_secs(10);

const ALL: [Asked; 4] = [Asked::ClusterId, Asked::ApiServers, Asked::OwnPods, Asked::RemotePods];

/// Written by the client's thread, read for each sign of life.
#[derive(Debug)]
pub(super) struct Lacks(Mutex<[State; ALL.len()]>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Why it is not known, and since when.
    refused: Option<(Refusal, Instant)>,
    /// When the watch that tells it began.
    watched: Option<Instant>,
}

impl Lacks {
    pub(super) fn new(now: Instant) -> Self {
        let unanswered = State { refused: Some((Refusal::NotAnsweredYet, now)), watched: None };
        // Nobody asks for remote ends before there are any.
        Self(Mutex::new([unanswered, unanswered, unanswered, State::default()]))
    }

    fn states(&self) -> MutexGuard<'_, [State; ALL.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, what: Asked, change: impl FnOnce(&mut State)) {
        if let Some((_, state)) = ALL.iter().zip(self.states().iter_mut()).find(|(it, _)| **it == what) {
            change(state);
        }
    }

    /// It was refused.
    pub(super) fn refused(&self, what: Asked, why: Refusal, now: Instant) {
        self.change(what, |state| state.refused = Some((why, now)));
    }

    /// It was told.
    pub(super) fn told(&self, what: Asked) {
        self.change(what, |state| state.refused = None);
    }

    /// The watch that tells it has begun.
    pub(super) fn watched(&self, what: Asked, now: Instant) {
        self.change(what, |state| state.watched = Some(now));
    }

    /// All that is missing. A watch that goes on for a while has nothing new to tell: what was known before is true.
    pub(super) fn list(&self, now: Instant) -> Vec<Lack> {
        let states = *self.states();
        let lacks = ALL.into_iter().zip(states).filter_map(|(what, state)| {
            let (reason, since) = state.refused?;
            let goes_on = reason != Refusal::NotAnsweredYet
                && state.watched.is_some_and(|began| began > since && now.duration_since(began) >= SHORT);
            (!goes_on).then_some(Lack { what, reason })
        });
        lacks.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(lacks: &Lacks, now: Instant) -> Vec<(Asked, Refusal)> {
        lacks.list(now).into_iter().map(|lack| (lack.what, lack.reason)).collect()
    }

    #[test]
    fn what_was_not_told_is_missing_until_it_is() {
        let now = Instant::now();
        let lacks = Lacks::new(now);
        assert_eq!(lacks.list(now).len(), 3);
        for what in [Asked::ClusterId, Asked::ApiServers] {
            lacks.told(what);
        }
        lacks.refused(Asked::OwnPods, Refusal::Forbidden, now);
        assert_eq!(reasons(&lacks, now), [(Asked::OwnPods, Refusal::Forbidden)]);
        lacks.refused(Asked::RemotePods, Refusal::TooSlow, now);
        assert_eq!(lacks.list(now).len(), 2);
    }

    #[test]
    fn a_watch_that_goes_on_has_no_news() {
        let now = Instant::now();
        let lacks = Lacks::new(now);
        for what in [Asked::ClusterId, Asked::ApiServers, Asked::OwnPods] {
            lacks.told(what);
        }
        lacks.refused(Asked::OwnPods, Refusal::Unreachable, now);
        lacks.watched(Asked::OwnPods, now + Duration::from_secs(1));
        assert_eq!(lacks.list(now + Duration::from_secs(5)).len(), 1);
        assert_eq!(lacks.list(now + Duration::from_secs(11)), []);
    }
}
