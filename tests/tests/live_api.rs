//! The daemon and the Kubernetes API: one that does what none should, and a real one with much in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured"
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use observer_tests::api::{ApiClient, ApiServer, Reply, TOKEN};
use observer_tests::cluster::Cluster;
use observer_tests::daemon::{Daemon, Left};
use observer_tests::event::Event;
use observer_tests::ledger::connections;
use observer_tests::netns::Netns;
use observer_tests::schema::violations;
use observer_tests::world;
use observer_tests::world::{cgroups, has, skipped};
use serde_json::{Value, json};

const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";
const OTHER: &str = "ffffffff-1111-2222-3333-444455556666";
/// Who is at the remote end of every connection.
const REMOTE: &str = "10.77.0.1";
/// A pod with such a name cannot be.
const HOSTILE: &str = "\u{1b}[31mhostile\u{7}\u{202e}";
/// What the daemon asks for.
const ALL: [&str; 4] = ["cluster_id", "api_servers", "own_pods", "remote_pods"];

fn http(status: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n{body}")
        .into_bytes()
}

fn ok(body: &Value) -> Reply {
    Reply::Say(http("200 OK", "", &body.to_string()))
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"}, "items": items})
}

fn pod(name: &str, uid: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": "4",
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "elsewhere"},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}], "hostIP": "10.0.0.1"},
    })
}

fn watch(events: &[Value]) -> Vec<u8> {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{lines}").into_bytes()
}

fn watches(target: &str) -> bool {
    target.contains("watch=true")
}

/// Well but for its pods.
fn with_pods(pods: Vec<Value>) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    move |target| match target {
        it if it.contains("kube-system") => ok(&json!({"metadata": {"name": "kube-system", "uid": UID}})),
        it if watches(it) => Reply::Stay(watch(&[])),
        it if it.contains("/pods") => ok(&list(&pods)),
        _ => ok(&list(&[])),
    }
}

/// Well but for its watches.
fn with_watches(answer: Reply) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let well = with_pods(Vec::new());
    move |target| if watches(target) { answer.clone() } else { well(target) }
}

/// A server of one kind, and what the daemon is to say of it.
struct Kind {
    name: &'static str,
    answer: Box<dyn Fn(&str) -> Reply + Send + Sync>,
    /// What is missing, and why.
    lacks: Vec<(&'static str, &'static str)>,
    /// Requests in a minute, at most.
    most: usize,
}

