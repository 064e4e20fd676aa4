//! Who holds a socket that went from hand to hand, and who opened it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::process::Command;
use std::time::Duration;

use observer_tests::account::parse;
use observer_tests::daemon::Daemon;
use observer_tests::event::Event;
use observer_tests::ledger::{Told, connections};
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::world;
use observer_tests::world::{has, peers, skipped};
use serde_json::Value;

/// Nobody knows yet, nobody can know, and everything that is not a wrong name.
const UNKNOWN: &[&str] =
    &["holder_not_known_yet", "not_accepted_or_closed", "holder_not_found", "namespace_not_reached"];

fn start() -> Daemon {
    Daemon::start(&["--port", "23200-23299", "--process", "none"])
}

fn act(place: &Netns, words: &[&str]) -> Script {
    Script::spawn(place.command("python3").arg("-u").arg(peers().join("hand.py")).args(words))
}

fn ready(script: &Script) -> Value {
    let said = script.next();
    assert_eq!(said["ready"], true, "{said}");
    said
}

fn dial(place: &Netns, port: u16) -> Script {
    let client = Script::start(place, &["http_client", "127.0.0.1", &port.to_string(), "1"]);
    assert!(client.next()["local"].is_string());
    assert_eq!(client.next()["done"], true);
    client
}

fn told(daemon: Daemon) -> Vec<Told> {
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
    let mut told = connections(&daemon.stop().events);
    told.retain(|it| (23_200..23_300).contains(&it.server_port()));
    told
}

fn find<'a>(told: &'a [Told], address: &Value) -> &'a Told {
    let address = address.as_str().and_then(parse);
    told.iter().find(|it| it.client() == address).unwrap_or_else(|| panic!("no event of {address:?}"))
}

/// The end is held, or was held last, by `holder` and was opened by `opener`. What a process is called and runs can be read
/// only as long as it lives.
fn check(event: &Event, end: &str, holder: &Value, opener: &Value) {
    let at = |name: &str| event.at(&format!("control_plane.{end}.{name}"));
    assert_eq!(at("process.pid"), holder, "{}", event.value);
    if holder == opener {
        assert!(at("opened_by").is_null(), "{}", event.value);
    } else {
        assert_eq!(at("opened_by.pid"), opener, "{}", event.value);
    }
    if let Some(missing) = at("missing").as_str() {
        assert_eq!(missing, "process_exited", "{}", event.value);
        assert!(at("process.executable").is_null(), "{}", event.value);
    }
    let executable = at("process.executable").as_str().unwrap_or("python");
    assert!(executable.contains("python"), "{}", event.value);
}

/// The same of a process that still lives: all of it is known.
fn check_living(event: &Event, end: &str, holder: &Value, opener: &Value) {
    check(event, end, holder, opener);
    for name in ["start_ticks", "name", "executable"] {
        let value = event.at(&format!("control_plane.{end}.process.{name}"));
        assert!(!value.is_null(), "{name}: {}", event.value);
    }
}

/// What was said while it was open is right too, or is said to be unknown.
fn check_early(told: &Told, end: &str, allowed: &[&Value], opener: &Value) {
    let event = &told.classified[0];
    let at = |name: &str| event.at(&format!("control_plane.{end}.{name}"));
    let (holder, by) = (at("process.pid"), at("opened_by.pid"));
    if holder.is_null() {
        assert!(UNKNOWN.contains(&at("missing").as_str().unwrap_or_default()), "{}", event.value);
        assert_eq!(by, opener, "{}", event.value);
    } else {
        assert!(allowed.contains(&holder), "{}", event.value);
        assert!(by == opener || holder == opener, "{}", event.value);
    }
}

/// Connections that are open for a while, each with what its server said of it, and their clients.
fn served(place: &Netns, server: &Script, port: u16, count: usize) -> Vec<(Value, Script)> {
    let dialled = (0..count).map(|_| {
        let client = dial(place, port);
        (server.next(), client)
    });
    dialled.collect()
}

fn finish(served: &mut [(Value, Script)]) {
    std::thread::sleep(Duration::from_millis(300));
    served.iter_mut().for_each(|(_, client)| client.wait());
}

#[test]
fn a_service_that_was_started_with_a_listener_holds_what_it_accepts() {
    let _world = world!();
    let place = Netns::new();
    for (older, port) in [(false, 23_201), (true, 23_202)] {
        let words = ["listen_fds".to_owned(), port.to_string()];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let before = older.then(|| act(&place, &words));
        let ready_before = before.as_ref().map(ready);
        let daemon = start();
        let server = before.unwrap_or_else(|| act(&place, &words));
        if ready_before.is_none() {
            ready(&server);
        }
        let mut all = served(&place, &server, port, 3);
        finish(&mut all);
        let told = told(daemon);
        assert_eq!(told.len(), 3);
        for (said, client) in &all {
            let it = find(&told, &said["peer"]);
            // Who opened a listener that is older than the observer was seen by nobody.
            let opener = if older { &said["pid"] } else { &said["opened_by"] };
            assert_ne!(said["pid"], said["opened_by"]);
            check_living(it.last(), "server", &said["pid"], opener);
            check(it.last(), "client", &client.pid().into(), &client.pid().into());
            if !older {
                check_early(it, "server", &[&said["pid"]], opener);
            }
        }
    }
}

