//! The client against API servers that do what none should.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use observer_core::engine::FaceKey;
use observer_core::event::{Asked, Refusal};
use observer_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Access, Kubernetes, News, Question};
use crate::source::ebpf::Clock;

const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";
const OTHER: &str = "ffffffff-1111-2222-3333-444455556666";

/// What a server does with one request.
enum Reply {
    /// Says this and closes.
    Say(Vec<u8>),
    /// Says this, a byte in each tenth of a second, and never ends.
    Drip(Vec<u8>),
    /// Says this and waits for ever.
    Stay(Vec<u8>),
}

/// An API server that answers as a test says.
struct Server {
    kubeconfig: tempfile::NamedTempFile,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, asked) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
        let (answers, log) = (Arc::clone(&answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for conn in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (Arc::clone(&answers), Arc::clone(&log));
                std::thread::spawn(move || serve(conn, &*answer, &log));
            }
        });
        let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
        write!(
            kubeconfig,
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{}}}}]}}"
        )
        .unwrap();
        Self { kubeconfig, asked }
    }

    fn client(&self) -> (Kubernetes, Receiver<News>) {
        let access = Access::Kubeconfig(self.kubeconfig.path().into());
        Kubernetes::start(&access, Some("node1")).unwrap().unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn asked_for(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|target| target.contains(part)).count()
    }
}

