//! Every line that the daemon writes is what its schema says.

use std::process::Command;

use serde_json::Value;

use crate::event::Event;
use crate::world::observer;

/// What is wrong with these events: against the schema of `observer schema`, and against the promise that what is not
/// known is absent. At most ten lines.
#[must_use]
pub fn violations(events: &[Event]) -> Vec<String> {
    let output = Command::new(observer().unwrap()).arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut found = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for event in events {
        found.extend(validator.iter_errors(&event.value).map(|it| format!("{it} in {}", event.value)));
        if hollow(&event.value) {
            found.push(format!("something empty in {}", event.value));
        }
        if !ids.insert(event.text("event.id")) {
            found.push(format!("an event.id twice: {}", event.value));
        }
        for name in ["@timestamp", "ecs", "event", "observer", "control_plane"] {
            if event.value.get(name).is_none() {
                found.push(format!("no {name} in {}", event.value));
            }
        }
        if found.len() > 10 {
            break;
        }
    }
    found
}

fn hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty() || all.iter().any(hollow),
        Value::Object(all) => all.values().any(hollow),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_and_empty_texts_are_found_at_any_depth() {
        assert!(hollow(&json!({ "a": { "b": [null] } })));
        assert!(hollow(&json!({ "a": { "b": "" } })));
        assert!(!hollow(&json!({ "a": { "b": [1, "c"] }, "d": {} })));
    }
}
