//! The cluster's pods: where they are, which processes they have, and what they told of requests.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::cluster::{groups, state};

/// A running pod with one container.
#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub node: String,
    pub container: String,
}

impl Pod {
    /// Reads it from the API's object.
    pub fn of(object: &Value) -> Result<Self> {
        let word = |pointer: &str| {
            let value = object.pointer(pointer).and_then(Value::as_str).map(String::from);
            value.with_context(|| format!("a pod without {pointer}"))
        };
        Ok(Self {
            name: word("/metadata/name")?,
            uid: word("/metadata/uid")?,
            node: word("/spec/nodeName")?,
            container: word("/spec/containers/0/name")?,
        })
    }

    /// The process of its container: the first of its group that is not the one that holds the pod.
    pub fn pid(&self) -> Option<u32> {
        groups::processes_of_pod(&self.node, &self.uid).into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1).is_some_and(|word| word == b"web")
        })
    }

    fn log(&self) -> PathBuf {
        let folder = format!("default_{}_{}", self.name, self.uid);
        state::file(&self.node).join("pods").join(folder).join(&self.container).join("0.log")
    }

    /// Everything that it told of requests.
    pub fn told(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.log())?;
        Ok(text.lines().filter_map(told).collect())
    }

    /// Waits for a request that it tells of after `start`.
    pub fn tells(&self, start: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            let mut told = self.told()?.into_iter();
            // Both are written in UTC with the date first: they compare as text up to the second.
            let since = |it: &Value| it["time"].as_str().unwrap_or_default().get(..19) >= start.get(..19);
            if let Some(found) = told.find(|it| since(it) && is(it)) {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the pod {} was not asked", self.name)
    }
}

/// A line of a container's log: time, stream, tag, and what the container wrote.
fn told(line: &str) -> Option<Value> {
    serde_json::from_str(line.splitn(4, ' ').nth(3)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_read_as_the_runtime_writes_it() {
        let line = "2026-01-02T03:04:05.6Z stdout F {\"path\":\"/a b\"}";
        assert_eq!(told(line).unwrap()["path"], "/a b");
        assert_eq!(told("2026-01-02T03:04:05.6Z stderr F words"), None);
    }
}
