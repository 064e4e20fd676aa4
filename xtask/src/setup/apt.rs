//! Debian's packages.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use crate::process::{Privilege, answer, command, exists, run};

/// A machine whose packages apt looks after.
pub struct Apt {
    /// `VERSION_CODENAME` of `/etc/os-release`, for people.
    pub suite: String,
}

impl Apt {
    /// `None` on a machine without apt.
    pub fn here() -> Option<Self> {
        if !exists("apt-get") || !exists("dpkg-query") {
            return None;
        }
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        Some(Self { suite: field(&release, "VERSION_CODENAME").unwrap_or("this suite").into() })
    }

    /// Those of `packages` that are not installed.
    pub fn missing<'a>(&self, packages: &[&'a str]) -> Vec<&'a str> {
        let status = |name: &&&str| {
            answer(command("dpkg-query").args(["-W", "-f=${db:Status-Status}", name])).as_deref()
                != Some("installed")
        };
        packages.iter().filter(status).copied().collect()
    }

    /// Those of `packages` that no configured source offers. Lists that were never fetched offer nothing.
    pub fn unknown<'a>(&self, packages: &[&'a str]) -> Vec<&'a str> {
        let policy = answer(command("apt-cache").arg("policy").args(packages)).unwrap_or_default();
        let offered = candidates(&policy);
        packages.iter().filter(|name| !offered.contains(**name)).copied().collect()
    }

    /// Fetches the lists anew. An error if any could not be fetched; apt alone would call that a success.
    pub fn update(&self, privilege: Privilege) -> Result<()> {
        run(root(privilege)?.args(["-o", "APT::Update::Error-Mode=any", "update", "-q"]))
    }

    /// Installs `packages` and what they need, nothing recommended.
    pub fn install(&self, packages: &[&str], privilege: Privilege) -> Result<()> {
        let options = ["install", "-y", "-q", "--no-install-recommends"];
        run(root(privilege)?.args(options).args(packages))
    }
}

fn root(privilege: Privilege) -> Result<std::process::Command> {
    let mut env = privilege.command("env").ok_or_else(|| anyhow!("installing packages needs root"))?;
    env.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(env)
}

/// The value of `name=` in the format of os-release.
pub fn field<'a>(release: &'a str, name: &str) -> Option<&'a str> {
    let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim_matches('"'))
}

/// The packages that the output of `apt-cache policy` gives a candidate version for.
fn candidates(policy: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut package = "";
    for line in policy.lines() {
        if let Some(version) = line.trim_start().strip_prefix("Candidate:") {
            if version.trim() != "(none)" {
                found.insert(package);
            }
        } else if !line.starts_with(' ') {
            package = line.trim_end_matches(':');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_with_a_candidate_is_offered() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0\n  Version table:\n     1.96.0 500\n\
                      llvm-22-dev:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
        assert_eq!(candidates(policy), BTreeSet::from(["rustc-web"]));
        assert_eq!(candidates(""), BTreeSet::new());
    }

    #[test]
    fn the_suite_is_read_from_os_release() {
        let release = "PRETTY_NAME=\"Ubuntu 24.04\"\nVERSION_CODENAME=noble\nID=ubuntu\n";
        assert_eq!(field(release, "VERSION_CODENAME"), Some("noble"));
        assert_eq!(field(release, "PRETTY_NAME"), Some("Ubuntu 24.04"));
        assert_eq!(field(release, "VERSION"), None);
    }
}
