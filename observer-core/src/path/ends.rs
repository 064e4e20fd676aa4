//! Who is at each end, by the best evidence there is.

use std::net::SocketAddr;

use super::judge::Scene;
use super::judgement::{Confidence, Evidence};
use super::names::{self, Holder, Named};
use crate::engine::Facts;
use crate::event::TlsField;
use crate::party::{self, Component, Party};
use crate::security::{ClientCertificate, Security};

/// Who is at an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A part of the control plane.
    Component(Component),
    /// A pod that is no part of the control plane.
    Pod,
    /// Any other program of this node.
    Program,
    /// Something on the machine of an API server, most likely that.
    ApiserverHost,
    /// A service, by the name that the client asked for.
    Service,
    /// Nothing shows it.
    Unknown,
}

/// Who is at an end, and what says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) who: Who,
    pub(super) sure: Confidence,
    pub(super) by: Evidence,
}

impl End {
    const fn new(who: Who, sure: Confidence, by: Evidence) -> Self {
        Self { who, sure, by }
    }

    /// What a judgement rests on.
    pub(super) const fn basis(self) -> (Confidence, Evidence) {
        (self.sure, self.by)
    }

    pub(super) const fn component(self) -> Option<Component> {
        match self.who {
            Who::Component(component) => Some(component),
            _ => None,
        }
    }

    /// Whether it rests on nothing but a port.
    pub(super) const fn is_by_port(self) -> bool {
        matches!(self.by, Evidence::Port)
    }
}

/// What the process of an end shows, if anything.
fn by_party(party: Option<&Party>, program: Evidence, pod: Evidence) -> Option<End> {
    let party = party?;
    if let Some(component) = party.component {
        let sure = if party.is_component_claimed() { Confidence::Claimed } else { Confidence::Certain };
        return Some(End::new(Who::Component(component), sure, program));
    }
    if let Some(named) = party.pod.as_ref().map(|pod| pod.named) {
        let sure = if named == party::Named::Api { Confidence::Strong } else { Confidence::Certain };
        return Some(End::new(Who::Pod, sure, pod));
    }
    let process = party.process.as_ref()?;
    if process.executable.is_some() {
        return Some(End::new(Who::Program, Confidence::Certain, program));
    }
    // It ended before it was read. Its control group says that it was in no pod, and no component hides behind another name;
    // but any program may bear a component's.
    let is_placed = party.cgroup.is_some() && (party.missing.is_some() || process.start_ticks.is_some());
    (is_placed && !Component::may_be_called(&process.name)).then_some(End::new(
        Who::Program,
        Confidence::Strong,
        program,
    ))
}

/// Who dialled.
pub(super) fn client(scene: &Scene<'_>) -> End {
    if let Some(end) = by_party(scene.client, Evidence::ClientProgram, Evidence::ClientPod) {
        return end;
    }
    if let Some(holder) = holder(scene.facts) {
        let component = match holder {
            Holder::Component(component) => component,
            Holder::ToKubelet | Holder::ToEtcd | Holder::FrontProxy => Component::KubeApiserver,
        };
        return End::new(Who::Component(component), Confidence::Strong, Evidence::ClientCertificate);
    }
    if scene.addresses.hosts.contains(&scene.client_address.ip()) {
        return End::new(Who::ApiserverHost, Confidence::Strong, Evidence::ClientAddress);
    }
    End::new(Who::Unknown, Confidence::Claimed, Evidence::ClientAddress)
}

/// Whom the client's certificate names, if one was seen.
pub(super) fn holder(facts: &Facts) -> Option<Holder> {
    names::client(tls(facts)?.client.certificate.as_ref()?)
}

/// Whether the client's certificate was seen, and is of no part of the control plane.
pub(super) fn is_stranger(facts: &Facts) -> bool {
    let certificate = tls(facts).and_then(|tls| tls.client.certificate.as_ref());
    certificate.is_some_and(|certificate| names::is_strange(certificate))
}

/// Whether the client's certificate travelled in the clear.
pub(super) fn is_certificate_seen(facts: &Facts) -> bool {
    tls(facts).is_some_and(|tls| tls.client.certificate.is_some())
}

