//! Findings on all connections, and the memory for what they rest on.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::account::Context;
use super::finding;
use super::judged::Judged;
use super::known::{Known, Stage};
use crate::engine::FaceKey;
use crate::event::{Event, FindingState, When};
use crate::party::Component;
use crate::path::{Addresses, Asked, Told};
use crate::policy;
use crate::protocol::http::Request;
use crate::time::Timestamp;

/// Bytes of heap for the objects of proxied requests, of all connections.
const OBJECTS: usize = 8 << 20;
/// The part of it for connections of which nothing but the requests themselves says that an API server dialled.
const CLAIMED_OBJECTS: usize = 2 << 20;

/// Findings that are open at one time and known as such over connections; beyond it each stands for its connection alone.
const STANDING: usize = 8192;

/// How a finding stands, over all connections that show it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    connections: u32,
    pub(super) count: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

/// Raises findings, and keeps the objects of requests within their bound.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// By id.
    open: HashMap<Box<str>, Standing, RandomState>,
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
                let mut event = context.finding(known, asked, &judged, rule);
                let told = self.begin(asked, &mut event);
                out(event);
                objects.told(at, told);
            }
        }
        known.objects = Some(objects);
        self.holds(before, known);
        self.go_on(known, false, context, addresses, out);
    }

    /// A finding is raised on one connection: whether it is new or stands already, the event says.
    fn begin(&mut self, asked: &Asked, event: &mut Event) -> Told {
        let count = asked.requests();
        let Some(finding) = &mut event.control_plane.judged.finding else {
            return Told { id: Box::default(), at: asked.last, count };
        };
        let id: Box<str> = finding.id.as_str().into();
        finding.last_seen = When(asked.last);
        if let Some(standing) = self.open.get_mut(&id) {
            standing.connections += 1;
            standing.count += count;
            standing.first = standing.first.min(asked.first);
            standing.last = standing.last.max(asked.last);
            finding.state = FindingState::Updated;
            finding.count = standing.count;
            finding.first_seen = When(standing.first);
            finding.last_seen = When(standing.last);
        } else if self.open.len() < STANDING {
            let standing = Standing { connections: 1, count, first: asked.first, last: asked.last };
            self.open.insert(id.clone(), standing);
        }
        Told { id, at: asked.last, count }
    }

    /// Tells what became of findings that were told on a connection: that they go on, if that was not told for a while; or,
    /// where it is `over`, that they are closed, if no other connection shows them.
    fn go_on(
        &mut self,
        known: &mut Known,
        over: bool,
        context: &Context,
        addresses: &Addresses,
        out: &mut impl FnMut(Event),
    ) {
        let Some(mut objects) = known.objects.take() else { return };
        let verdict = known.facts.as_ref().map(|facts| facts.verdict).unwrap_or_default();
        for at in 0..objects.iter().count() {
            let Some(asked) = objects.get(at).filter(|asked| over || asked.is_stale(asked.last)) else {
                continue;
            };
            let Some(told) = &asked.told else { continue };
            let (count, id) = (asked.requests(), told.id.clone());
            let mut standing = Standing { connections: 0, count, first: asked.first, last: asked.last };
            if let Some(all) = self.open.get_mut(&id) {
                all.count += count.saturating_sub(told.count);
                all.last = all.last.max(asked.last);
                all.connections -= u32::from(over);
                standing = *all;
            }
            let state = if over { FindingState::Closed } else { FindingState::Updated };
            if standing.connections == 0 || !over {
                let judged = Judged::of(known, Some(asked), addresses);
                let rule = policy::broken(&judged.judgement, verdict).unwrap_or(&policy::UNENCRYPTED_PROXY);
                let time = if over { known.end().map_or(asked.last, |end| end.time) } else { asked.last };
                let mut event = context.finding(known, asked, &judged, rule);
                finding::again(&mut event, &standing, &id, state, time);
                out(event);
            }
            if over && standing.connections == 0 {
                self.open.remove(&id);
            }
            objects.told(at, Told { id, at: asked.last, count });
        }
        known.objects = Some(objects);
    }

    /// A connection is closed: so is what it alone showed.
    pub(super) fn close(
        &mut self,
        known: &mut Known,
        context: &Context,
        addresses: &Addresses,
        out: &mut impl FnMut(Event),
    ) {
        self.go_on(known, true, context, addresses, out);
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
