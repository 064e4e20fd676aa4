//! The event that tells a finding.

use super::account::Context;
use super::findings::Standing;
use super::judged::Judged;
use super::known::Known;
use crate::engine::without_port;
use crate::event::{
    Action, Event, FindingField, FindingState, HttpField, HttpRequest, Kind, RuleField, Url, UserAgent, When,
};
use crate::party::Party;
use crate::path::{Asked, Subject};
use crate::policy::{self, Rule, finding_id};
use crate::protocol::http::Request;
use crate::time::Timestamp;

impl Context {
    /// The event that tells that a connection's requests for `asked` break `rule`. It is a new one unless that says otherwise.
    pub(super) fn finding(
        &self,
        known: &Known,
        asked: &Asked,
        judged: &Judged,
        rule: &'static Rule,
    ) -> Event {
        let mut event = self.connection(known, judged, asked.first, Action::Finding);
        event.event.kind = Kind::Alert;
        event.rule = Some(RuleField {
            id: rule.id,
            name: rule.name,
            category: rule.category,
            description: rule.description,
            reference: rule.reference,
        });
        if let Some(request) = asked.shown_by.as_deref() {
            show(&mut event, request);
        }
        let exposed = !event.control_plane.exposed.is_empty();
        event.event.severity = policy::severity(judged.scope, exposed);
        let object = match &asked.subject {
            Subject::Object(object) => object.uri(),
            Subject::Upgrade => match &judged.proxy {
                Some(pod) => format!("{}/{}", pod.namespace.as_deref().unwrap_or_default(), pod.name),
                None => event.destination.as_ref().map(|it| it.ip.to_string()).unwrap_or_default(),
            },
        };
        let (client, _) = known.parties();
        let caller = client
            .map_or_else(|| event.source.as_ref().map(|it| it.ip.to_string()).unwrap_or_default(), caller);
        let id = finding_id(rule, &caller, &object, judged.scope);
        event.event.id = format!("{}-finding-{}", known.id.text(), &id[..16]);
        let own = &mut event.control_plane.judged;
        own.remediation = Some(rule.remediation);
        own.finding = Some(FindingField {
            id,
            state: FindingState::Open,
            count: asked.requests(),
            first_seen: When(asked.first),
            last_seen: When(asked.first),
        });
        event
    }
}

/// How a finding stands that was told before, as the last word of it so far.
pub(super) fn again(event: &mut Event, standing: &Standing, id: &str, state: FindingState, time: Timestamp) {
    // What one request showed was told; the first request of the connection may have been for something else.
    (event.http, event.url, event.user_agent) = (None, None, None);
    event.control_plane.exposed.clear();
    event.event.id.push_str(if state == FindingState::Closed { "-closed" } else { "-at" });
    event.timestamp = When(time);
    if state == FindingState::Updated {
        event.event.id.push_str(&time.0.to_string());
    }
    if let Some(finding) = &mut event.control_plane.judged.finding {
        // Who dialled may be known better by now; the finding is the same.
        id.clone_into(&mut finding.id);
        finding.state = state;
        finding.count = standing.count;
        finding.first_seen = When(standing.first);
        finding.last_seen = When(standing.last);
    }
}

/// The request in the place of the connection's first.
fn show(event: &mut Event, request: &Request) {
    event.http = Some(HttpField {
        version: Some(request.version),
        request: Some(HttpRequest {
            method: Some(request.method.to_string()),
            mime_type: request.content_type.clone(),
        }),
        response: None,
    });
    event.url = (request.path.is_some() || request.authority.is_some())
        .then(|| Url { path: request.path.clone(), domain: request.authority.clone().map(without_port) });
    event.user_agent = request.user_agent.clone().map(|original| UserAgent { original });
    event.control_plane.exposed = request.exposed.iter().map(|secret| secret.name()).collect();
}

/// The workload that dialled.
fn caller(party: &Party) -> String {
    let program = match (party.component, party.pod.as_deref(), &party.process) {
        (Some(component), ..) => serde_json::to_string(&component).unwrap_or_default(),
        (None, Some(pod), _) => {
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{}/{}", text(&pod.namespace), text(&pod.name))
        }
        (None, None, Some(process)) => process.executable.clone().unwrap_or_default(),
        (None, None, None) => String::new(),
    };
    format!("{program} {}", party.node.as_deref().unwrap_or_default())
}
