//! Dialogues made by hand, fed in every way: the answer may depend on the two streams alone.
// What is made here by hand fits its length fields.
#![allow(clippy::unwrap_used)]

use observer_core::engine::Origin;
use observer_core::flow::{Direction, End, Gap};
use observer_core::protocol::{Conversation, Dissector, Orientation, Progress, Verdict};
use observer_core::security::{Reason, Security};

const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;

/// One peer's turn.
type Turn<'a> = (Direction, &'a [u8]);

/// What a conversation came to.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    verdict: Verdict,
    protocol: Option<&'static str>,
    layers: Vec<&'static str>,
    exposed: Vec<&'static str>,
    injected: u64,
}

impl Answer {
    fn of(conversation: &Conversation) -> Self {
        let mut exposed: Vec<_> = conversation.exposed().iter().map(|kind| kind.name()).collect();
        exposed.sort_unstable();
        Self {
            verdict: conversation.verdict(),
            protocol: conversation.protocol().map(|protocol| protocol.name()),
            layers: conversation.encapsulation().iter().map(|layer| layer.name()).collect(),
            exposed,
            injected: conversation.injected_bytes(),
        }
    }
}

/// Turns of a dialogue in the order in which the peers took them.
#[derive(Clone)]
struct Dialogue(Vec<(Direction, Vec<u8>)>);

/// `(direction, bytes, acked)`.
type Piece = (Direction, Vec<u8>, u64);

impl Dialogue {
    fn new(turns: &[Turn]) -> Self {
        Self(turns.iter().map(|(direction, bytes)| (*direction, bytes.to_vec())).collect())
    }

    /// Each turn acknowledges everything before it.
    fn pieces(&self, size: usize) -> Vec<Piece> {
        let mut sent = [0_u64; 2];
        let mut pieces = Vec::new();
        for (direction, bytes) in &self.0 {
            let acked = sent[direction.reversed().index()];
            pieces.extend(bytes.chunks(size).map(|chunk| (*direction, chunk.to_vec(), acked)));
            sent[direction.index()] += bytes.len() as u64;
        }
        pieces
    }
}

fn run(pieces: &[Piece], origin: Origin, ends: bool) -> Answer {
    let mut conversation = Conversation::new(origin);
    let mut decided = None;
    for (direction, bytes, acked) in pieces {
        let progress = Dissector::data(&mut conversation, *direction, bytes, *acked);
        if let Some(before) = decided {
            assert_eq!(conversation.verdict(), before, "a verdict that stood has changed");
        } else if progress == Progress::Decided {
            decided = Some(conversation.verdict());
        }
    }
    if ends {
        for direction in BOTH {
            Dissector::end(&mut conversation, direction, End::Fin);
        }
    }
    conversation.conclude(Reason::StillOpen);
    if let Some(before) = decided {
        assert_eq!(conversation.verdict(), before, "the end changed a verdict that stood");
    }
    Answer::of(&conversation)
}

fn generator(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap() % below.max(1)
    }
}

/// Another feeding of the same streams: each direction in its order, cut anew, the directions in any order.
fn shuffled(pieces: &[Piece], seed: u64) -> Vec<Piece> {
    let mut random = generator(seed);
    let mut queues = BOTH.map(|direction| {
        let mut queue: Vec<Piece> = Vec::new();
        for (_, bytes, acked) in pieces.iter().filter(|piece| piece.0 == direction) {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (cut, tail) = rest.split_at(1 + random(rest.len()));
                queue.push((direction, cut.to_vec(), *acked));
                rest = tail;
            }
        }
        queue.reverse();
        queue
    });
    let bias = 1 + random(9);
    let mut mixed = Vec::new();
    while queues.iter().any(|queue| !queue.is_empty()) {
        let side = usize::from(random(10) >= bias);
        if let Some(piece) = queues[side].pop() {
            mixed.push(piece);
        }
    }
    mixed
}

