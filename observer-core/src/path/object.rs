//! What a proxied request was for, from its `X-Forwarded-Uri`.
//!
//! The API server writes the path that it was asked for into that field, normalised and without a query (apimachinery
//! `pkg/util/proxy/transport.go`): `/api/v1/namespaces/NAMESPACE/{pods,services}/ID/proxy/…` or `/api/v1/nodes/ID/proxy/…`,
//! where ID is `name`, `name:port` or `scheme:name:port` (apimachinery `pkg/util/net/port_split.go`). Anyone can write the
//! same, so an object is what the request *says*; who dialled decides whether that is believed.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

/// Longest name of a pod or a node (RFC 1123 subdomain, apimachinery `pkg/util/validation`).
const SUBDOMAIN: usize = 253;
/// Longest namespace, and name of a service or of a port (RFC 1123 label).
const LABEL: usize = 63;

/// What a request was proxied to (`control_plane.proxy.kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A pod.
    Pod,
    /// A service: one of its ready pods got the request.
    Service,
    /// A node.
    Node,
}

/// How the API server was asked to speak to the object (`control_plane.proxy.scheme`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// In the clear; also where nothing was said.
    Http,
    /// TLS, unverified and without a client certificate.
    Https,
}

/// The object of one proxied request. Every name in it is a valid Kubernetes name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; a node has none.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// The port that was asked for: a number, or a port's name; `None` if the object's default was meant.
    pub port: Option<Box<str>>,
    /// The scheme; `None` for a node without a port, where the kubelet's own transport is used (`pkg/registry/core/node`).
    pub scheme: Option<Scheme>,
}

impl Object {
    /// The object that the path of an `X-Forwarded-Uri` names; `None` for any other path.
    #[must_use]
    pub fn of_uri(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/api/v1/")?;
        let mut segments = rest.split('/');
        let (kind, namespace) = match segments.next()? {
            "nodes" => (Kind::Node, None),
            "namespaces" => {
                let namespace = decoded(segments.next()?)?;
                let kind = match segments.next()? {
                    "pods" => Kind::Pod,
                    "services" => Kind::Service,
                    _ => return None,
                };
                (kind, Some(Box::from(label(&namespace)?)))
            }
            _ => return None,
        };
        let id = decoded(segments.next()?)?;
        if segments.next()? != "proxy" {
            return None;
        }
        let (scheme, name, port) = split(&id)?;
        let name = match kind {
            Kind::Pod | Kind::Node => subdomain(name)?,
            Kind::Service => label(name)?,
        };
        let port = match port {
            "" => None,
            port => Some(Box::from(self::port(port)?)),
        };
        let scheme = if kind == Kind::Node && port.is_none() { None } else { Some(scheme) };
        Some(Self { kind, namespace, name: name.into(), port, scheme })
    }

    /// The path that names it, always written the same way.
    #[must_use]
    pub fn uri(&self) -> String {
        let scheme = match self.scheme {
            None => "",
            Some(Scheme::Http) => "http",
            Some(Scheme::Https) => "https",
        };
        let (name, port) = (&self.name, self.port.as_deref().unwrap_or_default());
        let word = match self.kind {
            Kind::Pod => "pods",
            Kind::Service => "services",
            Kind::Node => "nodes",
        };
        match &self.namespace {
            Some(namespace) => {
                format!("/api/v1/namespaces/{namespace}/{word}/{scheme}:{name}:{port}/proxy")
            }
            None => format!("/api/v1/{word}/{scheme}:{name}:{port}/proxy"),
        }
    }

    /// Bytes of heap held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.name.len()
            + self.namespace.as_deref().map_or(0, str::len)
            + self.port.as_deref().map_or(0, str::len)
    }
}

