//! What names say that the ends use: in certificates, and as the name of a server.
//!
//! Certificates travel in the clear up to TLS 1.2 alone. Names of components are those that Kubernetes' own authorisation
//! expects (`system:node:NAME` in group `system:nodes`, `system:kube-scheduler`, …), and those that kubeadm and k3s give.

use super::object::label;
use crate::event::CertificateField;
use crate::party::Component;

/// Whom a client certificate names, and for what it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A component that dials API servers.
    Component(Component),
    /// An API server that dials kubelets.
    ToKubelet,
    /// An API server that dials the store.
    ToEtcd,
    /// An API server that dials aggregated APIs.
    FrontProxy,
}

/// Whom a client certificate names.
pub(super) fn client(certificate: &CertificateField) -> Option<Holder> {
    let subject = certificate.subject.as_deref()?;
    Some(match attribute(subject, "CN")? {
        name if is_node(subject, name) => Holder::Component(Component::Kubelet),
        "system:kube-proxy" => Holder::Component(Component::KubeProxy),
        "system:kube-scheduler" => Holder::Component(Component::KubeScheduler),
        "system:kube-controller-manager" => Holder::Component(Component::KubeControllerManager),
        "system:cloud-controller-manager" => Holder::Component(Component::CloudControllerManager),
        "kube-apiserver-kubelet-client" => Holder::ToKubelet,
        "kube-apiserver-etcd-client" => Holder::ToEtcd,
        "front-proxy-client" => Holder::FrontProxy,
        _ => return None,
    })
}

/// Whether a client certificate names somebody who is certainly no part of the control plane: none of those that are
/// known, and not under the names that are Kubernetes' own.
pub(super) fn is_strange(certificate: &CertificateField) -> bool {
    let name = certificate.subject.as_deref().and_then(|subject| attribute(subject, "CN"));
    client(certificate).is_none() && name.is_some_and(|name| !name.starts_with("system:"))
}

/// Which component a server certificate is of.
pub(super) fn server(certificate: &CertificateField) -> Option<Component> {
    let subject = certificate.subject.as_deref()?;
    let issuer = certificate.issuer.as_deref().unwrap_or_default();
    let name = attribute(subject, "CN").unwrap_or_default();
    let alternative = certificate.x509.as_ref().map_or(&[][..], |x509| &x509.alternative_names);
    if is_node(subject, name) || is_self_signed(name, attribute(issuer, "CN").unwrap_or_default()) {
        return Some(Component::Kubelet);
    }
    if name == "kube-apiserver" || alternative.iter().any(|name| name == "kubernetes.default.svc") {
        return Some(Component::KubeApiserver);
    }
    // kubeadm's store has an authority of its own.
    (attribute(issuer, "CN") == Some("etcd-ca")).then_some(Component::Etcd)
}

fn is_node(subject: &str, name: &str) -> bool {
    name.strip_prefix("system:node:").is_some_and(|node| !node.is_empty())
        && attributes(subject).any(|(key, value)| (key, value) == ("O", "system:nodes"))
}

/// The certificate that a kubelet makes for itself (client-go `util/cert/cert.go`): `HOST@SECONDS`, issued by
/// `HOST-ca@SECONDS`, made one after the other. Other components make theirs with the same code, for `localhost`.
fn is_self_signed(name: &str, issuer: &str) -> bool {
    /// A key is made in between, on a slow machine.
    const APART: u64 = 60;
    let parts = |text: &str| {
        let (host, at) = text.rsplit_once('@')?;
        let is_time = (9..=11).contains(&at.len()) && at.bytes().all(|byte| byte.is_ascii_digit());
        Some((host.to_owned(), at.parse::<u64>().ok().filter(|_| is_time)?))
    };
    let (Some((host, at)), Some((authority, since))) = (parts(name), parts(issuer)) else { return false };
    at.checked_sub(since).is_some_and(|apart| apart <= APART)
        && authority.strip_suffix("-ca") == Some(host.as_str())
        && !host.is_empty()
        && host != "localhost"
}

fn attribute<'a>(name: &'a str, key: &str) -> Option<&'a str> {
    attributes(name).find(|(found, _)| *found == key).map(|(_, value)| value)
}

/// The attributes of a distinguished name as the certificate's reader writes it: `O=system:nodes, CN=system:node:n1`. A value
/// that holds the separator is cut there; none of the names looked for does.
fn attributes(name: &str) -> impl Iterator<Item = (&str, &str)> {
    name.split([',', '+']).filter_map(|part| part.trim().split_once('='))
}

