//! Which path of the control plane a connection is, from evidence; and the objects of the requests that it proxied.
//!
//! [`judge`] is a pure function of what is known of a connection at the time: it is asked anew for each event. Each end is
//! named by the best evidence there is ([`ends`]), the pair of ends decides, and the weaker of the two says how sure that is.
//! A port decides only where nothing else does, and then the path is [`Confidence::Weak`]. What a client says of itself
//! (a request's fields, a user agent) is [`Confidence::Claimed`] unless the dialler is known. Seen on a running cluster:
//! everything that names separate programs. Modelled from documented command lines: several components in one process.

mod addresses;
mod apiserver;
mod asked;
mod ends;
mod judge;
mod judgement;
mod names;
mod object;
mod objects;
mod scope;
#[cfg(test)]
mod tests;
mod verified;

pub use addresses::{Addresses, Learned};
pub use asked::Forwarded;
pub use judge::{Scene, judge};
pub use judgement::{Confidence, Evidence, Judgement, Path, Unclear};
pub use object::{Kind, Object, Scheme};
pub(crate) use objects::{Asked, Objects, Subject, Told};
pub use scope::Scope;
pub use verified::{Basis, Verified, server_verified};