/// The answer to a dialogue, after every way of feeding it gave the same and every prefix the same or `unknown`.
fn check(turns: &[Turn]) -> Answer {
    let dialogue = Dialogue::new(turns);
    let whole = dialogue.pieces(usize::MAX);
    let answer = run(&whole, Origin::Handshake, true);
    assert_eq!(run(&dialogue.pieces(1), Origin::Handshake, true), answer, "byte by byte");
    for first in BOTH {
        let mut ordered = whole.clone();
        ordered.sort_by_key(|piece| piece.0 != first);
        assert_eq!(run(&ordered, Origin::Handshake, true), answer, "{first:?} first");
    }
    for seed in 0..100 {
        assert_eq!(run(&shuffled(&whole, seed), Origin::Handshake, true), answer, "seed {seed}");
    }
    let bytes = dialogue.pieces(1);
    for end in 0..bytes.len() {
        let prefix = run(&bytes[..end], Origin::Handshake, false);
        let security = prefix.verdict.security;
        assert!(
            security == Security::Unknown || security == answer.verdict.security,
            "{security:?} after {end} bytes, {:?} after all",
            answer.verdict.security
        );
    }
    answer
}

fn is(answer: &Answer, security: Security, protocol: Option<&str>, layers: &[&str], exposed: &[&str]) {
    assert_eq!(answer.verdict.security, security, "{answer:?}");
    assert_eq!(answer.protocol, protocol, "{answer:?}");
    assert_eq!(answer.layers, layers, "{answer:?}");
    assert_eq!(answer.exposed, exposed, "{answer:?}");
}

fn plain(turns: &[Turn], protocol: &str, exposed: &[&str]) {
    is(&check(turns), Security::Plaintext, Some(protocol), &[], exposed);
}

/// A dialogue that ends in a TLS handshake of which the hellos are there.
fn tls(turns: &[Turn], layers: &[&str], exposed: &[&str]) -> Answer {
    let (client, server) = (client_hello(), server_hello());
    let mut all = turns.to_vec();
    all.push((C, &client));
    all.push((S, &server));
    let answer = check(&all);
    is(&answer, answer.verdict.security, Some("tls"), layers, exposed);
    let possible = [Security::Unknown, Security::Tls, Security::ServerTls, Security::MutualTls];
    assert!(possible.contains(&answer.verdict.security), "{answer:?}");
    answer
}

fn record(message: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 3];
    record.extend((length + 4).to_be_bytes());
    record.extend([message, 0]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    record(1, &body)
}

fn server_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([0, 0xc0, 0x2f, 0]);
    record(2, &body)
}

const GREETING: &[u8] = b"220 mail.example ESMTP\r\n";
const EHLO: &[u8] = b"EHLO client.example\r\n";
const CAPABILITIES: &[u8] = b"250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n";

#[test]
fn smtp_that_goes_on_in_the_clear_is_plaintext() {
    plain(&[(S, GREETING), (C, EHLO), (S, CAPABILITIES), (C, b"MAIL FROM:<a@b>\r\n")], "smtp", &[]);
    let login: &[Turn] = &[(S, GREETING), (C, EHLO), (S, CAPABILITIES), (C, b"AUTH PLAIN AGEAYg==\r\n")];
    plain(login, "smtp", &["authorization"]);
    plain(&[(S, GREETING), (C, EHLO), (S, CAPABILITIES), (C, b"QUIT\r\n"), (S, b"221 bye\r\n")], "smtp", &[]);
}

#[test]
fn smtp_of_which_only_the_greetings_were_seen_is_unknown() {
    let answer = check(&[(S, GREETING), (C, EHLO), (S, CAPABILITIES)]);
    assert_eq!(answer.verdict.security, Security::Unknown);
    assert_eq!(answer.verdict.reason, Some(Reason::TooLittleData));
    let asked: &[Turn] = &[(S, GREETING), (C, EHLO), (S, CAPABILITIES), (C, b"STARTTLS\r\n")];
    assert_eq!(check(asked).verdict.reason, Some(Reason::HandshakeIncomplete));
}

#[test]
fn a_refused_starttls_stays_plaintext() {
    let refused: &[Turn] = &[
        (S, GREETING),
        (C, EHLO),
        (S, CAPABILITIES),
        (C, b"STARTTLS\r\n"),
        (S, b"454 not now\r\n"),
        (C, b"MAIL FROM:<a@b>\r\n"),
    ];
    plain(refused, "smtp", &[]);
}

