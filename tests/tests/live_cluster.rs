//! A real control plane with two workers, driven with one of everything: each connection is told once, as its ends saw it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured"
)]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use observer_tests::capture::Capture;
use observer_tests::daemon::{Daemon, Left};
use observer_tests::event::Event;
use observer_tests::kernel::Held;
use observer_tests::ledger::{Told, connections};
use observer_tests::schema::violations;
use observer_tests::truth::{self, Item, Run, Terms, View};
use observer_tests::world;
use observer_tests::world::{has, skipped};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A cluster that goes away with the test.
struct Cluster {
    xtask: PathBuf,
}

impl Cluster {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.xtask);
        command.arg("cluster").args(words).stdin(Stdio::null());
        command
    }

    /// Puts one up in place of any other: the daemon is to see it come up.
    fn up(words: &[&str]) -> Self {
        let words = &shape(words)[..];
        let this = Self { xtask: std::env::var_os("OBSERVER_XTASK").unwrap().into() };
        for mut command in [this.command(&["down"]), {
            let mut up = this.command(&["up"]);
            up.args(words);
            up
        }] {
            let done = command.stderr(Stdio::piped()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        this
    }

    fn kubectl(&self, words: &[&str]) -> String {
        let done = self.command(&[&["kubectl", "--"], words].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
        said
    }

    /// Makes the account and the rights that `deploy` gives the observer, and a kubeconfig of it.
    fn admit(&self, folder: &Path) -> PathBuf {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/daemonset.yaml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let rights: Vec<_> =
            manifest.split("\n---\n").filter(|object| !object.contains("kind: DaemonSet")).collect();
        let file = folder.join("rights.yaml");
        std::fs::write(&file, rights.join("\n---\n")).unwrap();
        self.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        let token = self.kubectl(&["create", "token", "observer", "-n", "observer"]);
        let own: Value =
            serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": own["clusters"][0]["cluster"]}],
            "users": [{"name": "it", "user": {"token": token.trim()}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        });
        let file = folder.join("kubeconfig");
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    fn drive(&self) -> Vec<Item> {
        Drive::start(self, "1").end()
    }
}

/// A drive that goes on by itself.
struct Drive {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    items: Vec<Item>,
    /// Everything that it said.
    said: String,
}

impl Drive {
    fn start(cluster: &Cluster, rounds: &str) -> Self {
        let mut drive = cluster.command(&["drive", "--rounds", rounds]);
        let mut child = drive.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, items: Vec::new(), said: String::new() }
    }

    /// Reads what it drives; whether there was anything more.
    fn reads(&mut self) -> bool {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        if line.is_empty() {
            return false;
        }
        self.items.push(truth::line(&line));
        self.said.push_str(&line);
        true
    }

    /// Waits until something of this name was driven.
    fn passes(&mut self, name: &str) {
        while self.reads() && self.items.last().unwrap().name != name {}
        assert_eq!(self.items.last().unwrap().name, name);
    }

    fn end(mut self) -> Vec<Item> {
        while self.reads() {}
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        assert!(self.child.wait().unwrap().success(), "{:?}: {words}", self.items.last());
        std::mem::take(&mut self.items)
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).status();
    }
}

/// How the cluster is to be: as a test wants it, or where that does not matter as `OBSERVER_CLUSTER` says.
fn shape(words: &[&str]) -> Vec<String> {
    if !words.is_empty() {
        return words.iter().map(ToString::to_string).collect();
    }
    let told = std::env::var("OBSERVER_CLUSTER").unwrap_or_default();
    told.split_whitespace().map(String::from).collect()
}

/// Why there can be no such cluster here.
fn missing(words: &[&str]) -> Option<String> {
    let Some(xtask) = std::env::var_os("OBSERVER_XTASK") else {
        return Some("OBSERVER_XTASK names no xtask, which puts the cluster up".into());
    };
    let done = Command::new(xtask).args(["cluster", "ready"]).args(shape(words)).output().unwrap();
    (!done.status.success()).then(|| String::from_utf8_lossy(&done.stderr).trim().into())
}

/// Puts a cluster up beside a daemon, drives it, and holds the events against what was driven.
fn observe(watched: &[&str], cluster: &[&str], terms: Terms) {
    if let Some(reason) = missing(cluster) {
        return skipped(reason);
    }
    let daemon = Daemon::start(watched);
    let cluster = Cluster::up(cluster);
    let items = cluster.drive();
    daemon.settle(Duration::from_secs(2), Duration::from_secs(30));
    let left = daemon.stop();
    drop(cluster);
    check(&left, &items, terms);
}

/// A daemon that sees one machine of the cluster alone, and asks the API from there.
fn on_machine(name: &str, kubeconfig: &Path) -> Daemon {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let tree = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|it| it[2] == "cgroup2");
    let group = Path::new(tree.unwrap()[1]).join("observer-cluster").join(name);
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/observer-{name}")).arg("--").arg(world::observer().unwrap());
    command.args(["run", "--format", "json", "--node-name", name]);
    command.arg("--cgroup-root").arg(group).arg("--kubeconfig").arg(kubeconfig);
    Daemon::spawn(&mut command)
}

