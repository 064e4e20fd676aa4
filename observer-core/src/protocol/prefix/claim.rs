//! Addresses that a prefix names.

use std::net::SocketAddr;

use crate::protocol::conversation::Encapsulation;

/// What a prefix says of the ends behind it. It is a claim of the sender, never evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which prefix says so.
    pub by: Encapsulation,
    /// The original client.
    pub source: Option<SocketAddr>,
    /// The original, or the wanted, server.
    pub destination: Option<SocketAddr>,
    /// The wanted server where it is given by name: `host:port`, at most 300 characters, printable ASCII only.
    pub name: Option<String>,
}

impl Claim {
    pub(crate) const fn new(by: Encapsulation) -> Self {
        Self { by, source: None, destination: None, name: None }
    }
}

/// A host name and port as text; bytes outside printable ASCII become `?`.
pub(crate) fn name(host: &[u8], port: u16) -> String {
    let host: String = host
        .iter()
        .take(255)
        .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' })
        .collect();
    format!("{host}:{port}")
}
