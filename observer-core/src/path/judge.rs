//! The judgement itself: from who is at both ends, and what they said, to the path.

use std::net::SocketAddr;

use super::addresses::Addresses;
use super::apiserver;
use super::asked::Forwarded;
use super::ends::{self, End, Who};
use super::judgement::{Confidence, Evidence, Judgement, Path, Unclear};
use super::names::{Holder, Named};
use crate::engine::Facts;
use crate::party::{Component, Party};
use crate::security::Security;

/// All that a judgement rests on.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The end that dialled, as far as it is known.
    pub client: Option<&'a Party>,
    /// The end that listened, likewise.
    pub server: Option<&'a Party>,
    /// The client's address, as near to the client as it was seen.
    pub client_address: SocketAddr,
    /// The server's: as it was dialled, and the backend behind it.
    pub server_addresses: [SocketAddr; 2],
    /// What was spoken.
    pub facts: &'a Facts,
    /// The request in question, if it may have been proxied.
    pub forwarded: Option<Forwarded<'a>>,
    /// Where API servers are.
    pub addresses: &'a Addresses,
}

/// The path of a connection.
#[must_use]
pub fn judge(scene: &Scene<'_>) -> Judgement {
    let (client, server) = (ends::client(scene), ends::server(scene));
    let by_who = || {
        let by_ends = by_ends(scene, client, server);
        if by_ends.as_ref().is_some_and(Judgement::is_sound) {
            return by_ends;
        }
        by_holder(scene, client).or(by_ends)
    };
    apiserver::loopback(scene, client, server)
        .or_else(|| forwarded(scene, client))
        .or_else(by_who)
        .unwrap_or_else(|| Judgement::other(unclear(client, server)))
}

/// A request in the clear that says that an API server passed it on.
fn forwarded(scene: &Scene<'_>, client: End) -> Option<Judgement> {
    let forwarded = scene.forwarded?;
    match client.who {
        Who::Component(component) if component.dials_for_apiserver() => {
            // A process with a kubelet in it sends probes too, with whatever fields a pod's author wished for.
            let several = matches!(component, Component::Agent | Component::Server);
            if several && (ends::is_probe(scene.facts) || is_streaming(scene)) {
                return None;
            }
            let judged = apiserver::proxied(scene, client, forwarded);
            Some(if several { judged.at_most(Confidence::Strong) } else { judged })
        }
        Who::ApiserverHost => Some(apiserver::proxied(scene, client, forwarded)),
        Who::Unknown => match forwarded {
            Forwarded::Uri(_) => Some(apiserver::proxied(scene, client, forwarded)),
            Forwarded::Upgrade => None,
        },
        // It sends what a pod's author wished for, and passes nothing on.
        Who::Component(Component::Kubelet) => None,
        Who::Component(_) | Who::Pod | Who::Program | Who::Service => match forwarded {
            Forwarded::Uri(_) => Some(Judgement {
                confidence: Some(Confidence::Claimed),
                evidence: vec![Evidence::ForwardedUri],
                ..Judgement::other(Unclear::NotFromApiserver)
            }),
            Forwarded::Upgrade => None,
        },
    }
}

/// Certificates of API servers that were made for one kind of server.
fn by_holder(scene: &Scene<'_>, client: End) -> Option<Judgement> {
    let is_apiserver = match client.who {
        Who::Component(component) => component.dials_for_apiserver(),
        Who::ApiserverHost => true,
        _ => false,
    };
    let path = match ends::holder(scene.facts).filter(|_| is_apiserver)? {
        Holder::ToKubelet => Path::ApiserverToKubelet,
        Holder::ToEtcd => Path::ApiserverToEtcd,
        Holder::FrontProxy => Path::ApiserverToAggregatedApi,
        Holder::Component(_) => return None,
    };
    Some(Judgement::of(path, [client.basis(), (Confidence::Strong, Evidence::ClientCertificate)]))
}

fn by_ends(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    let both = |path| Some(Judgement::of(path, [client.basis(), server.basis()]));
    match (client.component(), server.component()) {
        (Some(Component::KubeApiserver | Component::KonnectivityAgent), _) => {
            apiserver::dials(scene, client, server)
        }
        (Some(Component::Kubelet), _) => kubelet_dials(scene, client, server),
        (Some(Component::Agent | Component::Server), _) => several_dial(scene, client, server),
        (Some(Component::KubeProxy), _) => component_dials(scene, client, server, Path::NodeToApiserver),
        (
            Some(
                Component::KubeScheduler
                | Component::KubeControllerManager
                | Component::CloudControllerManager,
            ),
            _,
        ) => component_dials(scene, client, server, Path::ComponentToApiserver),
        // It dials nothing but its peers.
        (Some(Component::Etcd), _) if is_unknown(server) && certified(scene) => Some(Judgement::of(
            Path::EtcdPeer,
            [client.basis(), (Confidence::Strong, Evidence::ClientCertificateState)],
        )),
        (Some(Component::Etcd), Some(Component::Etcd)) if !ends::is_one_process(scene) => {
            both(Path::EtcdPeer)
        }
        (Some(_), _) => None,
        (None, _) if client.who == Who::ApiserverHost => apiserver::host_dials(scene, client, server),
        (None, Some(component)) => others_dial(scene, client, server, component),
        (None, None) => by_content(scene, client, server),
    }
}