/// Who was dialled.
pub(super) fn server(scene: &Scene<'_>) -> End {
    if let Some(end) = by_party(scene.server, Evidence::ServerProgram, Evidence::ServerPod) {
        return end;
    }
    let certificate = tls(scene.facts).and_then(|tls| tls.server.certificate.as_ref());
    if let Some(component) = certificate.and_then(|certificate| names::server(certificate)) {
        return End::new(Who::Component(component), Confidence::Strong, Evidence::ServerCertificate);
    }
    let apiserver = Who::Component(Component::KubeApiserver);
    match asked_for(scene.facts) {
        Some(Named::Apiserver) => return End::new(apiserver, Confidence::Strong, Evidence::ServerName),
        Some(Named::Service) => return End::new(Who::Service, Confidence::Strong, Evidence::ServerName),
        Some(Named::Loopback | Named::Else) | None => {}
    }
    if scene.server_addresses.iter().any(|address| scene.addresses.is_apiserver(*address)) {
        return End::new(apiserver, Confidence::Strong, Evidence::ServerAddress);
    }
    if let Some(component) = by_call(scene.facts) {
        return End::new(Who::Component(component), Confidence::Strong, Evidence::RequestPath);
    }
    match scene.server_addresses.iter().find_map(|address| by_port(*address, scene.facts)) {
        Some(component) => End::new(Who::Component(component), Confidence::Weak, Evidence::Port),
        None => End::new(Who::Unknown, Confidence::Claimed, Evidence::ServerAddress),
    }
}

/// What the name says that the client asked for; one that may be a decoy says nothing (encrypted ClientHello).
pub(super) fn asked_for(facts: &Facts) -> Option<Named> {
    let (field, extra) = facts.tls.as_ref()?;
    let name = field.client.server_name.as_deref().filter(|_| !extra.encrypted_client_hello)?;
    Some(names::asked_for(name))
}

/// gRPC services that only one component has.
fn by_call(facts: &Facts) -> Option<Component> {
    if facts.protocol != Some("http2") {
        return None;
    }
    match request_path(facts)? {
        path if path.starts_with("/etcdserverpb.") => Some(Component::Etcd),
        "/agent.AgentService/Connect" | "/ProxyService/Proxy" => Some(Component::KonnectivityServer),
        _ => None,
    }
}

/// The component that is most often found at a port, where that was spoken which it speaks there.
fn by_port(address: SocketAddr, facts: &Facts) -> Option<Component> {
    let tls = is_tls(facts);
    let http = facts.verdict.security == Security::Plaintext && facts.http.is_some();
    Some(match address.port() {
        6443 if tls => Component::KubeApiserver,
        2379 | 2380 if tls => Component::Etcd,
        2381 if http => Component::Etcd,
        10250 if tls || http => Component::Kubelet,
        10248 | 10255 if http => Component::Kubelet,
        10249 | 10256 if http => Component::KubeProxy,
        10257 if tls => Component::KubeControllerManager,
        10259 if tls => Component::KubeScheduler,
        10258 if tls => Component::CloudControllerManager,
        8132 if tls => Component::KonnectivityServer,
        _ => return None,
    })
}

pub(super) fn tls(facts: &Facts) -> Option<&TlsField> {
    facts.tls.as_ref().map(|(field, _)| &**field)
}

/// Whether it is certain that TLS was spoken.
pub(super) const fn is_tls(facts: &Facts) -> bool {
    matches!(facts.verdict.security, Security::MutualTls | Security::ServerTls | Security::Tls)
}

/// Whether the client certainly presented a certificate, or certainly none; `None` where it is not known.
pub(super) const fn presented(facts: &Facts) -> Option<bool> {
    match facts.verdict.client_certificate {
        ClientCertificate::Presented => Some(true),
        ClientCertificate::Declined | ClientCertificate::NotRequested => Some(false),
        ClientCertificate::Resumed | ClientCertificate::Unknown => None,
    }
}

/// The first request's path.
pub(super) fn request_path(facts: &Facts) -> Option<&str> {
    facts.http.as_ref()?.url.as_ref()?.path.as_deref()
}

/// Whether the first request calls itself one of the kubelet's probes (`pkg/probe/http`).
pub(super) fn is_probe(facts: &Facts) -> bool {
    let agent = facts.http.as_ref().and_then(|http| http.user_agent.as_ref());
    agent.is_some_and(|agent| agent.original.starts_with("kube-probe/"))
}

/// Whether both ends are one process, as far as both are known.
pub(super) fn is_one_process(scene: &Scene<'_>) -> bool {
    let [client, server] = [scene.client, scene.server]
        .map(|party| party.and_then(|it| it.process.as_ref().or(it.opened_by.as_ref())));
    client
        .zip(server)
        .is_some_and(|(client, server)| client.pid == server.pid && client.start_ticks == server.start_ticks)
}
