//! What the API server calls by itself, and what pods and the cluster's own parts call.

use anyhow::Result;
use serde_json::{Value, json};

use super::driver::{Driver, now};
use super::expect::{Expect, Object};
use super::item::Item;
use super::streams::to_kubelet;
use crate::cluster::groups;
use crate::cluster::place::{CONTROL_PLANE, KUBERNETES, Place, WORKERS};
use crate::process::output;

/// Drives them all.
pub fn drive(driver: &mut Driver) -> Result<()> {
    webhook(driver)?;
    aggregated(driver)?;
    pod_to_server(driver)?;
    forged(driver)?;
    probes(driver)?;
    components(driver)
}

/// What is expected of the API server's connection to the pod behind a service of ours, where it dials the service's own
/// address.
fn through_service(driver: &Driver, told: &Value, path: &str) -> Result<Expect> {
    let word = |name: &str| told[name].as_str().unwrap_or_default();
    let address =
        output(&mut driver.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"])?)?;
    let pod = driver.pod("web")?;
    let local = word("local");
    let port = if local.ends_with(":8443") { 443 } else { 8444 };
    Ok(driver
        .by_server(&format!("{address}:{port}"))
        .address("destination.nat", local)
        // kube-proxy masquerades, and chooses another port.
        .address("source.nat", word("peer"))
        .tls(word("tls"), word("client"))
        .process("server", "peer", pod.pid())
        .pod("server", pod)
        .path(path))
}

fn webhook(driver: &mut Driver) -> Result<()> {
    let start = now()?;
    let name = format!("driven-{}", std::process::id());
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"driven": "true"}},
    });
    let done = driver.by_token(
        "/api/v1/namespaces/default/configmaps",
        &json!({"Method": "POST", "Body": object.to_string(), "Headers": {"Content-Type": "application/json"}}),
    )?;
    let told = driver.pod("web")?.tells(&start, |it| it["path"] == "/validate")?;
    let expect = through_service(driver, &told, "apiserver-to-webhook")?;
    Item::of("webhook", "a config map that the admission webhook is asked about", &done)
        .on(driver.token_connection(&done))
        .on(expect.with("tls.client.server_name", "web.default.svc"))
        .tell();
    output(&mut driver.kubectl(&["delete", "configmap", &name])?).map(drop)
}

fn aggregated(driver: &mut Driver) -> Result<()> {
    let start = now()?;
    let done = driver.by_token("/apis/toys.example/v1/toys", &json!({}))?;
    let told = driver.pod("web")?.tells(&start, |it| it["path"] == "/apis/toys.example/v1/toys")?;
    let expect = through_service(driver, &told, "apiserver-to-aggregated-api")?;
    // The API server asks from time to time whether it is there, on connections of their own.
    Item::of("aggregated-api", "GET /apis/toys.example/v1/toys", &done)
        .on(driver.token_connection(&done))
        .on(expect.or("unfinished").every())
        .tell();
    Ok(())
}

/// A pod dials the address of the service `kubernetes` with its own token.
fn pod_to_server(driver: &mut Driver) -> Result<()> {
    let token = output(&mut driver.kubectl(&["create", "token", "default"])?)?;
    let (mut caller, pod) = (driver.in_pod("caller")?, driver.pod("caller")?.clone());
    let more = json!({
        "CA": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        "Headers": {"Authorization": format!("Bearer {}", token.trim())},
    });
    let done = caller.get(&format!("https://{KUBERNETES}/version"), &more)?;
    let server = format!("{}:6443", CONTROL_PLANE.address());
    let expect = driver.to_server(caller.sign(done.connection()));
    let expect = expect.address("destination.nat", &server).pod("client", &pod);
    Item::of("pod-to-apiserver", "GET /version from a pod, with its token", &done)
        .on(expect.path("pod-to-apiserver"))
        .tell();
    Ok(())
}

