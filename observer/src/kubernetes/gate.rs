//! The way to the API and back: every request is counted, none is sent that is not due, and every answer has its time and its
//! size.
//!
//! The crate's watch begins anew by itself, without a pause and without a word, where an answer ends early or a list never
//! ends; so that is held back here, where every request has to pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use observer_core::event::{Asked, Refusal};
use tower::{BoxError, Layer, Service};

use super::counts::Counts;
use super::lacks::SHORT;
use super::pause::Pause;

/// Bytes of one answer, at most. A watch that has told so much begins anew.
pub(super) const MOST: usize = 16 << 20;
/// How long one answer may take; of a watch, its beginning.
const ANSWER: Duration = Duration::from_secs(10);
/// Pages of one list.
const PAGES: u32 = 20;
/// The longest that the server may ask us to wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.name())]
pub(super) struct Refused(pub(super) Refusal);

/// Shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    counts: Arc<Counts>,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Until then the server wants no requests.
    until: Option<Instant>,
    watches: HashMap<Asked, Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    began: Option<Instant>,
    pause: Pause,
    /// Pages of the list before it.
    pages: u32,
}

/// What a request asks for, where that has to be paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Watch(Asked),
    /// One page of the list before a watch, and whether it is the first.
    Page(Asked, bool),
    Other,
}

impl Kind {
    fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let has = |key: &str| query.split('&').any(|pair| pair.starts_with(key));
        let asked = match uri.path().rsplit('/').next() {
            Some("endpointslices") => Asked::ApiServers,
            Some("pods") if !query.contains("status.podIP") => Asked::OwnPods,
            _ => return Self::Other,
        };
        if has("watch=") { Self::Watch(asked) } else { Self::Page(asked, !has("continue=")) }
    }
}

impl Gate {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Self { counts, held: Arc::default() }
    }

    /// How long a request has to wait, or why it is not sent at all.
    fn turn(&self, kind: Kind, now: Instant) -> Result<Duration, Refused> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.until.is_some_and(|until| now < until) {
            return Err(Refused(Refusal::TooManyRequests));
        }
        match kind {
            Kind::Watch(asked) => {
                let watch = held.watches.entry(asked).or_default();
                let is_short = watch.began.is_some_and(|began| now.duration_since(began) < SHORT);
                let wait = if is_short { watch.pause.failed(now) } else { Duration::ZERO };
                watch.began = Some(now + wait);
                if is_short {
                    self.counts.lacks.refused(asked, Refusal::WatchEnds, now);
                }
                Ok(wait)
            }
            Kind::Page(asked, is_first) => {
                let watch = held.watches.entry(asked).or_default();
                watch.pages = if is_first { 1 } else { watch.pages + 1 };
                if watch.pages > PAGES { Err(Refused(Refusal::TooLarge)) } else { Ok(Duration::ZERO) }
            }
            Kind::Other => Ok(Duration::ZERO),
        }
    }

    /// Takes in how long the server wants no more requests (RFC 9110, 10.2.3); a date is not read, the pauses do.
    fn heed<B>(&self, response: &Response<B>, now: Instant) {
        if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        let seconds =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        if let Some(seconds) = seconds {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.until = Some(now + Duration::from_secs(seconds).min(PATIENCE));
        }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

/// A client behind the gate.
#[derive(Debug)]
pub(super) struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S, B> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: BodyExt + Send + 'static,
    B::Data: Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<B::Data, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let kind = Kind::of(request.uri());
        // Nothing is sent before it is waited for.
        let answer = self.inner.call(request);
        let gate = self.gate.clone();
        Box::pin(async move {
            let wait = gate.turn(kind, Instant::now())?;
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            gate.counts.sent();
            let late = |_| Refused(Refusal::TooSlow);
            let deadline = tokio::time::Instant::now() + ANSWER;
            let response =
                tokio::time::timeout_at(deadline, answer).await.map_err(late)?.map_err(Into::into)?;
            gate.heed(&response, Instant::now());
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MOST);
            let body = match kind {
                Kind::Watch(asked) if head.status.is_success() => {
                    gate.counts.lacks.watched(asked, Instant::now());
                    body.boxed_unsync()
                }
                // The crate would read it whole, however long that takes.
                _ => {
                    let whole = tokio::time::timeout_at(deadline, body.collect()).await.map_err(late)??;
                    whole.map_err(|never| match never {}).boxed_unsync()
                }
            };
            Ok(Response::from_parts(head, body))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_asked_for_by_the_request() {
        for (uri, kind) in [
            ("/api/v1/pods?&fieldSelector=spec.nodeName%3Da&limit=100", Kind::Page(Asked::OwnPods, true)),
            ("/api/v1/pods?limit=100&continue=x", Kind::Page(Asked::OwnPods, false)),
            ("/api/v1/pods?watch=true&resourceVersion=5", Kind::Watch(Asked::OwnPods)),
            ("/api/v1/pods?&fieldSelector=status.podIP%3D10.0.0.1", Kind::Other),
            ("/api/v1/namespaces/kube-system", Kind::Other),
            (
                "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?watch=true",
                Kind::Watch(Asked::ApiServers),
            ),
        ] {
            assert_eq!(Kind::of(&uri.parse().unwrap()), kind, "{uri}");
        }
    }

    #[test]
    fn a_watch_waits_after_a_short_one_and_not_after_a_long_one() {
        let (gate, now) = (Gate::new(Arc::default()), Instant::now());
        let watch = Kind::Watch(Asked::OwnPods);
        assert_eq!(gate.turn(watch, now), Ok(Duration::ZERO));
        let wait = gate.turn(watch, now + Duration::from_millis(1)).unwrap();
        assert!(wait >= Duration::from_secs(1));
        assert_eq!(gate.turn(watch, now + wait + 2 * SHORT), Ok(Duration::ZERO));
        assert_eq!(gate.turn(Kind::Watch(Asked::ApiServers), now), Ok(Duration::ZERO), "each for itself");
    }

    #[test]
    fn nothing_is_sent_before_the_time_that_the_server_asks_for() {
        let (gate, now) = (Gate::new(Arc::default()), Instant::now());
        let answer = |status, after: &str| {
            Response::builder().status(status).header(RETRY_AFTER, after).body(()).unwrap()
        };
        gate.heed(&answer(200, "50"), now);
        gate.heed(&answer(429, "soon"), now);
        assert_eq!(gate.turn(Kind::Other, now), Ok(Duration::ZERO));
        gate.heed(&answer(429, "50"), now);
        let refused = Err(Refused(Refusal::TooManyRequests));
        assert_eq!(gate.turn(Kind::Other, now + Duration::from_secs(49)), refused);
        assert_eq!(gate.turn(Kind::Other, now + Duration::from_secs(50)), Ok(Duration::ZERO));
        // Not for ever.
        gate.heed(&answer(503, "99999999999999"), now);
        assert_eq!(gate.turn(Kind::Other, now + PATIENCE), Ok(Duration::ZERO));
    }

    #[test]
    fn a_list_has_so_many_pages() {
        let (gate, now) = (Gate::new(Arc::default()), Instant::now());
        for _ in 0..2 {
            assert!(gate.turn(Kind::Page(Asked::OwnPods, true), now).is_ok());
            let sent = (0..100).filter(|_| gate.turn(Kind::Page(Asked::OwnPods, false), now).is_ok()).count();
            assert_eq!(sent, PAGES as usize - 1);
        }
    }
}
