//! The JSON Schema of the event stream, generated from the types.

use super::Event;

/// The JSON Schema (draft 2020-12) of one event.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Event).to_value()
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
}
