//! Connections that are told as one, because a relay passed one session on over them.

use super::{Joiner, Stage};
use crate::connection::known::Known;
use crate::connection::relay::{Leg, MAX_LEGS, Relay, contradict};
use crate::connection::sessions::Answer;
use crate::engine::{FaceKey, Origin};
use crate::event::Event;

impl Joiner {
    /// Connections that were told with another one, because the same session was passed on over them.
    #[must_use]
    pub const fn relayed(&self) -> u64 {
        self.relayed
    }

    /// ClientHellos that were forgotten before they could be found on a second connection.
    #[must_use]
    pub const fn hellos_forgotten(&self) -> u64 {
        self.sessions.forgotten()
    }

    /// A face showed a ClientHello. Where another connection did before, it may be told with that one.
    pub(super) fn asked(&mut self, key: FaceKey, random: [u8; 32]) {
        let faces = &self.faces;
        let is_repeated = self.sessions.asked(key, random, self.now, |key| faces.get(&key).copied());
        if is_repeated && let Some(known) = self.known(key) {
            known.relay.get_or_insert_default().awaited = true;
        }
    }

    /// A face showed the answer to its ClientHello.
    pub(super) fn answered(&mut self, key: FaceKey, randoms: [[u8; 32]; 2], out: &mut impl FnMut(Event)) {
        let faces = &self.faces;
        match self.sessions.answered(key, randoms, |key| faces.get(&key).copied()) {
            Answer::Alone => {}
            Answer::PassedOn(far) => self.pass_on(key, far, out),
            Answer::Another(others) => {
                for key in others.into_iter().chain([key]) {
                    self.is_repeated(key);
                }
            }
        }
    }

    fn is_repeated(&mut self, key: FaceKey) {
        if let Some(known) = self.known(key) {
            known.relay.get_or_insert_default().repeated = true;
        }
    }

    /// One session was passed on from the connection of `near` over that of `far`. Both have to be whole connections with
    /// numbers of their own, so that two views of one are never two; and what was told cannot be taken back.
    fn pass_on(&mut self, near: FaceKey, far: FaceKey, out: &mut impl FnMut(Event)) {
        let (Some(&near_index), Some(&far_index)) = (self.faces.get(&near), self.faces.get(&far)) else {
            return;
        };
        let (Some(one), Some(other)) = (self.connections.get(near_index), self.connections.get(far_index))
        else {
            return;
        };
        let are_whole = [one, other].iter().all(|it| it.origin == Origin::Handshake && !it.subflow);
        if !are_whole || one.numbers.is_none() || other.numbers.is_none() || one.numbers == other.numbers {
            return;
        }
        let is_linked = one.relay.as_ref().is_some_and(|relay| relay.to.is_some() || !relay.legs.is_empty())
            || other.relay.as_ref().is_some_and(|relay| relay.from.is_some());
        let is_long = self.chain(far_index).count() >= MAX_LEGS;
        if is_linked || is_long || other.stage == Stage::Classified || contradict(one, other) {
            self.is_repeated(near);
            self.is_repeated(far);
            return;
        }
        let far_is_ready = matches!(other.stage, Stage::Ready { .. });
        if let Some(known) = self.connections.value(near_index) {
            known.relay.get_or_insert_default().to = Some(far);
        }
        if let Some(known) = self.connections.value(far_index) {
            known.relay.get_or_insert_default().from = Some(near);
        }
        if far_is_ready {
            self.classify(far_index, out);
        }
    }

    /// A connection and those nearer to the server that its session was passed on over.
    fn chain(&self, index: u32) -> impl Iterator<Item = u32> {
        let next = |index: &u32| {
            let to = self.connections.get(*index)?.relay.as_ref()?.to?;
            self.faces.get(&to).copied()
        };
        core::iter::successors(Some(index), next).take(MAX_LEGS)
    }

    /// The connection with which one is told: nearer to the client, most often itself.
    pub(super) fn told_with(&self, index: u32) -> u32 {
        let nearer = |index: &u32| {
            let from = self.connections.get(*index)?.relay.as_ref()?.from?;
            self.faces.get(&from).copied()
        };
        core::iter::successors(Some(index), nearer).take(MAX_LEGS).last().unwrap_or(index)
    }

    /// Whether a connection may turn out to be told with another one.
    pub(super) fn awaits_relay(&self, index: u32) -> bool {
        let relay = self.connections.get(index).and_then(|known| known.relay.as_ref());
        relay.is_some_and(|relay| relay.awaited && relay.from.is_none())
    }

