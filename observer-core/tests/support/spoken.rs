//! What is said in every protocol and on every way to TLS, written by hand.

use observer_core::protocol::Encapsulation;
use observer_core::protocol::named::{Exposed, Protocol};

use super::talk::{Talk, client, server};

/// Stands wherever a password is sent.
pub const SECRET: &str = "s3cr3tpass";

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = u32::try_from(body.len()).unwrap().to_le_bytes()[..3].to_vec();
    packet.push(sequence);
    packet.extend(body);
    packet
}

fn mysql_greeting() -> Vec<u8> {
    let mut body = vec![10];
    body.extend(b"8.0.36\0");
    body.extend([1, 0, 0, 0]);
    body.extend(b"saltsalt\0");
    body.extend([0xff, 0xff, 0x21, 2, 0, 0xff, 0xc1, 21]);
    body.extend([0; 10]);
    body.extend(b"saltsaltsalt\0caching_sha2_password\0");
    packet(0, &body)
}

fn mysql_fixed(flags: u32) -> Vec<u8> {
    let mut body = flags.to_le_bytes().to_vec();
    body.extend([0, 0, 0, 1, 33]);
    body.extend([0; 23]);
    body
}

fn startup(code: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(8 + rest.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(code.to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// LDAPMessage with id 1.
fn ldap(operation: u8, content: &[u8]) -> Vec<u8> {
    let inner = u8::try_from(content.len()).unwrap();
    let mut bytes = vec![0x30, inner + 5, 2, 1, 1, operation, inner];
    bytes.extend(content);
    bytes
}

fn bind() -> Vec<u8> {
    let mut content = vec![2, 1, 3, 4, 4, b'c', b'n', b'=', b'a', 0x80, u8::try_from(SECRET.len()).unwrap()];
    content.extend(SECRET.bytes());
    ldap(0x60, &content)
}

/// Every protocol in the clear, with what it exposes.
pub fn plain() -> Vec<(&'static str, Protocol, Vec<Exposed>, Talk)> {
    use Exposed::{Authorization, Password};
    let dns = b"\0\x1e\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x04test\0\0\x01\0\x01";
    let mut answer = dns.to_vec();
    answer[4] = 0x81;
    let mut login = mysql_fixed(0x0200);
    login.extend(b"root\0\x0a");
    login.extend(SECRET.bytes());
    let mut mqtt = vec![0x10, 27, 0, 4, b'M', b'Q', b'T', b'T', 4, 0xc2, 0, 60, 0, 1, b'c', 0, 1, b'u', 0, 9];
    mqtt.extend(&SECRET.as_bytes()[..9]);
    vec![
        (
            "ssh",
            Protocol::Ssh,
            vec![],
            vec![client("SSH-2.0-OpenSSH_9.2p1\r\n"), server("SSH-2.0-OpenSSH_9.6\r\n")],
        ),
        (
            "smtp",
            Protocol::Smtp,
            vec![Authorization],
            vec![
                server("220-mail.test ESMTP\r\n220 ready\r\n"),
                client("EHLO a\r\n"),
                server("250-mail.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"),
                client(format!("AUTH PLAIN {SECRET}\r\n")),
                server("235 ok\r\n"),
            ],
        ),
        (
            "smtp after a refused upgrade",
            Protocol::Smtp,
            vec![],
            vec![
                server("220 mail.test ESMTP\r\n"),
                client("EHLO a\r\n"),
                server("250 STARTTLS\r\n"),
                client("STARTTLS\r\n"),
                server("454 TLS not available\r\n"),
                client("MAIL FROM:<a@test>\r\n"),
                server("250 ok\r\n"),
            ],
        ),
        (
            "imap",
            Protocol::Imap,
            vec![Password],
            vec![
                server("* OK IMAP4rev1 ready\r\n"),
                client("a CAPABILITY\r\n"),
                server("* CAPABILITY IMAP4rev1 STARTTLS\r\na OK done\r\n"),
                client(format!("b LOGIN user {SECRET}\r\n")),
                server("b OK\r\n"),
            ],
        ),
        (
            "pop3",
            Protocol::Pop3,
            vec![Password],
            vec![
                server("+OK ready\r\n"),
                client("CAPA\r\n"),
                server("+OK\r\nSTLS\r\nUSER\r\n.\r\n"),
                client("USER u\r\n"),
                server("+OK\r\n"),
                client(format!("PASS {SECRET}\r\n")),
                server("+OK\r\n"),
            ],
        ),
        (
            "ftp",
            Protocol::Ftp,
            vec![Password],
            vec![
                server("220 (vsFTPd 3.0.3)\r\n"),
                client("AUTH TLS\r\n"),
                server("530 Please login with USER and PASS.\r\n"),
                client("USER u\r\n"),
                server("331 password\r\n"),
                client(format!("PASS {SECRET}\r\n")),
                server("230 ok\r\n"),
            ],
        ),
        (
            "postgresql",
            Protocol::Postgresql,
            vec![Password],
            vec![
                client(startup(0x0003_0000, b"user\0u\0\0")),
                server(b"R\0\0\0\x08\0\0\0\x03"),
                client(format!("p\0\0\0\x0f{SECRET}\0")),
                server(b"R\0\0\0\x08\0\0\0\0"),
            ],
        ),
        (
            "postgresql after a refused upgrade",
            Protocol::Postgresql,
            vec![],
            vec![
                client(startup(80_877_103, b"")),
                server("N"),
                client(startup(0x0003_0000, b"user\0u\0\0")),
                server(b"R\0\0\0\x08\0\0\0\0"),
            ],
        ),
        (
            "mysql",
            Protocol::Mysql,
            vec![Password],
            vec![
                server(mysql_greeting()),
                client(packet(1, &login)),
                server(packet(2, &[0, 0, 0, 2, 0, 0, 0])),
            ],
        ),
        (
            "redis",
            Protocol::Redis,
            vec![Password],
            vec![client(format!("*2\r\n$4\r\nAUTH\r\n$10\r\n{SECRET}\r\n")), server("+OK\r\n")],
        ),
        ("mqtt", Protocol::Mqtt, vec![Password], vec![client(&mqtt[..29]), server([0x20, 2, 0, 0])]),
        (
            "amqp 0-9-1",
            Protocol::Amqp,
            vec![],
            vec![
                client(b"AMQP\0\0\x09\x01"),
                server(b"\x01\0\0\0\0\0\x08\0\x0a\0\x0a\0\x09\0\0\xce"),
                client(b"\x01\0\0\0\0\0\x04\0\x0a\0\x0b\xce"),
            ],
        ),
        (
            "amqp 1.0 with SASL",
            Protocol::Amqp,
            vec![Password],
            vec![
                client(b"AMQP\x03\x01\0\0"),
                server(b"AMQP\x03\x01\0\0"),
                client(b"\0\0\0\x12\x02\x01\0\0\0\x53\x41\xc0PLAIN\0"),
            ],
        ),
        (
            "ldap",
            Protocol::Ldap,
            vec![Password],
            vec![client(bind()), server(ldap(0x61, &[0x0a, 1, 0, 4, 0, 4, 0]))],
        ),
        (
            "kafka",
            Protocol::Kafka,
            vec![],
            vec![
                client(b"\0\0\0\x0e\0\x12\0\0\0\0\0\x01\0\x04test"),
                server(b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0"),
            ],
        ),
        ("dns", Protocol::Dns, vec![], vec![client(dns), server(answer)]),
        (
            "http",
            Protocol::Http,
            vec![],
            vec![
                client("GET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
                server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ],
        ),
        (
            "refused CONNECT",
            Protocol::Http,
            vec![],
            vec![
                client("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
                server("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
            ],
        ),
    ]
}

/// The two streams of a TLS 1.3 handshake with a client certificate, as a talk.
pub fn tls() -> Talk {
    static TALK: std::sync::OnceLock<Talk> = std::sync::OnceLock::new();
    TALK.get_or_init(read_tls).clone()
}

fn read_tls() -> Talk {
    let wanted = |label: &super::Label| {
        label.text("transport") == "direct"
            && label.text("tls_version") == "1.3"
            && label.text("cert_presented") == "p256"
            && !label.is("resumed")
    };
    let all = super::conversations(wanted);
    let found =
        all.iter().min_by_key(|found| found.runs.iter().map(|run| run.bytes.len()).sum::<usize>()).unwrap();
    let mut runs: Vec<_> = found.runs.iter().collect();
    // In the order of both streams.
    runs.sort_by_key(|run| run.offset + if run.acked == u64::MAX { 0 } else { run.acked });
    runs.into_iter().map(|run| (run.direction, run.bytes.clone())).collect()
}

/// Every way to TLS through something else.
pub fn wrapped() -> Vec<(&'static str, Vec<Encapsulation>, Talk)> {
    use Encapsulation as E;
    let starttls = [0x80, 22].into_iter().chain(*b"1.3.6.1.4.1.1466.20037").collect::<Vec<_>>();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 1, 187]);
    let connect = || client("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let tunnel = || server("HTTP/1.1 200 Connection established\r\n\r\n");
    vec![
        (
            "smtp",
            vec![E::StarttlsSmtp],
            vec![
                server("220 mail.test ESMTP\r\n"),
                client("EHLO a\r\n"),
                server("250-mail.test\r\n250 STARTTLS\r\n"),
                client("STARTTLS\r\n"),
                server("220 go\r\n"),
            ],
        ),
        (
            "imap",
            vec![E::StarttlsImap],
            vec![server("* OK ready\r\n"), client("a STARTTLS\r\n"), server("a OK go\r\n")],
        ),
        (
            "pop3",
            vec![E::StarttlsPop3],
            vec![server("+OK ready\r\n"), client("STLS\r\n"), server("+OK go\r\n")],
        ),
        (
            "ftp",
            vec![E::StarttlsFtp],
            vec![server("220 FTP\r\n"), client("AUTH TLS\r\n"), server("234 go\r\n")],
        ),
        ("postgresql", vec![E::StarttlsPostgresql], vec![client(startup(80_877_103, b"")), server("S")]),
        (
            "postgresql, GSS first",
            vec![E::StarttlsPostgresql],
            vec![
                client(startup(80_877_104, b"")),
                server("N"),
                client(startup(80_877_103, b"")),
                server("S"),
            ],
        ),
        (
            "mysql",
            vec![E::StarttlsMysql],
            vec![server(mysql_greeting()), client(packet(1, &mysql_fixed(0x0a00)))],
        ),
        (
            "ldap",
            vec![E::StarttlsLdap],
            vec![client(ldap(0x77, &starttls)), server(ldap(0x78, &[0x0a, 1, 0, 4, 0, 4, 0]))],
        ),
        ("PROXY 1", vec![E::ProxyV1], vec![client("PROXY TCP4 192.0.2.1 192.0.2.2 80 443\r\n")]),
        ("PROXY 2", vec![E::ProxyV2], vec![client(&v2)]),
        (
            "SOCKS 4a",
            vec![E::Socks4],
            vec![client(b"\x04\x01\x01\xbb\0\0\0\x01u\0a.test\0"), server(b"\0\x5a\0\0\0\0\0\0")],
        ),
        (
            "SOCKS 5 with a password",
            vec![E::Socks5],
            vec![
                client(b"\x05\x02\0\x02"),
                server(b"\x05\x02"),
                client(format!("\x01\x01u\x0a{SECRET}")),
                server(b"\x01\0"),
                client(b"\x05\x01\0\x03\x06a.test\x01\xbb"),
                server(b"\x05\0\0\x01\0\0\0\0\0\0"),
            ],
        ),
        ("CONNECT", vec![E::HttpConnect], vec![connect(), tunnel()]),
        (
            "CONNECT after 407",
            vec![E::HttpConnect],
            vec![
                connect(),
                server("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno\n"),
                client(format!(
                    "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic {SECRET}\r\n\r\n"
                )),
                tunnel(),
            ],
        ),
        (
            "PROXY 2, then CONNECT",
            vec![E::ProxyV2, E::HttpConnect],
            vec![client([&v2[..], &connect().1].concat()), tunnel()],
        ),
    ]
}
