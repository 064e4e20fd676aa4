//! Made-up conversations through the command: what hostile and careless peers say, as an operator reads it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::Read as _;
use std::process::Command;

use observer_tests::replay::{command, replay};
use observer_tests::schema::violations_of;
use observer_tests::talk::Speaker::{Client, Server};
use observer_tests::talk::{Talk, write};

/// A ClientHello with one extension, and the alert that refuses it.
fn refused_hello(extension: u16, content: &[u8]) -> Vec<u8> {
    let prefixed = |length: usize, bytes: &[u8]| [&bytes.len().to_be_bytes()[8 - length..], bytes].concat();
    let extension = [&extension.to_be_bytes()[..], &prefixed(2, content)].concat();
    let fixed = [&b"\x03\x03"[..], &[7; 32], b"\0", b"\0\x02\xc0\x2f", b"\x01\0"].concat();
    let body = [fixed, prefixed(2, &extension)].concat();
    let message = [&b"\x01"[..], &prefixed(3, &body)].concat();
    [&b"\x16\x03\x01"[..], &prefixed(2, &message)].concat()
}

const ALERT: &[u8] = b"\x15\x03\x03\0\x02\x02\x28";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type:\r\nContent-Length: 0\r\n\r\n";

#[test]
fn what_a_peer_leaves_empty_is_absent() {
    let hellos = [
        refused_hello(0, b"\0\x03\0\0\0"), // an empty server name
        refused_hello(0, b""),
        refused_hello(16, b"\0\x01\0"), // an empty protocol
        refused_hello(16, b"\0\0"),
    ];
    let requests: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost:\r\nUser-Agent:\r\nContent-Type: \r\n\r\n",
        b"GET http:/// HTTP/1.1\r\nHost: :80\r\nUser-Agent: \t \r\n\r\n",
        b"GET ?token=abc HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT :443 HTTP/1.1\r\nHost: \r\n\r\n",
    ];
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], settings].concat();
    let mut talks: Vec<Vec<(_, &[u8])>> = Vec::new();
    talks.extend(hellos.iter().map(|hello| vec![(Client, &hello[..]), (Server, ALERT)]));
    talks.extend(requests.iter().map(|request| vec![(Client, *request), (Server, ANSWER)]));
    talks.push(vec![(Client, &preface), (Server, settings)]);
    talks.push(vec![(Client, b"SSH-2.0-\r\n"), (Server, b"SSH-2.0-\r\n")]);
    talks.push(vec![]);
    let folder = tempfile::tempdir().unwrap();
    let talks: Vec<Talk<'_>> = talks.iter().map(Vec::as_slice).collect();
    write(&folder.path().join("empty.pcap"), &talks);
    let events = replay(folder.path(), &["empty.pcap"], "1");
    assert_eq!(events.len(), 2 * talks.len());
    assert_eq!(violations_of(&command(), &events), Vec::<String>::new());
}

#[test]
fn a_table_is_aligned_and_a_hostile_name_does_nothing_to_the_terminal() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "long".repeat(500));
    let hello = refused_hello(0, b"\0\x0f\0\0\x0c\x1b[31mevil\x07\r\n");
    let talks: [Talk<'_>; 5] = [
        &[(Client, b"GET / HTTP/1.1\r\nHost: \xe2\x80\xaegpj\r\n\r\n"), (Server, ANSWER)],
        &[(Client, b"GET /\x1b]0;title\x07 HTTP/1.1\r\nHost: \xe2\x80\xaegpj\r\n\r\n"), (Server, ANSWER)],
        &[(Client, long.as_bytes()), (Server, ANSWER)],
        &[(Client, &hello), (Server, ALERT)],
        &[(Client, b"SSH-2.0-x\r\n"), (Server, b"SSH-2.0-\x9b31my\r\n")],
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.pcap");
    write(&path, &talks);
    let output =
        Command::new(command()).args(["replay", "--quiet", "--format", "table"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1 + talks.len(), "{text}");
    assert!(text.chars().all(|it| it == '\n' || !it.is_control() && it != '\u{202e}'), "{text:?}");
    // Every verdict begins below its heading.
    let column = lines[0].split("SECURITY").next().unwrap().chars().count();
    for (line, verdict) in lines[1..].iter().zip(["plaintext", "other", "plaintext", "unknown", "ssh"]) {
        let rest: String = line.chars().skip(column).collect();
        assert!(rest.starts_with(verdict), "{text}");
    }
}

/// What the command writes to a terminal of so many columns.
fn on_a_terminal(columns: u16, capture: &std::path::Path, environment: &[(&str, &str)]) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&end, size).unwrap();
    let mut child = Command::new(command())
        .args(["replay", "--quiet"])
        .arg(capture)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(environment.iter().copied())
        .stdout(end)
        .spawn()
        .unwrap();
    let mut text = Vec::new();
    // Ends with EIO when the last writer is gone.
    let _ = File::from(terminal).read_to_end(&mut text);
    assert!(child.wait().unwrap().success());
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_terminal_gets_a_table_in_colour_within_its_width_and_a_pipe_gets_json() {
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "long".repeat(500));
    let talks: [Talk<'_>; 1] = [&[(Client, request.as_bytes()), (Server, ANSWER)]];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.pcap");
    write(&path, &talks);
    for columns in [80, 132] {
        let coloured = on_a_terminal(columns, &path, &[]);
        assert!(coloured.contains("\u{1b}[1;31mplaintext"), "{coloured:?}");
        let plain = on_a_terminal(columns, &path, &[("NO_COLOR", "1")]);
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        assert_eq!(plain.lines().count(), 2, "{plain}");
        let longest = plain.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= usize::from(columns) && plain.contains('…'), "{longest} columns: {plain}");
        assert!(!on_a_terminal(columns, &path, &[("TERM", "dumb")]).contains('\u{1b}'));
    }
    assert_eq!(replay(folder.path(), &["long.pcap"], "1").len(), 2);
}
