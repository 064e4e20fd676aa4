//! Whether the client verifies the server's certificate, where the path decides it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Judgement, Path};
use crate::security::Security;

/// Whether the client verifies the server's certificate (`control_plane.server_verified`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// It does.
    Yes,
    /// It does not: whoever answers is believed.
    No,
    /// It depends on what was not read.
    Unknown,
}

/// What that rests on (`control_plane.server_verified_basis`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The API server's transport for proxied requests verifies nothing (`cmd/kube-apiserver/app/server.go`,
    /// `CreateProxyTransport`).
    ProxyTransport,
    /// The kubelet's probes verify nothing (`pkg/probe/http`).
    ProbeTransport,
    /// An API server verifies kubelets if it is given an authority for it (`--kubelet-certificate-authority`), which was
    /// not read.
    KubeletAuthorityNotRead,
}

/// Whether the server of a connection is verified, where its path says it.
#[must_use]
pub fn server_verified(judged: &Judgement, security: Security) -> Option<(Verified, Basis)> {
    let is_tls = matches!(security, Security::MutualTls | Security::ServerTls | Security::Tls);
    match judged.path {
        _ if !is_tls || !(judged.is_sound() || judged.is_passed_on()) => None,
        Path::ApiserverToPodProxy | Path::ApiserverToServiceProxy | Path::ApiserverToNodeProxy => {
            Some((Verified::No, Basis::ProxyTransport))
        }
        Path::KubeletToPod => Some((Verified::No, Basis::ProbeTransport)),
        Path::ApiserverToKubelet => Some((Verified::Unknown, Basis::KubeletAuthorityNotRead)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{Confidence, Evidence};

    #[test]
    fn only_a_path_that_is_sound_says_whether_the_server_is_verified() {
        let judged = |path, sure| Judgement::of(path, [(sure, Evidence::ClientProgram)]);
        let proxy = judged(Path::ApiserverToPodProxy, Confidence::Strong);
        assert_eq!(server_verified(&proxy, Security::ServerTls), Some((Verified::No, Basis::ProxyTransport)));
        assert_eq!(server_verified(&proxy, Security::Plaintext), None);
        let weak = judged(Path::ApiserverToPodProxy, Confidence::Weak);
        assert_eq!(server_verified(&weak, Security::ServerTls), None);
        let kubelet = judged(Path::ApiserverToKubelet, Confidence::Certain);
        assert_eq!(
            server_verified(&kubelet, Security::MutualTls),
            Some((Verified::Unknown, Basis::KubeletAuthorityNotRead))
        );
    }
}
