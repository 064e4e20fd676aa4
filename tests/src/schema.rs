//! Every line that the daemon writes is what its schema says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::event::Event;
use crate::world::observer;

/// What is wrong with these events: against the schema of `observer schema`, and against the promise that what is not
/// known is absent. At most ten lines.
#[must_use]
pub fn violations(events: &[Event]) -> Vec<String> {
    violations_of(&observer().unwrap(), events)
}

/// The same, of a command that wrote them: its schema and no other one counts.
#[must_use]
pub fn violations_of(observer: &Path, events: &[Event]) -> Vec<String> {
    let output = Command::new(observer).arg("schema").output().unwrap();
    let mut schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    close(&mut schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut found = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for event in events {
        found.extend(validator.iter_errors(&event.value).map(|it| format!("{it} in {}", event.value)));
        if hollow(&event.value) {
            found.push(format!("something empty in {}", event.value));
        }
        if !ids.insert((event.text("log.file.path"), event.text("event.id"))) {
            found.push(format!("an event.id twice: {}", event.value));
        }
        if shows_token(event.text("url.path")) {
            found.push(format!("the token of a stream in {}", event.value));
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

/// Whether a path holds the token of a stream, as its last part: whoever has it may use that stream of the container runtime.
fn shows_token(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != "cri").collect();
    matches!(parts[..], ["exec" | "attach" | "portforward", token] if token != "[redacted]")
}

/// Makes a schema refuse fields that it does not name. An outside tool must not mind new ones; we must not write any that we
/// do not tell of.
fn close(schema: &mut Value) {
    if let Some(fields) = schema.as_object_mut() {
        if fields.contains_key("properties") {
            fields.insert("unevaluatedProperties".into(), false.into());
        }
        fields.values_mut().for_each(close);
    } else if let Some(all) = schema.as_array_mut() {
        all.iter_mut().for_each(close);
    }
}

fn hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty() || all.iter().any(hollow),
        Value::Object(all) => all.is_empty() || all.values().any(hollow),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_that_the_schema_does_not_name_is_refused_at_any_depth() {
        let mut schema = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/A" } },
            "$defs": { "A": { "type": "object", "properties": { "b": { "type": "string" } } } } });
        let event = json!({ "a": { "b": "", "c": 1 } });
        assert!(jsonschema::is_valid(&schema, &event));
        close(&mut schema);
        assert!(!jsonschema::is_valid(&schema, &event));
        assert!(jsonschema::is_valid(&schema, &json!({ "a": { "b": "" } })));
    }

    #[test]
    fn a_token_of_a_stream_is_found() {
        assert!(shows_token("/exec/aB3_x-9Z") && shows_token("/cri/attach/aB3_x-9Z"));
        for path in
            ["/exec/[redacted]", "/exec/default/web/main", "/api/v1/namespaces/a/pods/b/exec", "/exec"]
        {
            assert!(!shows_token(path), "{path}");
        }
    }

    #[test]
    fn nulls_and_what_is_empty_are_found_at_any_depth() {
        assert!(hollow(&json!({ "a": { "b": [null] } })));
        assert!(hollow(&json!({ "a": { "b": "" } })));
        assert!(!hollow(&json!({ "a": { "b": [1, "c"] }, "d": 0 })));
        assert!(hollow(&json!({ "a": { "b": {} } })));
    }
}