/// What a daemon on another machine asks the API is no less there than what others ask.
fn asked_by_observer(address: &str) -> Item {
    let event = json!({
        "source": {"ip": address},
        "destination": {"ip": "10.89.0.1", "port": 6443},
        "network": {"protocol": "tls"},
        "control_plane": {
            "security": "server_tls",
            "client_certificate": {"state": "declined"},
            "client": {"process": {"name": "observer"}},
            "path": "client-to-apiserver",
        },
    });
    let connections = json!([{"connections": "every", "event": event}]);
    truth::line(&json!({"item": "observer-to-apiserver", "connections": connections}).to_string())
}

/// Every event names the cluster, and pods of other machines are named by the API.
fn check_api(left: &Left, id: &str, pods: &[&str]) {
    let named = |event: &&Event| event.text("orchestrator.cluster.id") == id;
    let (with, all) = (left.events.iter().filter(named).count(), left.events.len());
    assert!(with > 0 && with >= all - all / 10, "{with} of {all} events name the cluster {id}");
    for pod in pods {
        let is = |event: &&Event| {
            event.text("control_plane.server.source") == "api"
                && event.text("control_plane.server.kubernetes.pod") == *pod
        };
        assert!(left.events.iter().any(|event| is(&event)), "{pod} was not named by the API");
    }
    let account = left.words.iter().find(|line| line.contains("API: ")).unwrap();
    println!("measured: {}", account.split("API: ").nth(1).unwrap());
    assert!(account.contains(" 0 failed, 0 forbidden"), "{account}");
}

fn check(left: &Left, items: &[Item], terms: Terms) {
    let mut wrong = lost(&left.events);
    let all: Vec<_> = left.events.iter().map(|it| it.value.to_string()).chain(left.words.clone()).collect();
    wrong.extend(truth::betrayed(items, &all));
    compare(&left.events, items, terms, wrong);
    assert_eq!(violations(&left.events), Vec::<String>::new());
}

fn lost(events: &[Event]) -> Vec<String> {
    events.iter().filter(|it| it.action() == "loss").map(|it| format!("lost: {}", it.value)).collect()
}

/// Holds the events against the truth, in which everything must be that can be seen.
fn compare(events: &[Event], items: &[Item], terms: Terms, mut wrong: Vec<String>) {
    let outcome = truth::compare(items, &connections(events), terms);
    println!("measured: {}", outcome.line());
    wrong.extend(outcome.wrong.iter().cloned());
    if !wrong.is_empty() {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let lines: Vec<_> = events.iter().map(|it| it.value.to_string()).collect();
        std::fs::write(folder.join("cluster-events.jsonl"), lines.join("\n")).unwrap();
        wrong.push(format!("all events are in {}", folder.display()));
    }
    assert!(wrong.is_empty(), "of {}:\n{}", outcome.line(), wrong.join("\n"));
    if matches!(terms.view, View::All) && terms.run.is_none() {
        assert!(outcome.compared > items.len(), "{}", outcome.line());
    }
}

#[test]
fn what_is_watched_by_default_is_told_once_as_its_ends_saw_it() {
    let _world = world!();
    observe(&[], &[], Terms::default());
}

#[test]
fn everything_is_told_once_as_its_ends_saw_it_where_everything_is_watched() {
    let _world = world!();
    let terms = Terms { everything: true, ..Terms::default() };
    observe(&["--scope", "all"], &["--proxy", "nftables"], terms);
}

#[test]
fn what_the_agent_of_konnectivity_dials_is_told_as_if_the_api_server_did() {
    let _world = world!();
    observe(&[], &["--konnectivity"], Terms::default());
}

