//! An end of a connection as the outside sees it.

use crate::event::{KubernetesField, OtherRole, PartyField, ProcessField, RoleField};
use crate::party::{Named, Party, Process};
use crate::path::Confidence;

pub(super) fn party_field(party: &Party) -> PartyField {
    let pod = party.pod.as_deref();
    let is_read = party.process.as_ref().is_some_and(|process| process.executable.is_some());
    let role = match (party.component, pod) {
        (Some(component), _) => Some(RoleField::Component(component)),
        (None, Some(_)) => Some(RoleField::Else(OtherRole::Pod)),
        (None, None) => is_read.then_some(RoleField::Else(OtherRole::Process)),
    };
    let confidence = role.map(|_| match pod.map(|pod| pod.named) {
        // By its address, and not by its process.
        Some(Named::Api) if party.component.is_none() => Confidence::Strong,
        _ if party.is_component_claimed() => Confidence::Claimed,
        _ => Confidence::Certain,
    });
    PartyField {
        process: party.process.as_ref().map(process_field),
        opened_by: party.opened_by.as_ref().map(process_field),
        container: party.container_id.clone(),
        role,
        kubernetes: pod.map(KubernetesField::from),
        node: party.node.clone(),
        confidence,
        source: pod.map(|pod| pod.named),
        cgroup: party.cgroup.clone(),
        network_namespace: party.netns,
        missing: party.missing,
    }
}

fn process_field(process: &Process) -> ProcessField {
    ProcessField {
        pid: process.pid,
        start_ticks: process.start_ticks,
        name: Some(process.name.clone()).filter(|name| !name.is_empty()),
        executable: process.executable.clone(),
    }
}