/// A pod says that the API server passed its request on, which is not true.
fn forged(driver: &Driver) -> Result<()> {
    let (mut caller, pod) = (driver.in_pod("caller")?, driver.pod("caller")?.clone());
    let address = output(&mut driver.kubectl(&["get", "pod", "web", "-o", "jsonpath={.status.podIP}"])?)?;
    let object = Object { kind: "pod", id: "http:secrets:8080" };
    let headers = json!({"X-Forwarded-Uri": object.url("x")});
    let done = caller.get(&format!("http://{address}:8080/forged"), &json!({"Headers": headers}))?;
    let web = driver.pod("web")?;
    let expect = caller.sign(done.connection()).process("server", "peer", web.pid());
    let expect = expect.pod("server", web).pod("client", &pod).with("url.path", "/forged").unwatched();
    Item::of("forged", "GET /forged from a pod, with an X-Forwarded-Uri of its own", &done)
        .on(expect.path("other").claims(&object))
        .tell();
    Ok(())
}

/// The kubelet asks the pods by itself.
fn probes(driver: &Driver) -> Result<()> {
    for name in ["web", "other"] {
        let pod = driver.pod(name)?;
        let (told, end) = (pod.told()?, now()?);
        let Some(told) = told.iter().find(|it| it["path"] == "/healthz") else { continue };
        let word = |name: &str| told[name].as_str().unwrap_or_default();
        let kubelet = groups::pid_of(&format!("kubelet-{}", pod.node));
        let peer = word("peer").rsplit_once(':').map_or("", |(address, _)| address);
        let expect = Expect::between(peer, word("local")).plaintext().path("kubelet-to-pod").unwatched();
        let expect = expect.process("client", "kubelet", kubelet).process("server", "peer", pod.pid());
        let expect = expect.pod("server", pod).with("url.path", "/healthz").every();
        let what = format!("the kubelet's readiness probes of {name}");
        Item::new(&format!("kubelet-probes-{name}"), what, word("time"), &end).on(expect).tell();
    }
    Ok(())
}

/// Connections that the parts of the cluster keep among themselves.
fn components(driver: &Driver) -> Result<()> {
    let time = now()?;
    let item = |name: &str, what: &str, expect: Expect| {
        Item::new(name, what, &time, &time).on(expect.every()).tell();
    };
    let server = format!("{}:6443", CONTROL_PLANE.address());
    let by = |program: &str, group: &str, place: Place| {
        let expect = Expect::between(&place.address(), &server).tls("1.3", "presented");
        driver.to_server(expect.process("client", program, groups::pid_of(group)))
    };
    for place in WORKERS {
        for program in ["kubelet", "kube-proxy"] {
            let group = format!("{program}-{}", place.name);
            item(
                &format!("{group}-to-apiserver"),
                "watches",
                by(program, &group, place).node("client", place.name).path("node-to-apiserver"),
            );
        }
    }
    item("apiserver-to-kubelet", "all of them", to_kubelet(driver, WORKERS[0]));
    for (name, command) in
        [("kube-scheduler", "kube-scheduler"), ("kube-controller-manager", "kube-controller")]
    {
        let expect = by(command, name, CONTROL_PLANE).path("component-to-apiserver");
        // The controllers have service accounts of their own, whose tokens they send.
        let expect = if name == "kube-controller-manager" { expect.or("declined") } else { expect };
        item(&format!("{name}-to-apiserver"), "watches", expect);
    }
    let etcd = Expect::between(&CONTROL_PLANE.address(), &format!("{}:2379", CONTROL_PLANE.address()));
    let etcd = etcd.process("client", "kube-apiserver", groups::pid_of("kube-apiserver"));
    let etcd = etcd.process("server", "etcd", groups::pid_of("etcd")).tls("1.3", "presented");
    item("apiserver-to-etcd", "all of them", etcd.path("apiserver-to-etcd").or("unfinished"));
    let own = Expect::between("::1", "[::1]:6443").tls("1.3", "declined").path("apiserver-loopback");
    let own = own.process("client", "kube-apiserver", groups::pid_of("kube-apiserver"));
    item("apiserver-loopback", "its own requests", driver.to_server(own));
    if driver.shape.konnectivity {
        let tunnel = Expect::between(&WORKERS[0].address(), &format!("{}:8132", CONTROL_PLANE.address()));
        let tunnel = tunnel.process("client", "proxy-agent", groups::pid_of("proxy-agent-node1"));
        let tunnel = tunnel.process("server", "proxy-server", groups::pid_of("proxy-server"));
        item("konnectivity", "the agent's tunnel", tunnel.tls("1.3", "presented").path("konnectivity"));
    }
    Ok(())
}
