//! The verdict on every labelled capture, whatever it begins with, against what the server said.

mod support;

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

/// Where each direction of a capture is cut: at the same moment of the capture, as a late observer would.
fn from_the_middle(conversation: &support::Conversation, start: usize, oriented: bool) -> Verdict {
    let why = Reason::StartedBeforeObserver;
    let mut reader = Conversation::new(Origin::MidStream { reason: why, oriented });
    let mut next = [None; 2];
    for run in conversation.runs.iter().skip(start) {
        let at = &mut next[run.direction.index()];
        // Only what follows in order; the rest of a re-ordered capture is left out, as if it had been lost.
        if at.is_none_or(|at| at == run.offset) {
            *at = Some(run.offset + run.bytes.len() as u64);
            Dissector::data(&mut reader, run.direction, &run.bytes, run.acked);
        }
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        Dissector::end(&mut reader, direction, End::Fin);
    }
    reader.conclude(why);
    reader.verdict()
}

#[test]
fn no_verdict_from_the_middle_of_a_labelled_capture_is_wrong() {
    let mut seed = 1_u64;
    for conversation in support::conversations(|_| true) {
        let label = &conversation.label;
        let tls = !label.text("tls_version").is_empty();
        for oriented in [true, false] {
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let runs = u64::try_from(conversation.runs.len().max(1)).unwrap_or(1);
                let start = usize::try_from((seed >> 33) % runs).unwrap_or(0);
                let verdict = from_the_middle(&conversation, start, oriented);
                let told =
                    format!("{} from run {start}, oriented {oriented}: {verdict:?}", label.text("file"));
                if tls {
                    assert!(!matches!(verdict.security, Security::Plaintext | Security::Ssh), "{told}");
                    assert_ne!(verdict.security, Security::Other, "{told}");
                    if let Some(expected) = expected(label)
                        && verdict.client_certificate != ClientCertificate::Unknown
                    {
                        assert_eq!(verdict.client_certificate, expected, "{told}");
                    }
                } else if label.text("transport") == "no" && label.text("corpus_case") != "nontls:mysql-plain"
                {
                    assert!(
                        !matches!(
                            verdict.security,
                            Security::Tls | Security::ServerTls | Security::MutualTls
                        ),
                        "{told}"
                    );
                }
            }
        }
    }
}
