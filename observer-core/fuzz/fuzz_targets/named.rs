//! Protocols recognised by name and prefixes, each behind a beginning that its reader takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::engine::Origin;
use observer_core::flow::Direction::{self, ToClient, ToServer};
use observer_core::protocol::Conversation;
use observer_core_fuzz::same_verdict_behind;

const CONNECT: (Direction, &[u8]) = (ToServer, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
const EHLO: (Direction, &[u8]) = (ToServer, b"EHLO a\r\n");
const SMTP: (Direction, &[u8]) = (ToClient, b"220 mail ESMTP\r\n");
const MYSQL: &[u8] =
    b"\x4a\0\0\0\x0a8.0.36\0\x01\0\0\0saltsalt\0\xff\xff\x21\x02\0\xff\xc1\x15\0\0\0\0\0\0\0\0\0\0\
    saltsaltsalt\0caching_sha2_password\0";

/// What was said before the hostile bytes.
const BEGINNINGS: &[&[(Direction, &[u8])]] = &[
    &[(ToServer, b"SSH-2.0-")],
    &[SMTP, EHLO, (ToClient, b"250-mail\r\n250 STARTTLS\r\n")],
    &[SMTP, EHLO, (ToClient, b"250 STARTTLS\r\n"), (ToServer, b"STARTTLS\r\n"), (ToClient, b"220 go\r\n")],
    &[(ToClient, b"* OK IMAP4rev1\r\n"), (ToServer, b"a CAPABILITY\r\n")],
    &[(ToClient, b"+OK POP3\r\n"), (ToServer, b"CAPA\r\n")],
    &[(ToClient, b"220 FTP\r\n"), (ToServer, b"AUTH TLS\r\n")],
    &[(ToServer, b"\0\0\0\x08\x04\xd2\x16\x2f")],
    &[(ToServer, b"\0\0\0\x0f\0\x03\0\0user\0a\0")],
    &[(ToClient, MYSQL)],
    &[(ToServer, b"*2\r\n$4\r\n")],
    &[(ToServer, b"\x10\x1b\0\x04MQTT\x04")],
    &[(ToServer, b"AMQP\0\0\x09\x01")],
    &[(ToServer, b"AMQP\x03\x01\0\0"), (ToClient, b"AMQP\x03\x01\0\0")],
    &[(ToServer, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037")],
    &[(ToServer, b"\0\0\0\x0e\0\x12\0\0\0\0\0\x01\0\x04test")],
    &[(ToServer, b"\0\x1e\x12\x34\x01\0\0\x01\0\0\0\0\0\0")],
    &[(ToServer, b"PROXY TCP4 ")],
    &[(ToServer, b"\r\n\r\n\0\r\nQUIT\n")],
    &[(ToServer, b"\x04\x01\x01\xbb")],
    &[(ToServer, b"\x05\x02\0\x02"), (ToClient, b"\x05\x02")],
    &[(ToServer, b"\x05\x01\0"), (ToClient, b"\x05\0"), (ToServer, b"\x05\x01\0\x03\x01a\0\x01")],
    &[CONNECT],
    &[CONNECT, (ToClient, b"HTTP/1.1 200 OK\r\n\r\n")],
    &[CONNECT, (ToClient, b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")],
    &[(ToServer, b"GET / HTTP/1.1\r\n")],
    &[(ToServer, b"\x16\x03\x01")],
];

fuzz_target!(|input: &[u8]| {
    let Some((first, script)) = input.split_first() else { return };
    let said = BEGINNINGS[usize::from(*first) % BEGINNINGS.len()];
    same_verdict_behind(said, script, || Conversation::new(Origin::Handshake));
});
