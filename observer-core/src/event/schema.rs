//! The JSON Schema of the event stream, generated from the types.

use super::Event;

/// The JSON Schema (draft 2020-12) of one event.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    // Of the two that serde's attributes describe, what is written and what would be read: a field that is left out when
    // it is empty is required in the latter alone.
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<Event>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_outside_tools_rely_on() {
        let schema = json_schema();
        let names = |value: &serde_json::Value| {
            value["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        for name in
            ["@timestamp", "ecs", "event", "observer", "source", "destination", "tls", "control_plane"]
        {
            assert!(names(&schema).iter().any(|known| known == name), "{name}");
        }
        let own = names(&schema["$defs"]["ControlPlane"]);
        for name in ["schema", "security", "client_certificate", "reason", "client", "server", "exposed"] {
            assert!(own.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn requires_only_what_every_event_has() {
        let schema = json_schema();
        assert_eq!(schema["$defs"]["ControlPlane"]["required"], serde_json::json!(["schema"]));
        assert_eq!(schema["$defs"]["TlsExtra"]["required"], serde_json::Value::Null);
    }
}
