//! A program of the cluster: started in its place and its control group, with a log in the cache.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::go::cache;
use super::groups;
use super::place::Place;

/// A started program. It goes on when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    place: Place,
    child: Child,
}

/// What a program is started with beside its own arguments.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// A process whose mounts it is to see.
    pub mounts_of: Option<u32>,
    /// Mounts of its own: folders of the machine, and what is to be seen in their place.
    pub mounts: Vec<(PathBuf, &'static str)>,
    /// Where it finds other programs, beside the usual folders.
    pub path: Option<PathBuf>,
}

impl Daemon {
    /// Starts `words` as `name`.
    pub fn start(place: Place, name: &str, setting: &Setting, words: &[String]) -> Result<Self> {
        let logs = cache().join("logs");
        std::fs::create_dir_all(&logs)?;
        let log = File::create(log(name))?;
        let mut script = groups::enter(place.name, name)?;
        for (own, fixed) in &setting.mounts {
            script += &format!("mount --bind {} {fixed}\n", own.display());
        }
        script += "exec \"$@\"\n";
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", place.namespace()));
        if let Some(process) = setting.mounts_of {
            command.arg(format!("--mount=/proc/{process}/ns/mnt"));
        }
        command.arg("--");
        if !setting.mounts.is_empty() {
            command.args(["unshare", "--mount", "--propagation", "private", "--"]);
        }
        command.args(["sh", "-ec", &script, "sh"]).arg(cache().join("peer")).arg("become").args(words);
        command.current_dir("/");
        command.env_clear().env("PATH", path(setting.path.as_deref())).env("HOME", "/root");
        // In a group of its own it does not end with the terminal that started it.
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.into(), place, child })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it listens on a TCP port, without connecting to it.
    pub fn listens(&mut self, port: u16) -> Result<()> {
        let place = self.place;
        self.until(&format!("listens on port {port}"), || Ok(listening(place)?.contains(&port)))
    }

    /// Waits until it has made a file.
    pub fn made(&mut self, file: &Path) -> Result<()> {
        self.until(&format!("has made {}", file.display()), || Ok(file.exists()))
    }

    /// Waits until something is true, or the program ends, or a minute is over.
    pub fn until(&mut self, what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !is()? {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}). {}", self.name, last_words(&self.name));
            }
            if began.elapsed() > Duration::from_secs(60) {
                bail!(
                    "after a minute it is not yet true that {} {what}. {}",
                    self.name,
                    last_words(&self.name)
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn log(name: &str) -> PathBuf {
    cache().join("logs").join(format!("{name}.log"))
}

fn last_words(name: &str) -> String {
    let text = std::fs::read_to_string(log(name)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(5)..].join("\n  ");
    format!("The end of {}:\n  {end}", log(name).display())
}

fn path(first: Option<&Path>) -> String {
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    first.map_or_else(|| usual.into(), |first| format!("{}:{usual}", first.display()))
}

/// TCP ports that something listens on.
fn listening(place: Place) -> Result<BTreeSet<u16>> {
    let tables = crate::process::output(place.command("cat").args(["/proc/net/tcp", "/proc/net/tcp6"]))?;
    Ok(listeners(&tables))
}

fn listeners(tables: &str) -> BTreeSet<u16> {
    let fields = tables.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let port = |it: Vec<&str>| match it[..] {
        // 0A is the state LISTEN.
        [_, local, _, "0A", ..] => u16::from_str_radix(local.rsplit(':').next()?, 16).ok(),
        _ => None,
    };
    fields.filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_are_read_from_both_tables() {
        let tables = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:094B 00000000:0000 0A 0:0\n   1: \
                      0100007F:1F90 0100007F:9999 01 0:0\n   2: 00000000000000000000000000000000:192B \
                      00000000000000000000000000000000:0000 0A 0:0\n";
        assert_eq!(listeners(tables), BTreeSet::from([2379, 6443]));
    }
}
