//! The account of a connection: the one place where what is known becomes an event.

use std::sync::Arc;

use super::ends::Ends;
use super::judged::Judged;
use super::known::Known;
use super::losses::Sum;
use super::party_field::party_field;
use super::{Id, Seed};
use crate::engine::{Facts, LossPlace, Orientation, Origin};
use crate::event::{
    Action, BackendField, ClientCertificateField, ClientHelloField, Cluster, Connection, Container,
    ControlPlane, Destination, DirectionField, Ecs, Event, EventField, Heartbeat, Kind, Log, Loss,
    MissingBytes, Network, Observer, Orchestrator, OtherEnd, PathFields, SCHEMA, SocketState, Source, When,
    community_id,
};
use crate::party::Process;
use crate::security::{ClientCertificate, Reason, Security};
use crate::time::Timestamp;

/// The version of ECS that the names follow.
const ECS: &str = "9.0.0";

/// What all events of one observation have in common.
#[derive(Clone, Debug)]
pub struct Context {
    /// Makes ids unique.
    pub seed: Seed,
    /// The machine that the observer runs on; not where a capture was made.
    pub hostname: Option<Arc<str>>,
    /// The capture, on replay.
    pub log: Option<Log>,
    /// When the observation began: losses are counted from then on.
    pub since: Timestamp,
    /// The cluster that is observed, where it is known.
    pub cluster: Option<Cluster>,
}

impl Context {
    /// The event that tells losses, each summed up since the observation began.
    pub(super) fn losses(&self, time: Timestamp, sums: impl Iterator<Item = (LossPlace, Sum)>) -> Event {
        let id = format!("{}-loss-{}", self.seed.name(), time.0);
        let mut event = self.event(time, id, Action::Loss, 4);
        event.control_plane.loss = sums
            .map(|(place, Sum { records, bytes })| Loss { place, records, bytes, since: When(self.since) })
            .collect();
        event
    }

    /// The event that tells how the observer fares.
    #[must_use]
    pub fn heartbeat(&self, time: Timestamp, heartbeat: Heartbeat) -> Event {
        let mut event =
            self.event(time, format!("{}-heartbeat-{}", self.seed.name(), time.0), Action::Heartbeat, 1);
        event.control_plane.heartbeat = Some(heartbeat);
        event
    }

    /// The event that tells a verdict.
    pub(super) fn classified(&self, known: &Known, judged: &Judged) -> Event {
        let mut event = self.connection(known, judged, known.classified_at, Action::ConnectionClassified);
        if known.missing() != MissingBytes::default() {
            event.control_plane.missing = Some(known.missing());
        }
        event
    }

    /// The event that tells the end.
    pub(super) fn closed(&self, known: &Known, judged: &Judged) -> Event {
        let time = known.end().map_or(known.classified_at, |end| end.time);
        let mut event = self.connection(known, judged, time, Action::ConnectionClosed);
        (event.control_plane.judged.proxies, event.control_plane.judged.proxies_left_out) =
            super::judged::proxies(known);
        let Some(end) = known.end() else { return event };
        let swapped = known.facts.as_ref().is_some_and(|facts| facts.orientation == Orientation::Reversed);
        let (sent, received) = if swapped {
            (end.bytes_to_client, end.bytes_to_server)
        } else {
            (end.bytes_to_server, end.bytes_to_client)
        };
        if let Some(source) = &mut event.source {
            source.bytes = Some(sent);
        }
        if let Some(destination) = &mut event.destination {
            destination.bytes = Some(received);
        }
        event.event.end = Some(When(end.time));
        let lasted = end.time.since(known.opened).as_nanos();
        event.event.duration = Some(u64::try_from(lasted).unwrap_or(u64::MAX));
        if let Some(connection) = &mut event.control_plane.connection {
            connection.ending = Some(end.ending);
        }
        if event.control_plane.reason.is_none() {
            event.control_plane.reason = end.reason;
        }
        if known.missing() != MissingBytes::default() {
            event.control_plane.missing = Some(known.missing());
        }
        event
    }