/// What a server's name says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The API server that speaks to itself (apiserver `pkg/server/config_selfclient.go`).
    Loopback,
    /// An API server by its service.
    Apiserver,
    /// `SERVICE.NAMESPACE.svc`, which is how an API server names webhooks and aggregated APIs.
    Service,
    /// Anything else.
    Else,
}

/// What the name that a client asked for says of the server.
pub(super) fn asked_for(name: &str) -> Named {
    let name = name.trim_end_matches('.');
    if name == "apiserver-loopback-client" {
        return Named::Loopback;
    }
    if let Some(rest) = name.strip_prefix("kubernetes") {
        let rest = rest.strip_prefix(".default").unwrap_or(rest);
        if rest.is_empty() || rest == ".svc" || rest.starts_with(".svc.") {
            return Named::Apiserver;
        }
    }
    match name.strip_suffix(".svc").and_then(|name| name.split_once('.')) {
        Some((service, namespace)) if label(service).is_some() && label(namespace).is_some() => {
            Named::Service
        }
        _ => Named::Else,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::X509;

    fn certificate(subject: &str, issuer: &str) -> CertificateField {
        CertificateField {
            subject: Some(subject.to_owned()),
            issuer: Some(issuer.to_owned()),
            ..CertificateField::default()
        }
    }

    #[test]
    fn knows_the_holders_of_client_certificates() {
        for (subject, holder) in [
            ("O=system:nodes, CN=system:node:node1", Some(Holder::Component(Component::Kubelet))),
            ("CN=system:node:node1, O=system:nodes", Some(Holder::Component(Component::Kubelet))),
            ("CN=system:node:node1", None),
            ("O=system:nodes, CN=system:node:", None),
            ("CN=system:kube-scheduler", Some(Holder::Component(Component::KubeScheduler))),
            ("O=system:masters, CN=kube-apiserver-kubelet-client", Some(Holder::ToKubelet)),
            ("CN=front-proxy-client", Some(Holder::FrontProxy)),
            ("O=system:masters, CN=kubernetes-admin", None),
            ("O=CN=system:kube-scheduler", None),
            ("", None),
        ] {
            assert_eq!(client(&certificate(subject, "CN=kubernetes")), holder, "{subject}");
        }
    }

    #[test]
    fn knows_the_certificates_of_kubelets_api_servers_and_the_store() {
        for (subject, issuer, component) in [
            ("CN=node1@1767225600", "CN=node1-ca@1767225600", Some(Component::Kubelet)),
            ("CN=node1@1767225603", "CN=node1-ca@1767225600", Some(Component::Kubelet)),
            ("CN=node1@1767225600", "CN=node1-ca@1767225601", None),
            ("CN=node1@1767225700", "CN=node1-ca@1767225600", None),
            ("CN=localhost@1767225600", "CN=localhost-ca@1767225600", None),
            ("CN=node1@1767225600", "CN=node2-ca@1767225600", None),
            ("CN=node1@soon", "CN=node1-ca@soon", None),
            ("CN=@1767225600", "CN=-ca@1767225600", None),
            ("O=system:nodes, CN=system:node:node1", "CN=kubernetes", Some(Component::Kubelet)),
            ("CN=kube-apiserver", "CN=kubernetes", Some(Component::KubeApiserver)),
            ("CN=cp", "CN=etcd-ca", Some(Component::Etcd)),
            ("CN=web.default.svc", "CN=kubernetes", None),
        ] {
            assert_eq!(server(&certificate(subject, issuer)), component, "{subject} by {issuer}");
        }
        let names = vec!["kubernetes.default.svc".to_owned()];
        let x509 = Some(X509 { alternative_names: names, ..X509::default() });
        let managed = CertificateField { x509, ..certificate("CN=apiserver", "CN=x") };
        assert_eq!(server(&managed), Some(Component::KubeApiserver));
    }

    #[test]
    fn a_name_that_was_asked_for_tells_services_from_the_rest() {
        for (name, named) in [
            ("apiserver-loopback-client", Named::Loopback),
            ("kubernetes.default.svc.cluster.local", Named::Apiserver),
            ("kubernetes", Named::Apiserver),
            ("kubernetes.default", Named::Apiserver),
            ("kubernetes.example.com", Named::Else),
            ("kubernetes.default.example.com", Named::Else),
            ("kubernetes-dashboard.default.svc", Named::Service),
            ("web.default.svc", Named::Service),
            ("web.default.svc.cluster.local", Named::Else),
            ("a.b.c.svc", Named::Else),
            (".default.svc", Named::Else),
            ("example.com", Named::Else),
        ] {
            assert_eq!(asked_for(name), named, "{name}");
        }
    }
}
