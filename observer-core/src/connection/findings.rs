//! Findings on all connections, and the memory for what they rest on.

use super::account::Context;
use super::judged::Judged;
use super::known::{Known, Stage};
use crate::engine::FaceKey;
use crate::event::Event;
use crate::party::Component;
use crate::path::Addresses;
use crate::policy;
use crate::protocol::http::Request;
use crate::time::Timestamp;

/// Bytes of heap for the objects of proxied requests, of all connections.
const OBJECTS: usize = 8 << 20;
/// The part of it for connections of which nothing but the requests themselves says that an API server dialled.
const CLAIMED_OBJECTS: usize = 2 << 20;

/// Raises findings, and keeps the objects of requests within their bound.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Bytes of heap held for objects.
    held: usize,
}

impl Findings {
    /// A request that may have been proxied. True if a finding about its object may be raised.
    pub(super) fn requested(
        &mut self,
        known: &mut Known,
        key: FaceKey,
        time: Timestamp,
        request: Box<Request>,
        addresses: &Addresses,
    ) -> bool {
        let (client, _) = known.parties();
        let is_apiserver = client
            .filter(|party| !party.is_component_claimed())
            .and_then(|party| party.component)
            .is_some_and(Component::dials_for_apiserver)
            || known.faces.first().is_some_and(|face| addresses.hosts.contains(&face.client.ip()));
        let most = if is_apiserver { OBJECTS } else { CLAIMED_OBJECTS };
        let before = known.objects_held();
        let is_news = known.requested(key, request, time, most.saturating_sub(self.held));
        self.holds(before, known);
        is_news && known.stage == Stage::Classified
    }

    /// Raises what findings there are on a connection that was told, each once. What is not known to be one now waits: for
    /// the owner of the end that dialled, for the addresses of API servers, at the latest until the connection is closed.
    pub(super) fn raise(
        &mut self,
        known: &mut Known,
        context: &Context,
        addresses: &Addresses,
        out: &mut impl FnMut(Event),
    ) {
        if known.stage != Stage::Classified || known.own {
            return;
        }
        let Some(mut objects) = known.objects.take() else { return };
        let before = objects.held();
        let verdict = known.facts.as_ref().map(|facts| facts.verdict).unwrap_or_default();
        let untold: Vec<usize> =
            objects.iter().enumerate().filter(|(_, asked)| asked.is_untold()).map(|(at, _)| at).collect();
        for at in untold {
            let Some(asked) = objects.get(at) else { continue };
            let judged = Judged::of(known, Some(asked), addresses);
            if let Some(rule) = policy::broken(&judged.judgement, verdict) {
                out(context.finding(known, asked, &judged, rule));
                objects.told(at);
            }
        }
        known.objects = Some(objects);
        self.holds(before, known);
    }

    /// A connection held `before` bytes for objects, and now holds what it does.
    pub(super) fn holds(&mut self, before: usize, known: &Known) {
        self.held = (self.held + known.objects_held()).saturating_sub(before);
    }

    /// A connection is forgotten.
    pub(super) fn forget(&mut self, known: &Known) {
        self.held = self.held.saturating_sub(known.objects_held());
    }
}
