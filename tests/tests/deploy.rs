//! What an operator installs fits the command it starts.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use observer_tests::replay::command;
use observer_tests::world::has;
use serde_json::Value;

/// A file of `deploy`.
fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

/// The capabilities that `observer doctor` looks for, and the one that it asks for before Linux 5.11 alone.
fn capabilities() -> BTreeSet<String> {
    let output = Command::new(command()).args(["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap());
    let mut found: BTreeSet<String> = names.filter(|name| name.starts_with("CAP_")).map(Into::into).collect();
    assert!(found.len() >= 5, "{found:?}");
    found.insert("CAP_SYS_RESOURCE".into());
    found
}

/// Fails unless the command line takes these words. Help is asked for last, so all before it was read and found good.
fn takes(words: &[&str]) {
    let output = Command::new(command()).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The value of a key of a systemd unit; panics unless it is there once.
fn setting<'a>(unit: &'a str, key: &str) -> &'a str {
    let values: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
    let [value] = values[..] else { panic!("{key}: {values:?}") };
    value
}

#[test]
fn the_unit_starts_the_command_with_the_capabilities_that_it_needs() {
    let unit = read("observer.service");
    let words: Vec<_> = setting(&unit, "ExecStart").split(' ').collect();
    assert_eq!(words[0], "/usr/local/bin/observer");
    takes(&words[1..]);
    for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        let named: BTreeSet<String> = setting(&unit, key).split(' ').map(Into::into).collect();
        assert_eq!(named, capabilities(), "{key}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    if !has("systemd-analyze") {
        return println!("skipped: no systemd-analyze");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observer.service");
    // What is not installed would be a fault of its own.
    let unit = read("observer.service").replace("/usr/local/bin/observer", command().to_str().unwrap());
    std::fs::write(&path, unit).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // It speaks of the machine's other units too.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("observer.service")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn every_key_of_the_configuration_is_one_and_has_its_default() {
    let text = read("observer.toml");
    let keys: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = ")).collect();
    let output = Command::new(command()).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observer.toml");
    let plain: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .skip(3)
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::write(&path, &plain).unwrap();
    assert!(keys.len() >= 8, "{keys:?}");
    for (key, value) in &keys {
        assert!(help.contains(&format!("--{key} <")), "{key}");
        // `"10s"  # …`
        let value = value.split('#').next().unwrap().trim().trim_matches(['"', '[', ']']).trim_matches('"');
        let at = help.find(&format!("--{key} <")).unwrap();
        let described: String =
            help[at..].split("\n      --").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        let has_default = described.contains(&format!("[default: {value}]"));
        assert!(value.is_empty() || has_default, "{key} = {value}: {described}");
    }
    // A wrong file is told with its place before anything else is looked at.
    std::fs::write(&path, format!("{plain}\nprot = 1\n")).unwrap();
    let output = Command::new(command()).arg("run").arg("--config").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("unknown key `prot`"), "only that is wrong with the file: {said}");
}

#[test]
fn the_manifest_gives_the_daemon_what_it_needs_of_a_node_and_no_more() {
    let objects: Vec<Value> = serde_saphyr::from_multiple(&read("daemonset.yaml")).unwrap();
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "Namespace",
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Role",
            "RoleBinding",
            "DaemonSet"
        ]
    );
    let set = &objects[6];
    let template = &set["spec"]["template"];
    assert_eq!(set["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]);
    let pod = &template["spec"];
    assert_eq!(pod["hostPID"], true);
    assert_eq!(pod["automountServiceAccountToken"], true);
    let [container] = &pod["containers"].as_array().unwrap()[..] else { panic!("one container") };
    let words: Vec<_> =
        container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let words: Vec<_> = words.iter().map(|word| word.replace("$(NODE_NAME)", "node-1")).collect();
    takes(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let security = &container["securityContext"];
    let added = security["capabilities"]["add"].as_array().unwrap();
    let added: BTreeSet<String> =
        added.iter().map(|name| format!("CAP_{}", name.as_str().unwrap())).collect();
    assert_eq!(added, capabilities());
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    // Kubernetes refuses `allowPrivilegeEscalation: false` beside CAP_SYS_ADMIN.
    assert_eq!(security["allowPrivilegeEscalation"], Value::Null);
    assert_eq!(security["privileged"], Value::Null);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    // What the arguments name is mounted, from the node, and every volume is used.
    let mounts = container["volumeMounts"].as_array().unwrap();
    for mount in mounts {
        assert_eq!(mount["readOnly"], true, "{mount}");
        let path = mount["mountPath"].as_str().unwrap();
        assert!(words.iter().any(|word| word.ends_with(&format!("={path}"))), "{mount}");
        let volume =
            pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        assert!(path.ends_with(volume["hostPath"]["path"].as_str().unwrap()), "{volume}");
    }
    assert_eq!(mounts.len(), pod["volumes"].as_array().unwrap().len());
}

#[test]
fn the_manifest_gives_the_account_no_right_but_to_read_names() {
    let objects: Vec<Value> = serde_saphyr::from_multiple(&read("daemonset.yaml")).unwrap();
    let verbs = |object: &Value| -> Vec<String> {
        let rules = object["rules"].as_array().into_iter().flatten();
        rules
            .flat_map(|rule| rule["verbs"].as_array().unwrap())
            .map(|it| it.as_str().unwrap().into())
            .collect()
    };
    for object in &objects {
        assert!(
            verbs(object).iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str())),
            "{object}"
        );
        let text = object["rules"].to_string();
        assert!(!text.contains('*') && !text.contains("secrets"), "{text}");
        if let Some(role) = object["roleRef"]["name"].as_str() {
            let named =
                |it: &&Value| it["kind"] == object["roleRef"]["kind"] && it["metadata"]["name"] == role;
            assert!(objects.iter().any(|it| named(&it)), "{role}");
            assert_eq!(object["subjects"][0]["name"], objects[1]["metadata"]["name"]);
        }
    }
    let all: BTreeSet<_> = objects.iter().flat_map(verbs).collect();
    assert_eq!(all.len(), 3);
}
