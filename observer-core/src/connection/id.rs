//! Names of connections that stay unique over restarts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::engine::Opened;

/// What makes the ids of one observation differ from those of any other: live, the boot and the start of the daemon; on
/// replay, something of the capture.
#[derive(Clone, Debug)]
pub struct Seed(pub Box<[u8]>);

impl Seed {
    /// What tells this observation's events from any other's: 64 bits in hex.
    #[must_use]
    pub fn name(&self) -> String {
        hex(&Sha256::digest(&self.0)[..8])
    }

    /// The id of the connection whose first face is `opened`.
    pub(super) fn connection(&self, opened: &Opened) -> Id {
        let mut hash = Sha256::new();
        hash.update(u64::try_from(self.0.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(&self.0);
        hash.update(opened.key.0.to_be_bytes());
        hash.update(opened.time.0.to_be_bytes());
        for end in [opened.tuple.client, opened.tuple.server] {
            hash.update(octets(end));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Id(id)
    }
}

/// A connection's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id([u8; 16]);

impl Id {
    /// 128 bits in hex.
    pub(super) fn text(self) -> Arc<str> {
        hex(&self.0).into()
    }
}

fn octets(end: SocketAddr) -> [u8; 18] {
    let mut octets = [0; 18];
    let ip = match end.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    octets[..16].copy_from_slice(&ip.octets());
    octets[16..].copy_from_slice(&end.port().to_be_bytes());
    octets
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
