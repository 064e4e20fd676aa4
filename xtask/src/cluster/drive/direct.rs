//! Clients of every kind, straight to the parts of the control plane.

use anyhow::Result;
use serde_json::{Value, json};

use super::driver::Driver;
use super::expect::Expect;
use super::item::Item;
use crate::cluster::certificates::file;
use crate::cluster::control_plane::TOKEN;
use crate::cluster::groups;
use crate::cluster::place::{CONTROL_PLANE, Place, WORKERS};

/// The server of an item: the part of the control plane that listens there.
#[derive(Clone, Debug)]
struct Server {
    name: &'static str,
    address: String,
    path: &'static str,
    process: Option<u32>,
}

/// Drives them all.
pub fn drive(driver: &mut Driver) -> Result<()> {
    let api = Server {
        name: "kube-apiserver",
        address: format!("{}:6443", CONTROL_PLANE.address()),
        path: "client-to-apiserver",
        process: groups::pid_of("kube-apiserver"),
    };
    every_client(driver, "apiserver", &api, "/version")?;
    let api6 = Server { address: format!("[{}]:6443", CONTROL_PLANE.address6()), ..api };
    let url = format!("https://{}/version", api6.address);
    let done = driver.outside.get(&url, &json!({"CA": file("ca.crt"), "Headers": bearer()}))?;
    let expect = api6.sign(driver.outside.sign(done.connection()));
    Item::of("apiserver-ipv6", "GET /version with a bearer token over IPv6", &done).on(expect).tell();
    let kubelet = kubelet(WORKERS[0]);
    every_client(driver, "kubelet", &kubelet, "/healthz")?;
    read_only(driver)?;
    etcd(driver)?;
    metrics(driver)
}

fn kubelet(place: Place) -> Server {
    Server {
        name: "kubelet",
        address: format!("{}:10250", place.address()),
        path: "client-to-kubelet",
        process: groups::pid_of(&format!("kubelet-{}", place.name)),
    }
}

fn bearer() -> Value {
    json!({"Authorization": format!("Bearer {TOKEN}")})
}

impl Server {
    fn sign(&self, expect: Expect) -> Expect {
        expect.process("server", self.name, self.process).path(self.path)
    }
}

/// With a token, nothing, a certificate; with TLS 1.2 and without TLS.
fn every_client(driver: &mut Driver, prefix: &str, server: &Server, path: &str) -> Result<()> {
    let url = format!("https://{}{path}", server.address);
    let certificate = json!({"Cert": file("admin.crt"), "Key": file("admin.key")});
    let mut old = certificate.clone();
    old["Most"] = "1.2".into();
    for (name, words, more) in [
        ("token", "with a bearer token", json!({"Headers": bearer()})),
        ("anonymous", "with no credentials", json!({})),
        ("certificate", "with a client certificate", certificate),
        ("tls12-token", "with a bearer token over TLS 1.2", json!({"Headers": bearer(), "Most": "1.2"})),
        ("tls12-certificate", "with a client certificate over TLS 1.2", old),
    ] {
        let done = driver.outside.get(&url, &more)?;
        let mut expect = server.sign(driver.outside.sign(done.connection()));
        if name == "tls12-certificate" {
            expect = expect.with("tls.client.issuer", "CN=cluster");
        }
        Item::of(&format!("{prefix}-{name}"), format!("GET {path} {words}"), &done).on(expect).tell();
    }
    let request = format!(
        "GET {path}?token=planted-query-token HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nCookie: \
         session=planted-cookie\r\n\r\n",
        server.address
    );
    let done = driver
        .outside
        .ask(&json!({"Kind": "raw", "URL": format!("http://{}", server.address), "Body": request}))?;
    let expect = server
        .sign(driver.outside.sign(done.connection()))
        .with("http.request.method", "GET")
        .with("url.path", path)
        .with("http.response.status_code", 400)
        .exposed(&["authorization", "cookie", "query_credential"]);
    Item::of(
        &format!("{prefix}-plain-http"),
        "plain HTTP with a bearer token, a cookie and a query token",
        &done,
    )
    .on(expect)
    .tell();
    Ok(())
}

fn read_only(driver: &mut Driver) -> Result<()> {
    let place = WORKERS[0];
    let server =
        Server { address: format!("{}:10255", place.address()), path: "kubelet-read-only", ..kubelet(place) };
    let done = driver.outside.get(&format!("http://{}/pods", server.address), &json!({}))?;
    let expect = server.sign(driver.outside.sign(done.connection())).with("url.path", "/pods");
    Item::of("kubelet-read-only", "GET /pods on the read-only port", &done).on(expect).tell();
    Ok(())
}

fn etcd(driver: &mut Driver) -> Result<()> {
    let server = Server {
        name: "etcd",
        address: format!("{}:2379", CONTROL_PLANE.address()),
        path: "other",
        process: groups::pid_of("etcd"),
    };
    let url = format!("https://{}/version", server.address);
    let with = json!({"Cert": file("etcd-client.crt"), "Key": file("etcd-client.key")});
    for (name, words, more) in [
        ("etcd-certificate", "with a client certificate", with),
        ("etcd-no-certificate", "with none, which etcd refuses", json!({})),
    ] {
        let done = driver.inside.get(&url, &more)?;
        let expect = server.sign(driver.inside.sign(done.connection()));
        Item::of(name, format!("GET /version {words}"), &done).on(expect).tell();
    }
    Ok(())
}

fn metrics(driver: &mut Driver) -> Result<()> {
    let servers = [
        ("kube-proxy-metrics", "kube-proxy", "kube-proxy-cp", "http://127.0.0.1:10249/metrics"),
        ("scheduler-metrics", "kube-scheduler", "kube-scheduler", "https://127.0.0.1:10259/metrics"),
        (
            "controller-manager-metrics",
            "kube-controller",
            "kube-controller-manager",
            "https://127.0.0.1:10257/metrics",
        ),
        ("etcd-metrics", "etcd", "etcd", "http://127.0.0.1:2381/metrics"),
    ];
    for (name, program, group, url) in servers {
        let more = if url.starts_with("https") { json!({"Headers": bearer()}) } else { json!({}) };
        let done = driver.inside.get(url, &more)?;
        let expect = driver.inside.sign(done.connection()).path("component-metrics");
        let expect = expect.process("server", program, groups::pid_of(group));
        Item::of(name, format!("GET {url}"), &done).on(expect).tell();
    }
    Ok(())
}
