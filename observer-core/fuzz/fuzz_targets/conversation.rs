//! A whole connection: detection, prefixes, named protocols, and what is handed over, from its beginning and from its
//! middle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::engine::Origin;
use observer_core::protocol::Conversation;
use observer_core::security::Reason;
use observer_core_fuzz::same_verdict_however_fed;

fuzz_target!(|input: &[u8]| {
    let Some((first, script)) = input.split_first() else { return };
    let reason = Reason::StartedBeforeObserver;
    let origin = match first & 3 {
        0 | 1 => Origin::Handshake,
        2 => Origin::MidStream { reason, oriented: true },
        _ => Origin::MidStream { reason, oriented: false },
    };
    same_verdict_however_fed(script, || Conversation::new(origin));
});
