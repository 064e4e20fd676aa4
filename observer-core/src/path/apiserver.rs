//! What an API server dials, itself or through a tunnel's end on the node's side.
//!
//! Its transports differ in what they offer: webhooks HTTP/1.1 alone (apiserver `pkg/util/webhook/client.go`), the store and
//! konnectivity HTTP/2 alone (gRPC), kubelets and aggregated APIs both and a certificate, the transport for proxied requests
//! both, no name and no certificate (`cmd/kube-apiserver/app/server.go`, `CreateProxyTransport`).

use super::asked::Forwarded;
use super::ends::{self, End, Who};
use super::judge::Scene;
use super::judgement::{Confidence, Evidence, Judgement, Path};
use super::names::Named;
use super::object::Kind;
use crate::party::Component;
use crate::security::Security;

/// An API server that speaks to itself.
pub(super) fn loopback(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    let fits = |end: End| match end.who {
        Who::Component(component) => component.serves_api(),
        Who::Unknown | Who::ApiserverHost => true,
        _ => false,
    };
    let is_named = ends::asked_for(scene.facts) == Some(Named::Loopback);
    if is_named && fits(client) && (fits(server) || server.is_by_port()) {
        let program = [client, server].into_iter().find(|end| end.sure == Confidence::Certain);
        let name = (Confidence::Strong, Evidence::ServerName);
        return Some(match program {
            Some(end) => Judgement::of(
                Path::ApiserverLoopback,
                [end.basis(), (Confidence::Certain, Evidence::ServerName)],
            ),
            None => Judgement::of(Path::ApiserverLoopback, [name]),
        });
    }
    let is_itself = client.component() == Some(Component::KubeApiserver)
        && server.component() == Some(Component::KubeApiserver)
        && ends::is_one_process(scene);
    is_itself.then(|| Judgement::of(Path::ApiserverLoopback, [client.basis(), server.basis()]))
}

/// A request in the clear that `client` passed on.
pub(super) fn proxied(scene: &Scene<'_>, client: End, forwarded: Forwarded<'_>) -> Judgement {
    match forwarded {
        Forwarded::Uri(object) => {
            let path = match object.kind {
                Kind::Pod => Path::ApiserverToPodProxy,
                Kind::Service => Path::ApiserverToServiceProxy,
                Kind::Node => Path::ApiserverToNodeProxy,
            };
            let rests_on = (Confidence::Certain, Evidence::ForwardedUri);
            if client.who == Who::Unknown {
                Judgement::of(path, [rests_on]).at_most(Confidence::Claimed)
            } else {
                Judgement::of(path, [client.basis(), rests_on]).passed_on(client.sure)
            }
        }
        // A pod got it, as a pod or behind a service, or a node: which, nothing shows.
        Forwarded::Upgrade => {
            let upgrade = (Confidence::Strong, Evidence::ForwardedFor);
            let judged = match scene.server.and_then(|party| party.pod.as_ref()) {
                Some(_) => Judgement::of(
                    Path::ApiserverToPodProxy,
                    [client.basis(), upgrade, (Confidence::Weak, Evidence::ServerPod)],
                ),
                None => Judgement::of(Path::ApiserverToPodProxy, [client.basis(), upgrade]),
            };
            judged.at_most(Confidence::Weak).passed_on(client.sure)
        }
    }
}