#[test]
fn tls_is_found_behind_starttls() {
    let smtp: &[Turn] =
        &[(S, GREETING), (C, EHLO), (S, CAPABILITIES), (C, b"STARTTLS\r\n"), (S, b"220 go ahead\r\n")];
    tls(smtp, &["starttls_smtp"], &[]);
    let imap: &[Turn] = &[
        (S, b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
        (C, b"a1 CAPABILITY\r\n"),
        (S, b"* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n"),
        (C, b"a2 STARTTLS\r\n"),
        (S, b"a2 OK begin\r\n"),
    ];
    tls(imap, &["starttls_imap"], &[]);
    let pop3: &[Turn] = &[
        (S, b"+OK ready\r\n"),
        (C, b"CAPA\r\n"),
        (S, b"+OK list\r\nSTLS\r\nUSER\r\n.\r\n"),
        (C, b"STLS\r\n"),
        (S, b"+OK begin\r\n"),
    ];
    tls(pop3, &["starttls_pop3"], &[]);
    let ftp: &[Turn] = &[
        (S, b"220-Welcome\r\n to it\r\n220 FTP ready\r\n"),
        (C, b"FEAT\r\n"),
        (S, b"211-Features:\r\n AUTH TLS\r\n211 End\r\n"),
        (C, b"AUTH TLS\r\n"),
        (S, b"234 proceed\r\n"),
    ];
    tls(ftp, &["starttls_ftp"], &[]);
}

#[test]
fn what_is_injected_before_the_client_hello_is_counted() {
    let injected: &[Turn] = &[
        (S, GREETING),
        (C, EHLO),
        (S, CAPABILITIES),
        (C, b"STARTTLS\r\nNOOP\r\n"),
        (S, b"220 go ahead\r\n"),
    ];
    assert_eq!(tls(injected, &["starttls_smtp"], &[]).injected, 6);
}

#[test]
fn an_accepted_upgrade_that_is_followed_by_something_else_is_no_tls() {
    let turns: &[Turn] = &[
        (S, GREETING),
        (C, EHLO),
        (S, CAPABILITIES),
        (C, b"STARTTLS\r\n"),
        (S, b"220 go ahead\r\n"),
        (C, &[0x16, 0xff, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ];
    let answer = check(turns);
    is(&answer, Security::Other, None, &["starttls_smtp"], &[]);
}

#[test]
fn imap_pop3_and_ftp_logins_are_plaintext() {
    let imap: &[Turn] = &[(S, b"* OK ready\r\n"), (C, b"a LOGIN u p\r\n"), (S, b"a OK done\r\n")];
    plain(imap, "imap", &["password"]);
    let pop3: &[Turn] = &[(S, b"+OK ready\r\n"), (C, b"USER u\r\n"), (S, b"+OK\r\n"), (C, b"PASS p\r\n")];
    plain(pop3, "pop3", &["password"]);
    let ftp: &[Turn] =
        &[(S, b"220 ready\r\n"), (C, b"USER u\r\n"), (S, b"331 password\r\n"), (C, b"PASS p\r\n")];
    plain(ftp, "ftp", &["password"]);
}

fn postgresql_startup() -> Vec<u8> {
    let mut startup = vec![0, 0, 0, 0, 0, 3, 0, 0];
    startup.extend(b"user\0test\0database\0postgres\0\0");
    startup[3] = u8::try_from(startup.len()).unwrap();
    startup
}

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];

#[test]
fn postgresql_in_the_clear_after_refused_encryption_is_plaintext() {
    let startup = postgresql_startup();
    let cleartext: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 3];
    let turns: &[Turn] = &[
        (C, GSS_REQUEST),
        (S, b"N"),
        (C, SSL_REQUEST),
        (S, b"N"),
        (C, &startup),
        (S, cleartext),
        (C, b"p\0\0\0\x09pass\0"),
    ];
    plain(turns, "postgresql", &["password"]);
    let trusted: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 0];
    plain(&[(C, &startup), (S, trusted)], "postgresql", &[]);
}

#[test]
fn postgresql_tls_is_found_behind_its_request() {
    tls(&[(C, SSL_REQUEST), (S, b"S")], &["starttls_postgresql"], &[]);
    tls(&[(C, GSS_REQUEST), (S, b"N"), (C, SSL_REQUEST), (S, b"S")], &["starttls_postgresql"], &[]);
}

