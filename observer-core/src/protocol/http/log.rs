//! Where items go as they are read.

use std::collections::VecDeque;

use super::MAX_QUEUE;
use super::request::Request;
use super::response::Response;
use super::summary::Summary;

/// Whether requests are kept to be taken one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Items {
    /// Every request waits to be taken.
    #[default]
    Kept,
    /// Only the [`Summary`] is kept: the same but for `dropped`, and nothing is allocated for later requests.
    Counted,
    /// Of requests only those wait to be taken that an API server may have passed on ([`Request::may_be_proxied`]); the
    /// others are counted, and nothing is allocated for them.
    Proxied,
}

/// Most requests that an empty queue keeps room for.
const ROOM: usize = 8;

/// Collects items for a [`Summary`] and the queue to be drained.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) summary: Summary,
    items: Items,
    queue: VecDeque<Request>,
    queued: usize,
}

impl Log {
    pub(super) fn new(items: Items) -> Self {
        Self { items, ..Self::default() }
    }

    /// Whether the next request's strings are kept, whatever it is.
    pub(super) fn keeps_request(&self) -> bool {
        self.summary.first_request.is_none() || self.items == Items::Kept && self.has_room()
    }

    /// Whether a request is to be kept whose strings were not.
    pub(super) fn wants(&self, request: &Request) -> bool {
        self.items == Items::Proxied && request.may_be_proxied() && self.has_room()
    }

    /// Whether the next response's strings are kept.
    pub(super) fn keeps_response(&self) -> bool {
        self.summary.first_response.is_none()
    }

    fn has_room(&self) -> bool {
        self.queue.len() < MAX_QUEUE
    }

    pub(super) fn request(&mut self, request: Request) {
        let wanted = match self.items {
            Items::Kept => true,
            Items::Counted => false,
            Items::Proxied => request.may_be_proxied(),
        };
        let queues = wanted && self.has_room();
        let summary = &mut self.summary;
        summary.requests += 1;
        summary.resynchronised += u64::from(request.resynchronised);
        summary.ambiguous += u64::from(request.ambiguous);
        summary.exposed.merge(request.exposed);
        summary.schemes.merge(request.schemes);
        summary.grpc |= request.grpc;
        let first = summary.first_request.is_none();
        if queues {
            if first {
                summary.first_request = Some(request.clone());
            }
            self.queued += request.held();
            self.queue.push_back(request);
        } else {
            summary.dropped += u64::from(wanted);
            if first {
                summary.first_request = Some(request);
            }
        }
    }

    pub(super) fn response(&mut self, response: Response) {
        let summary = &mut self.summary;
        summary.responses += 1;
        summary.exposed.merge(response.exposed);
        if summary.first_response.is_none() {
            summary.first_response = Some(response);
        }
    }

    pub(super) fn next(&mut self) -> Option<Request> {
        let request = self.queue.pop_front()?;
        self.queued -= request.held();
        if self.queue.is_empty() {
            self.queue.shrink_to(ROOM);
        }
        Some(request)
    }

    pub(super) fn take(&mut self) -> Vec<Request> {
        self.queued = 0;
        core::mem::take(&mut self.queue).into()
    }

    /// Bytes of heap held.
    pub(super) fn held(&self) -> usize {
        self.queue.capacity() * size_of::<Request>()
            + self.queued
            + self.summary.first_request.as_ref().map_or(0, Request::held)
    }
}
