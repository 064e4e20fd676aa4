//! rustls as both ends, on threads of the test.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, version,
};

use super::{Client, Done, Job, Listener, Server};
use crate::account::Account;
use crate::certificates::{Certificates, End};
use crate::netns::Netns;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const ASK: &[u8] = b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// A server. Its threads end with the test.
#[derive(Debug)]
pub struct RustlsServer {
    accounts: Receiver<Account>,
}

impl RustlsServer {
    /// Listens inside a namespace.
    #[must_use]
    pub fn start(place: &Netns, certificates: &Certificates, listeners: &[Listener]) -> Self {
        let (sender, accounts) = channel();
        for listener in listeners {
            let config = Arc::new(server_config(certificates, listener));
            let socket = place.run(|| TcpListener::bind(("::", listener.port)).unwrap());
            let (sender, ask) = (sender.clone(), listener.ask);
            std::thread::spawn(move || {
                for conn in socket.incoming().map_while(Result::ok) {
                    let (config, sender) = (Arc::clone(&config), sender.clone());
                    std::thread::spawn(move || serve(conn, config, ask, &sender));
                }
            });
        }
        Self { accounts }
    }
}

impl Server for RustlsServer {
    fn told(&mut self, _: &Job, _: &Done) -> Vec<Account> {
        self.accounts.recv_timeout(Duration::from_secs(30)).into_iter().collect()
    }
}

static TLS12: [&SupportedProtocolVersion; 1] = [&version::TLS12];
static TLS13: [&SupportedProtocolVersion; 1] = [&version::TLS13];

fn versions(name: &str) -> &'static [&'static SupportedProtocolVersion] {
    if name == "1.2" { &TLS12 } else { &TLS13 }
}

fn server_config(certificates: &Certificates, listener: &Listener) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(listener.version))
        .unwrap();
    let builder = if listener.ask {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(certificates.roots()), provider)
            .allow_unauthenticated()
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = certificates.identity(End::Server);
    builder.with_single_cert(chain, key).unwrap()
}

fn serve(conn: TcpStream, config: Arc<ServerConfig>, ask: bool, accounts: &Sender<Account>) {
    let address = |address: std::io::Result<std::net::SocketAddr>| {
        address.ok().map(|it| std::net::SocketAddr::new(it.ip().to_canonical(), it.port()))
    };
    let mut account = Account {
        peer: address(conn.peer_addr()),
        local: address(conn.local_addr()),
        pid: Some(std::process::id()),
        ..Account::default()
    };
    let _ = conn.set_read_timeout(PATIENCE);
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), conn);
    let mut head = Vec::new();
    let mut part = [0; 4096];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => head.extend_from_slice(&part[..read]),
            Err(error) => {
                account.error = Some(error.to_string());
                break;
            }
        }
    }
    if account.error.is_none() {
        let tls = &stream.conn;
        account.protocol = Some("tls".into());
        account.version = tls
            .protocol_version()
            .map(|it| if format!("{it:?}") == "TLSv1_3" { "1.3" } else { "1.2" }.into());
        account.cipher =
            tls.negotiated_cipher_suite().map(|it| format!("{:?}", it.suite()).replace("TLS13_", "TLS_"));
        let client = match (tls.handshake_kind(), tls.peer_certificates()) {
            (Some(HandshakeKind::Resumed), _) => "resumed",
            (_, Some(_)) => "presented",
            (_, None) if ask => "declined",
            (_, None) => "not_requested",
        };
        account.client = Some(client.into());
        let _ = stream.write_all(ANSWER);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
    drop(stream);
    let _ = accounts.send(account);
}

/// A client.
#[derive(Debug)]
pub struct RustlsClient<'a> {
    place: &'a Netns,
    certificates: &'a Certificates,
    kept: HashMap<(u16, bool), Arc<ClientConfig>>,
}

impl<'a> RustlsClient<'a> {
    /// One that dials from inside a namespace.
    #[must_use]
    pub fn new(place: &'a Netns, certificates: &'a Certificates) -> Self {
        Self { place, certificates, kept: HashMap::new() }
    }

    fn config(&self, job: &Job) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.certificates.roots());
        let mut config = if job.cert {
            let (chain, key) = self.certificates.identity(End::Client);
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        if !job.resume {
            config.resumption = Resumption::disabled();
        }
        config
    }
}

impl Client for RustlsClient<'_> {
    fn dial(&mut self, job: &Job) -> Done {
        let config = match self.kept.get(&(job.port, job.cert)) {
            Some(config) if job.resume => Arc::clone(config),
            _ => Arc::new(self.config(job)),
        };
        if job.resume {
            self.kept.insert((job.port, job.cert), Arc::clone(&config));
        }
        let mut done = Done { id: job.id, ..Done::default() };
        let host: IpAddr = job.host.parse().unwrap();
        let outcome = self.place.run(|| -> std::io::Result<(String, Vec<u8>)> {
            let conn = TcpStream::connect((host, job.port))?;
            conn.set_read_timeout(PATIENCE)?;
            let local = conn.local_addr()?.to_string();
            let tls = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
            let mut stream = StreamOwned::new(tls, conn);
            stream.write_all(ASK)?;
            let mut body = Vec::new();
            match stream.read_to_end(&mut body) {
                // Some servers close without saying so first.
                Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
                _ => Ok((local, body)),
            }
        });
        match outcome {
            Ok((local, body)) => {
                done.local.push(local);
                done.body = String::from_utf8_lossy(&body).into_owned();
            }
            Err(error) => done.error = error.to_string(),
        }
        done
    }
}
