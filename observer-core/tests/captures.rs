//! The labelled captures can be read, and hold what the labels say they hold.

mod support;

use observer_core::flow::Direction;

#[test]
fn every_direct_tls_capture_begins_with_a_client_hello_record() {
    for conversation in support::conversations(|label| {
        label.text("transport") == "direct" && !label.text("tls_version").is_empty()
    }) {
        let client = conversation.stream(Direction::ToServer);
        assert_eq!(client.first(), Some(&22), "{}", conversation.label.text("file"));
    }
}
