//! Real ends of connections: servers that tell what they saw, and clients that do as they are told.

mod command;
mod curl;
mod driver;
mod gnutls;
mod nginx;
mod openssl;
mod rustls;
mod script;
mod server;

pub use self::rustls::{RustlsClient, RustlsServer};
pub use command::{Stack, go_binary};
pub use curl::Curl;
pub use driver::Driver;
pub use gnutls::{GnutlsClient, GnutlsServer};
pub use nginx::Nginx;
pub use openssl::{OpensslClient, OpensslServer};
pub use script::Script;
pub use server::{Printed, lines};

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::account::{Account, parse};

/// One port of a server.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listener {
    /// The port, on every address of both families.
    pub port: u16,
    /// `tls`, `https`, `http` or `h2c`; only the Go server has others than `tls`.
    pub kind: &'static str,
    /// The only version: `1.2` or `1.3`.
    pub version: &'static str,
    /// Whether it asks for a client certificate (without insisting).
    pub ask: bool,
}

/// What a client is to do.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Job {
    /// Comes back with the answer.
    #[serde(rename = "ID")]
    pub id: u32,
    /// As in [`Listener::kind`].
    pub kind: &'static str,
    /// Where to.
    pub host: String,
    /// Where to.
    pub port: u16,
    /// Whether to have a certificate ready.
    pub cert: bool,
    /// Whether to keep sessions and resume them.
    pub resume: bool,
    /// How many connections at once (Go only).
    pub count: u32,
    /// How long to hold them, in milliseconds (Go only).
    pub hold: u32,
    /// How many requests on one connection (Go's `http` only).
    pub requests: u32,
    /// How long the body of each request is (Go's `http` only).
    pub body: u32,
    /// The path of each request, `%d` for its number (Go's `http` only).
    pub path: String,
    /// More heads of each request (Go's `http` only).
    pub headers: std::collections::BTreeMap<String, String>,
}

/// What a client did.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Done {
    /// Of which job.
    #[serde(default)]
    pub id: u32,
    /// Its own addresses.
    #[serde(default)]
    pub local: Vec<String>,
    /// What the server answered.
    #[serde(default)]
    pub body: String,
    /// What went wrong.
    #[serde(default)]
    pub error: String,
}

impl Done {
    /// Its own address, where it made one connection and knows it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.local.first().and_then(|text| parse(text))
    }
}

/// A client.
pub trait Client {
    /// Does one thing and comes back when the connection is closed.
    fn dial(&mut self, job: &Job) -> Done;
    /// Whether it can resume a session.
    fn resumes(&self) -> bool {
        true
    }
}

/// A server.
pub trait Server {
    /// What it saw so far; `done` is what a client got from it, for servers that tell the client.
    fn told(&mut self, job: &Job, done: &Done) -> Vec<Account>;
    /// Whether it tells of resumed sessions.
    fn resumes(&self) -> bool {
        true
    }
}
