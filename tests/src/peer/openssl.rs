//! OpenSSL's own command as both ends.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::server::lines;
use super::{Client, Done, Job, Listener, Server};
use crate::account::Account;
use crate::certificates::{Certificates, End};
use crate::netns::Netns;

/// `openssl s_server -www`, one for each port. It tells the client, in the page, what it saw. Killed when dropped.
#[derive(Debug)]
pub struct OpensslServer {
    children: Vec<Child>,
    listeners: Vec<Listener>,
}

impl OpensslServer {
    /// Listens inside a namespace.
    #[must_use]
    pub fn start(place: &Netns, certificates: &Certificates, listeners: &[Listener]) -> Self {
        let children = listeners.iter().map(|listener| {
            let mut command = place.command("openssl");
            command.args(["s_server", "-www", "-accept", &listener.port.to_string()]);
            command.arg(if listener.version == "1.2" { "-tls1_2" } else { "-tls1_3" });
            command.arg("-cert").arg(certificates.cert(End::Server));
            command.arg("-key").arg(certificates.key(End::Server));
            command.arg("-CAfile").arg(certificates.ca());
            if listener.ask {
                command.args(["-verify", "3"]);
            }
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let said = lines(child.stdout.take().unwrap());
            while said.recv_timeout(Duration::from_secs(60)).unwrap() != "ACCEPT" {}
            child
        });
        Self { children: children.collect(), listeners: listeners.to_vec() }
    }
}

impl Server for OpensslServer {
    fn told(&mut self, job: &Job, done: &Done) -> Vec<Account> {
        let at = self.listeners.iter().position(|it| it.port == job.port).unwrap();
        let listener = &self.listeners[at];
        let said = done.body.lines().find(|line| line.contains(", Cipher is "));
        let Some((first, cipher)) = said.and_then(|line| line.split_once(", Cipher is ")) else {
            return Vec::new();
        };
        let (how, version) = first.split_once(", ").unwrap();
        let client = match () {
            () if how == "Reused" => "resumed",
            () if !done.body.contains("no client certificate available") => "presented",
            () if listener.ask => "declined",
            () => "not_requested",
        };
        vec![Account {
            peer: done.address(),
            protocol: Some("tls".into()),
            version: Some(version.replace("TLSv", "")),
            cipher: Some(cipher.into()),
            client: Some(client.into()),
            pid: Some(self.children[at].id()),
            ..Account::default()
        }]
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `openssl s_client`, one for each connection. It does not tell its own address.
#[derive(Debug)]
pub struct OpensslClient<'a> {
    place: &'a Netns,
    certificates: &'a Certificates,
}

impl<'a> OpensslClient<'a> {
    /// One that dials from inside a namespace.
    #[must_use]
    pub const fn new(place: &'a Netns, certificates: &'a Certificates) -> Self {
        Self { place, certificates }
    }

    fn command(&self, job: &Job) -> Command {
        let mut command = self.place.command("openssl");
        let host = if job.host.contains(':') { format!("[{}]", job.host) } else { job.host.clone() };
        command.args(["s_client", "-quiet", "-servername", "localhost", "-connect"]);
        command.arg(format!("{host}:{}", job.port));
        command.arg("-CAfile").arg(self.certificates.ca());
        if job.cert {
            command.arg("-cert").arg(self.certificates.cert(End::Client));
            command.arg("-key").arg(self.certificates.key(End::Client));
        }
        if job.resume {
            let session: PathBuf = self.certificates.ca().with_file_name(format!("session-{}", job.port));
            if session.exists() {
                command.arg("-sess_in").arg(&session);
            }
            command.arg("-sess_out").arg(&session);
        }
        command
    }
}

impl Client for OpensslClient<'_> {
    fn dial(&mut self, job: &Job) -> Done {
        let mut command = self.command(job);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let output = child.wait_with_output().unwrap();
        drop(input);
        let error = if output.status.success() { "".into() } else { String::from_utf8_lossy(&output.stderr) };
        Done {
            id: job.id,
            body: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: error.into_owned(),
            ..Done::default()
        }
    }
}