fn mysql_greeting() -> Vec<u8> {
    let mut greeting = vec![0, 0, 0, 0, 10];
    greeting.extend(b"8.0.40\0");
    greeting.extend([1, 0, 0, 0]);
    greeting.extend(b"saltsalt\0");
    greeting.extend([0xff, 0xff, 0xff, 2, 0, 0xff, 0xdf, 21]);
    greeting.extend([0; 10]);
    greeting.extend(b"saltsaltsalt\0caching_sha2_password\0");
    greeting[0] = u8::try_from(greeting.len() - 4).unwrap();
    greeting
}

fn mysql_packet(flags: u32, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![u8::try_from(32 + rest.len()).unwrap(), 0, 0, 1];
    packet.extend(flags.to_le_bytes());
    packet.extend([0, 0, 0, 1, 45]);
    packet.extend([0; 23]);
    packet.extend(rest);
    packet
}

#[test]
fn mysql_is_told_from_its_upgrade() {
    let (greeting, login) = (mysql_greeting(), mysql_packet(0x0008_a205, b"root\0\x04hash"));
    plain(&[(S, &greeting), (C, &login)], "mysql", &["password"]);
    tls(&[(S, &greeting), (C, &mysql_packet(0x0008_aa05, b""))], &["starttls_mysql"], &[]);
}

#[test]
fn ldap_is_told_from_its_upgrade() {
    let mut extended = vec![0x30, 29, 2, 1, 1, 0x77, 24, 0x80, 22];
    extended.extend(b"1.3.6.1.4.1.1466.20037");
    let accepted: &[u8] = &[0x30, 12, 2, 1, 1, 0x78, 7, 10, 1, 0, 4, 0, 4, 0];
    let refused: &[u8] = &[0x30, 12, 2, 1, 1, 0x78, 7, 10, 1, 2, 4, 0, 4, 0];
    let bind: &[u8] = &[0x30, 15, 2, 1, 2, 0x60, 10, 2, 1, 3, 4, 2, b'c', b'n', 0x80, 1, b'p'];
    let bound: &[u8] = &[0x30, 12, 2, 1, 2, 0x61, 7, 10, 1, 0, 4, 0, 4, 0];
    tls(&[(C, &extended), (S, accepted)], &["starttls_ldap"], &[]);
    plain(&[(C, &extended), (S, refused), (C, bind), (S, bound)], "ldap", &["password"]);
    plain(&[(C, bind), (S, bound)], "ldap", &["password"]);
}

#[test]
fn redis_mqtt_amqp_dns_and_kafka_are_named_when_both_sides_agree() {
    let auth: &[Turn] = &[(C, b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"), (S, b"+OK\r\n")];
    plain(auth, "redis", &["password"]);
    plain(&[(C, b"*1\r\n$4\r\nPING\r\n"), (S, b"+PONG\r\n")], "redis", &[]);
    let connect: &[u8] = b"\x10\x12\0\x04MQTT\x04\xc2\0\x3c\0\0\0\x01u\0\x01p";
    plain(&[(C, connect), (S, &[0x20, 2, 0, 0])], "mqtt", &["password"]);
    let start: &[u8] = &[1, 0, 0, 0, 0, 0, 20, 0, 10, 0, 10, 0, 9];
    let start_ok = b"\x01\0\0\0\0\0\x12\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\0\xce";
    plain(&[(C, b"AMQP\0\0\x09\x01"), (S, start), (C, start_ok)], "amqp", &["password"]);
    plain(&[(C, b"AMQP\0\x01\0\0"), (S, b"AMQP\0\x01\0\0")], "amqp", &[]);
    let query = b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
    let reply = b"\0\x1d\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
    plain(&[(C, query), (S, reply)], "dns", &[]);
    let request = b"\0\0\0\x0e\0\x12\0\0\0\0\0\x07\0\x04test";
    plain(&[(C, request), (S, b"\0\0\0\x0a\0\0\0\x07\0\0\0\0\0\0")], "kafka", &[]);
}

#[test]
fn an_answer_that_does_not_fit_takes_the_name_away() {
    let query: &[u8] = b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
    let kafka: &[u8] = b"\0\0\0\x0e\0\x12\0\0\0\0\0\x07\0\x04test";
    for (client, server) in [
        (query, &b"\0\x1d\x12\x35\x81\x80\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01"[..]),
        (kafka, b"\0\0\0\x0a\0\0\0\x08\0\0\0\0\0\0"),
        (b"*1\r\n$4\r\nPING\r\n", b"hello there\r\n"),
        (SSL_REQUEST, b"X"),
        (&[5, 1, 0], b"\x05\xff"),
    ] {
        is(&check(&[(C, client), (S, server)]), Security::Other, None, &[], &[]);
    }
}

#[test]
fn ssh_is_named_from_both_sides_or_from_a_server_whose_client_left() {
    let (client, server) =
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], &b"welcome\r\nSSH-2.0-dropbear\r\n\0\0\x01\xfc"[..]);
    is(&check(&[(S, server), (C, client)]), Security::Ssh, Some("ssh"), &[], &[]);
    is(&check(&[(S, b"SSH-2.0-dropbear\r\n")]), Security::Ssh, Some("ssh"), &[], &[]);
}