/// An API server, or konnectivity's agent, dials.
pub(super) fn dials(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    let both = |path| Some(Judgement::of(path, [client.basis(), server.basis()]));
    let is_agent = client.component() == Some(Component::KonnectivityAgent);
    if scene.facts.verdict.security == Security::Ssh {
        return (!is_agent).then(|| {
            Judgement::of(Path::SshTunnel, [client.basis(), (Confidence::Certain, Evidence::Protocol)])
        });
    }
    match server.who {
        _ if server.is_by_port() => at_port(scene, client, server),
        Who::Component(Component::KubeApiserver | Component::Server) if is_agent => {
            // The agent's own client; it is a pod most often.
            let in_pod = scene.client.is_some_and(|party| party.pod.is_some());
            both(if in_pod { Path::PodToApiserver } else { Path::ClientToApiserver })
        }
        Who::Component(Component::Etcd) if !is_agent => both(Path::ApiserverToEtcd),
        Who::Component(Component::KonnectivityServer) => both(Path::Konnectivity),
        Who::Component(Component::Kubelet) => {
            // Without a certificate it may be the transport for proxied requests, sent to the kubelet's port.
            let sure = if ends::presented(scene.facts) == Some(true) {
                Confidence::Certain
            } else {
                Confidence::Strong
            };
            both(Path::ApiserverToKubelet).map(|judged| judged.at_most(sure))
        }
        Who::Component(Component::Agent) if ends::presented(scene.facts) == Some(true) => {
            both(Path::ApiserverToKubelet).map(|judged| judged.at_most(Confidence::Strong))
        }
        Who::Component(_) => None,
        Who::Pod | Who::Service | Who::Program | Who::Unknown | Who::ApiserverHost => {
            by_server_name(scene, client).or_else(|| by_transport(scene, client, server))
        }
    }
}

/// The server's name and the protocols that were offered together.
pub(super) fn by_server_name(scene: &Scene<'_>, client: End) -> Option<Judgement> {
    let name = (Confidence::Certain, Evidence::ServerName);
    match ends::asked_for(scene.facts)? {
        Named::Service => {
            let (path, by) = by_handshake_of_service(scene)?;
            Some(Judgement::of(path, [client.basis(), name, (Confidence::Certain, by)]))
        }
        Named::Else if offers(scene) == Offers::Http1 => Some(Judgement::of(
            Path::ApiserverToWebhook,
            [client.basis(), name, (Confidence::Strong, Evidence::ApplicationProtocol)],
        )),
        _ => None,
    }
}

/// What a handshake for `SERVICE.NAMESPACE.svc` is.
pub(super) fn by_handshake_of_service(scene: &Scene<'_>) -> Option<(Path, Evidence)> {
    match (offers(scene), ends::presented(scene.facts)) {
        (Offers::Http1, _) => Some((Path::ApiserverToWebhook, Evidence::ApplicationProtocol)),
        (Offers::Both, Some(true)) => {
            Some((Path::ApiserverToAggregatedApi, Evidence::ClientCertificateState))
        }
        _ => None,
    }
}

/// Without a name: what is offered, and whether a certificate is presented.
fn by_transport(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    if !ends::is_tls(scene.facts) || ends::asked_for(scene.facts).is_some() {
        return None;
    }
    let protocols = |sure| (sure, Evidence::ApplicationProtocol);
    let state = |sure| (sure, Evidence::ClientCertificateState);
    let is_pod = server.who == Who::Pod;
    match (offers(scene), ends::presented(scene.facts)) {
        (Offers::Http1, _) => {
            let sure = if is_pod { Confidence::Strong } else { Confidence::Weak };
            Some(Judgement::of(Path::ApiserverToWebhook, [client.basis(), protocols(sure)]))
        }
        // The agent's own connection: what it carries for an API server offers HTTP/1.1 too.
        (Offers::Http2, _) if client.component() == Some(Component::KonnectivityAgent) => {
            Some(Judgement::of(Path::Konnectivity, [client.basis(), protocols(Confidence::Strong)]))
        }
        (Offers::Both, Some(true)) if is_pod => Some(Judgement::of(
            Path::ApiserverToAggregatedApi,
            [client.basis(), server.basis(), state(Confidence::Strong)],
        )),
        // A kubelet's port would have said so.
        (Offers::Both, Some(true)) if server.who == Who::Unknown => {
            Some(Judgement::of(Path::ApiserverToAggregatedApi, [client.basis(), state(Confidence::Weak)]))
        }
        // As a pod or behind a service: which, nothing shows.
        (Offers::Both | Offers::Nothing, Some(false)) if is_pod => Some(
            Judgement::of(
                Path::ApiserverToPodProxy,
                [client.basis(), server.basis(), state(Confidence::Weak)],
            )
            .passed_on(Confidence::Strong.min(client.sure)),
        ),
        (Offers::Both | Offers::Nothing, Some(false)) if server.who == Who::Program => Some(Judgement::of(
            Path::ApiserverToNodeProxy,
            [client.basis(), server.basis(), state(Confidence::Weak)],
        )),
        (Offers::Both | Offers::Nothing, Some(false)) => {
            Some(Judgement::of(Path::ApiserverToPodProxy, [client.basis(), state(Confidence::Weak)]))
        }
        _ => None,
    }
}

