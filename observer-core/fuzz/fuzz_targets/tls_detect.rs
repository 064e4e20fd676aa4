//! Is it TLS?
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::flow::Direction;
use observer_core::protocol::tls::{detect, detect_records};
use observer_core_fuzz::never_changes_its_mind;

fuzz_target!(|bytes: &[u8]| {
    never_changes_its_mind(bytes, |prefix| detect(Direction::ToServer, prefix));
    never_changes_its_mind(bytes, |prefix| detect(Direction::ToClient, prefix));
    never_changes_its_mind(bytes, detect_records);
});