    /// What all events on a connection have in common; its id is still to be made that of one event.
    pub(super) fn connection(
        &self,
        known: &Known,
        judged: &Judged,
        time: Timestamp,
        action: Action,
    ) -> Event {
        let none = Facts::default();
        let facts = known.facts.as_deref().unwrap_or(&none);
        let id = known.id.text();
        let suffix = if action == Action::ConnectionClosed { "closed" } else { "classified" };
        let mut event =
            self.event(time, [&*id, "-", suffix].concat(), action, severity(facts.verdict.security));
        event.event.start = (known.origin == Origin::Handshake).then_some(When(known.opened));

        let ends = Ends::of(known, facts.orientation == Orientation::Reversed);
        event.source = Some(Source {
            ip: ends.client.ip(),
            port: ends.client.port(),
            bytes: None,
            nat: ends.client_nat,
        });
        event.destination = Some(Destination {
            ip: ends.server.ip(),
            port: ends.server.port(),
            bytes: None,
            nat: ends.server_nat,
        });
        event.network = Some(Network {
            transport: "tcp",
            kind: if ends.client.is_ipv4() { "ipv4" } else { "ipv6" },
            community_id: Some(community_id(ends.client, ends.server)),
            protocol: facts.protocol,
        });
        let (client, server) = known.parties();
        if let Some(party) = client.or(server) {
            event.process = party.process.as_ref().map(process);
            event.container = party.container_id.clone().map(|id| Container { id });
            event.orchestrator = Orchestrator::of(self.cluster.as_ref(), party.pod.as_deref());
        }

        let relay = known.relay.as_deref();
        let own = &mut event.control_plane;
        own.connection = Some(Connection {
            id,
            faces: u8::try_from(known.faces.len()).unwrap_or(u8::MAX),
            direction: match facts.orientation {
                Orientation::Known => None,
                Orientation::Reversed => Some(DirectionField::FromContent),
                Orientation::Assumed => Some(DirectionField::Assumed),
            },
            ending: None,
            socket: known.subflow.then_some(SocketState::MptcpSubflow),
            other_end: known.may_be_told_twice.then_some(OtherEnd::MayBeToldApart),
            client_hello: relay.is_some_and(|relay| relay.repeated).then_some(ClientHelloField::Repeated),
            relayed_from: relay.and_then(|relay| relay.outlived).map(Id::text),
        });
        own.backend = judged.backend;
        own.relays = known.relay_fields(action == Action::ConnectionClosed);
        own.security = Some(facts.verdict.security);
        own.client_certificate = client_certificate(facts);
        own.reason = facts.verdict.reason.or(match known.origin {
            Origin::Handshake => None,
            Origin::MidStream { reason, .. } => Some(reason),
        });
        if own.reason.is_none() && own.backend == Some(BackendField::VipNotVisible) {
            own.reason = Some(Reason::VipNotVisible);
        }
        if facts.verdict.security == Security::Unknown && own.reason.is_none() {
            // Without any facts it was for the other end to tell them, and that end is not known.
            own.reason = Some(if known.facts.is_some() { Reason::NotRecognized } else { Reason::Lost });
        }
        if let Some(tls) = &facts.tls {
            event.tls = Some(Arc::clone(&tls.0));
            own.tls = Some(Arc::clone(&tls.1));
        }
        if let Some(http) = &facts.http {
            event.http = Some(http.field.clone());
            event.url.clone_from(&http.url);
            event.user_agent.clone_from(&http.user_agent);
            own.http = Some(http.counts.clone());
        }
        own.ssh = facts.ssh.as_deref().cloned();
        own.encapsulation.clone_from(&facts.encapsulation);
        own.exposed.clone_from(&facts.exposed);
        own.client = client.map(party_field);
        own.server = known.served_by().map(party_field);
        own.judged = judged.fields();
        event
    }

    /// An event with nothing in it but what every event has.
    pub(super) fn event(&self, time: Timestamp, id: String, action: Action, severity: u8) -> Event {
        Event {
            timestamp: When(time),
            ecs: Ecs { version: ECS },
            event: EventField {
                id,
                kind: Kind::Event,
                category: ["network"],
                action,
                severity,
                start: None,
                end: None,
                duration: None,
            },
            observer: Observer {
                kind: "network",
                product: "observer",
                version: env!("CARGO_PKG_VERSION"),
                hostname: self.hostname.clone(),
            },
            source: None,
            destination: None,
            network: None,
            process: None,
            container: None,
            orchestrator: Orchestrator::of(self.cluster.as_ref(), None),
            rule: None,
            tls: None,
            http: None,
            url: None,
            user_agent: None,
            log: self.log.clone(),
            control_plane: ControlPlane {
                schema: SCHEMA,
                connection: None,
                security: None,
                client_certificate: None,
                reason: None,
                encapsulation: Vec::new(),
                exposed: Vec::new(),
                judged: PathFields::default(),
                client: None,
                server: None,
                backend: None,
                relays: Vec::new(),
                tls: None,
                http: None,
                ssh: None,
                missing: None,
                loss: Vec::new(),
                heartbeat: None,
            },
        }
    }
}

/// How much an operator should care, from 1 to 10.
const fn severity(security: Security) -> u8 {
    match security {
        Security::Plaintext => 6,
        Security::Other | Security::Unknown => 3,
        Security::Tls => 2,
        Security::MutualTls | Security::ServerTls | Security::Ssh => 1,
    }
}

fn client_certificate(facts: &Facts) -> Option<ClientCertificateField> {
    let verdict = facts.verdict;
    let tls = matches!(verdict.security, Security::MutualTls | Security::ServerTls | Security::Tls);
    (tls || verdict.client_certificate != ClientCertificate::Unknown || facts.protocol == Some("tls"))
        .then_some(ClientCertificateField { state: verdict.client_certificate, basis: verdict.basis })
}

fn process(process: &Process) -> crate::event::Process {
    crate::event::Process {
        pid: process.pid,
        name: Some(process.name.clone()).filter(|name| !name.is_empty()),
        executable: process.executable.clone(),
    }
}
