//! What this node supports.
