//! What may stand before the protocol that matters: PROXY protocol, SOCKS, HTTP CONNECT.
//!
//! The upgrades inside plaintext protocols (STARTTLS and its kin) are read by those protocols, in
//! [`crate::protocol::named`].

mod claim;
pub(crate) mod http_connect;
pub(crate) mod proxy;
pub(crate) mod socks4;
pub(crate) mod socks5;

pub use claim::Claim;
