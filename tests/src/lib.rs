//! What the tests share: labelled captures, network namespaces, real peers.
