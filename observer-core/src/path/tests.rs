//! Paths by the evidence that a running cluster shows of them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Confidence::{Certain, Claimed, Strong, Weak};
use super::*;
use crate::engine::{Facts, HttpFacts};
use crate::event::{
    CertificateField, HttpCounts, HttpField, HttpResponse, TlsExtra, TlsField, Url, UserAgent,
};
use crate::party::{Component, Named, Party, Pod, Process};
use crate::protocol::Verdict;
use crate::security::{ClientCertificate, Reason, Security};

/// A connection in the making.
struct Case {
    client: Option<Party>,
    server: Option<Party>,
    addresses: [SocketAddr; 3],
    facts: Facts,
    uri: Option<&'static str>,
    upgrade: bool,
    known: Addresses,
}

fn process(pid: u32, executable: Option<&str>) -> Option<Process> {
    let executable = executable.map(str::to_owned);
    Some(Process { pid, start_ticks: Some(u64::from(pid)), name: "name".to_owned(), executable })
}

fn component(component: Component) -> Party {
    let pid = 100 + component as u32;
    Party { process: process(pid, Some("/usr/bin/it")), component: Some(component), ..Party::default() }
}

fn in_pod(party: Party) -> Party {
    in_namespace("default", party)
}

fn in_namespace(namespace: &str, party: Party) -> Party {
    let pod = Pod {
        uid: Some("6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some("web".to_owned()),
        container: Some("main".to_owned()),
        named: Named::ControlGroup,
    };
    Party { pod: Some(Arc::new(pod)), ..party }
}

fn pod() -> Party {
    in_pod(Party { process: process(7, Some("/server")), ..Party::default() })
}

fn program() -> Party {
    Party { process: process(8, Some("/usr/bin/curl")), ..Party::default() }
}

fn case(client: impl Into<Option<Party>>, server: impl Into<Option<Party>>) -> Case {
    Case {
        client: client.into(),
        server: server.into(),
        addresses: ["10.89.0.1:40000", "10.244.1.5:8080", "10.244.1.5:8080"].map(|it| it.parse().unwrap()),
        facts: Facts::default(),
        uri: None,
        upgrade: false,
        known: Addresses::default(),
    }
}

impl Case {
    fn to(mut self, server: &str) -> Self {
        self.addresses[1] = server.parse().unwrap();
        self.addresses[2] = self.addresses[1];
        self
    }

    /// A handshake: the name that was asked for, the protocols offered, and what came of the certificate.
    fn tls(mut self, name: &str, protocols: &[&str], state: ClientCertificate) -> Self {
        let mut field = TlsField::default();
        field.client.server_name = Some(name.to_owned()).filter(|name| !name.is_empty());
        let offered_protocols = protocols.iter().map(|&it| it.to_owned()).collect();
        let extra = TlsExtra { offered_protocols, ..TlsExtra::default() };
        let security = match state {
            Presented => Security::MutualTls,
            Declined | NotRequested => Security::ServerTls,
            ClientCertificate::Resumed | ClientCertificate::Unknown => Security::Tls,
        };
        self.facts.verdict = Verdict { security, client_certificate: state, ..Verdict::default() };
        self.facts.protocol = Some("tls");
        self.facts.tls = Some((Arc::new(field), Arc::new(extra)));
        self
    }

    fn certificates(mut self, client: &str, server: &str, issuer: &str) -> Self {
        let certificate = |subject: &str, issuer: &str| {
            let name = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let field = CertificateField {
                subject: name(subject),
                issuer: name(issuer),
                ..CertificateField::default()
            };
            (!subject.is_empty()).then(|| Arc::new(field))
        };
        let (field, _) = self.facts.tls.as_mut().unwrap();
        let field = Arc::make_mut(field);
        field.client.certificate = certificate(client, "CN=kubernetes");
        field.server.certificate = certificate(server, issuer);
        self
    }

    /// A first request in the clear.
    fn http(mut self, path: &str, agent: &str) -> Self {
        self.facts.verdict = Verdict { security: Security::Plaintext, ..Verdict::default() };
        self.facts.protocol = Some("http");
        self.facts.http = Some(Box::new(HttpFacts {
            field: HttpField { version: Some("1.1"), request: None, response: None },
            url: Some(Url { path: Some(path.to_owned()), domain: None }),
            user_agent: Some(UserAgent { original: agent.to_owned() }),
            counts: HttpCounts::default(),
            untold: 0,
        }));
        self
    }

    fn answered(mut self, status_code: u16) -> Self {
        let response = Some(HttpResponse { status_code, mime_type: None });
        self.facts.http.as_mut().unwrap().field.response = response;
        self
    }

    fn ssh(mut self) -> Self {
        self.facts.verdict = Verdict { security: Security::Ssh, ..Verdict::default() };
        self.facts.protocol = Some("ssh");
        self
    }

    fn silent(mut self) -> Self {
        self.facts.verdict = Verdict { reason: Some(Reason::NoData), ..Verdict::default() };
        self
    }

    fn uri(self, uri: &'static str) -> Self {
        Self { uri: Some(uri), ..self.http("/", "kubectl/v1.34.4") }
    }

    fn upgrade(self) -> Self {
        Self { upgrade: true, ..self.http("/ws", "curl/8") }
    }

    fn apiserver_at(mut self, endpoint: &str) -> Self {
        self.known.endpoints.insert(endpoint.parse().unwrap());
        self
    }

    fn apiserver_host(mut self, host: &str) -> Self {
        self.known.hosts = HashSet::from([host.parse().unwrap()]);
        self
    }

    fn judge(&self) -> Judgement {
        let object = self.uri.map(|uri| Object::of_uri(uri).unwrap());
        let forwarded = match (&object, self.upgrade) {
            (Some(object), _) => Some(Forwarded::Uri(object)),
            (None, true) => Some(Forwarded::Upgrade),
            (None, false) => None,
        };
        judge(&Scene {
            client: self.client.as_ref(),
            server: self.server.as_ref(),
            client_address: self.addresses[0],
            server_addresses: [self.addresses[1], self.addresses[2]],
            facts: &self.facts,
            forwarded,
            addresses: &self.known,
        })
    }

    #[track_caller]
    fn is(&self, path: Path, confidence: Confidence) {
        let judged = self.judge();
        assert_eq!((judged.path, judged.confidence), (path, Some(confidence)), "{judged:?}");
        assert!(!judged.evidence.is_empty() && judged.unclear.is_none(), "{judged:?}");
        assert!(judged.evidence.is_sorted(), "{judged:?}");
    }

    #[track_caller]
    fn is_other(&self, why: Unclear) {
        let judged = self.judge();
        assert_eq!((judged.path, judged.unclear), (Path::Other, Some(why)), "{judged:?}");
        assert!(!judged.is_passed_on());
    }
}

use ClientCertificate::{Declined, NotRequested, Presented};
use Component::{
    Agent, ContainerRuntime, Etcd, KonnectivityAgent, KonnectivityServer, KubeApiserver,
    KubeControllerManager, KubeProxy, KubeScheduler, Kubelet, Server,
};

const BOTH: &[&str] = &["h2", "http/1.1"];
const HTTP1: &[&str] = &["http/1.1"];
const HTTP2: &[&str] = &["h2"];

const POD: &str = "/api/v1/namespaces/default/pods/http:web:8080/proxy/";
const SERVICE: &str = "/api/v1/namespaces/default/services/web:80/proxy/";
const NODE: &str = "/api/v1/nodes/node1:10256/proxy/healthz";

#[test]
fn who_dials_an_api_server_says_the_path() {
    for (client, path) in [
        (component(Kubelet), Path::NodeToApiserver),
        (component(KubeProxy), Path::NodeToApiserver),
        (in_namespace("kube-system", component(KubeProxy)), Path::NodeToApiserver),
        (component(KubeScheduler), Path::ComponentToApiserver),
        (component(KubeControllerManager), Path::ComponentToApiserver),
        (in_namespace("kube-system", component(KubeScheduler)), Path::ComponentToApiserver),
        (pod(), Path::PodToApiserver),
        (in_namespace("kube-system", component(KonnectivityAgent)), Path::PodToApiserver),
        (program(), Path::ClientToApiserver),
    ] {
        let tls = |server: Option<Party>| {
            case(client.clone(), server).to("10.89.0.1:6443").tls("", BOTH, Presented)
        };
        tls(Some(component(KubeApiserver))).is(path, Certain);
        if client.component != Some(KonnectivityAgent) {
            tls(None).apiserver_at("10.89.0.1:6443").is(path, Strong);
        }
    }
}

#[test]
fn the_address_asked_for_may_be_a_services() {
    let mut case =
        case(pod(), None).tls("", BOTH, Declined).apiserver_at("10.96.0.1:443").to("10.96.0.1:443");
    case.addresses[2] = "10.89.0.1:6443".parse().unwrap();
    case.is(Path::PodToApiserver, Strong);
}

#[test]
fn without_the_server_a_certificate_that_only_api_servers_see_says_enough() {
    let to = |client| case(client, None).to("10.89.0.1:6443");
    to(component(Kubelet)).tls("", BOTH, Presented).is(Path::NodeToApiserver, Strong);
    to(component(KubeProxy)).tls("", BOTH, Presented).is(Path::NodeToApiserver, Strong);
    to(component(KubeScheduler)).tls("", BOTH, Presented).is(Path::ComponentToApiserver, Strong);
    // A token at the port of an API server.
    to(component(KubeProxy)).tls("", BOTH, Declined).is(Path::NodeToApiserver, Weak);
    to(pod()).tls("", BOTH, Declined).is(Path::PodToApiserver, Weak);
    case(pod(), None).to("10.0.0.9:443").tls("", BOTH, Declined).is_other(Unclear::ServerNotKnown);
}

#[test]
fn a_kubelet_that_probes_an_api_server_in_a_pod_is_not_a_node_without_a_certificate() {
    let static_pod = in_namespace("kube-system", component(KubeApiserver));
    let to = |server: Party| case(component(Kubelet), server).to("10.89.0.1:6443");
    to(static_pod.clone()).tls("", BOTH, Declined).is(Path::KubeletToPod, Weak);
    to(static_pod).tls("", BOTH, Presented).is(Path::NodeToApiserver, Certain);
    to(component(KubeApiserver)).tls("", BOTH, Declined).is(Path::NodeToApiserver, Certain);
}

#[test]
fn names_in_certificates_say_who_dials_where_no_process_does() {
    let tls12 = |client, server, issuer| {
        case(None, None).tls("", BOTH, Presented).certificates(client, server, issuer)
    };
    let node = "O=system:nodes, CN=system:node:node1";
    tls12(node, "CN=kube-apiserver", "CN=kubernetes").is(Path::NodeToApiserver, Strong);
    tls12(node, "", "").is(Path::NodeToApiserver, Strong);
    tls12("CN=system:kube-scheduler", "CN=kube-apiserver", "CN=kubernetes")
        .is(Path::ComponentToApiserver, Strong);
    let kubelet = ("CN=node1@1767225600", "CN=node1-ca@1767225600");
    tls12("O=system:masters, CN=kube-apiserver-kubelet-client", kubelet.0, kubelet.1)
        .is(Path::ApiserverToKubelet, Strong);
    tls12("O=system:masters, CN=kube-apiserver-etcd-client", "CN=cp", "CN=etcd-ca")
        .is(Path::ApiserverToEtcd, Strong);
    tls12("CN=front-proxy-client", "CN=metrics", "CN=x").is(Path::ApiserverToAggregatedApi, Strong);
    // Whoever has a name of its own is no component; one that is under the system's may be one.
    tls12("O=system:masters, CN=admin", "CN=kube-apiserver", "CN=kubernetes")
        .is(Path::ClientToApiserver, Weak);
    tls12("CN=system:bootstrap:abcdef", "CN=kube-apiserver", "CN=kubernetes")
        .is_other(Unclear::ClientNotKnown);
    tls12("CN=admin", "", "").to("10.89.0.1:6443").is_other(Unclear::EndsNotKnown);
    // The certificate of a component in the hands of another program.
    case(program(), component(KubeApiserver))
        .tls("", BOTH, Presented)
        .certificates(node, "", "")
        .is(Path::ClientToApiserver, Certain);
}

#[test]
fn an_api_server_dials_kubelets_with_a_certificate() {
    let dials = |server: Option<Party>| case(component(KubeApiserver), server).to("10.89.0.2:10250");
    dials(Some(component(Kubelet))).tls("", BOTH, Presented).is(Path::ApiserverToKubelet, Certain);
    dials(Some(component(Kubelet))).tls("", &[], Presented).is(Path::ApiserverToKubelet, Certain);
    dials(Some(component(Kubelet))).tls("", BOTH, Declined).is(Path::ApiserverToKubelet, Strong);
    dials(None).tls("", BOTH, Presented).is(Path::ApiserverToKubelet, Weak);
    let mut known = dials(None).tls("", BOTH, Presented);
    known.known.other_nodes = HashSet::from(["10.89.0.2".parse().unwrap()]);
    known.is(Path::ApiserverToKubelet, Strong);
    // On the kubelet's own node nothing of a remote API server is known but its certificate.
    case(None, component(Kubelet)).tls("", BOTH, Presented).is_other(Unclear::ClientNotKnown);
    case(None, component(Kubelet))
        .tls("", BOTH, Presented)
        .apiserver_at("10.89.0.1:6443")
        .is(Path::ApiserverToKubelet, Weak);
    case(None, component(Kubelet))
        .tls("", BOTH, Presented)
        .apiserver_host("10.89.0.1")
        .is(Path::ApiserverToKubelet, Strong);
    case(component(KonnectivityAgent), component(Kubelet))
        .tls("", BOTH, Presented)
        .is(Path::ApiserverToKubelet, Certain);
}

#[test]
fn others_dial_kubelets_too() {
    case(pod(), component(Kubelet)).tls("", BOTH, Declined).is(Path::ClientToKubelet, Certain);
    case(program(), component(Kubelet)).tls("", BOTH, Presented).is(Path::ClientToKubelet, Certain);
    case(None, component(Kubelet)).tls("", BOTH, Declined).is(Path::ClientToKubelet, Weak);
    case(None, component(Kubelet))
        .tls("", BOTH, Presented)
        .certificates("O=system:masters, CN=kubernetes-admin", "", "")
        .is(Path::ClientToKubelet, Weak);
    case(None, component(Kubelet))
        .tls("", BOTH, Declined)
        .apiserver_host("10.89.0.1")
        .is_other(Unclear::SeveralPaths);
}

#[test]
fn in_the_clear_a_kubelet_answers_at_its_read_only_port_alone() {
    let asks = |client: Option<Party>, port: u16, path: &str| {
        case(client, component(Kubelet)).to(&format!("10.89.0.2:{port}")).http(path, "curl/8")
    };
    asks(Some(program()), 10255, "/pods").answered(200).is(Path::KubeletReadOnly, Strong);
    asks(None, 10255, "/metrics").answered(200).is(Path::KubeletReadOnly, Weak);
    asks(None, 11111, "/stats/summary").answered(200).is(Path::KubeletReadOnly, Strong);
    asks(Some(program()), 10250, "/pods").answered(400).is(Path::ClientToKubelet, Strong);
    asks(Some(program()), 10250, "/pods").is(Path::ClientToKubelet, Strong);
    case(program(), component(Kubelet))
        .to("127.0.0.1:10248")
        .http("/healthz", "curl/8")
        .is(Path::ComponentMetrics, Weak);
}

#[test]
fn a_request_that_an_api_server_passed_on_is_known_by_the_program_that_dialled() {
    for (uri, path) in [
        (POD, Path::ApiserverToPodProxy),
        (SERVICE, Path::ApiserverToServiceProxy),
        (NODE, Path::ApiserverToNodeProxy),
    ] {
        for (client, sure) in [(KubeApiserver, Certain), (KonnectivityAgent, Certain), (Agent, Strong)] {
            for server in [None, Some(pod()), Some(component(KubeProxy))] {
                let case = case(component(client), server).uri(uri);
                case.is(path, sure);
                assert_eq!(case.judge().passed_on, Some(sure));
            }
        }
        let host = case(None, pod()).uri(uri).apiserver_host("10.89.0.1");
        host.is(path, Strong);
        assert!(host.judge().is_passed_on());
    }
}

#[test]
fn anyone_can_claim_to_pass_on_a_request() {
    for server in [None, Some(pod())] {
        let unknown = case(None, server.clone()).uri(POD);
        unknown.is(Path::ApiserverToPodProxy, Claimed);
        assert!(!unknown.judge().is_passed_on());
        for client in [pod(), program(), component(KubeProxy)] {
            let forged = case(client, server.clone()).uri(POD);
            forged.is_other(Unclear::NotFromApiserver);
            assert_eq!(forged.judge().confidence, Some(Claimed));
            assert_eq!(forged.judge().evidence, [Evidence::ForwardedUri]);
        }
    }
    // A pod's author writes the fields of its probes.
    let probe = case(component(Kubelet), pod()).uri(POD);
    probe.is(Path::KubeletToPod, Certain);
    assert!(!probe.judge().is_passed_on());
    let mut probe = case(component(Agent), pod()).uri(POD);
    probe = Case { uri: Some(POD), ..probe.http("/", "kube-probe/1.34") };
    probe.is(Path::KubeletToPod, Strong);
    assert!(!probe.judge().is_passed_on());
}

#[test]
fn an_upgrade_is_known_by_who_dialled_and_the_pod_that_answered() {
    let known = case(component(KubeApiserver), pod()).upgrade();
    known.is(Path::ApiserverToPodProxy, Weak);
    assert_eq!(known.judge().passed_on, Some(Certain));
    let remote = case(component(KubeApiserver), None).upgrade();
    remote.is(Path::ApiserverToPodProxy, Weak);
    assert_eq!(remote.judge().passed_on, Some(Certain));
    case(None, pod()).upgrade().is_other(Unclear::ClientNotKnown);
    case(pod(), pod()).upgrade().is_other(Unclear::NoPathFits);
}

#[test]
fn behind_tls_a_proxied_request_has_no_name_and_no_certificate() {
    let dials = |server: Option<Party>| case(component(KubeApiserver), server).to("10.244.1.5:8443");
    for state in [NotRequested, Declined] {
        let to_pod = dials(Some(pod())).tls("", BOTH, state);
        to_pod.is(Path::ApiserverToPodProxy, Weak);
        assert_eq!(to_pod.judge().passed_on, Some(Strong));
        dials(None).tls("", BOTH, state).is(Path::ApiserverToPodProxy, Weak);
    }
    let through = case(component(KonnectivityAgent), pod()).tls("", BOTH, NotRequested);
    through.is(Path::ApiserverToPodProxy, Weak);
    assert_eq!(
        server_verified(&through.judge(), Security::ServerTls),
        Some((Verified::No, Basis::ProxyTransport))
    );
    // Whatever else runs on an API server's machine may dial a pod so.
    case(None, pod())
        .tls("", BOTH, NotRequested)
        .apiserver_host("10.89.0.1")
        .is(Path::ApiserverToPodProxy, Weak);
    case(None, pod()).tls("", BOTH, NotRequested).is_other(Unclear::ClientNotKnown);
}

#[test]
fn webhooks_and_aggregated_apis_differ_in_what_is_offered() {
    for client in [KubeApiserver, KonnectivityAgent] {
        for server in [None, Some(pod())] {
            let dials = || case(component(client), server.clone());
            dials().tls("web.default.svc", HTTP1, NotRequested).is(Path::ApiserverToWebhook, Certain);
            dials().tls("web.default.svc", BOTH, Presented).is(Path::ApiserverToAggregatedApi, Certain);
            dials().tls("hook.example.com", HTTP1, NotRequested).is(Path::ApiserverToWebhook, Strong);
        }
        case(component(client), pod()).tls("", BOTH, Presented).is(Path::ApiserverToAggregatedApi, Strong);
        case(component(client), None).tls("", BOTH, Presented).is(Path::ApiserverToAggregatedApi, Weak);
        case(component(client), pod()).tls("", HTTP1, NotRequested).is(Path::ApiserverToWebhook, Strong);
        case(component(client), pod()).tls("web.default.svc", BOTH, Declined).is_other(Unclear::SeveralPaths);
    }
    // By content alone any pod might have asked so.
    case(None, None).tls("web.default.svc", HTTP1, NotRequested).is(Path::ApiserverToWebhook, Weak);
    case(None, None).tls("web.default.svc", BOTH, Presented).is(Path::ApiserverToAggregatedApi, Weak);
    case(pod(), pod()).tls("web.default.svc", HTTP1, NotRequested).is_other(Unclear::NoPathFits);
}

#[test]
fn the_store_is_dialled_by_api_servers_and_its_own_kind() {
    let to = |client: Option<Party>| case(client, component(Etcd)).to("10.89.0.1:2379");
    to(Some(component(KubeApiserver))).tls("", HTTP2, Presented).is(Path::ApiserverToEtcd, Certain);
    to(Some(component(KubeApiserver))).silent().is(Path::ApiserverToEtcd, Certain);
    to(None).tls("", HTTP2, Presented).apiserver_at("10.89.0.1:6443").is(Path::ApiserverToEtcd, Claimed);
    to(None).tls("", HTTP2, Presented).is_other(Unclear::ClientNotKnown);
    // gRPC offers HTTP/2 alone.
    to(None).tls("", BOTH, Presented).apiserver_at("10.89.0.1:6443").is_other(Unclear::ClientNotKnown);
    to(Some(program())).tls("", HTTP2, Presented).is_other(Unclear::NoPathFits);
    to(Some(program())).http("/metrics", "curl/8").is(Path::ComponentMetrics, Certain);
    case(component(KubeApiserver), None)
        .to("10.89.0.9:2379")
        .tls("", HTTP2, Presented)
        .is(Path::ApiserverToEtcd, Weak);
    case(component(Etcd), None).to("10.89.0.9:2380").tls("", BOTH, Presented).is(Path::EtcdPeer, Strong);
    let mut other = component(Etcd);
    other.process = process(999, Some("/usr/bin/etcd"));
    case(component(Etcd), other).to("10.89.0.1:2380").tls("", BOTH, Presented).is(Path::EtcdPeer, Certain);
    // Its gateway dials itself.
    case(component(Etcd), component(Etcd)).tls("", HTTP2, Presented).is_other(Unclear::NoPathFits);
}

#[test]
fn konnectivity_by_its_programs_and_its_protocol() {
    let agent = || component(KonnectivityAgent);
    case(agent(), component(KonnectivityServer)).tls("", HTTP2, Presented).is(Path::Konnectivity, Certain);
    case(agent(), None).tls("", HTTP2, Presented).is(Path::Konnectivity, Strong);
    case(None, component(KonnectivityServer)).tls("", HTTP2, Presented).is(Path::Konnectivity, Certain);
    case(component(KubeApiserver), component(KonnectivityServer))
        .tls("", HTTP2, Presented)
        .is(Path::Konnectivity, Certain);
    case(None, component(KonnectivityServer)).http("/healthz", "x").is(Path::ComponentMetrics, Certain);
}

#[test]
fn an_api_server_speaks_to_itself() {
    let itself = || case(component(KubeApiserver), component(KubeApiserver)).to("127.0.0.1:6443");
    itself().tls("apiserver-loopback-client", BOTH, Declined).is(Path::ApiserverLoopback, Certain);
    itself().silent().is(Path::ApiserverLoopback, Certain);
    case(component(Server), component(Server))
        .tls("apiserver-loopback-client", BOTH, Declined)
        .is(Path::ApiserverLoopback, Certain);
    case(None, None).tls("apiserver-loopback-client", BOTH, Declined).is(Path::ApiserverLoopback, Strong);
    let mut other = component(KubeApiserver);
    other.process = process(999, Some("/usr/bin/kube-apiserver"));
    case(component(KubeApiserver), other).tls("", BOTH, Presented).is_other(Unclear::SeveralPaths);
    case(program(), component(KubeApiserver))
        .tls("apiserver-loopback-client", BOTH, Declined)
        .is(Path::ClientToApiserver, Certain);
}

#[test]
fn what_a_kubelet_dials_besides() {
    let dials = |server: Option<Party>| case(component(Kubelet), server);
    dials(Some(component(ContainerRuntime))).http("/exec/[redacted]", "").is(Path::KubeletToRuntime, Certain);
    dials(Some(pod())).http("/", "kube-probe/1.34").is(Path::KubeletToPod, Certain);
    dials(Some(pod())).silent().is(Path::KubeletToPod, Certain);
    dials(Some(pod())).tls("", BOTH, NotRequested).is(Path::KubeletToPod, Certain);
    dials(Some(in_pod(component(Etcd)))).http("/health", "kube-probe/1.34").is(Path::KubeletToPod, Certain);
    dials(None).http("/", "kube-probe/1.34").is(Path::KubeletToPod, Strong);
    dials(None).silent().is_other(Unclear::ServerNotKnown);
    // By content alone, on loopback.
    let stream = |server| case(None, None).to(server).http("/exec/[redacted]", "");
    stream("127.0.0.1:35000").is(Path::KubeletToRuntime, Strong);
    stream("10.0.0.1:35000").is_other(Unclear::EndsNotKnown);
    case(None, None).http("/", "kube-probe/1.34").is(Path::KubeletToPod, Claimed);
}

#[test]
fn ssh_is_a_tunnel_only_if_an_api_server_dialled() {
    case(component(KubeApiserver), None).ssh().is(Path::SshTunnel, Certain);
    case(None, None).ssh().is_other(Unclear::EndsNotKnown);
    case(program(), program()).ssh().is_other(Unclear::NoPathFits);
    case(None, None).ssh().apiserver_host("10.89.0.1").is(Path::SshTunnel, Weak);
}

#[test]
fn metrics_of_components() {
    for server in [KubeScheduler, KubeControllerManager, KubeProxy] {
        case(pod(), component(server)).tls("", BOTH, Declined).is(Path::ComponentMetrics, Certain);
        case(None, component(server)).http("/metrics", "").is(Path::ComponentMetrics, Certain);
        case(component(Kubelet), in_pod(component(server)))
            .http("/healthz", "kube-probe/1.34")
            .is(Path::KubeletToPod, Certain);
    }
    case(None, None).to("10.0.0.1:10249").http("/metrics", "").is(Path::ComponentMetrics, Weak);
}

#[test]
fn several_components_in_one_process_are_told_apart_only_by_what_they_say() {
    let agent = || component(Agent);
    // Modelled: a node's agent relays on loopback to itself.
    case(agent(), agent()).to("127.0.0.1:6444").tls("", BOTH, Presented).is_other(Unclear::SeveralComponents);
    case(agent(), component(Server)).tls("", BOTH, Presented).is(Path::NodeToApiserver, Strong);
    case(agent(), None)
        .to("10.89.0.1:6443")
        .apiserver_at("10.89.0.1:6443")
        .tls("", BOTH, Presented)
        .is(Path::NodeToApiserver, Strong);
    case(agent(), component(ContainerRuntime))
        .http("/exec/[redacted]", "")
        .is(Path::KubeletToRuntime, Certain);
    case(agent(), pod()).tls("", BOTH, NotRequested).is_other(Unclear::SeveralComponents);
    case(agent(), pod()).tls("web.default.svc", HTTP1, NotRequested).is(Path::ApiserverToWebhook, Strong);
    case(component(Server), component(Agent)).tls("", BOTH, Presented).is(Path::ApiserverToKubelet, Strong);
    case(component(Server), component(Server)).tls("", BOTH, Presented).is_other(Unclear::SeveralComponents);
    case(pod(), component(Server))
        .to("10.89.0.1:6443")
        .tls("", BOTH, Declined)
        .is(Path::PodToApiserver, Weak);
    case(pod(), component(Server))
        .to("10.89.0.1:10250")
        .tls("", BOTH, Declined)
        .is_other(Unclear::SeveralComponents);
    case(agent(), None).upgrade().to("127.0.0.1:4000").http("/exec/[redacted]", "").judge();
}

#[test]
fn a_stream_of_the_kubelet_within_an_agent_is_not_a_proxied_request() {
    let mut stream = case(component(Agent), None).to("127.0.0.1:4000");
    stream = Case { upgrade: true, ..stream.http("/exec/[redacted]", "") };
    stream.is(Path::KubeletToRuntime, Strong);
    assert!(!stream.judge().is_passed_on());
}

#[test]
fn nothing_is_made_of_nothing() {
    case(None, None).silent().is_other(Unclear::EndsNotKnown);
    case(None, None).tls("example.com", BOTH, NotRequested).is_other(Unclear::EndsNotKnown);
    case(None, None).to("10.0.0.1:6443").tls("", BOTH, Presented).is_other(Unclear::EndsNotKnown);
    case(None, component(KubeApiserver)).tls("", BOTH, Presented).is_other(Unclear::ClientNotKnown);
    case(program(), program()).http("/", "").is_other(Unclear::NoPathFits);
}

#[test]
fn a_program_that_ended_before_it_was_read_is_one_if_nothing_says_otherwise() {
    let ended = |name: &str, cgroup: Option<&str>| {
        let process = Process { pid: 5, name: name.to_owned(), ..Process::default() };
        let missing = Some("process_exited");
        let cgroup = cgroup.map(str::to_owned);
        let party = Party { process: Some(process), missing, cgroup, ..Party::default() };
        case(party, component(KubeApiserver)).tls("", BOTH, Declined)
    };
    ended("kubectl", Some("/user.slice")).is(Path::ClientToApiserver, Strong);
    ended("kubelet", Some("/user.slice")).is_other(Unclear::ClientNotKnown);
    ended("kubectl", None).is_other(Unclear::ClientNotKnown);
    let mut noted = ended("kubectl", Some("/user.slice"));
    noted.client.as_mut().unwrap().missing = None;
    noted.is_other(Unclear::ClientNotKnown);
}

#[test]
fn a_component_by_name_in_a_pod_of_anybodys_is_a_mere_claim() {
    for (namespace, sure) in [("kube-system", Certain), ("openshift-etcd", Certain), ("default", Claimed)] {
        let client = in_namespace(namespace, component(KubeApiserver));
        case(client, component(Etcd)).tls("", HTTP2, Presented).is(Path::ApiserverToEtcd, sure);
    }
}

#[test]
fn a_port_alone_is_weak_and_never_more() {
    for (port, path, state) in [
        (10250, Path::ClientToKubelet, Declined),
        (2380, Path::EtcdPeer, Presented),
        (8132, Path::Konnectivity, Presented),
    ] {
        case(None, None).to(&format!("10.0.0.1:{port}")).tls("", BOTH, state).is(path, Weak);
    }
    for (port, offered, path, sure) in
        [(10250, BOTH, Path::ApiserverToKubelet, Weak), (2379, HTTP2, Path::ApiserverToEtcd, Claimed)]
    {
        let mut case = case(None, None).to(&format!("10.0.0.1:{port}")).tls("", offered, Presented);
        case.is_other(Unclear::EndsNotKnown);
        case.known.suppose("10.89.0.1".parse().unwrap());
        case.is(path, sure);
    }
    case(None, None).to("10.0.0.1:10255").http("/metrics", "").is(Path::KubeletReadOnly, Weak);
}