fn kind(
    name: &'static str,
    lacks: &[(&'static str, &'static str)],
    most: usize,
    answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Kind {
    Kind { name, answer: Box::new(answer), lacks: lacks.to_vec(), most }
}

fn kinds() -> Vec<Kind> {
    let all = |why: &'static str| ALL.map(|what| (what, why));
    // Four that are asked for, seven times in a minute: the pauses double.
    let seldom = 32;
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"}});
    let status =
        |code: u16| json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"}).to_string();
    let (forbidden, unauthorized) = (status(403), status(401));
    let odd = r#"{"metadata":{"resourceVersion":"5","uid":7},"items":[{"metadata":{"name":5},"spec":7,"status":"x"}]}"#;
    let names = vec![
        pod(HOSTILE, UID, REMOTE),
        pod(&"a".repeat(1 << 20), OTHER, REMOTE),
        pod("../../etc/passwd", UID, REMOTE),
    ];
    let mut of_its_host = pod("host", UID, REMOTE);
    of_its_host["status"]["hostIP"] = json!(REMOTE);
    let endless = json!({"metadata": {"resourceVersion": "5", "continue": "more"}, "items": []});
    vec![
        // Each connection is newer than the last answer.
        kind("well", &[], 8 + DIALS, with_pods(vec![pod("web", UID, REMOTE)])),
        kind("forbidden", &all("forbidden"), seldom, move |_| {
            Reply::Say(http("403 Forbidden", "", &forbidden))
        }),
        kind("unauthorized", &all("unauthorized"), seldom, move |_| {
            Reply::Say(http("401 Unauthorized", "", &unauthorized))
        }),
        kind("closes", &all("unreachable"), seldom, |_| Reply::Say(Vec::new())),
        kind("stalls", &all("too_slow"), seldom, |_| Reply::Stay(Vec::new())),
        kind("drips", &all("too_slow"), seldom, |_| Reply::Drip(watch(&[]))),
        kind("floods", &all("too_large"), seldom, |_| Reply::Flood(watch(&[]))),
        kind("truncated", &all("not_understood"), seldom, |_| {
            Reply::Say(http("200 OK", "", r#"{"metadata":{"resourceVersion":"5"},"items":[{"metad"#))
        }),
        kind("wrong types", &all("not_understood"), seldom, move |_| Reply::Say(http("200 OK", "", odd))),
        kind("bad chunks", &all("unreachable"), seldom, |_| {
            Reply::Say(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n{}\r\n"
                    .to_vec(),
            )
        }),
        kind("too many requests", &all("too_many_requests"), 16, |_| {
            Reply::Say(http("429 Too Many Requests", "Retry-After: 20\r\n", "later"))
        }),
        kind(
            "watch ends",
            &[("api_servers", "watch_ends"), ("own_pods", "watch_ends")],
            30,
            with_watches(Reply::Say(watch(&[]))),
        ),
        kind(
            "always gone",
            &[("api_servers", ""), ("own_pods", "")],
            40,
            with_watches(Reply::Stay(watch(&[gone]))),
        ),
        kind(
            "no end of pages",
            &[("api_servers", "too_large"), ("own_pods", "too_large")],
            1100,
            move |target| {
                if target.contains("limit=100") { ok(&endless) } else { with_pods(Vec::new())(target) }
            },
        ),
        kind("hostile names", &[], 20, with_pods(names)),
        kind("one address of two", &[], 20, with_pods(vec![pod("a", UID, REMOTE), pod("b", OTHER, REMOTE)])),
        kind("a host's address", &[], 20, with_pods(vec![of_its_host, pod("lo", OTHER, "127.0.0.1")])),
    ]
}

/// A control group that goes away with the test.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Self {
        let path = cgroups().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// kB of resident memory now, and at most so far.
fn memory(pid: u32) -> [u64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["VmRSS:", "VmHWM:"].map(|field| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    })
}

/// What the last sign of life says of the API.
fn api(left: &Left) -> &Value {
    let beat = left.events.iter().rfind(|event| event.action() == "heartbeat").expect("no sign of life");
    beat.at("control_plane.heartbeat.kubernetes_api")
}

/// How many requests the last account tells.
fn requests_told(left: &Left) -> u64 {
    let account = left.words.iter().find_map(|line| line.split("API: ").nth(1)).unwrap();
    account.split(' ').next().unwrap().parse().unwrap()
}

fn pods(event: &Event) -> Vec<&str> {
    let of = |end: &str| event.text(&format!("control_plane.{end}.kubernetes.pod"));
    ["client", "server"].map(of).into_iter().filter(|name| !name.is_empty()).collect()
}

const DIALS: usize = 12;

/// Answers whoever asks, on another machine than those who dial.
fn answer(place: &Netns) -> SocketAddr {
    let listener = place.run(|| TcpListener::bind((REMOTE, 22_050)).unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut conn in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                while conn.read(&mut [0; 512]).is_ok_and(|read| read > 0) {
                    if conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Dials twelve times in a minute, each time for two seconds and a half, from a control group.
fn dial(place: &Netns, group: &Path, to: SocketAddr) -> std::process::Child {
    let (ip, port) = (to.ip(), to.port());
    let program = format!(
        "import socket,time\nfor _ in range({DIALS}):\n s=socket.create_connection(('{ip}',{port}))\n \
         s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')\n s.recv(100)\n time.sleep(2.5)\n s.close()\n time.sleep(2.5)\n"
    );
    let script = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", group.display());
    let mut command = Command::new("sh");
    command.args(["-ec", &script, "sh", "nsenter"]).arg(format!("--net={}", place.path().display()));
    command.args(["--", "python3", "-c", &program]).stdin(Stdio::null()).spawn().unwrap()
}

#[test]
fn an_api_server_that_does_what_none_should_costs_names_and_nothing_else() {
    let world = world!();
    if !has("python3") {
        return skipped("needs python3");
    }
    let (near, far) = Netns::pair();
    let group = Group::new("observer-api");
    let address = answer(&near);
    let mut watched = Vec::new();
    for (port, kind) in (24_000..).zip(kinds()) {
        let server = ApiServer::start(&far, &world.certificates, (world.path(), port), kind.answer);
        let mut command = far.command(world::observer().unwrap());
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        command.args(["run", "--format", "json", "--port", "22050", "--node-name", "node1", "--cgroup-root"]);
        command.arg(&group.0).arg("--kubeconfig").arg(server.kubeconfig());
        let daemon = Daemon::spawn(&mut command);
        watched.push((kind.name, kind.lacks, kind.most, server, daemon));
    }
    let mut dialler = dial(&far, &group.0, address);
    assert!(dialler.wait().unwrap().success());
    let mut wrong = Vec::new();
    for (name, lacks, most, server, daemon) in watched {
        // It may have been started last.
        daemon.wait(Duration::from_secs(90), |events| events.iter().any(|it| it.action() == "heartbeat"));
        daemon.settle(Duration::from_secs(1), Duration::from_secs(10));
        let [now, peak] = memory(daemon.pid());
        let left = daemon.stop();
        let mut fail = |what: String| wrong.push(format!("{name}: {what}"));
        // It has ended: nothing more comes.
        let asked = server.asked().len();
        let api = api(&left);
        println!("measured: {name}: {asked} requests, {now} kB, {peak} kB at most; {api}");
        if asked > most {
            fail(format!("{asked} requests"));
        }
        // The last account; what was on its way when the observer ended may not have been seen.
        let told = requests_told(&left);
        if told < asked as u64 || told > asked as u64 + 4 {
            fail(format!("{told} requests told, {asked} seen"));
        }
        let said: BTreeMap<&str, &str> = api["lacks"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|lack| (lack["what"].as_str().unwrap(), lack["reason"].as_str().unwrap()))
            .collect();
        let differs =
            |(what, why): &(&str, &str)| !said.get(what).is_some_and(|it| why.is_empty() || it == why);
        if said.len() != lacks.len() || lacks.iter().any(differs) {
            fail(format!("lacks {said:?}"));
        }
        // Fine once it is given back, and never without bound.
        if now > 60_000 || peak > 140_000 {
            fail(format!("{now} kB, {peak} kB at most"));
        }
        let all = connections(&left.events);
        let is_right =
            |event: &Event| event.security() == "plaintext" && event.text("network.protocol") == "http";
        let right = all.iter().filter(|it| it.classified.len() == 1 && it.closed.len() == 1);
        let right = right.filter(|it| it.classified.iter().chain(&it.closed).all(is_right)).count();
        if right != DIALS || all.len() != DIALS {
            fail(format!("{right} of {} connections told right", all.len()));
        }
        let named: Vec<&str> = left.events.iter().flat_map(pods).collect();
        match name {
            "well" if named.len() < DIALS || named.iter().any(|it| *it != "web") => {
                fail(format!("named {named:?}"))
            }
            "well" => {}
            _ if named.is_empty() => {}
            _ => fail(format!("named {named:?}")),
        }
        let lines = left.events.iter().map(|it| it.value.to_string()).chain(left.words.clone());
        for line in
            lines.filter(|line| line.contains(TOKEN) || line.contains("hostile") || line.contains('\u{1b}'))
        {
            fail(line);
        }
        wrong.extend(violations(&left.events));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const PODS: usize = 5000;
const OWN: usize = 250;
const SERVICES: usize = 500;
/// Remote ends that are dialled from.
const REMOTES: std::ops::Range<usize> = 1250..1280;

fn address(pod: usize) -> String {
    format!("10.244.{}.{}", pod / 250, pod % 250 + 1)
}

fn node(pod: usize) -> String {
    if pod < OWN { "node-0".into() } else { format!("node-{}", 1 + pod % 40) }
}

/// A pod as a deployment makes them, about as large.
fn large_pod(number: usize) -> (Value, Value) {
    let environment: Vec<Value> = (0..20)
        .map(|it| json!({"name": format!("VARIABLE_{it}"), "value": "some value of some length"}))
        .collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("app-{number}"),
            "labels": {"app.kubernetes.io/name": "app", "pod-template-hash": "7d4b9c6f5d"},
            "annotations": {"example.com/checksum": "0123456789abcdef".repeat(16)},
        },
        "spec": {
            "nodeName": node(number), "automountServiceAccountToken": false,
            "containers": [
                {"name": "main", "image": "registry.example/app:1", "env": environment},
                {"name": "side", "image": "registry.example/side:1"},
            ],
        },
    });
    let now = "2026-01-01T00:00:00Z";
    let started = |name: &str| {
        json!({
            "name": name, "image": "registry.example/app:1", "imageID": "registry.example/app@sha256:0f", "ready": true,
            "restartCount": 0, "containerID": format!("containerd://{number:064x}"), "state": {"running": {"startedAt": now}},
        })
    };
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}));
    let status = json!({"status": {
        "phase": "Running", "podIP": address(number), "podIPs": [{"ip": address(number)}],
        "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}], "startTime": now, "conditions": conditions,
        "containerStatuses": [started("main"), started("side")],
    }});
    (pod, status)
}

/// Makes all of it, over some connections at once.
fn fill(kubeconfig: &Path) {
    const HANDS: usize = 6;
    std::thread::scope(|scope| {
        for hand in 0..HANDS {
            scope.spawn(move || {
                let mut api = ApiClient::dial(kubeconfig, "observer-outside");
                let path = "/api/v1/namespaces/default";
                for number in (hand..PODS).step_by(HANDS) {
                    let (pod, status) = large_pod(number);
                    api.send("POST", &format!("{path}/pods"), &pod);
                    api.send("PATCH", &format!("{path}/pods/app-{number}/status"), &status);
                }
                for number in (hand..SERVICES).step_by(HANDS) {
                    let name = format!("service-{number}");
                    let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
                    api.send("POST", &format!("{path}/services"), &service);
                    let slice = json!({
                        "metadata": {"name": format!("{name}-x"), "labels": {"kubernetes.io/service-name": name}},
                        "addressType": "IPv4", "ports": [{"port": 8080}],
                        "endpoints": (0..10).map(|it| json!({"addresses": [address(number * 10 + it)]})).collect::<Vec<_>>(),
                    });
                    api.send("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice);
                }
            });
        }
    });
}

/// Dials the API server from the addresses of some pods on other nodes.
fn dial_from_pods(names: std::ops::Range<usize>) -> Vec<TcpStream> {
    let outside = || {
        let mut command = Command::new("nsenter");
        command.args(["--net=/run/netns/observer-outside", "--"]);
        command
    };
    let script: String =
        names.clone().map(|pod| format!("ip addr add {}/32 dev cable\n", address(pod))).collect();
    assert!(outside().args(["sh", "-ec", &script]).status().unwrap().success());
    std::thread::spawn(move || {
        let netns = std::fs::File::open("/run/netns/observer-outside").unwrap();
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&netns),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .unwrap();
        names.map(|pod| dial_from(&address(pod))).collect()
    })
    .join()
    .unwrap()
}

fn dial_from(own: &str) -> TcpStream {
    use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(own.parse().unwrap(), 0)).unwrap();
    connect(&socket, &"10.89.0.1:6443".parse::<SocketAddrV4>().unwrap()).unwrap();
    // Nothing is said: an API server waits for half a minute.
    TcpStream::from(socket)
}

