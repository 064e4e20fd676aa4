//! HTTP of either version, as the bytes show it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::protocol::http::{Http, Items};
use observer_core_fuzz::same_verdict_however_fed;

fuzz_target!(|input: &[u8]| {
    let Some((first, script)) = input.split_first() else { return };
    if first & 1 == 0 {
        same_verdict_however_fed(script, Http::new);
    } else {
        same_verdict_however_fed(script, || Http::with_items(Items::Counted));
    }
});
