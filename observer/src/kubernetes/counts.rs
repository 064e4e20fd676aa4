//! What was asked of the API, and what came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use kube::runtime::watcher;
use observer_core::event::{Asked, KubernetesApi, Refusal};

use super::gate::Refused;
use super::lacks::Lacks;

/// Counted on the client's thread.
#[derive(Debug)]
pub struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
    forbidden: AtomicU64,
    unanswered: AtomicU64,
    pub(super) lacks: Lacks,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            failures: AtomicU64::default(),
            forbidden: AtomicU64::default(),
            unanswered: AtomicU64::default(),
            lacks: Lacks::new(Instant::now()),
        }
    }
}

impl Counts {
    /// As it is told.
    #[must_use]
    pub fn told(&self) -> KubernetesApi {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KubernetesApi {
            requests: read(&self.requests),
            failures: read(&self.failures),
            forbidden: read(&self.forbidden),
            unanswered: read(&self.unanswered),
            lacks: self.lacks.list(Instant::now()),
        }
    }

    /// A request was sent.
    pub(super) fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A question is given up.
    pub(super) fn unanswered(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// A request failed; why.
    pub(super) fn failed(&self, asked: Asked, why: Refusal) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if why == Refusal::Forbidden {
            self.forbidden.fetch_add(1, Ordering::Relaxed);
        }
        self.lacks.refused(asked, why, Instant::now());
    }
}

/// Why a request failed.
pub(super) fn refusal(error: &kube::Error) -> Refusal {
    let by_cause = |error: &(dyn std::error::Error + 'static)| {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(Refused(refusal)) = error.downcast_ref() {
                return *refusal;
            }
            if error.is::<http_body_util::LengthLimitError>() {
                return Refusal::TooLarge;
            }
            if error.is::<kube::client::AuthError>() {
                return Refusal::Unauthorized;
            }
            // An error of input and output hides what it was made of from `source`.
            let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            cause = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        Refusal::Unreachable
    };
    match error {
        kube::Error::Api(status) => of_status(status.code),
        kube::Error::Service(error) => by_cause(error.as_ref()),
        kube::Error::ReadEvents(error) => by_cause(error),
        kube::Error::LinesCodecMaxLineLengthExceeded => Refusal::TooLarge,
        kube::Error::HyperError(_) => Refusal::Unreachable,
        kube::Error::Auth(_) => Refusal::Unauthorized,
        _ => Refusal::NotUnderstood,
    }
}

/// Why a watch, or the list before it, failed.
pub(super) fn refusal_of_watch(error: &watcher::Error) -> Refusal {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => refusal(error),
        watcher::Error::WatchError(status) => of_status(status.code),
        watcher::Error::NoResourceVersion => Refusal::NotUnderstood,
    }
}

const fn of_status(code: u16) -> Refusal {
    match code {
        401 => Refusal::Unauthorized,
        403 => Refusal::Forbidden,
        410 => Refusal::Expired,
        429 => Refusal::TooManyRequests,
        _ => Refusal::Failed,
    }
}
