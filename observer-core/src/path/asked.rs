//! What a request says of how it came.

use super::object::Object;

/// What shows that a request may have been passed on by an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded<'a> {
    /// `X-Forwarded-Uri` names an object.
    Uri(&'a Object),
    /// `X-Forwarded-For` on a request that asks to leave HTTP; it names none.
    Upgrade,
}