#[test]
fn who_is_dialled_on_this_node_is_told_where_the_dialler_alone_is_watched() {
    let _world = world!();
    let place = Netns::new();
    let own = std::process::id();
    let words = ["--port", "23999", "--process", "none", "--pid", &own.to_string()].map(String::from);
    let daemon = Daemon::start(&words.each_ref().map(String::as_str));
    let server = act(&place, &["listen_fds", "23209"]);
    ready(&server);
    let to = ([127, 0, 0, 1], 23_209).into();
    let dialled = place.run(|| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect::<std::net::SocketAddr>(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(b"GET /one HTTP/1.1\r\nHost: pod\r\n\r\n").unwrap();
        let mut answer = [0; 64];
        let _ = stream.read(&mut answer).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        stream.local_addr().unwrap()
    });
    let said = server.next();
    // Somebody else's connection to the same listener is nobody's concern.
    dial(&place, 23_209).wait();
    let told = told(daemon);
    assert_eq!(told.len(), 1, "{:?}", told.iter().map(Told::line).collect::<Vec<_>>());
    let event = told[0].last();
    assert_eq!(told[0].client(), Some(dialled));
    assert_eq!(event.number("control_plane.connection.faces"), Some(2), "{}", event.value);
    assert_eq!(event.number("control_plane.client.process.pid"), Some(u64::from(own)));
    check(event, "server", &said["pid"], &said["opened_by"]);
}