/// Whether nothing but a port says who is at an end.
fn is_unknown(end: End) -> bool {
    end.who == Who::Unknown || end.is_by_port()
}

fn certified(scene: &Scene<'_>) -> bool {
    ends::presented(scene.facts) == Some(true)
}

fn serves_api(server: End) -> bool {
    server.component().is_some_and(Component::serves_api)
}

/// A component that dials API servers and, by itself, nothing else of the control plane.
fn component_dials(scene: &Scene<'_>, client: End, server: End, path: Path) -> Option<Judgement> {
    let by_ends = || serves_api(server).then(|| Judgement::of(path, [client.basis(), server.basis()]));
    // A cloud's own interface may ask for a certificate as well.
    let elsewhere = client.component() == Some(Component::CloudControllerManager);
    if is_unknown(server) && !elsewhere && certified(scene) {
        return Some(Judgement::of(
            path,
            [client.basis(), (Confidence::Strong, Evidence::ClientCertificateState)],
        ));
    }
    by_ends()
}

fn kubelet_dials(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    let both = |path| Some(Judgement::of(path, [client.basis(), server.basis()]));
    let in_pod = scene.server.is_some_and(|party| party.pod.is_some());
    match server.who {
        // Only an API server gets to see a kubelet's certificate.
        _ if is_unknown(server) && certified(scene) => Some(Judgement::of(
            Path::NodeToApiserver,
            [client.basis(), (Confidence::Strong, Evidence::ClientCertificateState)],
        )),
        Who::Component(component) if component.serves_api() => {
            if !certified(scene) && in_pod {
                // A kubelet probes static pods, API servers among them, and its probes present no certificate.
                return Some(Judgement::of(
                    Path::KubeletToPod,
                    [client.basis(), (Confidence::Weak, Evidence::ServerPod)],
                ));
            }
            both(Path::NodeToApiserver)
        }
        Who::Component(Component::ContainerRuntime) => both(Path::KubeletToRuntime),
        Who::Component(_) if in_pod => Some(Judgement::of(
            Path::KubeletToPod,
            [client.basis(), (Confidence::Certain, Evidence::ServerPod)],
        )),
        Who::Pod => both(Path::KubeletToPod),
        Who::Program | Who::Unknown if is_streaming(scene) => streaming(scene, client),
        Who::Unknown | Who::Component(_) if ends::is_probe(scene.facts) => Some(Judgement::of(
            Path::KubeletToPod,
            [client.basis(), (Confidence::Strong, Evidence::UserAgent)],
        )),
        _ => None,
    }
}

/// One process that is kubelet, kube-proxy and the tunnel's end on the node's side, or also an API server.
fn several_dial(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    if ends::is_one_process(scene) {
        return None;
    }
    let is_server = client.component() == Some(Component::Server);
    let strong = |judged: Judgement| judged.at_most(Confidence::Strong);
    match server.who {
        Who::Component(Component::ContainerRuntime) => {
            Some(Judgement::of(Path::KubeletToRuntime, [client.basis(), server.basis()]))
        }
        Who::Component(component) if component.serves_api() && !is_server => {
            Some(strong(Judgement::of(Path::NodeToApiserver, [client.basis(), server.basis()])))
        }
        Who::Component(Component::Kubelet | Component::Agent) if certified(scene) => {
            Some(strong(Judgement::of(Path::ApiserverToKubelet, [client.basis(), server.basis()])))
        }
        Who::Component(Component::Etcd) if is_server => {
            Some(strong(Judgement::of(Path::ApiserverToEtcd, [client.basis(), server.basis()])))
        }
        Who::Component(_) => None,
        Who::Program | Who::Unknown if is_streaming(scene) => streaming(scene, client),
        _ if ends::is_probe(scene.facts) => Some(Judgement::of(
            Path::KubeletToPod,
            [client.basis(), (Confidence::Strong, Evidence::UserAgent)],
        )),
        _ => apiserver::by_server_name(scene, client).map(strong),
    }
}