/// Scheme, name and port of an ID, as `SplitSchemeNamePort` takes it apart: a second colon makes the first part the scheme.
fn split(id: &str) -> Option<(Scheme, &str, &str)> {
    let mut parts = id.splitn(4, ':');
    let (first, second, third) = (parts.next()?, parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let (scheme, name, port) = match (second, third) {
        (None, _) => ("", first, ""),
        (Some(port), None) => ("", first, port),
        (Some(name), Some(port)) => (first, name, port),
    };
    let scheme = match scheme {
        "" | "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    Some((scheme, name, port))
}

/// A segment without its percent-encoding (RFC 3986, section 2.1); `None` if it is longer than any ID.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    const LONGEST: usize = "https:".len() + SUBDOMAIN + 1 + LABEL;
    if segment.len() > 3 * LONGEST {
        return None;
    }
    if !segment.contains('%') {
        return Some(segment.into());
    }
    let mut plain = String::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
            u8::try_from(digits[0]? * 16 + digits[1]?).ok()?
        } else {
            byte
        };
        // No name holds anything else, and so neither half a character nor a control.
        if !byte.is_ascii_graphic() {
            return None;
        }
        plain.push(char::from(byte));
    }
    Some(plain.into())
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

pub(super) fn label(name: &str) -> Option<&str> {
    Some(name).filter(|name| is_label(name))
}

fn subdomain(name: &str) -> Option<&str> {
    // A part of a subdomain has no bound of its own but the whole's.
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    Some(name).filter(|name| name.len() <= SUBDOMAIN && name.split('.').all(part))
}

