//! What people do with kubectl: logs, exec, attach, port-forward.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::driver::{Driver, now};
use super::expect::Expect;
use super::item::Item;
use super::mouth::Done;
use crate::cluster::groups;
use crate::cluster::place::{CONTROL_PLANE, OUTSIDE, Place, WORKERS};

/// Drives them all.
pub fn drive(driver: &mut Driver) -> Result<()> {
    logs(driver)?;
    exec(driver, "exec-websocket", &[])?;
    exec(driver, "exec-spdy", &[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")])?;
    attach(driver)?;
    port_forward(driver)
}

/// kubectl's connection, and the one to the kubelet.
fn item(driver: &Driver, name: &str, sent: &str, start: &str, end: &str) -> Item {
    let server = format!("{}:6443", CONTROL_PLANE.address());
    let kubectl = Expect::between(&OUTSIDE.address(), &server).tls("1.3", "presented");
    let kubectl = driver.to_server(kubectl.process("client", "kubectl", None)).path("client-to-apiserver");
    // While the cluster comes up it asks a server that does not answer yet.
    Item::new(name, sent, start, end).on(kubectl.or("unfinished").every()).on(to_kubelet(driver, WORKERS[0]))
}

/// Of the connections from the API server to a kubelet, any may carry it.
pub fn to_kubelet(driver: &Driver, place: Place) -> Expect {
    let expect = driver.by_server(&format!("{}:10250", place.address())).tls("1.3", "presented");
    let expect = expect.process("server", "kubelet", groups::pid_of(&format!("kubelet-{}", place.name)));
    expect.node("server", place.name).path("apiserver-to-kubelet").every()
}

/// A stream ends on the worker in plain HTTP, from the kubelet to the container runtime over loopback. Every worker has the
/// same addresses for that.
fn to_runtime() -> Expect {
    Expect::between("127.0.0.1", "127.0.0.1")
        .plaintext()
        .process("client", "kubelet", None)
        .process("server", "containerd", None)
        .path("kubelet-to-runtime")
        .every()
        .unwatched()
}

fn logs(driver: &Driver) -> Result<()> {
    let start = now()?;
    crate::process::output(&mut driver.kubectl(&["logs", "web", "--tail=1"])?)?;
    item(driver, "logs", "kubectl logs web", &start, &now()?).tell();
    Ok(())
}

fn exec(driver: &Driver, name: &str, environment: &[(&str, &str)]) -> Result<()> {
    let start = now()?;
    let mut exec = driver.kubectl(&["exec", "web", "--", "/peer", "client"])?;
    exec.envs(environment.iter().copied());
    let said = crate::process::output(&mut exec)?;
    anyhow::ensure!(said.contains("pid"), "exec said {said}");
    let item = item(driver, name, "kubectl exec web", &start, &now()?);
    item.on(to_runtime().with("http.request.method", "POST")).tell();
    Ok(())
}

fn attach(driver: &Driver) -> Result<()> {
    let done = driver.kubectl_for(Duration::from_secs(2), &["attach", "web"])?;
    let word = |name: &str| done[name].as_str().unwrap_or_default().to_owned();
    let item = item(driver, "attach", "kubectl attach web, for two seconds", &word("start"), &word("end"));
    item.on(to_runtime()).tell();
    Ok(())
}

fn port_forward(driver: &mut Driver) -> Result<()> {
    let port = 18080;
    let start = now()?;
    let mut forward = driver.kubectl(&["port-forward", "pod/web", &format!("{port}:8080")])?;
    forward.stdout(std::process::Stdio::null());
    let mut forward = forward.spawn()?;
    let answered = through(driver, port);
    forward.kill()?;
    forward.wait()?;
    let (done, told) = answered?;
    let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    // From kubectl's listener, and at the other end from the runtime inside of the pod.
    let near = driver.outside.sign(done.connection()).process("server", "kubectl", Some(forward.id()));
    let runtime = groups::pid_of("containerd-node1");
    let far =
        Expect::between(&word("peer"), &word("local")).plaintext().process("client", "containerd", runtime);
    let item = item(driver, "port-forward", "kubectl port-forward web, and GET /forwarded", &start, &now()?);
    item.on(near.unwatched()).on(to_runtime()).on(far.unwatched()).tell();
    Ok(())
}

fn through(driver: &mut Driver, port: u16) -> Result<(Done, Value)> {
    let began = Instant::now();
    loop {
        let done = driver.outside.get(&format!("http://127.0.0.1:{port}/forwarded"), &json!({}))?;
        match done.told() {
            Ok(told) => return Ok((done, told)),
            Err(error) if began.elapsed() > Duration::from_secs(15) => {
                return Err(error).context("nothing came through the forwarded port");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
