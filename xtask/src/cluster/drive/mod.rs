//! `cargo xtask cluster drive`: sends one of everything, and prints for each what was sent, when, and what the events must
//! say of it. It knows that from the ends themselves: its clients tell which addresses they used and whether they were
//! asked for a certificate, and the pods tell who came.

mod called;
mod direct;
mod driver;
mod expect;
mod item;
mod mouth;
mod pod;
mod proxied;
mod streams;

use anyhow::Result;
use serde_json::json;

use super::control_plane::TOKEN;
use super::state::Shape;
use driver::Driver;

/// Drives the cluster that is up, so often.
pub fn drive(shape: Shape, rounds: u32) -> Result<()> {
    let mut driver = Driver::start(shape)?;
    println!(
        "{}",
        json!({
            "item": "cluster",
            "kubernetes": shape.version.to_string(),
            "konnectivity": shape.konnectivity,
            // None of these may appear in an event, a log or a metric.
            "secrets": [
                TOKEN, driver::ARGUMENT, "planted-cookie", "planted-query-token", "planted-token-of-a-kubeconfig",
                "planted-password-of-a-kubeconfig", "planted-argument-of-a-kubeconfig",
                "planted-environment-of-a-kubeconfig", "cGxhbnRlZC1rZXktb2YtYS1rdWJlY29uZmln",
                "planted-key-of-a-kubeconfig",
            ],
        })
    );
    for _ in 0..rounds {
        direct::drive(&mut driver)?;
        proxied::drive(&mut driver)?;
        called::drive(&mut driver)?;
        streams::drive(&mut driver)?;
    }
    Ok(())
}