/// A port's number as Go dials it, or its name.
fn port(port: &str) -> Option<&str> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let valid = if is_number {
        port.len() <= 5 && port.parse::<u16>().is_ok_and(|number| number > 0)
    } else {
        is_label(port)
    };
    Some(port).filter(|_| valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(
        kind: Kind,
        namespace: &str,
        name: &str,
        port: Option<&str>,
        scheme: Option<Scheme>,
    ) -> Option<Object> {
        let namespace = Some(namespace).filter(|it| !it.is_empty()).map(Box::from);
        Some(Object { kind, namespace, name: name.into(), port: port.map(Box::from), scheme })
    }

    #[test]
    fn reads_every_form_of_an_id() {
        let http = Some(Scheme::Http);
        for (id, name, port, scheme) in [
            ("web", "web", None, http),
            ("web:80", "web", Some("80"), http),
            ("web:http", "web", Some("http"), http),
            ("web:", "web", None, http),
            (":web:80", "web", Some("80"), http),
            ("http:web:", "web", None, http),
            ("http:web:8080", "web", Some("8080"), http),
            ("https:web:8443", "web", Some("8443"), Some(Scheme::Https)),
            ("https%3Aweb%3a8443", "web", Some("8443"), Some(Scheme::Https)),
            ("%77eb", "web", None, http),
        ] {
            for (kind, word) in [(Kind::Pod, "pods"), (Kind::Service, "services")] {
                for tail in ["", "/", "/a%20b/", "/../x", "//"] {
                    let uri = format!("/api/v1/namespaces/kube-system/{word}/{id}/proxy{tail}");
                    assert_eq!(
                        Object::of_uri(&uri),
                        object(kind, "kube-system", name, port, scheme),
                        "{uri}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_node_has_no_namespace_and_without_a_port_the_kubelets_transport() {
        assert_eq!(
            Object::of_uri("/api/v1/nodes/n1.example:10256/proxy/healthz"),
            object(Kind::Node, "", "n1.example", Some("10256"), Some(Scheme::Http))
        );
        assert_eq!(Object::of_uri("/api/v1/nodes/n1/proxy/"), object(Kind::Node, "", "n1", None, None));
        assert_eq!(
            Object::of_uri("/api/v1/nodes/https:n1:/proxy/"),
            object(Kind::Node, "", "n1", None, None)
        );
    }

    #[test]
    fn names_nothing_that_is_no_object() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(127) + "a";
        for uri in [
            "",
            "/",
            "/api/v1/namespaces/default/pods/web",
            "/api/v1/namespaces/default/pods/web/log",
            "/api/v1/namespaces/default/pods/web/proxyx/",
            "/api/v1/namespaces/default/secrets/web/proxy",
            "/api/v1/namespaces//pods/web/proxy",
            "/api/v1/namespaces/default/pods//proxy",
            "/api/v1/namespaces/default/pods/:/proxy",
            "/api/v1/namespaces/default/pods/ftp:web:80/proxy",
            "/api/v1/namespaces/default/pods/http:web:80:1/proxy",
            "/api/v1/namespaces/default/pods/web:0/proxy",
            "/api/v1/namespaces/default/pods/web:65536/proxy",
            "/api/v1/namespaces/default/pods/Web/proxy",
            "/api/v1/namespaces/default/pods/web-/proxy",
            "/api/v1/namespaces/default/pods/w%0aeb/proxy",
            "/api/v1/namespaces/default/pods/w%2Feb/proxy",
            "/api/v1/namespaces/default/pods/w%e/proxy",
            "/api/v1/namespaces/default/pods/w%/proxy",
            "/api/v1/namespaces/default/pods/w\u{e9}b/proxy",
            "/api/v1/namespaces/de.fault/pods/web/proxy",
            "/api/v1/namespaces/default/services/a.b/proxy",
            "/api/v1/nodes/[redacted]/proxy",
            "/apis/v1/namespaces/default/pods/web/proxy",
            "//api/v1/nodes/n/proxy",
            "http://x/api/v1/nodes/n/proxy",
            &format!("/api/v1/namespaces/{long_label}/pods/web/proxy"),
            &format!("/api/v1/nodes/{long_name}/proxy"),
        ] {
            assert_eq!(Object::of_uri(uri), None, "{uri}");
        }
        assert!(Object::of_uri(&format!("/api/v1/nodes/{}/proxy", &long_name[2..])).is_some());
    }

    #[test]
    fn a_cut_path_names_the_same_object_or_none() {
        let whole = "/api/v1/namespaces/default/pods/https:web-0.x:8443/proxy/a/proxy/b";
        let object = Object::of_uri(whole);
        assert!(object.is_some());
        for cut in 0..whole.len() {
            let said = Object::of_uri(&whole[..cut]);
            assert!(said.is_none() || said == object, "{}", &whole[..cut]);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_gives_valid_names_or_none(
            uri in "/api/v1/(namespaces/[a-z%0-9A-F.:-]{0,70}/(pods|services)|nodes)/[ -~]{0,300}/proxy.{0,9}",
        ) {
            if let Some(object) = Object::of_uri(&uri) {
                prop_assert!(object.held() <= SUBDOMAIN + 2 * LABEL);
                let names = [Some(&object.name), object.namespace.as_ref(), object.port.as_ref()];
                for name in names.into_iter().flatten() {
                    prop_assert!(!name.is_empty());
                    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
                    prop_assert!(name.bytes().all(plain));
                }
                prop_assert_eq!(object.namespace.is_none(), object.kind == Kind::Node);
            }
        }

        #[test]
        fn what_is_written_is_read(
            namespace in "[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?",
            name in "[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?",
            port in prop::option::of(1_u16..),
            https in any::<bool>(),
            encoded in any::<bool>(),
        ) {
            let scheme = if https { "https" } else { "http" };
            let id = format!("{scheme}:{name}:{}", port.map_or_else(String::new, |port| port.to_string()));
            let id = if encoded { id.bytes().map(|b| format!("%{b:02X}")).collect() } else { id };
            let read = Object::of_uri(&format!("/api/v1/namespaces/{namespace}/pods/{id}/proxy/")).unwrap();
            prop_assert_eq!(Object::of_uri(&read.uri()), Some(read.clone()));
            prop_assert_eq!(read.namespace.as_deref(), Some(&*namespace));
            prop_assert_eq!(&*read.name, &*name);
            prop_assert_eq!(read.port.map(|it| it.parse::<u16>().unwrap()), port);
            prop_assert_eq!(read.scheme, Some(if https { Scheme::Https } else { Scheme::Http }));
        }
    }
}
