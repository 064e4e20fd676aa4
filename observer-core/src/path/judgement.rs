//! The words in which a path is told.

use schemars::JsonSchema;
use serde::Serialize;

/// What a connection is to the control plane (`control_plane.path`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Kubelet or kube-proxy to an API server.
    NodeToApiserver,
    /// A pod to an API server.
    PodToApiserver,
    /// Scheduler or a controller manager to an API server.
    ComponentToApiserver,
    /// Any other program to an API server.
    ClientToApiserver,
    /// An API server to a kubelet.
    ApiserverToKubelet,
    /// Anything else to a kubelet.
    ClientToKubelet,
    /// An API server to a pod that it proxies requests to.
    ApiserverToPodProxy,
    /// An API server to a pod behind a service that it proxies requests to.
    ApiserverToServiceProxy,
    /// An API server to a node's port that it proxies requests to, other than the kubelet's.
    ApiserverToNodeProxy,
    /// An API server to a webhook.
    ApiserverToWebhook,
    /// An API server to an aggregated API.
    ApiserverToAggregatedApi,
    /// An API server to the store.
    ApiserverToEtcd,
    /// One member of the store to another.
    EtcdPeer,
    /// To konnectivity's server.
    Konnectivity,
    /// An API server to a node by SSH.
    SshTunnel,
    /// Anything to the kubelet's read-only port.
    KubeletReadOnly,
    /// The kubelet to the container runtime's streams.
    KubeletToRuntime,
    /// The kubelet to a pod: probes and hooks.
    KubeletToPod,
    /// An API server to itself.
    ApiserverLoopback,
    /// Anything to a component's metrics or health.
    ComponentMetrics,
    /// None of these, or not enough is known; [`Unclear`] says why.
    Other,
}

/// How sure a path is (`control_plane.confidence`), the least sure first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// An end says so of itself, and nothing else does.
    Claimed,
    /// A port, or a shape that others may have too, speaks for it.
    Weak,
    /// Something speaks for it that others could only have on purpose.
    Strong,
    /// The programs at the ends are known.
    Certain,
}

/// What decided (`control_plane.evidence`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The program that dialled, by its executable and arguments.
    ClientProgram,
    /// The program that listens, likewise.
    ServerProgram,
    /// The pod that dialled.
    ClientPod,
    /// The pod that listens.
    ServerPod,
    /// Names in the client's certificate.
    ClientCertificate,
    /// Names in the server's certificate.
    ServerCertificate,
    /// Whether the client presented a certificate.
    ClientCertificateState,
    /// The server's name as the client asked for it.
    ServerName,
    /// The application protocols that the client offered.
    ApplicationProtocol,
    /// The protocol by content.
    Protocol,
    /// The first request's path.
    RequestPath,
    /// The first request's user agent.
    UserAgent,
    /// The first response.
    Response,
    /// `X-Forwarded-Uri` of a request.
    ForwardedUri,
    /// `X-Forwarded-For` of a request that asks to leave HTTP.
    ForwardedFor,
    /// The client's address is an API server's, or it is loopback.
    ClientAddress,
    /// The server's address is an API server's, or it is loopback.
    ServerAddress,
    /// The server's port.
    Port,
}

/// Why a path is [`Path::Other`] (`control_plane.path_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unclear {
    /// Nothing shows who dialled.
    ClientNotKnown,
    /// Nothing shows who was dialled.
    ServerNotKnown,
    /// Nothing shows either end.
    EndsNotKnown,
    /// An end is one process that is several components.
    SeveralComponents,
    /// Both ends are known, and what they say to each other could be more than one path.
    SeveralPaths,
    /// Both ends are known, and it is no path of the control plane.
    NoPathFits,
    /// A request says that an API server passed it on, and its dialler is none.
    NotFromApiserver,
}

/// The path of a connection, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The path.
    pub path: Path,
    /// How sure it is; `None` where the path is [`Path::Other`].
    pub confidence: Option<Confidence>,
    /// What decided, each once and in the order of the words.
    pub evidence: Vec<Evidence>,
    /// Why the path is [`Path::Other`].
    pub unclear: Option<Unclear>,
    /// How sure it is that an API server passed the request in question on; `None` if it did not, or there is none.
    pub passed_on: Option<Confidence>,
}

impl Judgement {
    /// A path, as sure as the least sure of what it rests on.
    pub(super) fn of<const N: usize>(path: Path, rests_on: [(Confidence, Evidence); N]) -> Self {
        let confidence = rests_on.iter().map(|(sure, _)| *sure).min();
        let mut evidence: Vec<_> = rests_on.into_iter().map(|(_, by)| by).collect();
        evidence.sort_unstable();
        evidence.dedup();
        Self { path, confidence, evidence, unclear: None, passed_on: None }
    }

    /// The same, but no surer than `most`.
    pub(super) fn at_most(mut self, most: Confidence) -> Self {
        self.confidence = self.confidence.map(|sure| sure.min(most));
        self.passed_on = self.passed_on.map(|sure| sure.min(most));
        self
    }

    /// The same, of a request that an API server passed on, as surely as `sure`.
    pub(super) const fn passed_on(mut self, sure: Confidence) -> Self {
        self.passed_on = Some(sure);
        self
    }

    /// No path.
    pub(super) const fn other(why: Unclear) -> Self {
        Self {
            path: Path::Other,
            confidence: None,
            evidence: Vec::new(),
            unclear: Some(why),
            passed_on: None,
        }
    }

    /// Whether it rests on more than a port or somebody's word.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.confidence.is_some_and(|sure| sure >= Confidence::Strong)
    }

    /// Whether more than somebody's word says that an API server passed the request on.
    #[must_use]
    pub fn is_passed_on(&self) -> bool {
        self.passed_on.is_some_and(|sure| sure >= Confidence::Strong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_as_sure_as_the_least_sure_of_what_it_rests_on() {
        let judged = Judgement::of(
            Path::EtcdPeer,
            [
                (Confidence::Weak, Evidence::Port),
                (Confidence::Certain, Evidence::ClientProgram),
                (Confidence::Strong, Evidence::Port),
            ],
        );
        assert_eq!(judged.confidence, Some(Confidence::Weak));
        assert_eq!(judged.evidence, [Evidence::ClientProgram, Evidence::Port]);
        assert!(!judged.is_sound());
    }
}
