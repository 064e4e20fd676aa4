//! curl as a client.

use std::fmt::Debug;
use std::process::Command;

use super::{Client, Done, Job};
use crate::certificates::{Certificates, End};
use crate::netns::Netns;

/// One process a connection, so it never resumes.
#[derive(Debug)]
pub struct Curl<'a> {
    place: &'a Netns,
    certificates: &'a Certificates,
}

impl<'a> Curl<'a> {
    /// One that runs inside a namespace.
    #[must_use]
    pub const fn new(place: &'a Netns, certificates: &'a Certificates) -> Self {
        Self { place, certificates }
    }

    fn command(&self, job: &Job) -> Command {
        let mut command = self.place.command("curl");
        let host = if job.host.contains(':') { format!("[{}]", job.host) } else { job.host.clone() };
        command.args(["-sS", "--max-time", "20", "-w", "\n%{local_ip} %{local_port}", "--noproxy", "*"]);
        command.arg("--connect-to").arg(format!("localhost:{0}:{host}:{0}", job.port));
        command.arg("--cacert").arg(self.certificates.ca());
        if job.cert {
            command.arg("--cert").arg(self.certificates.cert(End::Client));
            command.arg("--key").arg(self.certificates.key(End::Client));
        }
        let scheme = if job.kind.starts_with("http") && job.kind != "https" { "http" } else { "https" };
        command.arg(format!("{scheme}://localhost:{}/small", job.port));
        command
    }
}

impl Client for Curl<'_> {
    fn dial(&mut self, job: &Job) -> Done {
        let output = self.command(job).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, last) = text.rsplit_once('\n').unwrap_or_default();
        let local = last.split_once(' ').map(|(ip, port)| {
            if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
        });
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Done { id: job.id, local: local.into_iter().collect(), body: body.into(), error }
    }

    fn resumes(&self) -> bool {
        false
    }
}
