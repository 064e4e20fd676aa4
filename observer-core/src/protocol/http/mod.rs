//! HTTP in the clear: every request and response of HTTP/1.x, HTTP/2 with prior knowledge and HTTP/2 by upgrade.
//!
//! [`detect`] says whether a stream is HTTP at all; [`Http`] then reads both streams from their first byte.
//! What leaves this module holds no credential: values of secret-bearing fields are never stored in an item, only
//! the fact that they crossed in the clear ([`Exposed`]), and targets are redacted before they become strings.
//!
//! The head parser is our own: the common crate for it takes a fixed number of fields, refuses folded lines in
//! requests (RFC 9112, section 5.2) and drops what a lenient server would accept, all of which an observer must read.

mod body;
mod detect;
mod dissector;
mod exposed;
mod facts;
mod field;
mod framing;
mod head;
mod hold;
mod hpack;
mod http1;
mod http2;
mod log;
mod pending;
mod reader;
mod redact;
mod request;
mod response;
mod seek;
mod summary;

pub use detect::{Kind, detect, kind};
pub use dissector::Http;
pub use exposed::{Exposed, Schemes, Secret};
pub use hold::Handover;
pub use log::Items;
pub use request::Request;
pub use response::Response;
pub use summary::{Protocol, Summary};

/// Largest request or response head, and largest HPACK block, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// Most bytes of one direction that wait for the other direction.
pub const MAX_HELD: usize = 64 * 1024;
/// Most requests that wait to be drained by [`Http::take_requests`]; those beyond are counted as dropped.
pub const MAX_QUEUE: usize = 256;
