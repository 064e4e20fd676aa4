//! The TLS dissector, from the first byte and from the middle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::protocol::Dissector;
use observer_core::protocol::tls::Tls;
use observer_core::security::Reason;
use observer_core_fuzz::same_however_fed;

fuzz_target!(|input: &[u8]| {
    let Some((first, script)) = input.split_first() else { return };
    let verdict = |tls: &mut Tls| tls.verdict();
    if first & 1 == 0 {
        same_however_fed(script, Tls::new, verdict);
    } else {
        same_however_fed(script, || Tls::mid_stream(Reason::StartedBeforeObserver), verdict);
    }
});