#[test]
fn systemds_own_activator_opens_and_its_service_holds() {
    let _world = world!();
    if !has("systemd-socket-activate") {
        return skipped("no systemd-socket-activate (Debian: systemd)");
    }
    let place = Netns::new();
    let daemon = start();
    let script = peers().join("hand.py");
    // The interpreter itself, not a script that looks for it.
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let python = String::from_utf8(python.stdout).unwrap().trim().to_owned();
    // It hands over the listener, or with --accept each connection; the first alone becomes the service itself.
    for (port, accept) in [(23_206, false), (23_207, true)] {
        let mut command = place.command("systemd-socket-activate");
        command.args(["-l", &format!("127.0.0.1:{port}")]);
        if accept {
            command.args(["--accept", "--inetd"]);
        }
        command.args([&python, "-u", script.to_str().unwrap()]);
        command.args(if accept { ["on_input", "0"] } else { ["service", "0"] });
        let mut log = command.stderr(std::process::Stdio::piped());
        if accept {
            // The program's own standard output is the connection.
            log = log.stdout(std::process::Stdio::null());
        }
        let mut activator =
            log.stdout(std::process::Stdio::piped()).stdin(std::process::Stdio::piped()).spawn().unwrap();
        let words = observer_tests::peer::lines(activator.stderr.take().unwrap());
        while !words.recv_timeout(Duration::from_secs(20)).unwrap().contains("istening") {}
        let mut client = Script::start(&place, &["http_client", "127.0.0.1", &port.to_string(), "1"]);
        assert!(client.next()["local"].is_string());
        if !accept {
            assert_eq!(client.next()["done"], true);
        }
        std::thread::sleep(Duration::from_millis(500));
        client.go_on();
        std::thread::sleep(Duration::from_millis(500));
        activator.kill().unwrap();
        activator.wait().unwrap();
        drop(client);
    }
    let told = told(daemon);
    println!(
        "{}",
        told.iter().map(|it| it.last().at("control_plane.server").to_string()).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(told.len(), 2);
    for it in &told {
        let server = it.last().at("control_plane.server");
        assert!(server["process"]["name"].as_str().unwrap().contains("python"), "{server}");
    }
}

#[test]
fn a_superserver_opens_and_its_children_hold() {
    let _world = world!();
    let place = Netns::new();
    let daemon = start();
    let mut all = Vec::new();
    let mut servers = Vec::new();
    for (port, how) in [(23_211, "exec"), (23_212, "fork")] {
        let server = act(&place, &["inetd", &port.to_string(), how]);
        ready(&server);
        all.extend(served(&place, &server, port, 3));
        servers.push(server);
    }
    finish(&mut all);
    let told = told(daemon);
    assert_eq!(told.len(), all.len());
    for (said, _) in &all {
        let it = find(&told, &said["peer"]);
        assert_ne!(said["pid"], said["opened_by"]);
        check(it.last(), "server", &said["pid"], &said["opened_by"]);
        // The superserver itself held it for a moment.
        check_early(it, "server", &[&said["pid"], &said["opened_by"]], &said["opened_by"]);
    }
}

#[test]
fn each_short_connection_to_prefork_workers_names_the_worker_that_served_it() {
    let _world = world!();
    const COUNT: usize = 200;
    let place = Netns::new();
    let daemon = start();
    let server = act(&place, &["workers", "23221", "4"]);
    ready(&server);
    let text = "import socket\nfor _ in range(200):\n s=socket.create_connection(('127.0.0.1',23221))\n \
                s.sendall(b'GET /one HTTP/1.1\\r\\nHost: pod\\r\\n\\r\\n'); s.recv(100); s.close()";
    let mut client = place.command("python3").arg("-c").arg(text).spawn().unwrap();
    let said: Vec<Value> = (0..COUNT).map(|_| server.next()).collect();
    let client_pid = client.id();
    assert!(client.wait().unwrap().success());
    let told = told(daemon);
    assert_eq!(told.len(), COUNT);
    let mut by_worker = std::collections::BTreeMap::new();
    let mut early = 0;
    for said in &said {
        let it = find(&told, &said["peer"]);
        check_living(it.last(), "server", &said["pid"], &said["opened_by"]);
        assert_eq!(it.last().number("control_plane.client.process.pid"), Some(client_pid.into()));
        check_early(it, "server", &[&said["pid"]], &said["opened_by"]);
        early += usize::from(!it.classified[0].at("control_plane.server.process").is_null());
        *by_worker.entry(said["pid"].as_u64()).or_insert(0) += 1;
    }
    println!("{COUNT} connections by worker: {by_worker:?}; {early} of them were named before their end");
}

#[test]
fn a_connection_that_is_passed_on_has_its_last_holder() {
    let _world = world!();
    let place = Netns::new();
    let daemon = start();
    let mut server = act(&place, &["relay", "23231"]);
    ready(&server);
    // Open at the end of the observation: what was looked up last counts.
    let _client = dial(&place, 23_231);
    let accepted = server.next();
    assert!(daemon.wait(Duration::from_secs(5), |events| {
        events.iter().any(|it| it.action() == "connection-classified")
    }));
    server.say("pass it on");
    let passed = server.next();
    assert_eq!(passed["passed"], true);
    std::thread::sleep(Duration::from_secs(2));
    let told = told(daemon);
    assert_eq!(told.len(), 1);
    check_early(&told[0], "server", &[&accepted["pid"], &passed["pid"]], &accepted["pid"]);
    assert_eq!(told[0].last().text("control_plane.connection.ending"), "still_open");
    check_living(told[0].last(), "server", &passed["pid"], &accepted["pid"]);
}

#[test]
fn a_client_that_passes_its_connection_on_opened_it() {
    let _world = world!();
    let place = Netns::new();
    let server = Script::start(&place, &["http_server", "23241", "127.0.0.1"]);
    ready(&server);
    for open in [false, true] {
        let daemon = start();
        let mut client = act(&place, &["dial_and_pass", "23241"]);
        let said = client.next();
        if open {
            std::thread::sleep(Duration::from_secs(2));
        } else {
            client.wait();
        }
        let told = told(daemon);
        assert_eq!(told.len(), 1);
        check(told[0].last(), "client", &said["pid"], &said["opened_by"]);
        check(told[0].last(), "server", &server.pid().into(), &server.pid().into());
        check_early(&told[0], "client", &[&said["pid"], &said["opened_by"]], &said["opened_by"]);
    }
}

#[test]
fn a_child_between_fork_and_exec_does_not_hold_its_parents_connection() {
    let _world = world!();
    let place = Netns::new();
    let server = Script::start(&place, &["http_server", "23281", "127.0.0.1"]);
    ready(&server);
    for how in ["exec", "exit"] {
        let daemon = start();
        let mut client = act(&place, &["dial_and_fork", "23281", how]);
        let said = client.next();
        std::thread::sleep(Duration::from_millis(600));
        client.wait();
        let told = told(daemon);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].last().text("control_plane.connection.ending"), "finished", "{how}");
        check_living(told[0].last(), "client", &said["pid"], &said["pid"]);
    }
}

