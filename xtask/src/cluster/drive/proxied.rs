//! What the API server's proxy carries to pods, services and nodes.

use anyhow::Result;
use serde_json::{Value, json};

use super::driver::Driver;
use super::expect::{Expect, Object};
use super::item::Item;
use crate::cluster::place::WORKERS;

const COOKIE: &str = "session=planted-cookie";
const QUERY: &str = "token=planted-query-token&page=2";

/// Drives them all.
pub fn drive(driver: &mut Driver) -> Result<()> {
    for (name, kind, id) in [
        ("pod-proxy-http", "pod", "web"),
        ("pod-proxy-http-port", "pod", "other:8080"),
        ("pod-proxy-https", "pod", "https:web:8443"),
        ("pod-proxy-https-asked", "pod", "https:web:8444"),
        ("service-proxy-http", "service", "shop:80"),
        ("service-proxy-https", "service", "https:shop:443"),
    ] {
        once(driver, name, Object { kind, id }, &json!({}))?;
    }
    let post = json!({"Method": "POST", "Body": "a body of some bytes"});
    once(driver, "pod-proxy-post", Object { kind: "pod", id: "http:web:8080" }, &post)?;
    secrets(driver)?;
    kept_alive(driver)?;
    for (name, id, protocol) in
        [("upgrade-websocket", "web", "websocket"), ("upgrade-spdy", "http:web:8080", "SPDY/3.1")]
    {
        upgrade(driver, name, Object { kind: "pod", id }, protocol)?;
    }
    upgrade(driver, "upgrade-service", Object { kind: "service", id: "shop:http" }, "websocket")?;
    nodes(driver)
}

/// What the pod that answered saw of the last hop.
fn hop(driver: &Driver, told: &Value, object: Object) -> Result<Expect> {
    let word = |name: &str| told[name].as_str().unwrap_or_default();
    let expect = driver.by_server(word("local")).address("source", word("peer")).path(&object.path());
    let pod = driver.pod(match object.kind {
        "service" => "shop-1",
        _ if object.id.contains("other") => "other",
        _ => "web",
    })?;
    let expect = expect.process("server", "peer", pod.pid()).pod("server", pod);
    let expect = expect.object(&object);
    Ok(match word("client") {
        "" => expect.plaintext(),
        client => expect.tls(word("tls"), client),
    })
}

fn once(driver: &mut Driver, name: &str, object: Object, more: &Value) -> Result<()> {
    let url = object.url("page");
    let done = driver.by_token(&url, more)?;
    let told = done.told()?;
    let method = told["method"].as_str().unwrap_or_default();
    Item::of(name, format!("{method} {url} through the API server's proxy"), &done)
        .on(driver.token_connection(&done))
        .on(hop(driver, &told, object)?)
        .tell();
    Ok(())
}

/// A cookie and a query cross in the clear, a bearer token does not.
fn secrets(driver: &mut Driver) -> Result<()> {
    let object = Object { kind: "pod", id: "web" };
    let url = object.url(&format!("page?{QUERY}"));
    let done = driver.by_token(&url, &json!({"Headers": {"Cookie": COOKIE}}))?;
    let expect = hop(driver, &done.told()?, object)?.exposed(&["cookie", "query_credential"]);
    Item::of(
        "pod-proxy-secrets",
        "GET through the proxy with a cookie, a query token and a bearer token",
        &done,
    )
    .on(driver.token_connection(&done))
    .on(expect)
    .tell();
    Ok(())
}

/// Several objects, one after another: the client keeps its connection, and so does the API server where they are in the
/// same place.
fn kept_alive(driver: &mut Driver) -> Result<()> {
    let objects = [
        ("pod", "web"),
        ("pod", "http:web:8080"),
        ("service", "web:80"),
        ("service", "web:http"),
        ("pod", "web"),
    ];
    for (count, (kind, id)) in objects.into_iter().enumerate() {
        let object = Object { kind, id };
        let url = object.url(&format!("kept/{count}"));
        let more = json!({"Keep": "kept", "Close": count + 1 == objects.len()});
        let done = driver.by_token(&url, &more)?;
        let mut expect = hop(driver, &done.told()?, object)?;
        if object.kind == "service" {
            let pod = driver.pod("web")?;
            expect = expect.process("server", "peer", pod.pid()).pod("server", pod);
        }
        Item::of(&format!("kept-alive-{count}"), format!("GET {url} on a kept connection"), &done)
            .on(driver.token_connection(&done))
            .on(expect)
            .tell();
    }
    Ok(())
}

fn upgrade(driver: &mut Driver, name: &str, object: Object, protocol: &str) -> Result<()> {
    let url = object.url("socket");
    let headers = json!({
        "Upgrade": protocol, "Sec-WebSocket-Key": "bm90IHZlcnkgcmFuZG9tLg==", "Sec-WebSocket-Version": "13",
    });
    let more = json!({"Kind": "upgrade", "Headers": headers, "Body": "a word through the tunnel\n"});
    let done = driver.by_token(&url, &more)?;
    let expect = hop(driver, &done.told()?, object)?.with("http.response.status_code", 101);
    Item::of(name, format!("GET {url} with Upgrade: {protocol}, and an echo"), &done)
        .on(driver.token_connection(&done))
        .on(expect)
        .tell();
    Ok(())
}

/// The kubelet's own port is reached with the API server's certificate, any other like a pod.
fn nodes(driver: &mut Driver) -> Result<()> {
    let place = WORKERS[0];
    for (name, id, port) in [
        ("node-proxy-kubelet", "node1", 10250),
        ("node-proxy-kubelet-port", "node1:10250", 10250),
        ("node-proxy-other-port", "node1:10256", 10256),
    ] {
        let object = Object { kind: "node", id };
        let url = object.url("healthz");
        let done = driver.by_token(&url, &json!({}))?;
        let expect = driver.by_server(&format!("{}:{port}", place.address())).every();
        let expect = if port == 10250 {
            expect.tls("1.3", "presented").path("apiserver-to-kubelet")
        } else {
            expect.plaintext().path(&object.path()).object(&object)
        };
        Item::of(name, format!("GET {url}"), &done).on(driver.token_connection(&done)).on(expect).tell();
    }
    Ok(())
}
