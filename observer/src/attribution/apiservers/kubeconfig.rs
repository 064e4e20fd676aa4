//! A kubeconfig, of which only the server's address and the options of TLS are kept: everything else in it is, or leads to,
//! a credential.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

/// Where a kubeconfig leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// The API server's address.
    pub address: SocketAddr,
    /// Whether its certificate is verified (`insecure-skip-tls-verify` is not set).
    pub verified: bool,
}

/// The format (client-go `tools/clientcmd/api/v1/types.go`); users and their credentials are not read.
#[derive(Debug, Deserialize)]
struct File {
    #[serde(rename = "current-context", default)]
    current: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Debug, Deserialize)]
struct Context {
    cluster: String,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    #[serde(default)]
    server: String,
    #[serde(rename = "insecure-skip-tls-verify", default)]
    insecure: bool,
}

impl Server {
    /// The server of the current context; without contexts, of the only cluster. `None` if the file is not of the form, or
    /// names its server by a host name: that is not looked up, because what it leads to changes.
    #[must_use]
    pub fn of(kubeconfig: &[u8]) -> Option<Self> {
        let file: File = serde_saphyr::from_slice(kubeconfig).ok()?;
        let context = file.contexts.iter().find(|context| context.name == file.current);
        let cluster = match (context, file.clusters.as_slice()) {
            (Some(context), clusters) => clusters.iter().find(|it| it.name == context.context.cluster)?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        let address = address(&cluster.cluster.server)?;
        Some(Self { address, verified: !cluster.cluster.insecure })
    }
}

/// The address in `https://HOST[:PORT][/…]`; without a scheme, `https` is meant (client-go `rest/url_utils.go`).
fn address(server: &str) -> Option<SocketAddr> {
    let (scheme, rest) = server.split_once("://").unwrap_or(("https", server));
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return Some(address);
    }
    let ip = authority.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(authority);
    ip.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: v1\nkind: Config\ncurrent-context: b\nclusters:\n\
        - name: one\n  cluster: {server: 'https://10.0.0.1:6443', certificate-authority-data: QQ==}\n\
        - name: two\n  cluster:\n    server: https://[fd00::1]\n    insecure-skip-tls-verify: true\n\
        contexts:\n- {name: a, context: {cluster: one, user: u}}\n- {name: b, context: {cluster: two, user: u}}\n\
        users:\n- name: u\n  user: {token: planted-token, client-key-data: cGxhbnRlZA==}\n";

    #[test]
    fn keeps_the_server_of_the_current_context_and_nothing_else() {
        let server = Server::of(FILE.as_bytes()).unwrap();
        assert_eq!(server, Server { address: "[fd00::1]:443".parse().unwrap(), verified: false });
        let other = FILE.replace("current-context: b", "current-context: a");
        let server = Server::of(other.as_bytes()).unwrap();
        assert_eq!(server, Server { address: "10.0.0.1:6443".parse().unwrap(), verified: true });
    }

    #[test]
    fn reads_the_forms_of_a_server() {
        for (server, expected) in [
            ("https://10.0.0.1:6443", Some("10.0.0.1:6443")),
            ("https://10.0.0.1", Some("10.0.0.1:443")),
            ("http://10.0.0.1/", Some("10.0.0.1:80")),
            ("10.0.0.1:6443", Some("10.0.0.1:6443")),
            ("https://[fd00::1]:6443/k8s/clusters/c", Some("[fd00::1]:6443")),
            ("https://api.example:6443", None),
            ("unix:///x", None),
            ("", None),
        ] {
            assert_eq!(address(server), expected.map(|it| it.parse().unwrap()), "{server}");
        }
    }

    #[test]
    fn a_file_that_is_not_of_the_form_leads_nowhere() {
        for text in
            ["", "a: [", "- 1", "clusters: 5", "clusters: []", "current-context: x\nclusters: [{name: 1}]"]
        {
            assert_eq!(Server::of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_beginning_of_a_file_is_survived() {
        for end in 0..FILE.len() {
            let _ = Server::of(&FILE.as_bytes()[..end]);
        }
    }
}