#[test]
fn who_listens_and_accepts_alone_is_named_while_the_connection_is_open() {
    let _world = world!();
    const COUNT: usize = 400;
    let place = Netns::new();
    let daemon = start();
    let server = act(&place, &["alone", "23291"]);
    let pid = ready(&server)["pid"].clone();
    // Short ones, one after the other as fast as they go, and some that stay.
    for (count, stays) in [(COUNT, false), (20, true)] {
        let text = format!(
            "import socket,time\nkept=[]\nfor _ in range({count}):\n s=socket.create_connection(('127.0.0.1',23291))\n \
             s.sendall(b'GET /one HTTP/1.1\\r\\nHost: pod\\r\\n\\r\\n'); s.recv(100)\n \
             {}\ntime.sleep(0.3)",
            if stays { "kept.append(s); time.sleep(0.05)" } else { "s.close()" }
        );
        assert!(place.command("python3").arg("-c").arg(text).status().unwrap().success());
    }
    let told = told(daemon);
    assert_eq!(told.len(), COUNT + 20);
    let mut late = [0; 2];
    for it in &told {
        check_early(it, "server", &[&pid], &pid);
        check_living(it.last(), "server", &pid, &pid);
        let stayed = it.last().number("event.duration").is_some_and(|duration| duration > 40_000_000);
        let named = !it.classified[0].at("control_plane.server.process").is_null();
        late[usize::from(stayed)] += usize::from(!named);
    }
    println!(
        "named after the verdict: {} of {COUNT} short connections, {} of 20 long ones",
        late[0], late[1]
    );
    // A busy machine may be late now and then, not as a rule.
    assert!(late[0] + late[1] < told.len() / 10, "{late:?}");
}

#[test]
fn a_process_that_got_the_pid_of_the_opener_is_never_named() {
    let _world = world!();
    let place = Netns::new();
    let daemon = start();
    let server = act(&place, &["orphaned", "23251"]);
    let roles = ready(&server);
    let thief = Script::spawn(
        Command::new("python3")
            .arg("-u")
            .arg(peers().join("hand.py"))
            .args(["take_pid", &roles["opened_by"].to_string()]),
    );
    let said = thief.next();
    if said["pid"] != roles["opened_by"] {
        return skipped(format!("no pid can be chosen here: {said}"));
    }
    let mut client = dial(&place, 23_251);
    let peer = server.next()["peer"].clone();
    client.wait();
    let told = told(daemon);
    let event = find(&told, &peer).last();
    let at = |name: &str| event.at(&format!("control_plane.server.{name}"));
    assert_eq!(
        (at("process.pid"), at("opened_by.pid")),
        (&roles["pid"], &roles["opened_by"]),
        "{}",
        event.value
    );
    // Its number and the name that was noted at the call are all that is left of it.
    assert!(at("opened_by.executable").is_null() && at("opened_by.start_ticks").is_null(), "{}", event.value);
}

#[test]
fn a_thread_that_dials_in_another_namespace_is_told_there() {
    let _world = world!();
    let (home, away) = (Netns::new(), Netns::new());
    let server = Script::start(&away, &["http_server", "23261", "127.0.0.1"]);
    ready(&server);
    let daemon = start();
    let mut client = act(&home, &["elsewhere", "23261", away.path().to_str().unwrap()]);
    let said = client.next();
    assert!(said["local"].is_string(), "{said}");
    client.wait();
    let told = told(daemon);
    assert_eq!(told.len(), 1);
    let event = told[0].last();
    assert_eq!(event.at("control_plane.client.process.pid"), &said["pid"]);
    for end in ["client", "server"] {
        let netns = event.number(&format!("control_plane.{end}.network_namespace"));
        assert_eq!(netns, Some(away.inode()), "{end}: {}", event.value);
    }
}

#[test]
fn a_connection_that_nobody_accepts_has_an_opener_and_no_holder() {
    let _world = world!();
    let place = Netns::new();
    let daemon = start();
    let text = "import socket,os,json,sys\ns=socket.socket(); s.bind(('127.0.0.1',23271)); s.listen(5)\n\
                print(json.dumps({'pid':os.getpid()}),flush=True)\nsys.stdin.read()";
    let mut server = Script::spawn(place.command("python3").arg("-c").arg(text));
    let opener = server.next()["pid"].clone();
    let text = "import socket,json,sys\ns=socket.create_connection(('127.0.0.1',23271))\n\
                s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); print(json.dumps({'done':True}),flush=True)\nsys.stdin.read()";
    let client = Script::spawn(place.command("python3").arg("-c").arg(text));
    assert_eq!(client.next()["done"], true);
    std::thread::sleep(Duration::from_millis(200));
    server.wait();
    let told = told(daemon);
    assert_eq!(told.len(), 1);
    let event = told[0].last();
    assert_eq!(event.text("control_plane.connection.ending"), "never_accepted", "{}", event.value);
    assert_eq!(event.at("control_plane.server.opened_by.pid"), &opener, "{}", event.value);
    assert!(event.at("control_plane.server.process").is_null(), "{}", event.value);
    assert!(UNKNOWN.contains(&event.text("control_plane.server.missing")), "{}", event.value);
    drop(client);
}
