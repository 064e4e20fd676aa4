//! The Kubernetes API: a client that fills a real one, and a server that is none.

mod client;
mod server;

pub use client::ApiClient;
pub use server::{ApiServer, Asked, Reply, TOKEN};
