//! A session that was passed on: what a connection knows of the others that carry it.

use std::sync::Arc;

use super::Id;
use super::ends::Ends;
use super::known::{End, Known};
use super::party_field::party_field;
use crate::engine::{FaceKey, Orientation, Role};
use crate::event::{Destination, MissingBytes, RelayField, Source, When, community_id};
use crate::party::Party;
use crate::path::{Addresses, Scope};
use crate::time::Timestamp;

/// Connections that are told as one at most: a client, three relays, a server.
pub(super) const MAX_LEGS: usize = 4;

/// How a connection stands to others that carry its session, or its ClientHello.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// The connection nearer to the client, with which this one is told.
    pub(super) from: Option<FaceKey>,
    /// The connection nearer to the server, which is told with this one.
    pub(super) to: Option<FaceKey>,
    /// What is known of those nearer to the server, as it was last looked at; of those that are closed for good.
    pub(super) legs: Vec<Leg>,
    /// How many of `legs` are closed.
    pub(super) closed: usize,
    /// Another connection showed its ClientHello before, so that it may turn out to be told with that one.
    pub(super) awaited: bool,
    /// Another connection showed its ClientHello, and is told apart.
    pub(super) repeated: bool,
    /// It was told with this connection, and outlived it.
    pub(super) outlived: Option<Id>,
}

/// One connection that a relay dialled to pass a session on.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    id: Id,
    opened: Timestamp,
    /// The relay.
    client: Option<Arc<Party>>,
    /// The server, or the next relay.
    pub(super) server: Option<Arc<Party>>,
    pub(super) ends: Ends,
    /// Both ends are sockets of this machine.
    sockets: bool,
    encapsulation: Vec<&'static str>,
    missing: MissingBytes,
    end: Option<End>,
}

impl Leg {
    /// What is known of a connection now.
    pub(super) fn of(known: &Known) -> Self {
        let facts = known.facts.as_deref();
        let reversed = facts.is_some_and(|facts| facts.orientation == Orientation::Reversed);
        let (client, server) = (known.client.clone(), known.server.clone());
        let (client, server) = if reversed { (server, client) } else { (client, server) };
        Self {
            id: known.id,
            opened: known.opened,
            client,
            server,
            ends: Ends::of(known, reversed),
            sockets: known.has_both_sockets(),
            encapsulation: facts.map(|facts| facts.encapsulation.clone()).unwrap_or_default(),
            missing: known.missing(),
            end: known.end(),
        }
    }

    /// How far it travelled.
    pub(super) fn scope(&self, addresses: &Addresses) -> Option<Scope> {
        let namespaces = [&self.client, &self.server].map(|party| party.as_ref().and_then(|it| it.netns));
        Scope::of(self.ends.seen_client(), self.ends.backend(), self.sockets, namespaces, addresses)
    }

    /// In the names of the event stream; with what the end showed where that `is_over`. `accepted` is who accepted what
    /// this one passes on.
    pub(super) fn field(&self, accepted: Option<&Party>, is_over: bool) -> RelayField {
        let end = self.end.filter(|_| is_over);
        let Ends { client, server, client_nat, server_nat, .. } = self.ends;
        let party = accepted.or(self.client.as_deref());
        let dialled_by = self.client.as_deref().filter(|dialled| {
            party.is_some_and(|party| party.process.is_some() && party.process != dialled.process)
        });
        RelayField {
            party: party.map(party_field),
            dialled_by: dialled_by.map(party_field),
            connection: self.id.text(),
            source: Source {
                ip: client.ip(),
                port: client.port(),
                bytes: end.map(|end| end.bytes_to_server),
                nat: client_nat,
            },
            destination: Destination {
                ip: server.ip(),
                port: server.port(),
                bytes: end.map(|end| end.bytes_to_client),
                nat: server_nat,
            },
            community_id: community_id(client, server),
            start: When(self.opened),
            end: end.map(|end| When(end.time)),
            ending: end.map(|end| end.ending),
            encapsulation: self.encapsulation.clone(),
            missing: Some(self.missing).filter(|missing| *missing != MissingBytes::default()),
        }
    }
}

/// Whether two connections cannot be two legs of one session: both have verdicts that differ, or another program dialled
/// the one than accepted the other.
pub(super) fn contradict(near: &Known, far: &Known) -> bool {
    let verdicts = || Some((near.facts.as_deref()?.verdict, far.facts.as_deref()?.verdict));
    let differ = verdicts().is_some_and(|(near_verdict, far_verdict)| {
        near.certain() && far.certain() && !super::known::same(near_verdict, far_verdict)
    });
    let programs = || Some((near.parties().1?.process.as_ref()?, far.parties().0?.process.as_ref()?));
    // A relay may be several processes of one program, one of which accepts for all.
    differ
        || programs().is_some_and(|(accepted, dialled)| {
            accepted.pid != dialled.pid
                && accepted.executable.is_some()
                && dialled.executable.is_some()
                && accepted.executable != dialled.executable
        })
}

impl Known {
    /// The connections nearer to the server that are told with it.
    pub(super) fn legs(&self) -> &[Leg] {
        self.relay.as_ref().map_or(&[], |relay| &relay.legs)
    }

    /// The owner of the end that really answers: behind the relays, where there are any.
    pub(super) fn served_by(&self) -> Option<&Party> {
        self.legs().last().map_or(self.parties().1, |leg| leg.server.as_deref())
    }

    /// Whether it is seen in a capture.
    pub(super) fn has_wire_faces(&self) -> bool {
        self.faces.iter().all(|face| face.role == Role::Wire)
    }

    /// Whether both ends were seen as sockets of this machine.
    pub(super) fn has_both_sockets(&self) -> bool {
        [Role::Client, Role::Server].into_iter().all(|role| self.faces.iter().any(|face| face.role == role))
    }

    /// The relays that passed its session on, in the names of the event stream.
    pub(super) fn relay_fields(&self, is_over: bool) -> Vec<RelayField> {
        let mut accepted = self.parties().1;
        let mut fields = Vec::with_capacity(self.legs().len());
        for leg in self.legs() {
            fields.push(leg.field(accepted, is_over));
            accepted = leg.server.as_deref();
        }
        fields
    }
}