/// Nothing but the port says what the server is: the handshake may say more.
fn at_port(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    let both = |path| Some(Judgement::of(path, [client.basis(), server.basis()]));
    if let Some(judged) = by_server_name(scene, client) {
        return Some(judged);
    }
    match server.component()? {
        // gRPC is HTTP/2 alone.
        Component::Etcd if offers(scene) == Offers::Http2 => both(Path::ApiserverToEtcd),
        Component::KonnectivityServer if offers(scene) == Offers::Http2 => both(Path::Konnectivity),
        Component::Kubelet
            if ends::presented(scene.facts) == Some(true)
                && scene.addresses.other_nodes.contains(&scene.server_addresses[1].ip()) =>
        {
            Some(Judgement::of(
                Path::ApiserverToKubelet,
                [
                    client.basis(),
                    (Confidence::Strong, Evidence::ServerAddress),
                    (Confidence::Strong, Evidence::Port),
                ],
            ))
        }
        Component::Kubelet if offers(scene) != Offers::Http2 => both(Path::ApiserverToKubelet),
        _ => by_transport(scene, client, server),
    }
}

/// Something on an API server's machine dials; nothing of its process is known.
pub(super) fn host_dials(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    let certified = ends::presented(scene.facts) == Some(true);
    match server.component() {
        Some(Component::Kubelet | Component::Etcd) if !certified => None,
        Some(Component::KubeApiserver | Component::Server) => None,
        Some(Component::Agent) => None,
        // Anything on that machine may have a certificate for it, etcdctl above all.
        Some(Component::Etcd) => dials(scene, client, server).map(|it| it.at_most(Confidence::Claimed)),
        _ if scene.facts.verdict.security == Security::Ssh => {
            Some(Judgement::of(Path::SshTunnel, [client.basis(), (Confidence::Weak, Evidence::Protocol)]))
        }
        _ if server.who == Who::Pod && ends::presented(scene.facts) == Some(false) => {
            // Whatever runs on that machine may dial a pod so.
            by_server_name(scene, client)
                .or_else(|| by_transport(scene, client, server).map(|it| it.at_most(Confidence::Weak)))
        }
        _ => dials(scene, client, server),
    }
}

/// Whether `client` may be an API server.
pub(super) const fn may_be(client: End) -> bool {
    match client.who {
        Who::Component(component) => component.dials_for_apiserver(),
        Who::ApiserverHost => true,
        _ => false,
    }
}

/// Whether the client offers what gRPC does: HTTP/2 alone.
pub(super) fn offers_grpc(scene: &Scene<'_>) -> bool {
    offers(scene) == Offers::Http2
}

/// The application protocols that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offers {
    /// None.
    Nothing,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// Both.
    Both,
    /// Others, or it is not known.
    Else,
}

fn offers(scene: &Scene<'_>) -> Offers {
    let Some((_, extra)) = &scene.facts.tls else { return Offers::Else };
    let mut offered: Vec<&str> = extra.offered_protocols.iter().map(String::as_str).collect();
    offered.sort_unstable();
    match offered[..] {
        [] => Offers::Nothing,
        ["http/1.1"] => Offers::Http1,
        ["h2"] => Offers::Http2,
        ["h2", "http/1.1"] => Offers::Both,
        _ => Offers::Else,
    }
}
