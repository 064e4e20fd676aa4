//! TLS 1.0 to 1.3, SSL 3.0, and the SSL 2.0 form of a ClientHello: what was agreed, and whether the client presented a
//! certificate.
//!
//! Each direction is read by itself ([`client_side`], [`server_side`]): records, handshake messages, and the sizes of
//! what is encrypted. [`judge`] is a pure function of the two, so no order of arrival can change an answer. Up to
//! TLS 1.2 the messages are read; in TLS 1.3 the sizes of the client's records decide ([`sizes`]).
//!
//! Nothing is held but the handshake message that is being read (64 KiB at most; a longer one is passed by length)
//! and what was learnt.

mod alert;
mod certificate;
mod cipher_names;
mod client_hello;
mod client_side;
mod code_point;
mod cursor;
mod detect;
mod dissector;
mod fingerprint;
mod imitation;
mod judge;
mod messages;
mod records;
mod server_hello;
mod server_side;
mod side;
mod sizes;
mod summary;

pub use alert::Alert;
pub use certificate::{Certificate, Encoded};
pub use client_hello::ClientHello;
pub use code_point::{CipherSuite, Group, Version, extension, is_grease};
pub use detect::{detect, detect_records};
pub use dissector::Tls;
pub use server_hello::ServerHello;
pub use summary::Summary;
