//! Whole conversations of every protocol, written by hand: what is said of each, however it is fed, cut or continued.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use observer_core::engine::Origin;
use observer_core::flow::{Direction, Gap};
use observer_core::protocol::named::Protocol;
use observer_core::protocol::{Conversation, Dissector, Progress};
use observer_core::security::{ClientCertificate, Reason, Security};
use proptest::prelude::*;
use support::spoken::{SECRET, plain, tls, wrapped};
use support::talk::{Seen, Talk, client, every_prefix_agrees, feed, pieces, seen, server, with_gap};

#[test]
fn every_protocol_in_the_clear_is_named_however_it_is_fed() {
    for (name, protocol, exposed, talk) in plain() {
        let seen = seen(&talk);
        let security = if protocol == Protocol::Ssh { Security::Ssh } else { Security::Plaintext };
        assert_eq!((seen.security(), seen.protocol), (security, Some(protocol)), "{name}: {seen:?}");
        assert_eq!(seen.exposed, exposed, "{name}");
        every_prefix_agrees(name, &talk);
    }
}

#[test]
fn tls_behind_every_prefix_gives_the_verdict_of_the_tls() {
    for (name, encapsulation, mut talk) in wrapped() {
        talk.extend(tls());
        let seen = seen(&talk);
        assert_eq!(
            (seen.security(), seen.verdict.client_certificate),
            (Security::MutualTls, ClientCertificate::Presented),
            "{name}: {seen:?}"
        );
        assert_eq!((seen.encapsulation, seen.injected), (encapsulation, 0), "{name}");
        every_prefix_agrees(name, &talk);
    }
}

#[test]
fn a_tunnel_that_was_agreed_and_stays_silent_is_unknown() {
    for (name, _, talk) in wrapped() {
        let seen = seen(&talk);
        assert_eq!(seen.security(), Security::Unknown, "{name}: {seen:?}");
    }
}

#[test]
fn every_protocol_is_found_behind_every_tunnel() {
    for (name, encapsulation, talk) in wrapped() {
        if encapsulation.iter().any(|layer| layer.promises_tls()) {
            continue;
        }
        for (inner, protocol, _, rest) in plain() {
            let both: Talk = talk.iter().cloned().chain(rest).collect();
            let seen = seen(&both);
            assert_eq!(seen.protocol, Some(protocol), "{inner} in {name}: {seen:?}");
            assert_eq!(seen.encapsulation, encapsulation, "{inner} in {name}");
        }
    }
}

#[test]
fn layers_nested_too_deep_are_not_recognised() {
    let header = || client("PROXY UNKNOWN\r\n");
    let mut talk: Talk = (0..4).map(|_| header()).collect();
    talk.extend(tls());
    assert_eq!(seen(&talk).security(), Security::MutualTls);
    talk.insert(0, header());
    let seen = seen(&talk);
    assert_eq!((seen.security(), seen.verdict.reason), (Security::Unknown, Some(Reason::NotRecognized)));
}

#[test]
fn a_client_hello_that_nobody_asked_for_changes_nothing_in_any_order() {
    // Behind the whole flight and in the midst of it: what stood before it decides, whichever side is read first.
    let talk = tls();
    let hello = talk[0].1.clone();
    let whole: Vec<u8> =
        talk.iter().filter(|said| said.0 == Direction::ToServer).flat_map(|said| said.1.clone()).collect();
    let answer: Vec<u8> =
        talk.iter().filter(|said| said.0 == Direction::ToClient).flat_map(|said| said.1.clone()).collect();
    let mut at = 0;
    while at + 5 <= whole.len() {
        let length = usize::from(u16::from_be_bytes([whole[at + 3], whole[at + 4]]));
        at += 5 + length;
        let flight =
            [&whole[hello.len()..at.max(hello.len())], &hello[..], &whole[at.max(hello.len())..]].concat();
        let seen = seen(&[client(&hello), server(&answer), client(flight)]);
        let fits = [ClientCertificate::Presented, ClientCertificate::Unknown];
        assert!(fits.contains(&seen.verdict.client_certificate), "{seen:?}");
    }
}

#[test]
fn commands_injected_behind_an_accepted_upgrade_are_counted() {
    let mut talk = vec![
        server("220 mail.test ESMTP\r\n"),
        client("EHLO a\r\n"),
        server("250 STARTTLS\r\n"),
        client("STARTTLS\r\nRSET\r\nMAIL FROM:<evil@test>\r\n"),
        server("220 go\r\n"),
    ];
    talk.extend(tls());
    let seen = seen(&talk);
    assert_eq!((seen.security(), seen.injected), (Security::MutualTls, 29));
}

#[test]
fn no_secret_is_kept() {
    for (name, _, _, talk) in plain() {
        let shown = format!("{:?}", feed(Origin::Handshake, &pieces(&talk, 5)));
        let bytes: Vec<String> = SECRET.bytes().map(|byte| byte.to_string()).collect();
        assert!(!shown.contains(SECRET) && !shown.contains(&bytes.join(", ")), "{name}: {shown}");
    }
    for (name, _, mut talk) in wrapped() {
        talk.extend(tls());
        let shown = format!("{:?}", feed(Origin::Handshake, &pieces(&talk, 5)));
        let bytes: Vec<String> = SECRET.bytes().map(|byte| byte.to_string()).collect();
        assert!(!shown.contains(SECRET) && !shown.contains(&bytes.join(", ")), "{name}: {shown}");
    }
}

