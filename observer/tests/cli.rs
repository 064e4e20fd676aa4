//! The command as it is called: exit codes, messages, files and pipes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Order, classic, gzip, samples, sections, zstd};

fn observer(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(words).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// Exit code, standard output, standard error.
fn said(words: &[&str]) -> (i32, String, String) {
    told(observer(words).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// One error, of one line, with exit code 2 and nothing on standard output.
fn refused(words: &[&str]) -> String {
    let (code, stdout, stderr) = said(words);
    assert_eq!(code, 2, "{words:?}: {stderr}");
    assert_eq!(stdout, "", "{words:?}");
    assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
    stderr
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn bad_calls_give_one_error_with_the_fix() {
    for (words, hint) in [
        (&["replya"][..], "'replay'"),
        (&["replay"], "<FILE>"),
        (&["replay", "--thraeds", "2", "x"], "'--threads'"),
        (&["replay", "--threads", "0", "x"], "0"),
        (&["replay", "--verdict-timeout", "5", "x"], "write it like 500ms, 30s or 5m"),
        (&["replay", "--format", "xml", "x"], "json, table"),
        (&["run", "--port", "http"], "is not a port from 1 to 65535"),
        (&["run", "--address", "10.0.0.1/8"], "write 10.0.0.0/8"),
        (&["run", "--payload-ring", "3M"], "write a power of two"),
    ] {
        let (code, stdout, stderr) = said(words);
        assert_eq!(code, 2, "{words:?}: {stderr}");
        assert_eq!(stdout, "", "{words:?}");
        assert_eq!(stderr.matches("error:").count(), 1, "{words:?}: {stderr}");
        assert!(stderr.contains(hint), "{words:?}: {stderr}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    assert!(refused(&["run", "--scope", "all", "--port", "1"]).contains("leave out one of the two"));
    assert!(refused(&["run", "--port", "none", "--process", "none"]).contains("nothing is left to watch"));
}

#[test]
fn a_wrong_configuration_file_is_named_with_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observer.toml");
    fs::write(&path, "# watched\nscope = \"watched\"\nprot = [6443]\n").unwrap();
    let message = refused(&["run", "--config", text(&path)]);
    assert_eq!(
        message,
        format!("observer: {}:3: unknown key `prot`; did you mean `port`?\n", path.display())
    );
    fs::write(&path, "\nport = [6443, 77777]\n").unwrap();
    let message = refused(&["run", "--config", text(&path)]);
    assert!(message.contains("observer.toml:2:") && message.contains("77777"), "{message}");
    fs::write(&path, "port = [\n  6443,\n  77777,\n]\n").unwrap();
    let message = refused(&["run", "--config", text(&path)]);
    assert!(message.contains("observer.toml:3:"), "{message}");
    // One setting from the file, one from the command line.
    fs::write(&path, "port = 6443\n").unwrap();
    let message = refused(&["run", "--config", text(&path), "--scope", "all"]);
    assert!(message.contains("--port has no effect") && message.contains("observer.toml"), "{message}");
    fs::write(&path, "cgroup = '/no/such/group'\n").unwrap();
    let message = refused(&["run", "--config", text(&path)]);
    assert!(message.contains("/no/such/group") && message.contains("observer.toml"), "{message}");
    fs::write(&path, "port = [\n").unwrap();
    refused(&["run", "--config", text(&path)]);
    assert!(refused(&["run", "--config", text(folder.path())]).contains("is a directory"));
    assert!(refused(&["run", "--config", "/nowhere.toml"]).contains("check --config"));
    fs::write(&path, b"\x7fELF\xff\xfe").unwrap();
    assert!(refused(&["run", "--config", text(&path)]).contains("is not text"));
}

#[test]
fn a_configuration_that_never_ends_is_given_up() {
    let refused = refused(&["run", "--config", "/dev/zero"]);
    assert_eq!(refused, "observer: /dev/zero is longer than 1 MiB; name a TOML file with --config\n");
}

#[test]
fn a_name_with_controls_in_it_is_harmless_in_a_message() {
    let message = refused(&["run", "--config", "/nowhere\x1b[31m\n.toml"]);
    assert!(message.contains("/nowhere\\u{1b}[31m\\u{a}.toml"), "{message}");
}

#[test]
fn a_pipe_that_brings_no_capture_is_told_in_one_line() {
    let mut child = observer(&["replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"no capture at all, but some text of a program").unwrap();
    let (code, stdout, stderr) = told(child.wait_with_output().unwrap());
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("standard input: not a pcap or pcapng capture"), "{stderr}");
}

#[test]
fn files_that_are_no_captures_are_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let good = path("good.pcap", &classic(Order::Little, 0xa1b2_c3d4, &samples(3)));
    for (other, hint) in [
        (folder.path().join("missing.pcap"), "there is no such file"),
        (folder.path().to_owned(), "it is a directory; name the capture files inside it"),
        (path("empty", b""), "the file is empty"),
        (
            path("program", b"\x7fELF\x02\x01\x01\x00 and more bytes than a header has"),
            "not a pcap or pcapng capture",
        ),
        (path("short", b"\xd4"), "not a pcap or pcapng capture"),
        (path("text.gz", &gzip(b"some text that is no capture at all")), "not a pcap or pcapng capture"),
        (path("text.zst", &zstd(b"some text that is no capture at all")), "not a pcap or pcapng capture"),
    ] {
        let message = refused(&["replay", text(&good), text(&other)]);
        assert!(message.contains(hint) && message.contains(text(&other)), "{message}");
    }
    let locked = path("locked", b"");
    fs::set_permissions(&locked, PermissionsExt::from_mode(0o0)).unwrap();
    if File::open(&locked).is_err() {
        assert!(refused(&["replay", text(&locked)]).contains("permission denied"));
    }
    assert!(refused(&["replay", "-", "-"]).contains("name `-` once"));
}

#[test]
fn a_damaged_file_is_told_once_with_its_offset_and_the_next_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let whole = classic(Order::Little, 0xa1b2_c3d4, &samples(3));
    let start = classic(Order::Little, 0xa1b2_c3d4, &samples(2)).len();
    let (cut, good) = (folder.path().join("cut.pcap"), folder.path().join("good.pcap"));
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    fs::write(&good, &whole).unwrap();
    let (code, _, stderr) = said(&["replay", "--quiet", text(&cut), text(&good)]);
    assert_eq!(code, 2);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&format!("{}: damaged at byte {start}:", cut.display())), "{stderr}");
    let (_, _, stderr) = said(&["replay", text(&cut), text(&good)]);
    assert!(stderr.contains("5 packets"), "{stderr}");
}

#[test]
fn standard_input_is_read_as_it_comes_and_may_be_packed() {
    for capture in [sections(&samples(9)), gzip(&sections(&samples(9))), zstd(&sections(&samples(9)))] {
        let mut child = observer(&["replay", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for piece in capture.chunks(100) {
            stdin.write_all(piece).unwrap();
        }
        drop(stdin);
        let (code, _, stderr) = told(child.wait_with_output().unwrap());
        assert_eq!((code, stderr.contains("9 packets")), (0, true), "{stderr}");
    }
    let (code, _, stderr) = said(&["replay", "-"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("standard input: the file is empty"), "{stderr}");
}

/// Has the process installed its handler? Before that, SIGTERM just ends it.
fn catches_sigterm(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> 14 & 1 == 1)
}

#[test]
fn a_signal_ends_a_live_replay_well() {
    let mut child = observer(&["replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let capture = classic(Order::Big, 0xa1b2_3c4d, &samples(2));
    stdin.write_all(&capture[..capture.len() - 1]).unwrap();
    let begun = Instant::now();
    while !(catches_sigterm(child.id()) && rustix::io::ioctl_fionread(&stdin).unwrap() == 0) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not read");
        std::thread::sleep(Duration::from_millis(5));
    }
    // From reading the bytes to waiting for more.
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let begun = Instant::now();
    let (code, _, stderr) = told(child.wait_with_output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("1 packets"), "{stderr}");
    drop(stdin);
}

#[test]
fn the_schema_is_json_and_a_closed_pipe_is_quiet() {
    let (code, stdout, stderr) = said(&["schema"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(schema["properties"]["control_plane"].is_object());

    let mut child = observer(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let (code, _, stderr) = told(child.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn messages_that_nobody_takes_are_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.pcap");
    fs::write(&good, classic(Order::Little, 0xa1b2_c3d4, &samples(3))).unwrap();
    for (words, expected) in [(["replay", text(&good)], 0), (["replay", "/nowhere.pcap"], 2)] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = observer(&words).stdout(Stdio::null()).stderr(full).output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{words:?}");
    }
}

#[test]
fn a_full_disk_is_told_with_exit_code_1() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = observer(&["schema"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let (code, _, stderr) = told(output);
    assert_eq!(code, 1);
    assert!(stderr.contains("No space left on device") && stderr.contains("make room"), "{stderr}");
    assert_eq!(BufReader::new(stderr.as_bytes()).lines().count(), 1);
}