#[test]
fn prefixes_are_taken_off_one_after_another() {
    let proxy1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n";
    let proxy2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\xe8\xc0\x9cJ";
    tls(&[(C, proxy1)], &["proxy_v1"], &[]);
    tls(&[(C, proxy2)], &["proxy_v2"], &[]);
    let socks4: &[Turn] = &[(C, b"\x04\x01\x01\xbb\0\0\0\x01me\0host.example\0"), (S, b"\0Z\0\0\0\0\0\0")];
    tls(socks4, &["socks4"], &[]);
    let socks5: &[Turn] = &[
        (C, proxy1),
        (C, b"\x05\x02\0\x02"),
        (S, b"\x05\x02"),
        (C, b"\x01\x01u\x01p"),
        (S, b"\x01\0"),
        (C, b"\x05\x01\0\x03\x04host\x01\xbb"),
        (S, b"\x05\0\0\x01\x7f\0\0\x01u2"),
    ];
    tls(socks5, &["proxy_v1", "socks5"], &["password"]);
    let connect: &[Turn] = &[
        (C, b"CONNECT host:443 HTTP/1.1\r\nProxy-Authorization: Basic x\r\n\r\n"),
        (S, b"HTTP/1.1 200 Connection established\r\n\r\n"),
    ];
    tls(connect, &["http_connect"], &["authorization"]);
}

#[test]
fn a_tunnel_that_opens_with_the_second_request_is_found() {
    let turns: &[Turn] = &[
        (C, b"CONNECT host:443 HTTP/1.1\r\nHost: host\r\n\r\n"),
        (S, b"HTTP/1.1 407 Who?\r\nContent-Length: 2\r\n\r\nno"),
        (C, b"CONNECT host:443 HTTP/1.1\r\nHost: host\r\nProxy-Authorization: Basic x\r\n\r\n"),
        (S, b"HTTP/1.1 200 OK\r\n\r\n"),
    ];
    let (client, server) = (client_hello(), server_hello());
    let mut all = turns.to_vec();
    all.extend([(C, client.as_slice()), (S, server.as_slice())]);
    let pieces = Dialogue::new(&all).pieces(usize::MAX);
    let answer = run(&pieces, Origin::Handshake, true);
    is(&answer, answer.verdict.security, Some("tls"), &["http_connect"], &["authorization"]);
    for seed in 0..200 {
        assert_eq!(run(&shuffled(&pieces, seed), Origin::Handshake, true), answer, "seed {seed}");
    }
    // No verdict may stand while the client may try again.
    let mut conversation = Conversation::new(Origin::Handshake);
    for (direction, bytes, acked) in &pieces[..3] {
        let progress = Dissector::data(&mut conversation, *direction, bytes, *acked);
        assert_eq!((progress, conversation.verdict().security), (Progress::Undecided, Security::Unknown));
    }
}

