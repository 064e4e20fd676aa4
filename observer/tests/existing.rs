//! Older sockets and their owners on this machine: real programs in a network namespace made for each test.
//! Needs root, `ip` and `python3`; says so and passes where they are missing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "all of this file is tests")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use observer::attribution::{BootTime, Claim, Owners, Roots};
use observer::source::existing::{Existing, ExistingSocket, State};
use observer_core::connection::Party;
use observer_core::engine::{Origin, Role};

/// The tests look through all processes: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A network namespace with its loopback up, and the programs started in it; both go away with it.
struct Place {
    name: String,
    inode: u32,
    programs: Vec<Child>,
}

impl Place {
    /// `None`, with the reason printed, where this machine cannot have one.
    fn new(name: &str) -> Option<Self> {
        let name = format!("owners-{name}-{}", std::process::id());
        if !rustix::process::geteuid().is_root() || Command::new("python3").arg("-V").output().is_err() {
            println!("skipped: needs root and python3");
            return None;
        }
        if !Command::new("ip").args(["netns", "add", &name]).status().is_ok_and(|status| status.success()) {
            println!("skipped: `ip netns add` does not work here");
            return None;
        }
        let inode = std::fs::metadata(format!("/run/netns/{name}")).unwrap().ino();
        let place = Self { name, inode: u32::try_from(inode).unwrap(), programs: Vec::new() };
        assert!(place.command("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        Some(place)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a Python program until it prints a line, which is returned as numbers. It ends when its input does.
    fn python(&mut self, program: &str) -> Vec<u32> {
        let prelude = "import os,socket,sys,time,array\n\
            def ready(*numbers): print(*numbers, flush=True); sys.stdin.read()\n\
            def listen(family, address, **more):\n \
            s = socket.socket(family, socket.SOCK_STREAM, more.get('protocol', 0)); s.bind(address); s.listen(); return s\n";
        let child = self
            .command("python3")
            .args(["-c", &format!("{prelude}{program}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        self.started(child)
    }

    fn started(&mut self, mut child: Child) -> Vec<u32> {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.programs.push(child);
        line.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    fn list(&self) -> (Owners, Vec<ExistingSocket>) {
        let mut owners = Owners::new(Roots::of_this_machine().unwrap());
        let existing = Existing::list(&mut owners).unwrap();
        assert_eq!((existing.not_understood, existing.sockets_left_out), (0, 0));
        let here = existing.sockets.into_iter().filter(|socket| socket.netns == self.inode).collect();
        (owners, here)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for program in &mut self.programs {
            drop(program.stdin.take());
            let _ = program.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn pid(party: &Party) -> u32 {
    party.process.as_ref().map_or(0, |process| process.pid)
}

/// What is told of a listener that `opener` bound and `pids` hold.
fn corrected(owners: &mut Owners, opener: Party, pids: &[u32]) -> Party {
    let hint = pid(&opener);
    let mut end = Party { opened_by: opener.process, ..Party::default() };
    end.held_by(owners.holder(pids, hint).unwrap());
    end
}

fn listener(sockets: &[ExistingSocket], port: u16) -> &ExistingSocket {
    sockets.iter().find(|it| it.socket.state == State::Listen && it.socket.local.port() == port).unwrap()
}

fn connected(sockets: &[ExistingSocket], role: Role, port: u16) -> &ExistingSocket {
    let of_port = |it: &&ExistingSocket| {
        it.connection.is_some_and(|(is, tuple, _)| is == role && tuple.server.port() == port)
    };
    sockets.iter().find(of_port).unwrap_or_else(|| panic!("{role:?} {port}: {sockets:#?}"))
}

#[test]
fn lists_both_ends_with_owner_and_direction_over_ipv4_ipv6_and_mapped() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("ends") else { return };
    let numbers = place.python(
        "a = listen(socket.AF_INET, ('127.0.0.1', 7443)); b = listen(socket.AF_INET6, ('::', 7444))\n\
         pairs = []\n\
         for s, to in ((a, ('127.0.0.1', 7443)), (b, ('::1', 7444)), (b, ('127.0.0.1', 7444))):\n \
         c = socket.create_connection(to); d = s.accept()[0]; c.send(b'ping'); d.recv(4); pairs.append((c, d))\n\
         ready(os.getpid())",
    );
    let (_, sockets) = place.list();
    for port in [7443, 7444] {
        assert_eq!(pid(&listener(&sockets, port).owner), numbers[0]);
        for role in [Role::Client, Role::Server] {
            let end = connected(&sockets, role, port);
            assert_eq!(pid(&end.owner), numbers[0]);
            assert!(end.owner.process.as_ref().unwrap().executable.as_ref().unwrap().contains("python"));
            assert_eq!(end.owner.netns, Some(place.inode));
            let opened = end.opened(observer_core::time::Timestamp(1)).unwrap();
            assert!(matches!(opened.origin, Origin::MidStream { oriented: true, .. }), "{end:?}");
            assert!(end.socket.cookie != 0 && opened.key.0 == end.socket.cookie);
        }
    }
    assert_eq!(sockets.len(), 8);
    assert!(
        sockets
            .iter()
            .filter(|it| it.connection.is_some())
            .all(|it| it.socket.local.is_ipv4() || it.socket.local.ip().to_string() == "::1")
    );
}

#[test]
fn tells_who_dialled_when_the_listener_is_gone() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("gone") else { return };
    place.python(
        "s = listen(socket.AF_INET, ('127.0.0.1', 7443)); c = socket.create_connection(('127.0.0.1', 7443))\n\
         d = s.accept()[0]; s.close(); c.send(b'ping'); d.recv(4); d.send(b'pong'); c.recv(4); time.sleep(0.1); ready()",
    );
    let (_, sockets) = place.list();
    for role in [Role::Client, Role::Server] {
        let (_, tuple, certain) = connected(&sockets, role, 7443).connection.unwrap();
        assert!(certain && tuple.server.port() == 7443);
    }
}

#[test]
fn an_mptcp_listener_and_its_connection_have_owners() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("mptcp") else { return };
    if std::fs::read_to_string("/proc/sys/net/mptcp/enabled").unwrap_or_default().trim() != "1" {
        println!("skipped: no MPTCP here");
        return;
    }
    let numbers = place.python(
        "s = listen(socket.AF_INET, ('127.0.0.1', 7443), protocol=262)\n\
         c = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); c.connect(('127.0.0.1', 7443)); d = s.accept()[0]\n\
         c.send(b'ping'); d.recv(4); time.sleep(0.1); ready(os.getpid())",
    );
    let (_, sockets) = place.list();
    assert_eq!(pid(&listener(&sockets, 7443).owner), numbers[0]);
    for role in [Role::Client, Role::Server] {
        let end = connected(&sockets, role, 7443);
        assert!(end.socket.mptcp, "{end:?}");
        assert_eq!(pid(&end.owner), numbers[0], "{end:?}");
    }
}

#[test]
fn of_prefork_servers_the_master_owns_the_listener_and_the_worker_its_connection() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("prefork") else { return };
    let numbers = place.python(
        "s = listen(socket.AF_INET, ('127.0.0.1', 7443)); r, w = os.pipe()\n\
         worker = os.fork()\n\
         if worker == 0:\n os.close(w); d = s.accept()[0]; d.send(b'i'); os.read(r, 1); os._exit(0)\n\
         os.close(r); c = socket.create_connection(('127.0.0.1', 7443)); c.recv(1); ready(os.getpid(), worker)",
    );
    let (_, sockets) = place.list();
    assert_eq!(pid(&listener(&sockets, 7443).owner), numbers[0]);
    assert_eq!(pid(&connected(&sockets, Role::Server, 7443).owner), numbers[1]);
    assert_eq!(pid(&connected(&sockets, Role::Client, 7443).owner), numbers[0]);
}

#[test]
fn a_passed_descriptor_belongs_to_who_holds_it() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("passed") else { return };
    let numbers = place.python(
        "a, b = socket.socketpair()\n\
         other = os.fork()\n\
         if other == 0:\n a.close(); got = socket.recv_fds(b, 9, 1); b.send(b'x'); b.recv(1); os._exit(0)\n\
         b.close(); s = listen(socket.AF_INET, ('127.0.0.1', 7443))\n\
         socket.send_fds(a, [b'x'], [s.fileno()]); s.close(); a.recv(1); ready(os.getpid(), other)",
    );
    let (mut owners, sockets) = place.list();
    let listening = listener(&sockets, 7443);
    assert_eq!(pid(&listening.owner), numbers[1]);
    let inodes =
        observer::source::existing::inodes(owners.roots(), &HashSet::from([listening.socket.cookie]))
            .unwrap();
    assert_eq!(inodes[&listening.socket.cookie], listening.socket.inode);
    // The kernel programs name the caller of `listen`; who holds it now corrects that.
    let opener = owners.caller(&Claim { tgid: numbers[0], called_at: BootTime::now(), ..Claim::default() });
    let (_, found) = owners.holders(&HashSet::from([listening.socket.inode]));
    let corrected = corrected(&mut owners, opener, &found.by_inode[&listening.socket.inode]);
    assert_eq!((pid(&corrected), corrected.opened_by.unwrap().pid), (numbers[1], numbers[0]));
}

#[test]
fn an_activated_service_owns_what_its_activator_opened_and_still_holds() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("activated") else { return };
    let numbers = place.python(
        "s = listen(socket.AF_INET, ('127.0.0.1', 7443)); r, w = os.pipe(); q, p = os.pipe()\n\
         service = os.fork()\n\
         if service == 0:\n \
         os.close(w); os.dup2(s.fileno(), 3); os.set_inheritable(3, True); os.set_inheritable(r, True); os.set_inheritable(p, True)\n \
         os.execve(sys.executable, ['service', '-c', f'import os; os.write({p}, b\"x\"); os.read({r}, 1)'],\n  \
         {**os.environ, 'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'})\n\
         os.close(r); os.read(q, 1); ready(os.getpid(), service)",
    );
    let (mut owners, sockets) = place.list();
    let listening = listener(&sockets, 7443);
    assert_eq!(pid(&listening.owner), numbers[1], "{listening:?}");
    let opener = owners.caller(&Claim { tgid: numbers[0], called_at: BootTime::now(), ..Claim::default() });
    let (_, found) = owners.holders(&HashSet::from([listening.socket.inode]));
    let corrected = corrected(&mut owners, opener, &found.by_inode[&listening.socket.inode]);
    assert_eq!((pid(&corrected), corrected.opened_by.unwrap().pid), (numbers[1], numbers[0]));
}

#[test]
fn systemds_own_activator_becomes_the_service() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("systemd") else { return };
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        println!("skipped: no systemd-socket-activate here");
        return;
    }
    let service = "import os,sys; print(os.getpid(), flush=True); sys.stdin.read()";
    let mut child = place
        .command("systemd-socket-activate")
        .args(["-l", "127.0.0.1:7443", "python3", "-c", service])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    let client = place.python("c = socket.create_connection(('127.0.0.1', 7443)); ready(os.getpid())");
    let numbers = place.started(child);
    let (_, sockets) = place.list();
    let owner = &listener(&sockets, 7443).owner;
    assert_eq!(pid(owner), numbers[0]);
    assert!(owner.process.as_ref().unwrap().executable.as_ref().unwrap().contains("python"));
    assert_eq!(pid(&connected(&sockets, Role::Client, 7443).owner), client[0]);
    let accepted = connected(&sockets, Role::Server, 7443);
    assert_eq!(accepted.owner.missing, Some("not_accepted_or_closed"), "nobody accepted it");
}

#[test]
fn a_daemon_owns_the_listener_that_its_dead_parent_opened() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("daemon") else { return };
    let numbers = place.python(
        "keep, mine = os.pipe(); q, p = os.pipe(); first = os.fork()\n\
         if first == 0:\n \
         s = listen(socket.AF_INET, ('127.0.0.1', 7443))\n \
         if os.fork() == 0:\n  os.setsid(); os.close(mine); os.write(p, str(os.getpid()).encode()); os.read(keep, 1); os._exit(0)\n \
         os._exit(0)\n\
         os.close(keep); os.waitpid(first, 0); ready(first, int(os.read(q, 20)))",
    );
    let (mut owners, sockets) = place.list();
    let listening = listener(&sockets, 7443);
    assert_eq!(pid(&listening.owner), numbers[1]);
    let claim =
        Claim { tgid: numbers[0], name: b"python3".to_vec(), called_at: BootTime::now(), cgroup_id: None };
    let opener = owners.caller(&claim);
    assert_eq!(opener.missing, Some("process_exited"));
    let (_, found) = owners.holders(&HashSet::from([listening.socket.inode]));
    let corrected = corrected(&mut owners, opener, &found.by_inode[&listening.socket.inode]);
    assert_eq!((pid(&corrected), corrected.opened_by.unwrap().pid), (numbers[1], numbers[0]));
    assert_eq!(corrected.missing, None);
}

#[test]
fn lists_ten_thousand_sockets_and_stays_in_its_own_namespace() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mut place) = Place::new("many") else { return };
    place.python(
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
         resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n\
         s = socket.socket(); s.bind(('127.0.0.1', 7443)); s.listen(1000); kept = []\n\
         for _ in range(5000): kept.append(socket.create_connection(('127.0.0.1', 7443))); kept.append(s.accept()[0])\n\
         ready(len(kept))",
    );
    let before = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let started = Instant::now();
    let (_, sockets) = place.list();
    println!("10,001 sockets listed with owners and direction in {:?}", started.elapsed());
    assert_eq!(sockets.len(), 10_001);
    assert!(sockets.iter().all(|it| it.owner.process.is_some()));
    let certain = sockets.iter().filter_map(|it| it.connection).filter(|(_, _, certain)| *certain);
    assert_eq!(certain.filter(|(role, _, _)| *role == Role::Client).count(), 5000);
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/net").unwrap(), before);
}
