//! The verdict on every labelled capture, whatever it begins with, against what the server said.

mod support;

use std::collections::BTreeMap;

use observer_core::engine::Origin;
use observer_core::flow::{Direction, End};
use observer_core::protocol::{Conversation, Dissector, Verdict};
use observer_core::security::{ClientCertificate, Reason, Security};
use support::Label;

/// Feeds a capture in its own order, each direction in the order of its stream.
fn verdict(conversation: &support::Conversation) -> (Verdict, Conversation) {
    let mut reader = Conversation::new(Origin::Handshake);
    let mut waiting = conversation.runs.iter().collect::<Vec<_>>();
    let mut next = [0; 2];
    while let Some(at) = waiting.iter().position(|run| run.offset == next[run.direction.index()]) {
        let run = waiting.remove(at);
        next[run.direction.index()] += run.bytes.len() as u64;
        Dissector::data(&mut reader, run.direction, &run.bytes, run.acked);
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        Dissector::end(&mut reader, direction, End::Fin);
    }
    reader.conclude(Reason::TooLittleData);
    (reader.verdict(), reader)
}

/// What the label asks for; `None` where the server could not tell.
fn expected(label: &Label) -> Option<ClientCertificate> {
    if label.text("truth_source") == "none" || label.text("tls_version").is_empty() {
        return None;
    }
    if label.is("resumed") {
        return Some(ClientCertificate::Resumed);
    }
    match label.text("cert_presented") {
        "none" => Some(ClientCertificate::NotRequested),
        "empty" => Some(ClientCertificate::Declined),
        "" | "unknown" => None,
        _ => Some(ClientCertificate::Presented),
    }
}

#[test]
fn no_verdict_on_a_labelled_capture_is_wrong() {
    let (mut right, mut unknown, mut wrong) = (0, Vec::new(), Vec::new());
    for conversation in support::conversations(|_| true) {
        let label = &conversation.label;
        let (verdict, reader) = verdict(&conversation);
        let told = format!(
            "{}: {verdict:?}, {:?}, {:?}, note {:?}",
            label.text("file"),
            reader.protocol(),
            reader.encapsulation(),
            label.text("note"),
        );
        let Some(expected) = expected(label) else { continue };
        match verdict.client_certificate {
            ClientCertificate::Unknown => unknown.push(told),
            state if state == expected => right += 1,
            _ => wrong.push(format!("{told}, expected {expected:?}")),
        }
    }
    println!("right {right}, unknown {}, wrong {}", unknown.len(), wrong.len());
    println!("unknown:\n{}", unknown.join("\n"));
    assert!(wrong.is_empty(), "wrong:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_never_tls_is_never_called_tls_and_what_is_tls_never_plaintext() {
    for conversation in support::conversations(|_| true) {
        let label = &conversation.label;
        let (verdict, reader) = verdict(&conversation);
        let told =
            format!("{}: {verdict:?} {:?} {:?}", label.text("file"), reader.protocol(), label.text("app"));
        let tls = matches!(verdict.security, Security::MutualTls | Security::ServerTls | Security::Tls);
        if label.text("transport") == "no" {
            // Labelled by how its client was configured; its bytes are a STARTTLS upgrade and a whole TLS handshake.
            let mislabelled = label.text("corpus_case") == "nontls:mysql-plain";
            assert_eq!(tls, mislabelled, "{told}");
        } else if !label.text("tls_version").is_empty() {
            assert!(
                !matches!(verdict.security, Security::Plaintext | Security::Other | Security::Ssh),
                "{told}"
            );
        }
    }
}

type Piece = (Direction, Vec<u8>, u64);

fn generator(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap_or_default() % below.max(1)
    }
}

/// One capture of each kind that is not TLS from its first byte, and a few that are.
fn selection() -> Vec<support::Conversation> {
    let mut kinds = BTreeMap::new();
    for conversation in support::conversations(|_| true) {
        let label = &conversation.label;
        let direct = label.text("transport") == "direct";
        let fields = ["transport", "corpus_case", "app", "tls_version", "cert_presented"];
        let mut key = fields.map(|field| label.text(field).to_owned());
        if direct && matches!(label.text("corpus_case"), "plan" | "blind") {
            key[2].clear();
        }
        let bytes: usize = conversation.runs.iter().map(|run| run.bytes.len()).sum();
        if bytes < 20_000 {
            kinds.entry(key).or_insert(conversation);
        }
    }
    kinds.into_values().collect()
}

/// The runs in an order in which they could have been delivered, each direction in its own.
fn pieces(conversation: &support::Conversation) -> Vec<Piece> {
    let mut waiting: Vec<_> = conversation.runs.iter().collect();
    let mut next = [0; 2];
    let mut pieces = Vec::new();
    while let Some(at) = waiting.iter().position(|run| run.offset == next[run.direction.index()]) {
        let run = waiting.remove(at);
        next[run.direction.index()] += run.bytes.len() as u64;
        pieces.push((run.direction, run.bytes.clone(), run.acked));
    }
    pieces
}

