//! What an API server, a kubelet and a container runtime send in the clear.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use observer_core::flow::Direction::{ToClient, ToServer};
use observer_core::protocol::Dissector;
use observer_core::protocol::http::{Http, Items, Request, Secret, Summary};
use observer_core::security::Reason;

fn read(client: &[u8], server: &[u8]) -> (Summary, Vec<Request>) {
    let mut http = Http::new();
    http.data(ToServer, client, u64::MAX);
    http.data(ToClient, server, u64::MAX);
    http.conclude(Reason::StillOpen);
    let requests = http.take_requests();
    (http.summary().clone(), requests)
}

const OBJECTS: [&str; 6] = [
    "/api/v1/namespaces/default/pods/web/proxy/",
    "/api/v1/namespaces/default/pods/http:web-7d4b9c6f5d-x2x9z:8080/proxy/a%20b/",
    "/api/v1/namespaces/default/services/web:http/proxy/healthz",
    "/api/v1/namespaces/kube-system/services/https:kubernetes-dashboard-0123456789abcdef:/proxy/",
    "/api/v1/nodes/ip-10-0-123-45.eu-central-1.compute.internal:10256/proxy/healthz",
    "/api/v1/namespaces/ci/pods/runner-0f3c2a1b9d8e7f605142332415061708-build/proxy/logs/pods/ci_runner-1_6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11/",
];

#[test]
fn one_connection_carries_requests_for_many_objects_wherever_the_field_stands() {
    let mut client = Vec::new();
    for (at, object) in OBJECTS.iter().enumerate() {
        let uri = format!("X-Forwarded-Uri: {object}\r\n");
        let others = "Host: 10.89.0.1:6443\r\nUser-Agent: kubectl/v1.34.4 (linux/amd64) kubernetes/3f2a1b0\r\n\
                      X-Forwarded-For: 10.89.0.7, 127.0.0.1\r\nAccept-Encoding: gzip\r\n";
        let fields = if at % 2 == 0 { format!("{uri}{others}") } else { format!("{others}{uri}") };
        client.extend(format!("GET /a%20b/?token=abc HTTP/1.1\r\n{fields}\r\n").into_bytes());
    }
    let (summary, requests) = read(&client, b"");
    let uris: Vec<_> = requests.iter().map(|request| request.forwarded_uri.as_deref().unwrap()).collect();
    assert_eq!(uris, OBJECTS);
    for request in &requests {
        assert_eq!(request.path.as_deref(), Some("/a%20b/"));
        assert_eq!(request.authority.as_deref(), Some("10.89.0.1:6443"));
        assert_eq!(request.forwarded_for.as_deref(), Some("10.89.0.7, 127.0.0.1"));
        assert_eq!(request.user_agent.as_deref(), Some("kubectl/v1.34.4 (linux/amd64) kubernetes/3f2a1b0"));
        assert!(request.exposed.contains(Secret::QueryCredential));
        assert!(!request.exposed.contains(Secret::PathCredential));
    }
    assert_eq!((summary.requests, summary.missed), (6, 0));
}

#[test]
fn a_streaming_token_is_redacted_and_what_follows_the_upgrade_is_left_alone() {
    for verb in ["exec", "attach", "portforward", "cri/exec"] {
        let client = format!(
            "POST /{verb}/bW9yZSAx HTTP/1.1\r\nHost: 127.0.0.1:40123\r\nX-Forwarded-For: 127.0.0.1\r\n\
             Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
        );
        let server = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";
        let opaque = b"\x80\x03\0\x01GET /not/http HTTP/1.1\r\n\r\n";
        let (summary, requests) =
            read(&[client.as_bytes(), opaque].concat(), &[&server[..], opaque].concat());
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].path, Some(format!("/{verb}/[redacted]")));
        assert!(requests[0].exposed.contains(Secret::PathCredential));
        assert_eq!(summary.upgraded_to.as_deref(), Some("spdy/3.1"));
        assert_eq!((summary.upgrades, summary.missed, summary.stopped), (1, 0, false));
        assert!(!format!("{summary:?}").contains("bW9yZSAx"));
    }
}

#[test]
fn the_kubelets_own_paths_keep_their_names() {
    for path in [
        "/exec/default/web-7d4b9c6f5d-x2x9z/main",
        "/run/kube-system/coredns-76f75df574-4xkzq/coredns",
        "/containerLogs/default/web-7d4b9c6f5d-x2x9z/main",
        "/portForward/default/web-7d4b9c6f5d-x2x9z/6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11",
        "/logs/pods/kube-system_etcd-node1_0f3c2a1b9d8e7f605142332415061708/etcd/0.log",
        "/checkpoint/default/web-7d4b9c6f5d-x2x9z/main",
        "/metrics/resource",
    ] {
        let (_, requests) = read(format!("GET {path} HTTP/1.1\r\nHost: n:10255\r\n\r\n").as_bytes(), b"");
        assert_eq!(requests[0].path.as_deref(), Some(path));
        assert!(requests[0].exposed.is_empty(), "{path}");
    }
}

#[test]
fn a_websocket_bearer_is_named_and_never_told() {
    let client = b"GET /api/v1/namespaces/default/pods/web/exec?command=sh HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io\r\n\r\n";
    let (summary, requests) =
        read(client, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x82\x01\0");
    assert!(requests[0].exposed.contains(Secret::WebsocketBearer));
    assert_eq!(summary.upgraded_to.as_deref(), Some("websocket"));
    assert!(!format!("{summary:?}{requests:?}").contains("c2VjcmV0"));
}

#[test]
fn only_what_may_have_been_proxied_is_kept_whole_where_no_more_is_asked_for() {
    let plain = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let proxied = |object: &str| {
        format!(
            "POST /a?token=x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nx-forwarded-uri: {object}\r\n\
             User-Agent: curl/8\r\nCookie: c\r\n\r\nabc"
        )
    };
    let carried = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
    let client =
        [plain, &proxied(OBJECTS[0]), plain, &proxied(OBJECTS[1]), upgrade, &proxied(OBJECTS[2]), carried];
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(client.len());
    let read = |items, cut: usize| {
        let mut http = Http::with_items(items);
        for piece in client.concat().as_bytes().chunks(cut) {
            http.data(ToServer, piece, u64::MAX);
        }
        http.data(ToClient, &answer, u64::MAX);
        http.conclude(Reason::StillOpen);
        (http.take_requests(), http.summary().clone())
    };
    for cut in [1, 7, 100, usize::MAX] {
        let (mut all, summary) = read(Items::Kept, cut);
        all.retain(Request::may_be_proxied);
        let (some, counted) = read(Items::Proxied, cut);
        assert_eq!(some, all, "pieces of {cut}");
        assert_eq!((counted.dropped, &counted), (0, &summary));
        let uris: Vec<_> = some.iter().map(|request| request.forwarded_uri.as_deref()).collect();
        assert_eq!(uris, [Some(OBJECTS[0]), Some(OBJECTS[1]), Some(OBJECTS[2]), None]);
        assert_eq!(some[3].forwarded_for.as_deref(), Some("10.0.0.1"));
    }
}

#[test]
fn what_may_have_been_proxied_and_is_not_taken_in_time_is_counted() {
    let request = format!("GET / HTTP/1.1\r\nX-Forwarded-Uri: {}\r\n\r\n", OBJECTS[0]);
    let mut http = Http::with_items(Items::Proxied);
    http.data(ToServer, request.repeat(300).as_bytes(), u64::MAX);
    assert_eq!((http.take_requests().len(), http.summary().dropped, http.summary().requests), (256, 44, 300));
}
