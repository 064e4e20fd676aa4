//! A real control plane with two workers, driven with one of everything: each connection is told once, as its ends saw it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use observer_tests::daemon::{Daemon, Left};
use observer_tests::event::Event;
use observer_tests::ledger::connections;
use observer_tests::schema::violations;
use observer_tests::truth::{self, Item, Terms};
use observer_tests::world;
use observer_tests::world::skipped;
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
        let this = Self { xtask: std::env::var_os("OBSERVER_XTASK").unwrap().into() };
        for mut command in [this.command(&["down"]), this.command(&[&["up"], words].concat())] {
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
        let done = self.command(&["drive"]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        truth::read(&said)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).status();
    }
}

/// Why there can be no such cluster here.
fn missing(words: &[&str]) -> Option<String> {
    let Some(xtask) = std::env::var_os("OBSERVER_XTASK") else {
        return Some("OBSERVER_XTASK names no xtask, which puts the cluster up".into());
    };
    let done = Command::new(xtask).args(["cluster", "ready"]).args(words).output().unwrap();
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
    let told = connections(&left.events);
    let (compared, mut wrong) = truth::differences(items, &told, terms);
    wrong.extend(
        left.events.iter().filter(|it| it.action() == "loss").map(|it| format!("lost: {}", it.value)),
    );
    let all: Vec<_> = left.events.iter().map(|it| it.value.to_string()).chain(left.words.clone()).collect();
    for secret in items.iter().flat_map(|item| &item.secrets) {
        wrong.extend(
            all.iter().filter(|line| line.contains(secret)).map(|line| format!("{secret} in {line}")),
        );
    }
    if !wrong.is_empty() {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cluster-events.jsonl");
        let lines: Vec<_> = left.events.iter().map(|it| it.value.to_string()).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        wrong.push(format!("all events are in {}", file.display()));
    }
    assert!(wrong.is_empty(), "of {compared} compared:\n{}", wrong.join("\n"));
    let least = if terms.machine.is_some() { items.len() / 4 } else { items.len() };
    assert!(compared > least, "only {compared} connections were compared");
    assert_eq!(violations(&left.events), Vec::<String>::new());
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
    check(&control_plane, &items, Terms { machine: Some(truth::CONTROL_PLANE), ..Terms::default() });
    check_api(&control_plane, &id, &["web", "shop-1", "other"]);
    check(&worker, &items, Terms { machine: Some(truth::WORKER), ..Terms::default() });
    check_api(&worker, &id, &[]);
}