#[test]
fn five_thousand_pods_in_the_api_cost_little_memory_and_few_requests() {
    let world = world!();
    if let Some(reason) = Cluster::missing(&["--bare"]) {
        return skipped(reason);
    }
    let cluster = Cluster::up(&["--bare"]);
    let _ = cluster.kubectl(&["create", "serviceaccount", "default"]);
    let own = cluster.admit(world.path());
    let began = Instant::now();
    let admin = Path::new("/var/lib/observer-cluster/pki/admin.kubeconfig");
    fill(admin);
    println!("measured: {PODS} pods and {SERVICES} services made in {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let daemon = Cluster::daemon_on("cp", "node-0", &own);
    let start = began.elapsed();
    let after_start = memory(daemon.pid());
    std::thread::sleep(Duration::from_secs(8));
    let quiet = memory(daemon.pid());
    let streams = dial_from_pods(REMOTES);
    // Pods everywhere change meanwhile.
    std::thread::spawn(move || {
        let mut api = ApiClient::dial(admin, "observer-outside");
        for number in (0..PODS).step_by(5) {
            let path = format!("/api/v1/namespaces/default/pods/app-{number}/status");
            api.send("PATCH", &path, &json!({"status": {"reason": "changed"}}));
        }
    })
    .join()
    .unwrap();
    // Twenty look-ups at once, then one a second.
    std::thread::sleep(Duration::from_secs(15));
    drop(streams);
    daemon.wait(Duration::from_secs(70), |events| events.iter().any(|it| it.action() == "heartbeat"));
    daemon.settle(Duration::from_secs(1), Duration::from_secs(20));
    let at_last = memory(daemon.pid());
    let left = daemon.stop();
    let audit = std::fs::read_to_string("/var/lib/observer-cluster/audit.log").unwrap();
    let audit = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own = audit.filter(|it| it["user"]["username"] == "system:serviceaccount:observer:observer");
    let seen: Vec<String> = own.map(|it| it["requestURI"].as_str().unwrap().to_owned()).collect();
    drop(cluster);
    println!(
        "measured: start {start:?}; memory, and at most (kB): {after_start:?} at the start, {quiet:?} then, {at_last:?} at last"
    );
    let api = api(&left);
    println!("measured: API: {api}; {} requests in the API server's audit", seen.len());
    let account = left.words.iter().find(|line| line.contains("API: ")).unwrap();
    assert_eq!(requests_told(&left), seen.len() as u64, "{account}\n{}", seen.join("\n"));
    // The cluster's id, two lists in four pages, two watches, and the look-ups: also of kubectl's machine and the own one.
    assert!(seen.len() <= 7 + REMOTES.len() + 4, "{}", seen.join("\n"));
    assert!(account.contains(" 0 failed, 0 forbidden, 0 questions not answered"), "{account}");
    assert_eq!(api["lacks"], Value::Null);
    assert!(at_last[1] <= 60_000, "{} kB at most", at_last[1]);
    assert!(start < Duration::from_secs(10), "{start:?}");
    let all = connections(&left.events);
    for pod in REMOTES {
        let ip = address(pod);
        let of = |it: &&observer_tests::ledger::Told| {
            it.client().is_some_and(|client| client.ip().to_string() == ip)
        };
        let told: Vec<_> = all.iter().filter(of).collect();
        assert_eq!(told.len(), 1, "{ip}");
        let closed = &told[0].closed[0];
        assert_eq!(pods(closed), [format!("app-{pod}")], "{}", closed.value);
        assert_eq!(closed.text("control_plane.client.node"), node(pod), "{}", closed.value);
    }
    assert_eq!(violations(&left.events), Vec::<String>::new());
}
