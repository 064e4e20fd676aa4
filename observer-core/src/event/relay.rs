//! `control_plane.relays.*`: who passed a session on, and over which connections.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Destination, MissingBytes, PartyField, Source, When};
use crate::engine::Ending;

/// One relay, and the connection that it dialled to pass the session on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RelayField {
    /// The relay: who accepted the connection before this one; absent where it is on another node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyField>,
    /// Who dialled this one, where that is another process of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialled_by: Option<PartyField>,
    /// The id of the connection that it dialled: no event has it, but for one that outlived the session's first connection.
    pub connection: Arc<str>,
    /// The address that it dialled from; on close, with the payload bytes from there.
    pub source: Source,
    /// The address that it dialled; on close, with the payload bytes from there.
    pub destination: Destination,
    /// Community ID, version 1, seed 0, of these addresses.
    pub community_id: String,
    /// When it was dialled.
    pub start: When,
    /// When it ended; on close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<When>,
    /// How it ended; on close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What the session travels in on this connection, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub encapsulation: Vec<&'static str>,
    /// What is missing of this connection's bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingBytes>,
}
