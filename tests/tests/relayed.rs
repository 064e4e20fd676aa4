//! Sessions that a relay passed on, in a capture: as an operator reads them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

use observer_tests::replay::{command, replay};
use observer_tests::schema::violations_of;

/// Of each port that was dialled: what OpenSSL's server was asked to do, and the port behind the relay.
const TOLD: [(u64, &str, &str, Option<u64>); 4] = [
    (24_100, "mutual_tls", "presented", Some(24_150)),
    (24_100, "server_tls", "declined", Some(24_150)),
    (24_101, "server_tls", "not_requested", Some(24_151)),
    (24_150, "mutual_tls", "presented", None),
];

#[test]
fn a_session_that_was_passed_on_is_told_once_and_nothing_of_it_is_lost() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let events = replay(&fixtures, &["relay.pcap"], "1");
    assert_eq!(violations_of(&command(), &events), Vec::<String>::new());
    let mut counted = BTreeMap::new();
    for event in &events {
        let relays = event.at("control_plane.relays").as_array().cloned().unwrap_or_default();
        let [port, behind] = [
            event.number("destination.port"),
            relays.first().and_then(|it| it["destination"]["port"].as_u64()),
        ];
        let certificate = event.text("control_plane.client_certificate.state");
        let seen =
            TOLD.iter().position(|told| *told == (port.unwrap(), event.security(), certificate, behind));
        let seen = seen.unwrap_or_else(|| panic!("nobody sent {}", event.value));
        *counted.entry((seen, event.action().to_owned())).or_insert(0) += 1;
        if event.action() == "connection-closed" {
            for relay in &relays {
                assert_eq!(relay["source"]["bytes"], *event.at("source.bytes"), "{}", event.value);
                assert_eq!(relay["ending"], "finished", "{}", event.value);
            }
        }
    }
    assert_eq!((counted.len(), counted.values().sum::<u32>()), (8, 8), "{counted:?}");
    for threads in ["2", "3"] {
        let again: Vec<_> =
            replay(&fixtures, &["relay.pcap"], threads).into_iter().map(|it| it.value).collect();
        assert_eq!(again, events.iter().map(|it| it.value.clone()).collect::<Vec<_>>());
    }
}
