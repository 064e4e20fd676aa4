//! A client of a real API server, for many requests one after the other.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// A kept-alive connection to an API server.
#[derive(Debug)]
pub struct ApiClient {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl ApiClient {
    /// Dials as the kubeconfig `file` says, which names files for its certificates, from inside the network namespace
    /// `place`: the calling thread stays there.
    #[must_use]
    pub fn dial(file: &Path, place: &str) -> Self {
        let netns = File::open(format!("/run/netns/{place}")).unwrap();
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let kubeconfig: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let (cluster, user) = (&kubeconfig["clusters"][0]["cluster"], &kubeconfig["users"][0]["user"]);
        let path = |value: &Value| PathBuf::from(value.as_str().unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path(&cluster["certificate-authority"])).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(path(&user["client-certificate"])).unwrap()];
        let key = PrivateKeyDer::from_pem_file(path(&user["client-key"])).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        let server: SocketAddr =
            cluster["server"].as_str().unwrap().strip_prefix("https://").unwrap().parse().unwrap();
        let name = ServerName::from(server.ip());
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let conn = TcpStream::connect(server).unwrap();
        conn.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(StreamOwned::new(tls, conn)) }
    }

    /// Sends one request and reads its answer; fails unless it is a success.
    pub fn send(&mut self, method: &str, path: &str, body: &Value) -> String {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: api\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok();
            }
        }
        let mut answer = Vec::new();
        match length {
            Some(length) => {
                answer.resize(length, 0);
                self.stream.read_exact(&mut answer).unwrap();
            }
            None => self.chunks(&mut answer),
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(status.starts_with('2'), "{method} {path}: {status} {answer}");
        answer
    }

    fn chunks(&mut self, answer: &mut Vec<u8>) {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let start = answer.len();
            // With the line end behind it.
            answer.resize(start + size + 2, 0);
            self.stream.read_exact(&mut answer[start..]).unwrap();
            answer.truncate(start + size);
            if size == 0 {
                return;
            }
        }
    }
}