#[test]
fn what_one_machine_shows_is_told_right_and_the_api_names_the_rest() {
    let world = world!();
    if let Some(reason) = missing(&[]) {
        return skipped(reason);
    }
    let cluster = Cluster::up(&[]);
    let kubeconfig = cluster.admit(world.path());
    let id = cluster.kubectl(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    let token: Value = serde_json::from_str(&std::fs::read_to_string(&kubeconfig).unwrap()).unwrap();
    let token = token["users"][0]["user"]["token"].as_str().unwrap().to_owned();
    let daemons = ["cp", "node1"].map(|name| on_machine(name, &kubeconfig));
    let mut items = cluster.drive();
    items[0].secrets.push(token);
    let [control_plane, worker] = daemons.map(|daemon| {
        daemon.settle(Duration::from_secs(2), Duration::from_secs(30));
        daemon.stop()
    });
    drop(cluster);
    let view = View::Machine(truth::CONTROL_PLANE);
    let more = [&items[..], &[asked_by_observer("10.89.0.2")]].concat();
    check(&control_plane, &more, Terms { view, ..Terms::default() });
    check_api(&control_plane, &id, &["web", "shop-1", "other"]);
    check(&worker, &items, Terms { view: View::Machine(truth::WORKER), ..Terms::default() });
    check_api(&worker, &id, &[]);
}

/// What only the events of an older connection say, and all of them.
fn check_older(events: &[Event]) {
    let older: Vec<_> = connections(events).into_iter().filter(Told::is_older).collect();
    assert!(!older.is_empty(), "nothing was older than the daemon");
    for told in older {
        let closed = told.last();
        if closed.at("control_plane.http.requests").is_u64() {
            assert_eq!(*closed.at("control_plane.http.missed_unknown"), true, "{}", closed.value);
        }
    }
}

/// Findings of a run that began at `start` are of that run alone.
fn check_findings(events: &[Event], start: u64) {
    let mut known = HashSet::new();
    for event in events.iter().filter(|it| it.action() == "finding") {
        let first = truth::nanoseconds(event.text("control_plane.finding.first_seen")).unwrap();
        assert!(first >= start, "{}", event.value);
        let is_new = known.insert(event.text("control_plane.finding.id"));
        assert!(!is_new || event.text("control_plane.finding.state") == "open", "{}", event.value);
    }
    assert!(!known.is_empty(), "there were no findings");
}

#[test]
fn a_daemon_that_comes_late_and_is_killed_and_comes_again_tells_the_truth_of_what_it_missed() {
    let _world = world!();
    if let Some(reason) = missing(&[]) {
        return skipped(reason);
    }
    let cluster = Cluster::up(&[]);
    let mut drive = Drive::start(&cluster, "4");
    drive.passes("kept-alive-1");
    let mut first = Run::begin();
    let daemon = Daemon::start(&[]);
    first.sure[0] = truth::now();
    drive.passes("webhook");
    drive.passes("webhook");
    drive.passes("kept-alive-1");
    let held = Held::by(daemon.pid());
    // What it had read a moment before it may not have told yet.
    first.sure[1] = truth::now() - 1_000_000_000;
    let killed = daemon.end(Signal::KILL);
    (first.end, first.killed) = (truth::now(), true);
    let mut second = Run::begin();
    let daemon = Daemon::start(&[]);
    second.sure[0] = truth::now();
    held.go();
    let items = drive.end();
    daemon.settle(Duration::from_secs(2), Duration::from_secs(30));
    let left = daemon.stop();
    drop(cluster);
    for (left, run) in [(&killed, first), (&left, second)] {
        check(left, &items, Terms { run: Some(run), ..Terms::default() });
        check_older(&left.events);
        check_findings(&left.events, run.start);
    }
    for name in ["event.id", "control_plane.connection.id"] {
        let ids = |left: &Left| left.events.iter().map(|it| it.text(name).to_owned()).collect::<HashSet<_>>();
        let both: Vec<_> =
            ids(&killed).intersection(&ids(&left)).filter(|id| !id.is_empty()).cloned().collect();
        assert_eq!(both, Vec::<String>::new(), "{name} of both runs");
    }
}

/// Packets of a machine, or of the cable, by tcpdump.
fn capture(name: &str, folder: &Path) -> Capture {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/observer-{name}")).arg("--").arg("tcpdump");
    Capture::spawn(command, folder.join(format!("{name}.pcap")))
}

#[test]
fn what_captures_show_is_told_right_by_content_alone() {
    let world = world!();
    if let Some(reason) = missing(&[]) {
        return skipped(reason);
    }
    if !has("tcpdump") {
        return skipped("no tcpdump");
    }
    let cluster = Cluster::up(&[]);
    let views = [
        ("cp", View::Machine(truth::CONTROL_PLANE)),
        ("node1", View::Machine(truth::WORKER)),
        ("outside", View::Cable),
    ];
    let captures = views.map(|(name, _)| capture(name, world.path()));
    let run = Some(Run::begin());
    let mut drive = Drive::start(&cluster, "1");
    while drive.reads() {}
    let said = drive.said.clone();
    let items = drive.end();
    let told = captures.map(Capture::replay);
    drop(cluster);
    if let Some(folder) = std::env::var_os("OBSERVER_CAPTURES").map(PathBuf::from) {
        std::fs::write(folder.join("truth.jsonl"), said).unwrap();
        for (name, _) in views {
            let file = format!("{name}.pcap");
            std::fs::copy(world.path().join(&file), folder.join(&file)).unwrap();
        }
    }
    for ((name, view), events) in views.into_iter().zip(told) {
        println!("measured: a capture on {name}:");
        let lines: Vec<_> = events.iter().map(|it| it.value.to_string()).collect();
        let findings = events.iter().filter(|it| it.action() == "finding");
        let mut wrong = truth::betrayed(&items, &lines);
        wrong.extend(findings.map(|it| format!("a finding without a dialler: {}", it.value)));
        compare(&events, &items, Terms { view, capture: true, run, ..Terms::default() }, wrong);
        assert_eq!(violations(&events), Vec::<String>::new());
    }
}
