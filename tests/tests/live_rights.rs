//! The daemon with some rights and without others: what `deploy` gives it is enough, and without each something is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use observer_tests::daemon::{Daemon, Left};
use observer_tests::event::Event;
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::world;
use observer_tests::world::{World, has, observer, skipped};

/// Those that `deploy/observer.service` gives, but for the one that only old kernels ask for.
const ALL: [&str; 6] = ["bpf", "net_admin", "perfmon", "sys_ptrace", "dac_read_search", "sys_admin"];

/// The command where a user without rights can start it.
fn public(world: &World) -> PathBuf {
    let path = world.path().join("observer");
    std::fs::copy(observer().unwrap(), &path).unwrap();
    for path in [world.path(), &path] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}

/// A command as the user `nobody`, with these capabilities alone.
fn with(capabilities: &[&str], observer: &Path) -> Command {
    let list: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        command.arg(set).arg(format!("-all{list}"));
    }
    command.arg(observer).args(["run", "--format", "json", "--port", "25200-25299", "--process", "none"]);
    command
}

/// A connection in another network namespace, to a server that is older than the daemon.
fn watch(observer: &Path, capabilities: &[&str], port: u16) -> (Left, u32, u32) {
    let place = Netns::new();
    let number = port.to_string();
    let server = Script::start(&place, &["http_server", &number, "127.0.0.1"]);
    assert_eq!(server.next()["ready"], true);
    let daemon = Daemon::spawn(&mut with(capabilities, observer));
    let mut client = Script::start(&place, &["http_client", "127.0.0.1", &number, "1"]);
    assert!(client.next()["local"].is_string());
    assert_eq!(client.next()["done"], true);
    client.wait();
    assert!(daemon.closed(1));
    (daemon.stop(), client.pid(), server.pid())
}

fn closed(left: &Left, port: u16) -> &Event {
    let mut all = left.events.iter().filter(|event| {
        event.action() == "connection-closed" && event.number("destination.port") == Some(port.into())
    });
    all.next().unwrap()
}

#[test]
fn the_capabilities_of_the_unit_are_enough_and_each_is_missed() {
    let world = world!();
    if !has("setpriv") {
        return skipped("no setpriv (util-linux)");
    }
    let observer = public(&world);
    let (left, client, server) = watch(&observer, &ALL, 25_201);
    let event = closed(&left, 25_201);
    assert_eq!(event.number("control_plane.client.process.pid"), Some(client.into()), "{}", event.value);
    assert_eq!(event.number("control_plane.server.process.pid"), Some(server.into()), "{}", event.value);
    for end in ["client", "server"] {
        let executable = event.text(&format!("control_plane.{end}.process.executable"));
        assert!(executable.starts_with('/'), "{}", event.value);
    }
    assert!(left.words.iter().all(|line| !line.contains("missing")), "{}", left.words.join("\n"));

    // Without one of the others the verdict is the same, and what is lost is said at the start.
    for (port, missing) in (25_202..).zip(["sys_ptrace", "dac_read_search", "sys_admin"]) {
        let others: Vec<_> = ALL.into_iter().filter(|name| *name != missing).collect();
        let (left, ..) = watch(&observer, &others, port);
        assert_eq!(closed(&left, port).security(), "plaintext");
        let name = format!("CAP_{} is missing: ", missing.to_uppercase());
        assert!(left.words.iter().any(|line| line.contains(&name)), "{missing}: {}", left.words.join("\n"));
    }
}

#[test]
fn without_a_required_capability_one_line_names_it() {
    let world = world!();
    if !has("setpriv") {
        return skipped("no setpriv (util-linux)");
    }
    let observer = public(&world);
    for missing in ["net_admin", "perfmon"] {
        // Without the one that stands for it as well.
        let others: Vec<_> = ALL.into_iter().filter(|name| ![missing, "sys_admin"].contains(name)).collect();
        let output = with(&others, &observer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&format!("CAP_{} missing", missing.to_uppercase())), "{said}");
        assert!(said.contains("run as root"), "{said}");
    }
    let output = with(&[], &observer).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON missing"), "{said}");
}

#[test]
fn without_a_cgroup_tree_one_line_says_how_to_mount_it() {
    let _world = world!();
    if !has("unshare") {
        return skipped("no unshare (util-linux)");
    }
    let binary = observer().unwrap();
    let script = "for mount in $(grep ' - cgroup2 ' /proc/self/mountinfo | cut -d' ' -f5); do umount -l \"$mount\"; done; \
                  exec \"$0\" run";
    let output = Command::new("unshare").args(["-m", "sh", "-c", script]).arg(&binary).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("no cgroup v2 tree is mounted; mount one: mount -t cgroup2"), "{said}");
}