fn fed(pieces: &[Piece], origin: Origin, ends: bool) -> (Verdict, Conversation) {
    let mut reader = Conversation::new(origin);
    for (direction, bytes, acked) in pieces {
        Dissector::data(&mut reader, *direction, bytes, *acked);
    }
    for direction in [Direction::ToServer, Direction::ToClient].into_iter().filter(|_| ends) {
        Dissector::end(&mut reader, direction, End::Fin);
    }
    reader.conclude(Reason::StillOpen);
    (reader.verdict(), reader)
}

#[test]
fn every_order_and_every_cut_of_a_capture_gives_the_same_answer() {
    for conversation in selection() {
        let file = conversation.label.text("file");
        let whole = pieces(&conversation);
        let (verdict, reader) = fed(&whole, Origin::Handshake, true);
        let same = |pieces: &[Piece], how: String| {
            let (other, other_reader) = fed(pieces, Origin::Handshake, true);
            assert_eq!(other, verdict, "{file}, {how}");
            assert_eq!(other_reader.protocol(), reader.protocol(), "{file}, {how}");
            assert_eq!(other_reader.encapsulation(), reader.encapsulation(), "{file}, {how}");
            assert_eq!(other_reader.exposed(), reader.exposed(), "{file}, {how}");
        };
        for first in [Direction::ToServer, Direction::ToClient] {
            let mut ordered = whole.clone();
            ordered.sort_by_key(|piece| piece.0 != first);
            same(&ordered, format!("{first:?} first"));
        }
        for seed in 0..12 {
            let mut random = generator(seed);
            let mut queues = [Direction::ToServer, Direction::ToClient].map(|direction| {
                let mut queue = Vec::new();
                for (_, bytes, acked) in whole.iter().filter(|piece| piece.0 == direction) {
                    let mut rest = bytes.as_slice();
                    while !rest.is_empty() {
                        let (cut, tail) = rest.split_at(1 + random(rest.len().min(200)));
                        queue.push((direction, cut.to_vec(), *acked));
                        rest = tail;
                    }
                }
                queue.reverse();
                queue
            });
            let mut mixed = Vec::new();
            while queues.iter().any(|queue| !queue.is_empty()) {
                mixed.extend(queues[random(2)].pop());
            }
            same(&mixed, format!("seed {seed}"));
        }
    }
}

#[test]
fn every_prefix_of_a_capture_gives_its_verdict_or_unknown() {
    for conversation in selection() {
        let file = conversation.label.text("file");
        let whole = pieces(&conversation);
        let (verdict, _) = fed(&whole, Origin::Handshake, true);
        for (at, (direction, bytes, acked)) in whole.iter().enumerate() {
            // All cuts near the beginning of a segment and a few in the rest of it.
            for length in (0..bytes.len().min(48)).chain((48..bytes.len()).step_by(97)) {
                let mut prefix = whole[..at].to_vec();
                prefix.push((*direction, bytes[..length].to_vec(), *acked));
                let (early, _) = fed(&prefix, Origin::Handshake, false);
                let (security, client) = (early.security, early.client_certificate);
                let told = format!("{file}, {length} bytes into segment {at}: {early:?}, whole {verdict:?}");
                let undecided = security == Security::Tls
                    && matches!(verdict.security, Security::MutualTls | Security::ServerTls);
                assert!(security == Security::Unknown || security == verdict.security || undecided, "{told}");
                assert!(
                    client == ClientCertificate::Unknown || client == verdict.client_certificate,
                    "{told}"
                );
            }
        }
    }
}

#[test]
fn a_capture_that_starts_late_is_never_called_something_else() {
    let why = Reason::StartedBeforeObserver;
    for conversation in selection() {
        let file = conversation.label.text("file");
        let whole = pieces(&conversation);
        let (verdict, _) = fed(&whole, Origin::Handshake, true);
        for start in 1..whole.len() {
            for oriented in [false, true] {
                let late = &whole[start..];
                let (seen, reader) = fed(late, Origin::MidStream { reason: why, oriented }, true);
                let told = format!("{file} from segment {start}: {seen:?} {:?}", reader.protocol());
                match seen.security {
                    Security::Unknown => {}
                    Security::Other => panic!("{told}"),
                    Security::Tls | Security::ServerTls | Security::MutualTls => {
                        let tls =
                            [Security::Tls, Security::ServerTls, Security::MutualTls, Security::Unknown];
                        assert!(tls.contains(&verdict.security), "{told}, whole {verdict:?}");
                    }
                    // A refused handshake can be answered in the clear, and later bytes then show no more.
                    _ if verdict.security == Security::Unknown => {}
                    security => assert_eq!(security, verdict.security, "{told}"),
                }
            }
        }
    }
}
