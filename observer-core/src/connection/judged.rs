//! A connection's path, asked for with what is known of it now.

use super::ends::Ends;
use super::known::Known;
use crate::engine::{Facts, Orientation, Role};
use crate::event::{PathFields, ProxiesField, ProxyBasis, ProxyField};
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
    verified: Option<(crate::path::Verified, crate::path::Basis)>,
}

impl Judged {
    /// Judges a connection: as to `asked`, if a request for it is what the event speaks of, else as to its first request.
    pub(super) fn of(known: &Known, asked: Option<&Asked>, addresses: &Addresses) -> Self {
        let none = Facts::default();
        let facts = known.facts.as_deref().unwrap_or(&none);
        let ends = Ends::of(known, facts.orientation == Orientation::Reversed);
        let (client, server) = known.parties();
        let asked = asked.or_else(|| known.objects.as_ref()?.first());
        let backend = ends.backend();
        let scene = Scene {
            client,
            server,
            client_address: ends.client,
            server_addresses: [ends.server, backend],
            facts,
            forwarded: asked.map(|asked| asked.subject.forwarded()),
            addresses,
        };
        let judgement = judge(&scene);
        let sockets = [Role::Client, Role::Server]
            .into_iter()
            .all(|role| known.faces.iter().any(|face| face.role == role));
        let namespaces = [client, server].map(|party| party.and_then(|party| party.netns));
        let proxy = match asked.map(|asked| &asked.subject) {
            Some(Subject::Object(object)) => Some(ProxyField::from(object)),
            Some(Subject::Upgrade) if judgement.is_passed_on() => endpoint(server, None, Scheme::Http),
            // TLS hides what was asked for; who answered is known all the same.
            None if judgement.is_passed_on() => endpoint(server, Some(backend.port()), Scheme::Https),
            _ => None,
        };
        Self {
            scope: Scope::of(ends.seen_client(), backend, sockets, namespaces, addresses),
            verified: server_verified(&judgement, facts.verdict.security),
            proxy,
            judgement,
        }
    }

    /// What a kubelet or a kube-proxy of this node dialled is where an API server is reached, if that rests on the program
    /// and more; and who serves TLS at the port of API servers may be one. What is on loopback is a relay, and another one
    /// in each network namespace.
    pub(super) fn learn(&self, known: &Known, addresses: &mut Addresses) {
        let Some(facts) = known.facts.as_deref() else { return };
        let ends = Ends::of(known, facts.orientation == Orientation::Reversed);
        let backend = ends.backend();
        if backend.ip().is_loopback() {
            return;
        }
        if backend.port() == APISERVER && facts.tls.is_some() {
            addresses.suppose(backend.ip());
        }
        let rests_on_program = self.judgement.evidence.contains(&Evidence::ClientProgram);
        if self.judgement.path == Path::NodeToApiserver && self.judgement.is_sound() && rests_on_program {
            addresses.learn(ends.server);
            addresses.learn(backend);
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
