//! Prints what the live source hears, one line each: to see the kernel programs at work without the analysis.
//!
//! `live_dump [--all] [--seconds N] [--enough] [PORT…]`
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::Duration;

use observer::source::ebpf::{Announced, Hear, Live, Settings};
use observer_core::connection::Party;
use observer_core::engine::Input;

struct Print;

impl Hear for Print {
    fn announced(&mut self, announced: &Announced) -> Option<Box<Party>> {
        println!("{announced:?}");
        announced.party()
    }

    fn input(&mut self, input: Input<'_>) {
        match input {
            Input::Segment { key, direction, segment, copied } => println!(
                "  {:#x} {direction:?} {:?} seq {} ack {} len {} {copied:?} {:?}",
                key.0,
                segment.flags,
                segment.seq,
                segment.ack,
                segment.len,
                String::from_utf8_lossy(segment.payload.get(..40).unwrap_or(segment.payload)),
            ),
            other => println!("  {other:?}"),
        }
    }
}

fn main() {
    if let Err(error) = run() {
        println!("{error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::default();
    let mut seconds = 5;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--all" => settings.scope.everything = true,
            "--seconds" => seconds = arguments.next().ok_or("--seconds needs a number")?.parse()?,
            port => {
                settings.scope.ports.insert(port.parse()?);
            }
        }
    }
    let mut live = Live::start(&settings, Print).map_err(|error| {
        // A verifier's log is long, and what matters is its end.
        let text = error.to_string();
        let from = text.len().saturating_sub(3000);
        text.get(from..).unwrap_or(&text).to_owned()
    })?;
    for cost in live.costs() {
        println!("{cost:?}");
    }
    std::thread::sleep(Duration::from_secs(seconds));
    println!("{:?}", live.counters()?);
    println!("{:?}", live.received());
    for cost in live.costs() {
        println!("{cost:?}");
    }
    let _ = live.stop();
    Ok(())
}