#[test]
fn bytes_that_nothing_recognises_are_other_and_only_once_that_is_certain() {
    for bytes in [[0_u8; 64], [0xff; 64], [b'x'; 64]] {
        let talk = vec![client(bytes), server(bytes)];
        assert_eq!(seen(&talk).security(), Security::Other, "{:?}", bytes[0]);
    }
    for short in [&b"\x16"[..], b"SS", b"GE", b"*1", b"\x05", b"\0", b"P", b"\0\0\0\x08"] {
        let talk = vec![client(short)];
        assert_eq!(seen(&talk).security(), Security::Unknown, "{short:?}");
    }
}

#[test]
fn a_piece_that_is_missing_never_turns_tls_into_something_else() {
    for (name, _, talk) in wrapped() {
        let talk: Talk = talk.into_iter().chain(tls()).collect();
        let whole = seen(&talk).verdict;
        let pieces = pieces(&talk, 60);
        for why in [Gap::Unseen, Gap::Lost, Gap::Conflict] {
            for at in 0..pieces.len() {
                let verdict = with_gap(&pieces, at, why);
                assert!(
                    support::talk::agree(verdict, whole),
                    "{name}: {verdict:?} with {why:?} in place of piece {at} of {}",
                    pieces.len()
                );
            }
        }
    }
}

#[test]
fn a_connection_seen_from_the_middle_never_gets_a_verdict_that_is_wrong() {
    let why = Reason::StartedBeforeObserver;
    let talks = plain().into_iter().map(|(name, _, _, talk)| (name, talk));
    let tunnels =
        wrapped().into_iter().map(|(name, _, talk)| (name, talk.into_iter().chain(tls()).collect()));
    for (name, talk) in talks.chain(tunnels) {
        let whole = feed(Origin::Handshake, &pieces(&talk, usize::MAX)).verdict();
        let pieces = pieces(&talk, 3);
        for oriented in [true, false] {
            for start in 0..pieces.len() {
                let seen = feed(Origin::MidStream { reason: why, oriented }, &pieces[start..]);
                let verdict = seen.verdict();
                let tls = whole.security == Security::MutualTls;
                assert!(
                    support::talk::agree(verdict, whole)
                        && !(tls && matches!(verdict.security, Security::Plaintext | Security::Other)),
                    "{name} from {start} (oriented {oriented}): {verdict:?}"
                );
            }
        }
    }
}

#[test]
fn ten_thousand_half_client_hellos_cost_little_each() {
    let hello = tls().remove(0).1;
    let mut conversation = Conversation::new(Origin::Handshake);
    for byte in &hello[..hello.len() - 1] {
        assert_eq!(Dissector::data(&mut conversation, Direction::ToServer, &[*byte], 0), Progress::Undecided);
        let held = size_of::<Conversation>() + conversation.held();
        assert!(held <= 2560, "{held} bytes held of {}", hello.len());
    }
}

#[test]
fn bytes_that_trickle_in_hold_little() {
    // Each of these keeps a reader waiting for a long time; quadratic work would show in minutes.
    let long = vec![b'a'; 60_000];
    let starts: [&[u8]; 8] = [
        b"",
        b"GET /",
        b"CONNECT a:1 HTTP/1.1\r\na: ",
        b"*9\r\n$4\r\nHGET\r\n$99999\r\n",
        b"SSH-2.0-",
        b"PROXY ",
        b"\x30\x84\0\x80\0\0\x02\x01\x01\x77\x84\0\x70\0\0",
        b"\x05\x01\0",
    ];
    for start in starts {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let mut conversation = Conversation::new(Origin::Handshake);
            Dissector::data(&mut conversation, Direction::ToServer, start, 0);
            for byte in &long {
                Dissector::data(&mut conversation, direction, &[*byte], 0);
            }
            assert!(conversation.held() < 300 << 10);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_any_cuts_gives_the_same(
        which in any::<prop::sample::Index>(),
        choices in prop::collection::vec((any::<bool>(), 1_usize..40), 1..200),
    ) {
        let mut talks: Vec<Talk> = plain().into_iter().map(|it| it.3).collect();
        talks.extend(wrapped().into_iter().map(|it| it.2.into_iter().chain(tls()).collect::<Talk>()));
        let talk = which.get(&talks);
        let whole = Seen::of(&feed(Origin::Handshake, &pieces(talk, usize::MAX)));
        let mut queues = [Direction::ToServer, Direction::ToClient].map(|direction| {
            pieces(talk, 1).into_iter().filter(|piece| piece.0 == direction).collect::<std::collections::VecDeque<_>>()
        });
        let mut fed = Vec::new();
        for (client, count) in choices.iter().cycle() {
            let queue = &mut queues[usize::from(!client)];
            let mark = queue.front().map(|piece| piece.2);
            let run: Vec<_> = (0..*count).map_while(|_| queue.pop_front_if(|piece| Some(piece.2) == mark)).collect();
            if let Some(first) = run.first() {
                fed.push((first.0, run.iter().flat_map(|piece| piece.1.clone()).collect(), first.2));
            } else if queues.iter().all(|queue| queue.is_empty()) {
                break;
            } else if let Some(piece) = queues.iter_mut().find_map(|queue| queue.pop_front()) {
                fed.push(piece);
            }
        }
        prop_assert_eq!(Seen::of(&feed(Origin::Handshake, &fed)), whole);
    }

    #[test]
    fn any_bytes_are_borne_and_seldom_named(
        client_says in prop::collection::vec(any::<u8>(), 0..300),
        server_says in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let seen = seen(&[client(&client_says), server(&server_says)]);
        prop_assert!(matches!(seen.security(), Security::Other | Security::Unknown), "{:?}", seen);
    }
}