/// Pods, programs and strangers that dial a component.
fn others_dial(scene: &Scene<'_>, client: End, server: End, component: Component) -> Option<Judgement> {
    let both = |path| Some(Judgement::of(path, [client.basis(), server.basis()]));
    let known = matches!(client.who, Who::Pod | Who::Program);
    match component {
        // One process with a kubelet in it listens at several ports: an address says which, or a port at least.
        Component::Server if known => {
            let [dialled, backend] = scene.server_addresses;
            let sure = if scene.addresses.is_apiserver(dialled) || scene.addresses.is_apiserver(backend) {
                (Confidence::Strong, Evidence::ServerAddress)
            } else if backend.port() == 6443 {
                (Confidence::Weak, Evidence::Port)
            } else {
                return None;
            };
            Some(Judgement::of(to_apiserver(client), [client.basis(), server.basis(), sure]))
        }
        Component::KubeApiserver if known => both(to_apiserver(client)),
        Component::KubeApiserver if !server.is_by_port() && ends::is_stranger(scene.facts) => {
            Some(Judgement::of(
                Path::ClientToApiserver,
                [server.basis(), (Confidence::Weak, Evidence::ClientCertificate)],
            ))
        }
        // Pods that come from a node's address bring tokens.
        Component::KubeApiserver
            if certified(scene) && scene.addresses.other_nodes.contains(&scene.client_address.ip()) =>
        {
            Some(Judgement::of(
                Path::NodeToApiserver,
                [server.basis(), (Confidence::Weak, Evidence::ClientAddress)],
            ))
        }
        // In a cluster its service's name is used by pods.
        Component::KubeApiserver if server.by == Evidence::ServerName => {
            Some(Judgement::of(Path::PodToApiserver, [(Confidence::Weak, Evidence::ServerName)]))
        }
        Component::Kubelet => to_kubelet(scene, client, server),
        Component::Etcd => to_etcd(scene, client, server),
        Component::KonnectivityServer => {
            let path = if ends::is_tls(scene.facts) || scene.facts.protocol == Some("http2") {
                Path::Konnectivity
            } else {
                metrics(scene)?
            };
            Some(from_anyone(path, client, server))
        }
        Component::KubeScheduler
        | Component::KubeControllerManager
        | Component::CloudControllerManager
        | Component::KubeProxy
        | Component::KonnectivityAgent => Some(from_anyone(Path::ComponentMetrics, client, server)),
        Component::ContainerRuntime if client.who == Who::Unknown && is_streaming(scene) => {
            Some(Judgement::of(
                Path::KubeletToRuntime,
                [server.basis(), (Confidence::Strong, Evidence::RequestPath)],
            ))
        }
        _ => None,
    }
}

const fn to_apiserver(client: End) -> Path {
    match client.who {
        Who::Pod => Path::PodToApiserver,
        _ => Path::ClientToApiserver,
    }
}

/// A path that is the same whoever dials.
fn from_anyone(path: Path, client: End, server: End) -> Judgement {
    if client.who == Who::Unknown {
        Judgement::of(path, [server.basis()])
    } else {
        Judgement::of(path, [client.basis(), server.basis()])
    }
}

fn to_kubelet(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    if scene.facts.verdict.security == Security::Plaintext {
        return plain_to_kubelet(scene, client, server);
    }
    match (client.who, ends::presented(scene.facts)) {
        (Who::Pod | Who::Program, _) => {
            Some(Judgement::of(Path::ClientToKubelet, [client.basis(), server.basis()]))
        }
        // An API server presents a certificate; most others bring a token. One that is named is an API server's, or not.
        (Who::Unknown, Some(given)) => {
            let may_be = scene.addresses.may_be_apiserver(scene.client_address.ip());
            let path = match given {
                true if may_be => Path::ApiserverToKubelet,
                true if ends::is_certificate_seen(scene.facts) => Path::ClientToKubelet,
                true => return None,
                false if may_be => return None,
                false => Path::ClientToKubelet,
            };
            let state = (Confidence::Weak, Evidence::ClientCertificateState);
            Some(if may_be {
                Judgement::of(path, [server.basis(), state, (Confidence::Weak, Evidence::ClientAddress)])
            } else {
                Judgement::of(path, [server.basis(), state])
            })
        }
        _ => None,
    }
}

