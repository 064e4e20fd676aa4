//! What the events must say of one connection, in the events' own names.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::pod::Pod;

/// Everything that is known of a connection from its ends. What is not known is left out and not compared.
#[derive(Clone, Debug)]
pub struct Expect {
    event: Value,
    /// See [`Expect::every`].
    every: bool,
    unwatched: bool,
    or: Option<&'static str>,
    claimed: Option<Value>,
}

impl Expect {
    /// A connection from and to these addresses: `ip:port`, or an IP alone.
    pub fn between(source: &str, destination: &str) -> Self {
        let this = Self { event: json!({}), every: false, unwatched: false, or: None, claimed: None };
        this.address("source", source).address("destination", destination)
    }

    /// Sets an address; nothing if it is neither `ip:port` nor an IP.
    pub fn address(self, end: &str, address: &str) -> Self {
        if let Ok(address) = address.parse::<SocketAddr>() {
            self.with(&format!("{end}.ip"), address.ip().to_canonical().to_string())
                .with(&format!("{end}.port"), address.port())
        } else if let Ok(address) = address.parse::<IpAddr>() {
            self.with(&format!("{end}.ip"), address.to_string())
        } else {
            self
        }
    }

    /// Sets the value at a dotted path.
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.event;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = value.into();
        self
    }

    /// TLS of this version, and what became of the client's certificate.
    pub fn tls(self, version: &str, client: &str) -> Self {
        let security = match client {
            "presented" => "mutual_tls",
            "declined" | "not_requested" => "server_tls",
            _ => "tls",
        };
        let this = self.with("network.protocol", "tls").with("control_plane.security", security);
        let this = this.with("control_plane.client_certificate.state", client);
        if version.is_empty() { this } else { this.with("tls.version", version) }
    }

    /// HTTP in the clear.
    pub fn plaintext(self) -> Self {
        self.with("network.protocol", "http").with("control_plane.security", "plaintext")
    }

    /// `control_plane.path`
    pub fn path(self, name: &str) -> Self {
        self.with("control_plane.path", name)
    }

    /// The object that a proxied request was for.
    pub fn object(self, object: &Object) -> Self {
        self.with("control_plane.proxy", object.event())
    }

    /// The object that a request says it was passed on for, and was not.
    pub fn claims(self, object: &Object) -> Self {
        Self { claimed: Some(object.event()), ..self }
    }

    /// Which secrets crossed in the clear.
    pub fn exposed(self, kinds: &[&str]) -> Self {
        self.with("control_plane.exposed", kinds)
    }

    /// The process of an end, `client` or `server`, by its executable's name.
    pub fn process(self, end: &str, name: &str, pid: Option<u32>) -> Self {
        let this = self.with(&format!("control_plane.{end}.process.name"), name);
        match pid {
            Some(pid) => this.with(&format!("control_plane.{end}.process.pid"), pid),
            None => this,
        }
    }

    /// The pod of an end, and its node.
    pub fn pod(self, end: &str, pod: &Pod) -> Self {
        let place = format!("control_plane.{end}.kubernetes");
        self.with(&format!("{place}.namespace"), "default")
            .with(&format!("{place}.pod"), pod.name.as_str())
            .with(&format!("{place}.uid"), pod.uid.as_str())
            .with(&format!("{place}.container"), pod.container.as_str())
            .node(end, &pod.node)
    }

    /// The node of an end.
    pub fn node(self, end: &str, name: &str) -> Self {
        self.with(&format!("control_plane.{end}.node"), name)
    }

    /// It speaks of every connection with these addresses and processes, not of a single one: those whose client kept
    /// them open and used them for this and for other things. There is one at least.
    pub fn every(self) -> Self {
        Self { every: true, ..self }
    }

    /// It is not watched unless everything is: neither its port nor its client belongs to the control plane.
    pub fn unwatched(self) -> Self {
        Self { unwatched: true, ..self }
    }

    /// What may be true instead: `unfinished`, given up before the handshake ended, so that no verdict is right; or another
    /// state of the client's certificate.
    pub fn or(self, other: &'static str) -> Self {
        Self { or: Some(other), ..self }
    }

    /// As it is printed.
    pub fn line(&self) -> Value {
        let mut line = json!({"connections": if self.every { "every" } else { "one" }, "event": self.event});
        if self.unwatched {
            line["scope"] = "all".into();
        }
        if let Some(other) = self.or {
            line["or"] = other.into();
        }
        if let Some(object) = &self.claimed {
            line["claimed"] = object.clone();
        }
        line
    }
}

/// What a proxied request was for, as the path of the request names it.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    pub kind: &'static str,
    /// `name`, `name:port` or `scheme:name:port`
    pub id: &'static str,
}

impl Object {
    /// The path of a request for it.
    pub fn url(self, rest: &str) -> String {
        let Self { kind, id } = self;
        match kind {
            "node" => format!("/api/v1/nodes/{id}/proxy/{rest}"),
            kind => format!("/api/v1/namespaces/default/{kind}s/{id}/proxy/{rest}"),
        }
    }

    /// `control_plane.path` of what carries it.
    pub fn path(self) -> String {
        format!("apiserver-to-{}-proxy", self.kind)
    }

    fn event(self) -> Value {
        let parts: Vec<_> = self.id.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [scheme, name, port] => (scheme, name, port),
            [name, port] => ("", name, port),
            _ => ("", self.id, ""),
        };
        let mut value = json!({"kind": self.kind, "name": name});
        if self.kind != "node" {
            value["namespace"] = "default".into();
        }
        for (field, word) in [("scheme", scheme), ("port", port)] {
            if !word.is_empty() {
                value[field] = word.into();
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_shaped_like_an_event() {
        let object = Object { kind: "pod", id: "http:web:8080" };
        let expect =
            Expect::between("10.0.0.1:5", "[::ffff:10.0.0.2]:8080").plaintext().object(&object).every();
        assert_eq!(
            expect.line(),
            json!({
                "connections": "every",
                "event": {
                    "source": {"ip": "10.0.0.1", "port": 5},
                    "destination": {"ip": "10.0.0.2", "port": 8080},
                    "network": {"protocol": "http"},
                    "control_plane": {
                        "security": "plaintext",
                        "proxy": {
                            "kind": "pod", "namespace": "default", "name": "web", "port": "8080", "scheme": "http",
                        },
                    },
                },
            })
        );
        assert_eq!(object.url("a"), "/api/v1/namespaces/default/pods/http:web:8080/proxy/a");
        assert_eq!(Object { kind: "node", id: "n:1" }.url(""), "/api/v1/nodes/n:1/proxy/");
    }
}
