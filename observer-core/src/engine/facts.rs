//! Everything that is known of what was spoken on one face.

use crate::protocol::Verdict;

/// Whether the roles of the two ends are certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// The handshake or the socket showed who dialled.
    #[default]
    Known,
    /// The bytes showed that the source's guess was right.
    FromContent,
    /// The bytes showed that the source's guess was the wrong way round.
    Reversed,
    /// Nothing showed it; the source's guess stands.
    Assumed,
}

/// What was spoken on one face.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The judgement.
    pub verdict: Verdict,
    /// The protocol by content, in the names of `network.protocol`.
    pub protocol: Option<&'static str>,
    /// Who is the client.
    pub orientation: Orientation,
    /// What the protocol travels in, outermost first.
    pub encapsulation: Vec<&'static str>,
    /// Kinds of secrets that crossed in the clear.
    pub exposed: Vec<&'static str>,
}
