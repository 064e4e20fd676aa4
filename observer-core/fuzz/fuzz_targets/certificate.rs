//! A certificate in DER, and a raw public key. What is told of it is bounded and holds no control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::protocol::tls::Encoded;

fuzz_target!(|der: &[u8]| {
    for raw in [false, true] {
        let told = Encoded { der, raw }.read();
        assert_eq!(told.sha256.len(), 64);
        assert!(told.alternative_names.len() <= 64);
        let texts = [&told.subject, &told.issuer, &told.serial, &told.key_algorithm];
        for text in texts.into_iter().flatten().chain(&told.alternative_names) {
            assert!(text.len() <= 8 << 10, "{} bytes of text", text.len());
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
});