    /// Whether the owner of an end is still being looked up, of this connection or of those that are told with it.
    pub(super) fn awaits_owner(&self, index: u32) -> bool {
        self.chain(index).any(|index| self.connections.get(index).is_some_and(|known| known.awaits_owner()))
    }

    /// Whether a connection is told with another one. Where what both show contradicts that, no longer.
    pub(super) fn is_told_with_another(&mut self, index: u32) -> bool {
        let Some(near) = self.told_by_next(index) else { return false };
        let apart = self.do_contradict(near, index);
        if apart {
            self.part(index);
        }
        !apart
    }

    /// The connection next to one, nearer to the client.
    fn told_by_next(&self, index: u32) -> Option<u32> {
        let from = self.connections.get(index)?.relay.as_ref()?.from?;
        self.faces.get(&from).copied()
    }

    fn do_contradict(&self, near: u32, far: u32) -> bool {
        match (self.connections.get(near), self.connections.get(far)) {
            (Some(near), Some(far)) => contradict(near, far),
            _ => false,
        }
    }

    /// Looks at what a connection is told with. What contradicts it is told by itself.
    pub(super) fn gather(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        if !self.awaits_legs(index) {
            return;
        }
        let chain: Vec<u32> = self.chain(index).collect();
        let apart = chain.windows(2).find(|pair| self.do_contradict(pair[0], pair[1])).map(|pair| pair[1]);
        if let Some(far) = apart {
            self.part(far);
            if let Some(known) = self.connections.value(far)
                && known.stage == Stage::Classified
            {
                // It was kept quiet until now.
                known.stage = Stage::Ready { since: known.classified_at };
                self.relayed = self.relayed.saturating_sub(1);
                self.classify(far, out);
            }
        }
        let far: Vec<&Known> =
            self.chain(index).skip(1).filter_map(|index| self.connections.get(index)).collect();
        let legs: Vec<Leg> = far.iter().map(|known| Leg::of(known)).collect();
        let facts = far.first().and_then(|known| known.facts.clone());
        let Some(known) = self.connections.value(index) else { return };
        if let Some(facts) = facts {
            known.learn_from_relay(facts);
        }
        if let Some(relay) = &mut known.relay {
            relay.legs.truncate(relay.closed);
            relay.legs.extend(legs);
        }
    }

    /// Two connections that carry one ClientHello are told apart after all.
    fn part(&mut self, far: u32) {
        let near = self.told_by_next(far);
        for index in near.into_iter().chain([far]) {
            if let Some(relay) = self.connections.value(index).and_then(|known| known.relay.as_mut()) {
                relay.repeated = true;
                if index == far { relay.from = None } else { relay.to = None }
            }
        }
    }

    /// A connection that is told with another one is over: what it was goes to that one. False if it is told by itself.
    pub(super) fn hand_over(&mut self, index: u32, out: &mut impl FnMut(Event)) -> bool {
        let Some(near) = self.told_by_next(index) else { return false };
        self.gather(index, out);
        let Some(mut known) = self.take(index, out) else { return false };
        let own = Leg::of(&known);
        let relay = known.relay.take().unwrap_or_default();
        let Some(nearer) = self.connections.value(near) else { return true };
        let legs = nearer.relay.get_or_insert_default();
        legs.legs.truncate(legs.closed);
        legs.legs.push(own);
        legs.legs.extend(relay.legs.into_iter().take(relay.closed));
        legs.closed = legs.legs.len();
        legs.to = relay.to;
        let key = nearer.faces.first().map(|face| face.key);
        let is_over = nearer.is_over();
        if let Some(far) = relay.to.and_then(|to| self.known(to))
            && let Some(relay) = &mut far.relay
        {
            relay.from = key;
        }
        if let Some(key) = key.filter(|_| is_over) {
            self.close_if_due(key, out);
        }
        true
    }

    /// A connection is told as closed: what it is told with and goes on is told by itself when it ends.
    pub(super) fn let_go(&mut self, relay: Option<&Relay>, id: crate::connection::Id) {
        if let Some(far) = relay.and_then(|relay| relay.to).and_then(|to| self.known(to))
            && let Some(relay) = &mut far.relay
        {
            relay.from = None;
            relay.outlived = Some(id);
        }
    }

    /// Whether a connection that is over waits for those that are told with it.
    pub(super) fn awaits_legs(&self, index: u32) -> bool {
        self.connections.get(index).and_then(|known| known.relay.as_ref()).is_some_and(|it| it.to.is_some())
    }
}