#[test]
fn a_refused_connect_is_plaintext_http() {
    let turns: &[Turn] = &[
        (C, b"CONNECT host:443 HTTP/1.1\r\nHost: host\r\n\r\n"),
        (S, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
    ];
    is(&check(turns), Security::Plaintext, Some("http"), &[], &[]);
}

#[test]
fn layers_nested_too_deep_are_unknown() {
    let mut turns: Vec<(Direction, &[u8])> = vec![(C, b"PROXY UNKNOWN\r\n"); 5];
    turns.push((C, b"GET / HTTP/1.1\r\n\r\n"));
    let answer = check(&turns);
    assert_eq!(answer.verdict.reason, Some(Reason::NotRecognized));
    assert_eq!(answer.layers.len(), 4);
}

#[test]
fn nothing_recognises_other_bytes() {
    is(&check(&[(C, &[0x1c; 300])]), Security::Other, None, &[], &[]);
    is(&check(&[(C, b"hello\r\n"), (S, b"who are you\r\n")]), Security::Other, None, &[], &[]);
    is(&check(&[(C, b"QUIT\r\n"), (S, b"220 hi\r\n221 bye\r\n")]), Security::Other, None, &[], &[]);
}

#[test]
fn contradicting_streams_are_never_named_after_one_of_them() {
    let hello = client_hello();
    let answer = check(&[(S, GREETING), (C, &hello)]);
    assert!(matches!(answer.verdict.security, Security::Unknown | Security::Other), "{answer:?}");
    let answer = check(&[(S, &mysql_greeting()), (C, b"EHLO x\r\n")]);
    is(&answer, Security::Other, None, &[], &[]);
}

#[test]
fn no_bytes_and_too_few_bytes_say_so() {
    assert_eq!(check(&[]).verdict.reason, Some(Reason::NoData));
    assert_eq!(check(&[(C, &client_hello()[..3])]).verdict.reason, Some(Reason::TooLittleData));
    assert_eq!(check(&[(S, GREETING)]).verdict.reason, Some(Reason::TooLittleData));
}

#[test]
fn a_client_that_begins_with_an_alert_failed_its_handshake() {
    let answer = check(&[(C, &[21, 3, 1, 0, 2, 2, 40]), (S, b"HTTP/1.1 400 Bad Request\r\n\r\n")]);
    assert_eq!(answer.verdict.security, Security::Unknown);
    assert_eq!(answer.verdict.reason, Some(Reason::HandshakeFailed));
}

#[test]
fn a_gap_before_the_verdict_is_its_reason_in_any_order() {
    for server_first in [false, true] {
        let mut conversation = Conversation::new(Origin::Handshake);
        let greet = |conversation: &mut Conversation| {
            Dissector::data(conversation, S, GREETING, 0);
            Dissector::gap(conversation, S, 60, Gap::Lost);
            Dissector::data(conversation, S, b"220 go ahead\r\n", 40);
        };
        if server_first {
            greet(&mut conversation);
        }
        Dissector::data(&mut conversation, C, EHLO, 24);
        if !server_first {
            greet(&mut conversation);
        }
        conversation.conclude(Reason::StillOpen);
        let verdict = conversation.verdict();
        assert_eq!((verdict.security, verdict.reason), (Security::Unknown, Some(Reason::Lost)));
    }
}

#[test]
fn the_middle_of_a_connection_is_told_by_what_it_shows() {
    let why = Reason::StartedBeforeObserver;
    let guessed = Origin::MidStream { reason: why, oriented: false };
    let certain = Origin::MidStream { reason: why, oriented: true };
    let mut records = Vec::new();
    for length in [40_u8, 30, 20] {
        records.extend([23, 3, 3, 0, length]);
        records.extend(vec![length; usize::from(length)]);
    }
    let one = |direction, bytes: &[u8], origin| {
        let dialogue = Dialogue::new(&[(direction, bytes)]);
        let answer = run(&dialogue.pieces(1), origin, false);
        assert_eq!(run(&dialogue.pieces(usize::MAX), origin, false), answer);
        answer
    };
    for direction in BOTH {
        let answer = one(direction, &records, guessed);
        assert_eq!((answer.verdict.security, answer.verdict.reason), (Security::Tls, Some(why)));
        assert_eq!(answer.protocol, Some("tls"));
        // A record's middle shows nothing, and nothing is not plaintext.
        let answer = one(direction, &records[3..], guessed);
        assert_eq!((answer.verdict.security, answer.verdict.reason), (Security::Unknown, Some(why)));
        let answer = one(direction, b"\x1c\x1c no protocol at all", certain);
        assert_eq!((answer.verdict.security, answer.verdict.reason), (Security::Unknown, Some(why)));
    }
    let answer = one(S, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", certain);
    assert_eq!((answer.verdict.security, answer.protocol), (Security::Plaintext, Some("http")));
    // It could be the answer to a CONNECT, behind which anything follows.
    let answer = one(S, b"HTTP/1.1 200 Connection established\r\n\r\n", certain);
    assert_eq!((answer.verdict.security, answer.verdict.reason), (Security::Unknown, Some(why)));
}

#[test]
fn an_alert_in_the_middle_turns_no_direction_round() {
    let origin = Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented: false };
    let mut conversation = Conversation::new(origin);
    Dissector::data(&mut conversation, S, &[21, 3, 3, 0, 2, 2, 40], u64::MAX);
    conversation.conclude(Reason::StillOpen);
    assert_eq!(conversation.orientation(), Orientation::Assumed);
    assert_eq!(conversation.verdict().security, Security::Unknown);
}

#[test]
fn a_request_turns_a_guessed_direction_round() {
    let origin = Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented: false };
    let (request, response) =
        (&b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"[..], &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..]);
    for request_first in [true, false] {
        let mut conversation = Conversation::new(origin);
        let mut turns = [(S, request), (C, response)];
        if !request_first {
            turns.reverse();
        }
        for (direction, bytes) in turns {
            Dissector::data(&mut conversation, direction, bytes, u64::MAX);
        }
        assert_eq!(conversation.orientation(), Orientation::Reversed);
        assert_eq!(conversation.verdict().security, Security::Plaintext);
        let http = conversation.http().unwrap();
        assert_eq!((http.requests, http.missed, http.missed_unknown), (1, 0, true));
    }
    let mut known =
        Conversation::new(Origin::MidStream { reason: Reason::CameIntoScopeLate, oriented: true });
    Dissector::data(&mut known, S, request, u64::MAX);
    known.conclude(Reason::StillOpen);
    assert_eq!(known.verdict().security, Security::Unknown);
}

#[test]
fn what_was_asked_before_is_not_called_none_but_where_the_beginning_is_seen_all_the_same() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (bytes, missed) in [(&b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"[..], true), (PREFACE, false)] {
        for reason in [Reason::StartedBeforeObserver, Reason::CameIntoScopeLate] {
            let mut conversation = Conversation::new(Origin::MidStream { reason, oriented: true });
            Dissector::data(&mut conversation, C, bytes, u64::MAX);
            conversation.conclude(Reason::StillOpen);
            assert_eq!(conversation.verdict().security, Security::Plaintext);
            assert_eq!(conversation.http().unwrap().missed_unknown, missed, "{bytes:?}");
        }
        let mut whole = Conversation::new(Origin::Handshake);
        Dissector::data(&mut whole, C, bytes, u64::MAX);
        whole.conclude(Reason::StillOpen);
        assert!(!whole.http().unwrap().missed_unknown);
    }
}

#[test]
fn arbitrary_interleaved_bytes_do_no_harm() {
    for seed in 0..3000 {
        let mut random = generator(seed);
        let alphabet: &[u8] = match seed % 3 {
            0 => b"\x00\x01\x02\x03\x16\x17\x05\x04\x30\r\n *$",
            1 => b"220 +OKEHLOSTARTTLS\r\n-*a",
            _ => &[0, 3, 1, 8, 4, 210, 22, 47, b'S', b'N', b'\n', 255],
        };
        let bytes: Vec<u8> = (0..random(400)).map(|_| alphabet[random(alphabet.len())]).collect();
        let mut conversation = Conversation::new(Origin::Handshake);
        conversation.feed_interleaved(&bytes);
        conversation.conclude(Reason::StillOpen);
        assert!(conversation.held() < 8192, "seed {seed}");
    }
}

#[test]
fn what_waits_is_bounded_and_given_back() {
    let mut conversation = Conversation::new(Origin::Handshake);
    Dissector::data(&mut conversation, C, EHLO, 0);
    for _ in 0..1000 {
        Dissector::data(&mut conversation, C, &[b'x'; 1400], 0);
        assert!(conversation.held() < 140 * 1024);
    }
    conversation.conclude(Reason::TimedOut);
    assert_eq!(conversation.verdict().security, Security::Unknown);
    assert!(conversation.held() < 1024);
}

#[test]
fn a_trickled_client_hello_stays_small() {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0, 5, 120, 0, 21, 5, 116]);
    body.extend([0; 1396]);
    let hello = record(1, &body);
    let mut conversation = Conversation::new(Origin::Handshake);
    for byte in &hello[..hello.len() - 1] {
        Dissector::data(&mut conversation, C, &[*byte], 0);
        let size = conversation.held() + size_of::<Conversation>();
        assert!(size < 3 * 1024 + 512, "{size}");
    }
}