fn serve(mut conn: TcpStream, answer: &(impl Fn(&str) -> Reply + ?Sized), log: &Mutex<Vec<String>>) {
    let (mut head, mut part) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match conn.read(&mut part) {
            Ok(read @ 1..) => head.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(target.clone());
    match answer(&target) {
        Reply::Say(bytes) => drop(conn.write_all(&bytes)),
        Reply::Stay(bytes) => {
            let _ = conn.write_all(&bytes);
            let _ = conn.read_to_end(&mut Vec::new());
        }
        Reply::Drip(bytes) => {
            for byte in bytes.iter().chain(std::iter::repeat(&b' ')) {
                if conn.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn http(status: &str, more: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn ok(body: &Value) -> Vec<u8> {
    http("200 OK", "", &body.to_string())
}

fn watches(target: &str) -> bool {
    target.contains("watch=true")
}

/// The beginning of an answer to a watch, with these events.
fn watch(events: &[Value]) -> Vec<u8> {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let mut said = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".to_vec();
    said.extend(lines.bytes());
    said
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"}, "items": items})
}

fn pod(name: &str, uid: &str, node: &str, ip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": "4",
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "10.0.0.1",
            "containerStatuses": [{"name": "c", "containerID": format!("containerd://{}", "0f".repeat(32))}]},
    })
}

/// A server that is well but for its pods.
fn of_pods(pods: Vec<Value>) -> Server {
    Server::start(move |target| {
        if target.starts_with("/api/v1/namespaces/kube-system") {
            return Reply::Say(ok(&json!({"metadata": {"name": "kube-system", "uid": UID}})));
        }
        match (watches(target), target.contains("/pods")) {
            (true, _) => Reply::Stay(watch(&[])),
            (false, true) => Reply::Say(ok(&list(&pods))),
            (false, false) => Reply::Say(ok(&list(&[]))),
        }
    })
}

fn question(key: u64, ip: &str) -> Question {
    let now = Clock::now().utc(Clock::monotonic());
    Question { key: FaceKey(key), ip: ip.parse().unwrap(), opened: Timestamp(now.0 - 1_000_000_000) }
}

/// Who is said to be at which of these addresses within three seconds.
fn residents(server: &Server, ips: &[&str]) -> Vec<(String, Option<String>)> {
    let (kubernetes, news) = server.client();
    for (key, ip) in (0..).zip(ips) {
        kubernetes.ask(question(key, ip));
    }
    let mut found = Vec::new();
    let end = Instant::now() + Duration::from_secs(3);
    while let Ok(news) = news.recv_deadline(end) {
        if let News::Peer { key, resident } = news {
            found.push((ips[usize::try_from(key.0).unwrap()].to_owned(), resident.pod.name.clone()));
        }
    }
    found
}

/// Waits until something is so, at most for twenty seconds.
fn until(is: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if is() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// How a server answers.
type Answer = Box<dyn Fn(&str) -> Reply + Send + Sync>;

/// What is missing, and why.
type Said = Vec<(Asked, Refusal)>;

/// Asks a server for twelve seconds: how often it was asked, and what is missing for which reasons.
fn trouble(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (usize, Said) {
    let server = Server::start(answer);
    let (kubernetes, news) = server.client();
    for key in 0..30 {
        kubernetes.ask(question(key, &format!("10.0.1.{key}")));
    }
    std::thread::sleep(Duration::from_secs(12));
    assert!(!news.try_iter().any(|news| matches!(news, News::Peer { .. })), "somebody was named");
    let told = kubernetes.counts().told();
    let asked = server.asked();
    assert!(told.requests.abs_diff(asked as u64) <= 2, "{} requests told, {asked} seen", told.requests);
    (asked, told.lacks.iter().map(|lack| (lack.what, lack.reason)).collect())
}

fn all(reason: Refusal) -> Said {
    [Asked::ClusterId, Asked::ApiServers, Asked::OwnPods, Asked::RemotePods]
        .map(|what| (what, reason))
        .to_vec()
}

fn watches_that(lack: Refusal) -> Said {
    [Asked::ApiServers, Asked::OwnPods].map(|what| (what, lack)).to_vec()
}

/// Says the same to everybody.
fn always(reply: Vec<u8>) -> Answer {
    Box::new(move |_| Reply::Say(reply.clone()))
}

/// Is well, but for its watches.
fn watching(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Answer {
    Box::new(move |target| match target {
        it if watches(it) => reply(),
        it if it.contains("kube-system") => Reply::Say(ok(&json!({"metadata": {"name": "x", "uid": UID}}))),
        _ => Reply::Say(ok(&list(&[]))),
    })
}

#[test]
fn a_server_that_does_what_none_should_is_asked_ever_more_seldom_and_the_reason_is_told() {
    let forbidden =
        json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403});
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"}});
    let endless = ok(&json!({"metadata": {"resourceVersion": "5", "continue": "more"}, "items": []}));
    let odd = r#"{"metadata":{"resourceVersion":"5","uid":7},"items":[{"metadata":{"name":5},"spec":7,"status":"x"}]}"#;
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\nxyz\r\n";
    // Four that are asked for four times in twelve seconds, but thirty look-ups where those are answered.
    let (seldom, besides) = (18, 50);
    let table: Vec<(&str, Answer, usize, Said)> = vec![
        (
            "forbids",
            always(http("403 Forbidden", "", &forbidden.to_string())),
            seldom,
            all(Refusal::Forbidden),
        ),
        ("closes without a word", always(Vec::new()), seldom, all(Refusal::Unreachable)),
        // Those that were under way when the first was refused.
        (
            "asks for patience",
            always(http("429 Too Many Requests", "Retry-After: 30\r\n", "later")),
            4,
            all(Refusal::TooManyRequests),
        ),
        ("ends its watches", watching(|| Reply::Say(watch(&[]))), besides, watches_that(Refusal::WatchEnds)),
        (
            "is always further",
            watching(move || Reply::Stay(watch(std::slice::from_ref(&gone)))),
            besides,
            watches_that(Refusal::Expired),
        ),
        (
            "has lists without end",
            Box::new(move |target| match target.contains("limit=100") {
                true => Reply::Say(endless.clone()),
                false => Reply::Say(ok(&json!({"metadata": {"name": "x", "uid": UID}, "items": []}))),
            }),
            besides + 160,
            watches_that(Refusal::TooLarge),
        ),
        ("speaks of other things", always(http("200 OK", "", odd)), seldom, all(Refusal::NotUnderstood)),
        (
            "stops in its middle",
            always(http(
                "200 OK",
                "",
                r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"we"#,
            )),
            seldom,
            all(Refusal::NotUnderstood),
        ),
        ("is another server", always(http("200 OK", "", "<html>")), seldom, all(Refusal::NotUnderstood)),
        ("says zeros", always(http("200 OK", "", "\u{0}\u{1}")), seldom, all(Refusal::NotUnderstood)),
        ("has chunks that are none", always(chunks.to_vec()), seldom, all(Refusal::Unreachable)),
        ("never answers", Box::new(|_| Reply::Stay(Vec::new())), seldom, all(Refusal::TooSlow)),
        (
            "never ends",
            Box::new(|_| Reply::Drip(http("200 OK", "", &" ".repeat(5000)))),
            seldom,
            all(Refusal::TooSlow),
        ),
    ];
    std::thread::scope(|scope| {
        for (name, answer, most, lacks) in table {
            scope.spawn(move || {
                let (asked, said) = trouble(answer);
                println!("{name}: {asked} requests, {said:?}");
                assert!(asked <= most, "{name}: {asked} requests");
                assert_eq!(said, lacks, "{name}");
            });
        }
    });
}

#[test]
fn an_api_that_is_well_lacks_nothing() {
    let server = of_pods(vec![pod("web", UID, "node1", "10.0.0.9")]);
    let (kubernetes, _news) = server.client();
    assert!(until(|| kubernetes.own_pods().pod(UID, None).is_some()));
    assert!(until(|| kubernetes.counts().told().lacks.is_empty()), "{:?}", kubernetes.counts().told());
    assert_eq!(kubernetes.counts().told().requests, server.asked() as u64);
}

#[test]
fn a_program_for_credentials_that_does_not_come_back_is_not_waited_for() {
    let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
    write!(
        kubeconfig,
        "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1'}}}}], \
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{exec: {{command: sleep, args: ['8'], \
         apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}}}}}]}}"
    )
    .unwrap();
    let access = Access::Kubeconfig(kubeconfig.path().into());
    let (kubernetes, _news) = Kubernetes::start(&access, None).unwrap().unwrap();
    let lacks = || kubernetes.counts().told().lacks.iter().map(|it| it.reason).collect::<Vec<_>>();
    assert_eq!(lacks(), [Refusal::NotAnsweredYet; 3]);
    // It has come back, with nothing.
    assert!(until(|| lacks() == [Refusal::Unauthorized; 3]), "{:?}", lacks());
}

#[test]
fn names_that_kubernetes_does_not_give_name_nobody() {
    let named = |name: &str, ip: &str| pod(name, UID, "node2", ip);
    let mut namespace = named("web", "10.0.0.23");
    namespace["metadata"]["namespace"] = json!("x\u{1b}[2J");
    let server = of_pods(vec![
        named("\u{1b}[31mweb\u{7}", "10.0.0.20"),
        named(&"a".repeat(100_000), "10.0.0.21"),
        named("../../web", "10.0.0.22"),
        namespace,
        named("web", "10.0.0.24"),
    ]);
    let found = residents(&server, &["10.0.0.20", "10.0.0.21", "10.0.0.22", "10.0.0.23", "10.0.0.24"]);
    assert_eq!(found, [("10.0.0.24".to_owned(), Some("web".to_owned()))]);
}

#[test]
fn an_address_that_is_not_one_pods_own_names_nobody() {
    let mut of_its_host = pod("host", OTHER, "node2", "10.0.0.1");
    of_its_host["status"]["podIPs"] =
        json!([{"ip": "10.0.0.1"}, {"ip": "127.0.0.1"}, {"ip": "0.0.0.0"}, {"ip": "224.0.0.1"}]);
    let server =
        of_pods(vec![pod("a", UID, "node2", "10.0.0.9"), pod("b", OTHER, "node2", "10.0.0.9"), of_its_host]);
    let found = residents(&server, &["10.0.0.9", "10.0.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.1"]);
    assert_eq!(found, []);
}

#[test]
fn a_pod_that_waited_for_its_address_did_not_have_it_before() {
    // Made long ago; its sandbox came up in this very moment, so another pod had the address when the connection was opened.
    let mut late = pod("late", UID, "node2", "10.0.0.9");
    let now = Clock::now().utc(Clock::monotonic());
    let text = observer_core::event::When(now).to_string();
    late["status"]["conditions"] =
        json!([{"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": text}]);
    assert_eq!(residents(&of_pods(vec![late]), &["10.0.0.9"]), []);
}

#[test]
fn more_pods_than_are_read_name_nobody() {
    let server = Server::start(|target| {
        let mut body = list(&[pod("web", UID, "node2", "10.0.0.9")]);
        if target.contains("status.podIP") {
            body["metadata"]["continue"] = json!("more");
        }
        if watches(target) { Reply::Stay(watch(&[])) } else { Reply::Say(ok(&body)) }
    });
    assert_eq!(residents(&server, &["10.0.0.9"]), []);
}

#[test]
fn one_uid_of_two_pods_names_neither() {
    let server = of_pods(vec![pod("a", UID, "node1", "10.0.0.8"), pod("b", UID, "node1", "10.0.0.9")]);
    let (kubernetes, _news) = server.client();
    assert!(until(|| kubernetes.own_pods().has("10.0.0.9".parse::<IpAddr>().unwrap())));
    assert_eq!(kubernetes.own_pods().pod(UID, None), None);
}

#[test]
fn pods_of_other_nodes_are_not_taken_for_this_nodes() {
    let server = of_pods(vec![pod("a", UID, "node2", "10.0.0.8"), pod("b", OTHER, "node1", "10.0.0.9")]);
    let (kubernetes, _news) = server.client();
    assert!(until(|| kubernetes.own_pods().pod(OTHER, None).is_some()));
    assert_eq!(kubernetes.own_pods().pod(UID, None), None);
    assert!(!kubernetes.own_pods().has("10.0.0.8".parse::<IpAddr>().unwrap()));
}

#[test]
fn endpoints_without_number_are_no_api_servers() {
    let addresses: Vec<String> =
        (0..50_000u32).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()).to_string()).collect();
    let ports: Vec<Value> = (1..2000).map(|port| json!({"port": port})).collect();
    let slice = json!({"metadata": {"name": "kubernetes", "namespace": "default"}, "addressType": "IPv4",
        "ports": ports, "endpoints": [{"addresses": ["127.0.0.1", "0.0.0.0", "224.0.0.1"]}, {"addresses": addresses}]});
    let server = Server::start(move |target| match (watches(target), target.contains("endpointslices")) {
        (true, _) => Reply::Stay(watch(&[])),
        (false, true) => Reply::Say(ok(&list(std::slice::from_ref(&slice)))),
        _ => Reply::Say(ok(&list(&[]))),
    });
    let (_kubernetes, news) = server.client();
    let end = Instant::now() + Duration::from_secs(10);
    let servers = loop {
        match news.recv_deadline(end).unwrap() {
            News::Servers(servers) if !servers.is_empty() => break servers,
            _ => {}
        }
    };
    assert!(servers.len() <= 1024, "{}", servers.len());
    let odd = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    assert!(!servers.iter().any(|server| odd(server.ip())), "{servers:?}");
    assert!(server.asked_for("endpointslices") <= 2);
}
