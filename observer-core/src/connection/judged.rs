//! A connection's path, asked for with what is known of it now.

use std::net::SocketAddr;

use super::ends::Ends;
use super::known::Known;
use crate::engine::{Facts, Orientation};
use crate::event::{BackendField, PathFields, ProxiesField, ProxyBasis, ProxyField};
use crate::party::Party;
use crate::path::{
    Addresses, Asked, Evidence, Judgement, Kind, Path, Scene, Scheme, Scope, Subject, judge, server_verified,
};

/// Where API servers listen unless told otherwise.
const APISERVER: u16 = 6443;

/// The judgement on a connection, and what goes with it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) judgement: Judgement,
    pub(super) scope: Option<Scope>,
    pub(super) proxy: Option<ProxyField>,
    pub(super) backend: Option<BackendField>,
    verified: Option<(crate::path::Verified, crate::path::Basis)>,
}

impl Judged {
    /// Judges a connection: as to `asked`, if a request for it is what the event speaks of, else as to its first request.
    pub(super) fn of(known: &Known, asked: Option<&Asked>, addresses: &Addresses) -> Self {
        let none = Facts::default();
        let facts = known.facts.as_deref().unwrap_or(&none);
        let ends = Ends::of(known, facts.orientation == Orientation::Reversed);
        let ((client, near), server) = (known.parties(), known.served_by());
        // Relays answer for the server, and name none.
        let far = known.legs().last().map_or(ends, |leg| leg.ends);
        let asked = asked.or_else(|| known.objects.as_ref()?.first());
        let backend = far.backend();
        let scene = Scene {
            client,
            server,
            client_address: ends.client,
            server_addresses: [far.server, backend],
            facts,
            forwarded: asked.map(|asked| asked.subject.forwarded()),
            addresses,
        };
        let judgement = judge(&scene);
        let namespaces = [client, near].map(|party| party.and_then(|party| party.netns));
        let both = known.has_both_sockets();
        let first = Scope::of(ends.seen_client(), ends.backend(), both, namespaces, addresses);
        let scope = known.legs().iter().fold(first, |far, leg| Scope::farther(far, leg.scope(addresses)));
        let proxy = match asked.map(|asked| &asked.subject) {
            Some(Subject::Object(object)) => Some(ProxyField::from(object)),
            Some(Subject::Upgrade) if judgement.is_passed_on() => endpoint(server, None, Scheme::Http),
            // TLS hides what was asked for; who answered is known all the same.
            None if judgement.is_passed_on() => endpoint(server, Some(backend.port()), Scheme::Https),
            _ => None,
        };
        Self {
            scope,
            verified: server_verified(&judgement, facts.verdict.security),
            proxy,
            backend: ends.shown_by.or_else(|| not_shown(known, &ends, addresses)),
            judgement,
        }
    }

    /// What a kubelet or a kube-proxy of this node dialled is where an API server is reached, if that rests on the program
    /// and more; and who serves TLS at the port of API servers may be one. What is on loopback is a relay, and another one
    /// in each network namespace.
    pub(super) fn learn(&self, known: &Known, addresses: &mut Addresses) {
        let Some(facts) = known.facts.as_deref() else { return };
        let near = Ends::of(known, facts.orientation == Orientation::Reversed);
        let far = known.legs().last().map_or(near, |leg| leg.ends);
        let backend = far.backend();
        let is_elsewhere = |it: &SocketAddr| !it.ip().is_loopback();
        if is_elsewhere(&backend) && backend.port() == APISERVER && facts.tls.is_some() {
            addresses.suppose(backend.ip());
        }
        let relay = near.backend();
        let answers_too = known.legs().iter().any(|leg| leg.ends.backend().ip() == relay.ip());
        if !known.legs().is_empty() && !known.has_both_sockets() && !answers_too && is_elsewhere(&relay) {
            addresses.relays_at(relay.ip());
        }
        // What leads back to this machine is no service's: a mesh takes every address that way.
        if near.server_nat.is_some() && is_elsewhere(&near.backend()) {
            addresses.serves_at(near.server);
        }
        let rests_on_program = self.judgement.evidence.contains(&Evidence::ClientProgram);
        if self.judgement.path == Path::NodeToApiserver && self.judgement.is_sound() && rests_on_program {
            for address in
                [near.server, near.backend(), far.server, backend].iter().filter(|it| is_elsewhere(it))
            {
                addresses.learn(*address);
            }
        }
    }

    /// In the names of the event stream.
    pub(super) fn fields(&self) -> PathFields {
        PathFields {
            path: Some(self.judgement.path),
            confidence: self.judgement.confidence,
            evidence: self.judgement.evidence.clone(),
            path_reason: self.judgement.unclear,
            scope: self.scope,
            server_verified: self.verified.map(|(verified, _)| verified),
            server_verified_basis: self.verified.map(|(_, basis)| basis),
            proxy: self.proxy.clone(),
            ..PathFields::default()
        }
    }
}

/// That nothing shows the server behind a service's address, once everything that could was asked.
fn not_shown(known: &Known, ends: &Ends, addresses: &Addresses) -> Option<BackendField> {
    let was_asked = known.translated.is_some() || known.end().is_some() || known.has_wire_faces();
    let is_hidden = was_asked && ends.server_nat.is_none() && addresses.is_service(ends.server);
    is_hidden.then_some(BackendField::VipNotVisible)
}

/// The pod at the other end, as an object.
fn endpoint(server: Option<&Party>, port: Option<u16>, scheme: Scheme) -> Option<ProxyField> {
    let pod = server?.pod.as_deref()?;
    Some(ProxyField {
        kind: Kind::Pod,
        namespace: pod.namespace.clone(),
        name: pod.name.clone()?,
        port: port.map(|port| port.to_string()),
        scheme: Some(scheme),
        basis: ProxyBasis::Endpoint,
    })
}

/// Every object that a connection's requests were for, and how many requests are in none of them.
pub(super) fn proxies(known: &Known) -> (Vec<ProxiesField>, u64) {
    let untold = known.facts.as_ref().and_then(|facts| facts.http.as_ref()).map_or(0, |http| http.untold);
    let Some(objects) = &known.objects else { return (Vec::new(), untold) };
    let mut left_out = objects.left_out() + untold;
    let mut proxies = Vec::new();
    for asked in objects.iter() {
        let object = match &asked.subject {
            Subject::Object(object) => Some(ProxyField::from(object)),
            Subject::Upgrade => endpoint(known.parties().1, None, Scheme::Http),
        };
        match object {
            Some(object) => proxies.push(ProxiesField { object, requests: asked.requests() }),
            None => left_out += asked.requests(),
        }
    }
    (proxies, left_out)
}
