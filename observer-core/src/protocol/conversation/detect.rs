//! Which protocol two streams begin with.
//!
//! The client's stream is asked first, and the server's only where the client's cannot answer; which of the two came
//! first plays no part. The table, from top to bottom:
//!
//! | the client's stream | then |
//! |---|---|
//! | begins like one that a client opens (TLS, PROXY, SOCKS, HTTP, HTTP/2, SSH, PostgreSQL, Redis, MQTT, AMQP, LDAP, DNS, Kafka) | that one's reader; it checks the server's stream itself |
//! | begins with a TLS alert | TLS that failed |
//! | could still become one of these | wait for the client; if its stream stopped: too little data |
//! | is a line of text, and the server's stream begins with a greeting of SMTP, FTP, IMAP or POP3 | that one's reader |
//! | is a second packet of MySQL, and the server's stream is its greeting | MySQL's reader |
//! | is a line or such a packet, and the server's stream is open | wait for the server |
//! | is empty and open | wait for the client, whatever the server said |
//! | is empty and ended | SSH if the server's stream is an SSH identification; otherwise nothing is certain |
//! | anything else | nothing recognises it |
//!
//! The beginnings are disjoint: no bytes satisfy two of them, so the order in which they are asked does not matter.

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::conversation::stream::Stop;
use crate::protocol::conversation::{Reader, Streams};
use crate::protocol::http;
use crate::protocol::named::{Amqp, Dns, Kafka, Ldap, Mqtt, Mysql, Postgresql, Redis, Ssh, Text};
use crate::protocol::prefix::http_connect::HttpConnect;
use crate::protocol::prefix::proxy::Proxy;
use crate::protocol::prefix::socks4::Socks4;
use crate::protocol::prefix::socks5::Socks5;
use crate::protocol::{Detect, tls};

/// What the beginnings of the two streams are.
#[derive(Debug)]
pub(crate) enum Choice {
    /// More bytes of this direction are needed.
    Wait(Direction),
    Tls,
    Http,
    /// A reader of its own.
    Reader(Box<dyn Reader + Send>),
    /// Nothing recognises them.
    Nothing,
    /// They could have become something, but a stream stopped.
    TooLittle(Option<Stop>),
}

/// Whether `bytes` begin with `start`.
pub(crate) fn begins(bytes: &[u8], start: &[u8]) -> Detect {
    if bytes.starts_with(start) {
        Detect::Yes
    } else if start.starts_with(bytes) {
        Detect::NeedMore
    } else {
        Detect::No
    }
}

/// The table above.
pub(crate) fn choose(streams: &Streams) -> Choice {
    let (client, server) = (streams.of(ToServer), streams.of(ToClient));
    let bytes = client.bytes();
    let mut open = bytes.is_empty();
    if !open {
        match opened_by_client(bytes) {
            Ok(choice) => return choice,
            Err(undecided) => open = undecided,
        }
    }
    if open {
        return match client.stop() {
            None => Choice::Wait(ToServer),
            Some(stop) if bytes.is_empty() => silent_client(streams, stop),
            Some(stop @ Stop::Gap(_)) => without_client(streams, stop),
            Some(stop) => Choice::TooLittle(Some(stop)),
        };
    }
    let line = bytes.iter().take(4).all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n'));
    let packet = match bytes {
        [_, _, high, ..] if *high != 0 => false,
        [_, _, _, sequence, ..] => *sequence == 1,
        _ => true,
    };
    if (line || packet) && bytes.len() < 4 && client.stop().is_none() {
        return Choice::Wait(ToServer);
    }
    let mut open = false;
    if line {
        match Text::detect(server.bytes()) {
            Some(Ok(text)) => return Choice::Reader(Box::new(text)),
            Some(Err(())) => open = true,
            None => {}
        }
    }
    if packet {
        match Mysql::detect(server.bytes()) {
            Detect::Yes => return Choice::Reader(Box::new(Mysql::default())),
            Detect::NeedMore => open = true,
            Detect::No => {}
        }
    }
    match server.stop() {
        _ if !open => Choice::Nothing,
        None => Choice::Wait(ToClient),
        Some(Stop::End(_)) => Choice::Nothing,
        Some(stop) => Choice::TooLittle(Some(stop)),
    }
}

