//! HTTP/1.x and HTTP/2: the verdict and what was read of every request, in the clear.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::protocol::Dissector;
use observer_core::protocol::http::Http;
use observer_core_fuzz::same_however_fed;

fuzz_target!(|input: &[u8]| {
    let Some((_, script)) = input.split_first() else { return };
    same_however_fed(script, Http::new, |http| {
        let methods: Vec<_> = http.take_requests().into_iter().map(|request| request.method).collect();
        (http.verdict(), methods)
    });
});
