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
