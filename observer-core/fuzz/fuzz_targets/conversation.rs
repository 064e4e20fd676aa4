//! The whole way from two streams to a verdict: beginnings, prefixes, upgrades, protocols by name, TLS and HTTP.
//!
//! The first byte says whether the beginning was seen, and whether the direction is certain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::engine::Origin;
use observer_core::protocol::{Conversation, Dissector};
use observer_core::security::Reason;
use observer_core_fuzz::same_however_fed;

fuzz_target!(|input: &[u8]| {
    let Some((first, script)) = input.split_first() else { return };
    let origin = match first & 3 {
        0 | 3 => Origin::Handshake,
        oriented => Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented: oriented == 1 },
    };
    same_however_fed(script, || Conversation::new(origin), |conversation| {
        (
            conversation.verdict(),
            conversation.protocol(),
            conversation.orientation(),
            conversation.encapsulation().to_vec(),
            conversation.exposed().to_vec(),
            conversation.injected_bytes(),
        )
    });
});
