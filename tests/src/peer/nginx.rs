//! nginx as a server: its access log says all that we ask.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::server::{lines, wait_for};
use super::{Done, Job, Listener, Server};
use crate::account::{Account, parse};
use crate::certificates::{Certificates, End};
use crate::netns::Netns;

/// One nginx in the foreground. Killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    said: Receiver<String>,
    listeners: Vec<Listener>,
}

impl Nginx {
    /// Listens inside a namespace, with its files in a folder.
    #[must_use]
    pub fn start(place: &Netns, folder: &Path, certificates: &Certificates, listeners: &[Listener]) -> Self {
        let servers: String = listeners
            .iter()
            .map(|it| {
                format!(
                    "server {{ listen [::]:{} ssl ipv6only=off; ssl_protocols TLSv{}; ssl_verify_client {}; \
                     ssl_client_certificate {}; return 200 ok; }}\n",
                    it.port,
                    it.version,
                    if it.ask { "optional" } else { "off" },
                    certificates.ca().display()
                )
            })
            .collect();
        let config = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;\n\
             events {{ worker_connections 512; }}\n\
             http {{ client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};\n\
             uwsgi_temp_path {folder}; scgi_temp_path {folder};\n\
             log_format told '$remote_addr $remote_port $ssl_protocol $ssl_cipher $ssl_client_verify [$ssl_session_reused]';\n\
             access_log /dev/stdout told; ssl_certificate {}; ssl_certificate_key {};\n\
             ssl_session_cache shared:one:1m;\n{servers}}}",
            certificates.cert(End::Server).display(),
            certificates.key(End::Server).display(),
            folder = folder.display(),
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut child = place
            .command("nginx")
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("nginx.words")).unwrap())
            .spawn()
            .unwrap();
        let said = lines(child.stdout.take().unwrap());
        wait_for(place, listeners);
        Self { child, said, listeners: listeners.to_vec() }
    }
}

impl Server for Nginx {
    fn told(&mut self, job: &Job, _: &Done) -> Vec<Account> {
        let listener = self.listeners.iter().find(|it| it.port == job.port).unwrap();
        let Ok(line) = self.said.recv_timeout(Duration::from_secs(30)) else { return Vec::new() };
        let words: Vec<_> = line.split(' ').collect();
        let [ip, port, version, cipher, verified, reused] = words[..] else { panic!("nginx said {line}") };
        let client = match (reused, verified) {
            ("[r]", _) => "resumed",
            (_, "NONE") if listener.ask => "declined",
            (_, "NONE") => "not_requested",
            _ => "presented",
        };
        vec![Account {
            peer: parse(&format!("{ip}:{port}")).or_else(|| parse(&format!("[{ip}]:{port}"))),
            protocol: Some("tls".into()),
            version: Some(version.replace("TLSv", "")),
            cipher: Some(cipher.into()),
            client: Some(client.into()),
            pid: Some(self.child.id()),
            ..Account::default()
        }]
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
