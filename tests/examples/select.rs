//! Says which packets of the cluster's captures the fixtures hold, in tcpdump's words: `select TRUTH`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use std::collections::BTreeSet;

use observer_tests::truth;

fn main() {
    let truth = std::env::args().nth(1).unwrap();
    let items = truth::read(&std::fs::read_to_string(truth).unwrap());
    let ports: BTreeSet<u64> = items.iter().flat_map(truth::Item::ports).collect();
    let ports: Vec<_> = ports.into_iter().map(|port| format!("port {port}")).collect();
    // What kubelets serve and stream, and what is asked of nodes, besides the connections that are known one by one.
    println!("{} or port 10250 or port 10256 or (src 127.0.0.1 and dst 127.0.0.1)", ports.join(" or "));
}