/// What a client's bytes show by themselves; `Err(true)` while they could still show something.
pub(crate) fn opened_by_client(bytes: &[u8]) -> Result<Choice, bool> {
    let mut open = false;
    let mut found = |detect: Detect| {
        open |= detect == Detect::NeedMore;
        detect == Detect::Yes
    };
    // A client that begins with an alert gave up before its hello; the form is that of a server's first alert.
    let alert = bytes.first() == Some(&21) && found(tls::detect(ToClient, bytes));
    if alert || found(tls::detect(ToServer, bytes)) {
        return Ok(Choice::Tls);
    }
    if let Some(reader) = reader(bytes, &mut found) {
        return Ok(Choice::Reader(reader));
    }
    if found(http::detect(ToServer, bytes)) {
        return Ok(Choice::Http);
    }
    Err(open)
}

fn reader(bytes: &[u8], found: &mut impl FnMut(Detect) -> bool) -> Option<Box<dyn Reader + Send>> {
    if found(Proxy::detect(bytes)) {
        return Some(Box::new(Proxy));
    }
    if found(HttpConnect::detect(bytes)) {
        return Some(Box::new(HttpConnect::default()));
    }
    if found(Ssh::detect(bytes)) {
        return Some(Box::new(Ssh::default()));
    }
    if found(Socks4::detect(bytes)) {
        return Some(Box::new(Socks4::default()));
    }
    if found(Socks5::detect(bytes)) {
        return Some(Box::new(Socks5::default()));
    }
    if found(Postgresql::detect(bytes)) {
        return Some(Box::new(Postgresql::default()));
    }
    if found(Redis::detect(bytes)) {
        return Some(Box::new(Redis::default()));
    }
    if found(Mqtt::detect(bytes)) {
        return Some(Box::new(Mqtt::default()));
    }
    if found(Amqp::detect(bytes)) {
        return Some(Box::new(Amqp::default()));
    }
    if found(Ldap::detect(bytes)) {
        return Some(Box::new(Ldap::default()));
    }
    if found(Dns::detect(bytes)) {
        return Some(Box::new(Dns));
    }
    if found(Kafka::detect(bytes)) {
        return Some(Box::new(Kafka));
    }
    None
}

/// The client's stream stopped before its first byte.
fn silent_client(streams: &Streams, stop: Stop) -> Choice {
    if matches!(stop, Stop::Gap(_)) {
        return without_client(streams, stop);
    }
    let server = streams.of(ToClient);
    if server.bytes().is_empty() {
        return if server.stop().is_none() {
            Choice::Wait(ToClient)
        } else {
            Choice::TooLittle(server.stop())
        };
    }
    let (ssh, hello) = (Ssh::detect(server.bytes()), tls::detect(ToClient, server.bytes()));
    let text = Text::detect(server.bytes());
    let mysql = Mysql::detect(server.bytes());
    if ssh == Detect::Yes {
        return Choice::Reader(Box::new(Ssh::server_only()));
    }
    let greeting = matches!(text, Some(Ok(_))) || mysql == Detect::Yes || hello == Detect::Yes;
    let open = matches!(text, Some(Err(()))) || [ssh, hello, mysql].contains(&Detect::NeedMore);
    match server.stop() {
        // A greeting and nothing else: both TLS and plaintext could have followed.
        _ if greeting => Choice::TooLittle(Some(stop)),
        // The client may only not have spoken yet.
        _ if !open && matches!(stop, Stop::End(_)) => Choice::Nothing,
        _ if !open => Choice::TooLittle(Some(stop)),
        None => Choice::Wait(ToClient),
        other => Choice::TooLittle(other),
    }
}

/// The client's stream is missing from its first byte on; only a ServerHello tells by itself.
fn without_client(streams: &Streams, stop: Stop) -> Choice {
    let server = streams.of(ToClient);
    match (tls::detect(ToClient, server.bytes()), server.stop()) {
        (Detect::Yes, _) if server.bytes().first() == Some(&22) => Choice::Tls,
        (Detect::NeedMore, None) => Choice::Wait(ToClient),
        _ => Choice::TooLittle(Some(stop)),
    }
}