/// In the clear a kubelet answers at its read-only port and, on loopback, at its health port. At any other it refuses.
fn plain_to_kubelet(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    let http = scene.facts.http.as_ref()?;
    let path = ends::request_path(scene.facts).unwrap_or_default();
    let status = http.field.response.as_ref().map(|response| response.status_code);
    let port = scene.server_addresses[1].port();
    // Go's server answers plain HTTP so where it expects TLS.
    if status == Some(400) && server.by == Evidence::ServerProgram {
        return Some(Judgement::of(
            Path::ClientToKubelet,
            [server.basis(), (Confidence::Strong, Evidence::Response)],
        ));
    }
    let own = [
        "/pods",
        "/runningpods/",
        "/stats/summary",
        "/metrics/cadvisor",
        "/metrics/resource",
        "/metrics/probes",
    ];
    let rests_on = if own.contains(&path) {
        (Confidence::Strong, Evidence::RequestPath)
    } else {
        (Confidence::Weak, Evidence::Port)
    };
    let told = match port {
        _ if own.contains(&path) && status.is_some_and(|status| status < 400) => Path::KubeletReadOnly,
        10255 => Path::KubeletReadOnly,
        10248 => Path::ComponentMetrics,
        10250 => Path::ClientToKubelet,
        _ if path == "/healthz" && scene.server_addresses[1].ip().is_loopback() => Path::ComponentMetrics,
        _ => return None,
    };
    Some(match client.who {
        Who::Unknown => Judgement::of(told, [server.basis(), rests_on]),
        _ => Judgement::of(told, [client.basis(), server.basis(), rests_on]),
    })
}

fn to_etcd(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    if scene.facts.protocol == Some("http") {
        return Some(from_anyone(metrics(scene)?, client, server));
    }
    if client.who != Who::Unknown || !certified(scene) {
        return None;
    }
    let (path, sure) = match scene.server_addresses[1].port() {
        // Anything on that machine may have a certificate for it, etcdctl above all.
        2379 if scene.addresses.may_be_apiserver(scene.client_address.ip())
            && apiserver::offers_grpc(scene) =>
        {
            (Path::ApiserverToEtcd, (Confidence::Claimed, Evidence::ClientAddress))
        }
        2380 => (Path::EtcdPeer, (Confidence::Weak, Evidence::Port)),
        _ => return None,
    };
    Some(Judgement::of(path, [server.basis(), sure]))
}

/// The path, if what was asked for is what components tell of themselves.
fn metrics(scene: &Scene<'_>) -> Option<Path> {
    let path = ends::request_path(scene.facts)?;
    let own = ["/metrics", "/health", "/healthz", "/livez", "/readyz", "/version"];
    own.iter()
        .any(|own| path == *own || path.starts_with(&format!("{own}/")))
        .then_some(Path::ComponentMetrics)
}

/// Whether it is one of the kubelet's requests for a stream, which a container runtime serves on loopback (cri-o and
/// containerd, `pkg/streaming`): the token behind the verb never leaves the reader.
fn is_streaming(scene: &Scene<'_>) -> bool {
    let Some(path) = ends::request_path(scene.facts) else { return false };
    let verb = path.trim_start_matches("/cri").split('/').nth(1).unwrap_or_default();
    scene.server_addresses.iter().all(|address| address.ip().is_loopback())
        && matches!(verb, "exec" | "attach" | "portforward")
        && path.ends_with("/[redacted]")
}

fn streaming(scene: &Scene<'_>, client: End) -> Option<Judgement> {
    let rests_on =
        [(Confidence::Strong, Evidence::RequestPath), (Confidence::Strong, Evidence::ServerAddress)];
    is_streaming(scene).then(|| match client.who {
        Who::Unknown => Judgement::of(Path::KubeletToRuntime, rests_on),
        _ => Judgement::of(Path::KubeletToRuntime, [client.basis(), rests_on[0], rests_on[1]]),
    })
}

/// Neither end is a component.
fn by_content(scene: &Scene<'_>, client: End, server: End) -> Option<Judgement> {
    if client.who != Who::Unknown {
        return None;
    }
    if matches!(server.who, Who::Unknown | Who::Program) && is_streaming(scene) {
        return streaming(scene, client);
    }
    if ends::is_probe(scene.facts) {
        return Some(Judgement::of(Path::KubeletToPod, [(Confidence::Claimed, Evidence::UserAgent)]));
    }
    if ends::asked_for(scene.facts) == Some(Named::Service) {
        // Any program of a pod may ask for a service by such a name.
        return apiserver::by_handshake_of_service(scene).map(|(path, by)| {
            Judgement::of(path, [(Confidence::Weak, Evidence::ServerName), (Confidence::Weak, by)])
        });
    }
    None
}

fn unclear(client: End, server: End) -> Unclear {
    let several = |end: End| matches!(end.component(), Some(Component::Agent | Component::Server));
    match (is_unknown(client), is_unknown(server)) {
        _ if several(client) || several(server) => Unclear::SeveralComponents,
        (true, true) => Unclear::EndsNotKnown,
        (true, false) => Unclear::ClientNotKnown,
        (false, true) => Unclear::ServerNotKnown,
        (false, false) if apiserver::may_be(client) => Unclear::SeveralPaths,
        (false, false) => Unclear::NoPathFits,
    }
}
