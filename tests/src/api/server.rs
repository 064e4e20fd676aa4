//! A server that takes the place of an API server and answers as a test says, over TLS.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring::default_provider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::certificates::{Certificates, End};
use crate::netns::Netns;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Says this and closes.
    Say(Vec<u8>),
    /// Says this, then waits for ever.
    Stay(Vec<u8>),
    /// Says this, then one space in each tenth of a second, for ever.
    Drip(Vec<u8>),
    /// Says this, then spaces as fast as they are taken.
    Flood(Vec<u8>),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When it came.
    pub at: Instant,
    /// Its path with the query.
    pub target: String,
}

/// The server. Its threads end with the test.
#[derive(Debug)]
pub struct ApiServer {
    asked: Arc<Mutex<Vec<Asked>>>,
    kubeconfig: PathBuf,
}

/// A bearer token that everybody who asks has, and a secret to look for.
pub const TOKEN: &str = "planted-token-of-the-observer";

impl ApiServer {
    /// Listens inside a namespace, on loopback, and writes a kubeconfig for it into `folder`.
    #[must_use]
    pub fn start(
        place: &Netns,
        certificates: &Certificates,
        (folder, port): (&Path, u16),
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (chain, key) = certificates.identity(End::Server);
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = place.run(|| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for conn in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                std::thread::spawn(move || serve(StreamOwned::new(tls, conn), &*answer, &log));
            }
        });
        let kubeconfig = folder.join(format!("kubeconfig-{port}"));
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority": certificates.ca(),
            }}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        Self { asked, kubeconfig }
    }

    /// A kubeconfig that leads to it.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// All requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    answer: &(impl Fn(&str) -> Reply + ?Sized),
    log: &Mutex<Vec<Asked>>,
) {
    let (mut head, mut part) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(read @ 1..) => head.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.contains(&format!("Bearer {TOKEN}")) || head.contains("authorization"), "{head}");
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(Asked { at: Instant::now(), target: target.clone() });
    let mut say = |bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
    match answer(&target) {
        Reply::Say(bytes) => {
            say(&bytes);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        Reply::Stay(bytes) => {
            say(&bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Reply::Drip(bytes) => {
            say(&bytes);
            while say(b" ") {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Reply::Flood(bytes) => {
            say(&bytes);
            while say(&[b' '; 1 << 14]) {}
        }
    }
}
