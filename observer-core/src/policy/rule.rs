//! The rules.

use crate::path::{Judgement, Scope};
use crate::protocol::Verdict;
use crate::security::Reason;

/// One rule, in the words of the event stream (`rule.*`, `control_plane.remediation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name for machines; never changes its meaning.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// What kind of rule it is.
    pub category: &'static str,
    /// What is wrong where it is broken.
    pub description: &'static str,
    /// Where that is written.
    pub reference: &'static str,
    /// What to do about it.
    pub remediation: &'static str,
}

/// An API server passes a request on in the clear.
pub const UNENCRYPTED_PROXY: Rule = Rule {
    id: "unencrypted-apiserver-proxy",
    name: "Unencrypted API server proxy traffic",
    category: "encryption",
    description: "The API server passed a request on to a pod, a service or a node in plain HTTP. Whoever is on the way \
                  reads and changes it, with the cookies and query credentials that it carries.",
    reference: "https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/#api-server-to-nodes-pods-and-services",
    remediation: "Use kubectl port-forward, which goes through the kubelet's TLS, or expose the workload by an ingress \
                  with TLS instead of the proxy subresource. If the workload serves TLS, ask for it with the https: \
                  prefix; that encrypts, but verifies nobody. Where the way between API server and node is not trusted, \
                  carry it in konnectivity or an encrypted network, and take the verbs on pods/proxy, services/proxy and \
                  nodes/proxy from whoever does not need them.",
};

/// The rule that a request breaks which was read in the clear; `judged` is the judgement on that request. Nothing is broken
/// on somebody's mere word, or where two accounts of the same bytes differ.
#[must_use]
pub fn broken(judged: &Judgement, verdict: Verdict) -> Option<&'static Rule> {
    let disputed = matches!(verdict.reason, Some(Reason::FacesDisagree | Reason::ConflictingSegments));
    (judged.is_passed_on() && !disputed).then_some(&UNENCRYPTED_PROXY)
}

/// How much an operator should care, from 1 to 10: less where it never leaves the node, more where secrets crossed.
#[must_use]
pub const fn severity(scope: Option<Scope>, exposed: bool) -> u8 {
    let near = matches!(scope, Some(Scope::Loopback | Scope::SameNamespace | Scope::SameNode));
    match (near, exposed) {
        (true, false) => 6,
        (true, true) => 7,
        (false, false) => 8,
        (false, true) => 9,
    }
}
