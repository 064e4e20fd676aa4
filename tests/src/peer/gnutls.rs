//! GnuTLS's own commands as both ends.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::server::{lines, wait_for};
use super::{Client, Done, Job, Listener, Server};
use crate::account::{Account, parse};
use crate::certificates::{Certificates, End};
use crate::netns::Netns;

/// `gnutls-serv --http`, one for each port. Killed when dropped.
#[derive(Debug)]
pub struct GnutlsServer {
    listening: Vec<(Listener, Child, Receiver<String>)>,
}

impl GnutlsServer {
    /// Listens inside a namespace.
    #[must_use]
    pub fn start(place: &Netns, certificates: &Certificates, listeners: &[Listener]) -> Self {
        let listening = listeners.iter().map(|listener| {
            let mut command = place.command("stdbuf");
            command.args(["-oL", "gnutls-serv", "--http", "-p", &listener.port.to_string()]);
            command.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{}", listener.version));
            command.arg("--x509certfile").arg(certificates.cert(End::Server));
            command.arg("--x509keyfile").arg(certificates.key(End::Server));
            command.arg("--x509cafile").arg(certificates.ca());
            if !listener.ask {
                command.arg("--disable-client-cert");
            }
            let mut child =
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let said = lines(child.stdout.take().unwrap());
            wait_for(place, std::slice::from_ref(listener));
            (listener.clone(), child, said)
        });
        Self { listening: listening.collect() }
    }
}

impl Server for GnutlsServer {
    fn told(&mut self, job: &Job, _: &Done) -> Vec<Account> {
        let (listener, child, said) =
            self.listening.iter().find(|(listener, ..)| listener.port == job.port).unwrap();
        let mut account = Account {
            protocol: Some("tls".into()),
            client: Some(if listener.ask { "declined" } else { "not_requested" }.into()),
            pid: Some(child.id()),
            ..Account::default()
        };
        // What it has to say of a connection ends with a pause.
        while let Ok(line) =
            said.recv_timeout(Duration::from_millis(if account.version.is_some() { 30 } else { 3000 }))
        {
            if let Some(rest) = line.strip_prefix("* Accepted connection from IPv") {
                let words: Vec<_> = rest.split(' ').collect();
                account.peer = parse(&format!("{}:{}", words[1], words[3]))
                    .or_else(|| parse(&format!("[{}]:{}", words[1], words[3])));
            } else if line.contains("This is a resumed session") {
                account.client = Some("resumed".into());
            } else if line.contains("Got a certificate list of")
                && account.client.as_deref() != Some("resumed")
            {
                // Of a resumed session it shows the certificate that it remembers.
                account.client = Some("presented".into());
            } else if let Some(version) = line.strip_prefix("- Version: TLS") {
                account.version = Some(version.into());
            }
        }
        vec![account]
    }
}

impl Drop for GnutlsServer {
    fn drop(&mut self) {
        for (_, child, _) in &mut self.listening {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `gnutls-cli`, one for each connection. It does not tell its own address.
#[derive(Debug)]
pub struct GnutlsClient<'a> {
    place: &'a Netns,
    certificates: &'a Certificates,
}

impl<'a> GnutlsClient<'a> {
    /// One that dials from inside a namespace.
    #[must_use]
    pub const fn new(place: &'a Netns, certificates: &'a Certificates) -> Self {
        Self { place, certificates }
    }
}

impl Client for GnutlsClient<'_> {
    fn dial(&mut self, job: &Job) -> Done {
        let mut command = self.place.command("gnutls-cli");
        command.args(["--logfile=/dev/null", "--sni-hostname=localhost", "--verify-hostname=localhost"]);
        command.arg("-p").arg(job.port.to_string()).arg("--x509cafile").arg(self.certificates.ca());
        if job.cert {
            command.arg("--x509certfile").arg(self.certificates.cert(End::Client));
            command.arg("--x509keyfile").arg(self.certificates.key(End::Client));
        }
        command.arg(&job.host).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let output = child.wait_with_output().unwrap();
        drop(input);
        let body = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = if body.contains("HTTP/1") { "".into() } else { String::from_utf8_lossy(&output.stderr) };
        Done { id: job.id, error: error.into_owned(), body, ..Done::default() }
    }

    fn resumes(&self) -> bool {
        false
    }
}
