//! What is watched, widened and narrowed while the daemon runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use observer_tests::account::parse;
use observer_tests::daemon::Daemon;
use observer_tests::ledger::{Told, connections};
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::world;
use observer_tests::world::{World, observer, skipped};
use rustix::process::Signal;

/// A daemon with a configuration file.
struct Configured {
    daemon: Daemon,
    file: PathBuf,
    read: usize,
}

impl Configured {
    fn start(world: &World, text: &str) -> Self {
        let file = world.path().join("observer.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(observer().unwrap());
        command.args(["run", "--format", "json", "--config"]).arg(&file);
        Self { daemon: Daemon::spawn(&mut command), file, read: 0 }
    }

    /// Lets it read another configuration, and gives back what it says of that.
    fn read(&mut self, text: &str) -> String {
        std::fs::write(&self.file, text).unwrap();
        self.daemon.signal(Signal::HUP);
        self.read += 1;
        let began = Instant::now();
        loop {
            let words = self.daemon.words();
            let said: Vec<_> = words.iter().filter(|line| line.contains("configuration")).collect();
            if let Some(line) = said.get(self.read - 1) {
                return (*line).clone();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it says nothing: {}", words.join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn told(self) -> Vec<Told> {
        self.daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
        connections(&self.daemon.stop().events)
    }
}

fn serve(place: &Netns, port: u16) -> Script {
    let server = Script::start(place, &["http_server", &port.to_string(), "127.0.0.1"]);
    assert_eq!(server.next()["ready"], true);
    server
}

/// A client that has sent so many requests and goes on when it is told to.
fn dial(place: &Netns, port: u16) -> (Script, Option<std::net::SocketAddr>) {
    let client = Script::start(place, &["http_client", "127.0.0.1", &port.to_string(), "1"]);
    let local = client.next()["local"].as_str().and_then(parse);
    assert_eq!(client.next()["done"], true);
    (client, local)
}

fn speak(client: &mut Script) {
    client.say("2");
    assert_eq!(client.next()["done"], true);
}

fn of(told: &[Told], address: Option<std::net::SocketAddr>) -> Vec<&Told> {
    told.iter().filter(|it| it.client() == address).collect()
}

#[test]
fn another_port_is_watched_from_the_signal_on_and_the_old_one_no_more() {
    let world = world!();
    let place = Netns::new();
    let _servers = [serve(&place, 23_301), serve(&place, 23_302)];
    let mut watch = Configured::start(&world, "port = 23301\nprocess = 'none'\n");
    let (mut old, old_address) = dial(&place, 23_301);
    let (mut late, late_address) = dial(&place, 23_302);
    let said = watch.read("port = 23302\nprocess = 'none'\n");
    assert!(said.contains("read again: watching 1 port"), "{said}");
    speak(&mut old);
    speak(&mut late);
    let (mut fresh, fresh_address) = dial(&place, 23_302);
    let (mut unseen, unseen_address) = dial(&place, 23_301);
    for client in [&mut old, &mut late, &mut fresh, &mut unseen] {
        client.wait();
    }
    let told = watch.told();
    assert!(of(&told, unseen_address).is_empty());
    let [left] = of(&told, old_address)[..] else { panic!("the old one is told {} times", told.len()) };
    assert_eq!(left.last().security(), "plaintext");
    assert_eq!(left.last().text("control_plane.connection.ending"), "still_open", "{}", left.last().value);
    let [late] = of(&told, late_address)[..] else { panic!("the late one is not told once") };
    assert_eq!(late.last().text("control_plane.reason"), "came_into_scope_late", "{}", late.last().value);
    assert_eq!(late.last().security(), "plaintext", "its later bytes show it: {}", late.last().value);
    assert_eq!(late.last().number("control_plane.connection.faces"), Some(2), "{}", late.last().value);
    let [fresh] = of(&told, fresh_address)[..] else { panic!("the fresh one is not told once") };
    assert!(fresh.last().at("control_plane.reason").is_null(), "{}", fresh.last().value);
    assert_eq!(fresh.last().number("control_plane.http.requests"), Some(1));
}

#[test]
fn a_wrong_configuration_changes_nothing_and_says_so() {
    let world = world!();
    let place = Netns::new();
    let _servers = [serve(&place, 23_311), serve(&place, 23_312)];
    let mut watch = Configured::start(&world, "port = 23311\nprocess = 'none'\n");
    for (text, why) in [
        ("port = 23312\nprots = 5\n", ":2: unknown key `prots`; did you mean `port`?"),
        ("port = 'none'\nprocess = 'none'\n", "nothing is left to watch"),
        ("port = 23312\ncgroup = '/there/is/no/such'\n", "there is no such group"),
        ("port = [", "observer.toml:1:"),
    ] {
        let said = watch.read(text);
        assert!(said.contains("refused, the one in force stays") && said.contains(why), "{said}");
    }
    let said = watch.read("port = 23311\nprocess = 'none'\npayload-ring = '8M'\n");
    assert!(said.contains("read again"), "{said}");
    let (mut client, address) = dial(&place, 23_311);
    let (mut unseen, unseen_address) = dial(&place, 23_312);
    client.wait();
    unseen.wait();
    assert!(
        watch
            .daemon
            .words()
            .iter()
            .any(|line| line.contains("payload-ring can change at the next start only"))
    );
    let told = watch.told();
    assert_eq!((of(&told, address).len(), of(&told, unseen_address).len()), (1, 0));
    assert_eq!(of(&told, address)[0].classified.len(), 1);
}

#[test]
fn everything_that_selects_widens_and_narrows_at_run_time() {
    let world = world!();
    let place = Netns::new();
    let server = serve(&place, 23_321);
    let Some(root) = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.join("cgroup.procs").exists() && path.join("cgroup.controllers").exists())
    else {
        return skipped("no cgroup v2");
    };
    let group = format!("live-reload-{}", std::process::id());
    std::fs::create_dir_all(root.join(&group)).unwrap();
    // The server, older than the daemon and without an interesting port, moves into the group.
    std::fs::write(root.join(&group).join("cgroup.procs"), server.pid().to_string()).unwrap();
    let program = std::fs::read_link(format!("/proc/{}/exe", server.pid())).unwrap();
    let program = program.file_name().unwrap().to_str().unwrap().to_owned();
    let nothing = "port = 1\nprocess = 'none'\n".to_owned();
    let mut watch = Configured::start(&world, &nothing);
    let mut expected = Vec::new();
    let mut clients = Vec::new();
    for (name, text) in [
        ("nothing", nothing.clone()),
        ("all", "scope = 'all'\n".to_owned()),
        ("port", "port = '23320-23329'\nprocess = 'none'\n".to_owned()),
        ("pid", format!("{nothing}pid = {}\n", server.pid())),
        ("nothing", nothing.clone()),
        ("process", format!("port = 1\nprocess = '{program}'\n")),
        ("address", format!("{nothing}address = '127.0.0.0/8'\n")),
        ("nothing", nothing.clone()),
        ("cgroup", format!("{nothing}cgroup = '/{group}'\n")),
        ("nothing", nothing.clone()),
    ] {
        assert!(watch.read(&text).contains("read again"));
        // A cgroup selects whoever dials or binds in it: the server did before.
        if name == "cgroup" {
            let text = format!(
                "import os,socket,sys,json\nopen('{}/cgroup.procs','w').write(str(os.getpid()))\n\
                 s=socket.create_connection(('127.0.0.1',23321)); s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); s.recv(100)\n\
                 print(json.dumps({{'local':'%s:%d' % s.getsockname()}}),flush=True)\nsys.stdin.read()",
                root.join(&group).display()
            );
            let client = Script::spawn(place.command("python3").arg("-c").arg(text));
            expected.push((name, client.next()["local"].as_str().and_then(parse)));
            clients.push(client);
        } else {
            let (client, address) = dial(&place, 23_321);
            expected.push((name, address));
            clients.push(client);
        }
        std::thread::sleep(Duration::from_millis(100));
        clients.last_mut().unwrap().wait();
    }
    let told = watch.told();
    drop(server);
    let began = Instant::now();
    while std::fs::remove_dir(root.join(&group)).is_err() && began.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut found = Vec::new();
    for (name, address) in expected {
        let count = of(&told, address).len();
        let right = usize::from(name != "nothing");
        if count != right {
            found.push(format!("{name}: told {count} times instead of {right}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_hang_up_ends_a_daemon_without_a_configuration_file_as_well_as_any() {
    let _world = world!();
    let daemon = Daemon::start(&["--port", "23331", "--process", "none"]);
    let left = daemon.end(Signal::HUP);
    assert!(left.status.success(), "{}", left.status);
    assert!(left.words.last().is_some_and(|line| line.contains("0 events; lifecycle:")), "{:?}", left.words);
}
