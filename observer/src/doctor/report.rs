//! The judgement of what a node has.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use super::kernel::KernelVersion;
use super::limits::{KernelLimit, NEVER_SEEN};
use super::node::{Capabilities, Node, Probe};

/// The first kernel that the programs are tested on.
const OLDEST: KernelVersion = KernelVersion(5, 10);
/// From here on maps are accounted to the control group and not to the limit of locked memory.
const WITHOUT_MEMLOCK: KernelVersion = KernelVersion(5, 11);
/// What the kernel's tables may need of locked memory.
const LOCKED: u64 = 64 << 20;

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Met.
    Ok,
    /// The observer runs, and something is lost: `found` and `fix` say what.
    Limited,
    /// `observer run` cannot work.
    Missing,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is required.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What this node has.
    pub found: String,
    /// What to do about it; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What `observer doctor` prints: `Display` for people, `serde` for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// Each requirement.
    pub checks: Vec<Check>,
    /// What this kernel does not have, and what is done without.
    pub kernel_limits: Vec<KernelLimit>,
    /// What can never be seen.
    pub never_seen: &'static [&'static str],
}

impl Report {
    /// Judges a node.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let mut report = Self {
            kernel: node.release.clone(),
            checks: vec![],
            kernel_limits: vec![],
            never_seen: NEVER_SEEN,
        };
        report.kernel(node);
        report.rights(node);
        report.cgroups(node);
        report.parts(node);
        report.processes(node);
        let version = node.version();
        report.kernel_limits = KernelLimit::ALL
            .iter()
            .filter(|limit| version.is_none_or(|it| it < limit.since))
            .copied()
            .collect();
        report
    }

    /// Whether `observer run` can work here.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Missing)
    }

    /// The exit code of `observer doctor`: 0 if all that is required is there, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.can_run())
    }

    /// The report as one JSON object.
    ///
    /// # Errors
    /// None in practice: every key is text.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    fn add(&mut self, name: &str, state: State, found: impl Into<String>, fix: Option<&str>) {
        let fix = fix.filter(|_| state != State::Ok).map(str::to_owned);
        self.checks.push(Check { name: name.to_owned(), state, found: found.into(), fix });
    }

    fn kernel(&mut self, node: &Node) {
        let state = match node.version() {
            Some(version) if version >= OLDEST => State::Ok,
            // A distribution may have carried back what is needed; the probes below decide.
            _ => State::Limited,
        };
        self.add(
            "Linux 5.10 or later",
            state,
            &*node.release,
            Some("boot a newer kernel; older ones are not tested"),
        );
        let (state, found) = match node.lockdown.as_deref() {
            Some("confidentiality") => {
                (State::Limited, "confidentiality: the kernel may refuse programs that read memory")
            }
            Some("integrity") => (State::Ok, "integrity"),
            Some(_) => (State::Ok, "none"),
            None => (State::Ok, "not visible, or not built in"),
        };
        self.add("kernel lockdown", state, found, Some("boot without lockdown=confidentiality"));
        let (state, found) = match node.jit {
            Some(0) => (State::Limited, "off: programs are interpreted, at several times the cost"),
            Some(_) => (State::Ok, "on"),
            None => (State::Ok, "not visible: always on in this kernel, or /proc/sys is hidden"),
        };
        self.add("BPF JIT", state, found, Some("sysctl net.core.bpf_jit_enable=1"));
        self.add("BTF of the kernel", State::Ok, if node.btf { "there" } else { "absent; not needed" }, None);
    }

    fn rights(&mut self, node: &Node) {
        let rights = node.capabilities.unwrap_or_default();
        let Capabilities { bpf, net_admin, perfmon, sys_admin, sys_ptrace, sys_resource } = rights;
        let fix = "run as root, or add the capability to the service or the pod";
        let state = |there: bool, without: State| if there { State::Ok } else { without };
        let found = |there: bool| if there { "there" } else { "missing" };
        let loads = sys_admin || bpf;
        self.add("CAP_BPF (or CAP_SYS_ADMIN)", state(loads, State::Missing), found(loads), Some(fix));
        self.add("CAP_NET_ADMIN", state(net_admin, State::Missing), found(net_admin), Some(fix));
        let reads = sys_admin || perfmon;
        self.add("CAP_PERFMON (or CAP_SYS_ADMIN)", state(reads, State::Limited), found(reads), Some(fix));
        let lost = "missing: sockets older than the observer are listed in its own network namespace only";
        let all = if sys_admin { "there" } else { lost };
        self.add(
            "CAP_SYS_ADMIN for other network namespaces",
            state(sys_admin, State::Limited),
            all,
            Some(fix),
        );
        let lost = "missing: executables and open files of other users' processes stay unknown";
        let all = if sys_ptrace { "there" } else { lost };
        self.add("CAP_SYS_PTRACE", state(sys_ptrace, State::Limited), all, Some(fix));
        if node.version().is_none_or(|version| version < WITHOUT_MEMLOCK) {
            let enough = sys_resource || node.memlock.is_none_or(|limit| limit >= LOCKED);
            let found = node.memlock.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} bytes"));
            let fix = "ulimit -l unlimited (LimitMEMLOCK=infinity), or add CAP_SYS_RESOURCE";
            self.add("locked memory (before Linux 5.11)", state(enough, State::Missing), found, Some(fix));
        }
    }

    fn cgroups(&mut self, node: &Node) {
        let fix = "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1; in a \
                   container mount the host's /sys/fs/cgroup";
        let (state, found) = match node.cgroup2() {
            None => (State::Missing, "not mounted".to_owned()),
            Some(mount) if mount.root != b"/" || node.initial_cgroups == Some(false) => (
                State::Limited,
                format!(
                    "{}: only a part of the tree; sockets outside of it are not seen",
                    mount.at.display()
                ),
            ),
            Some(mount) => {
                let hybrid =
                    if node.has_cgroup1() { " (hybrid: version 1 controllers beside it)" } else { "" };
                (State::Ok, format!("{}{hybrid}", mount.at.display()))
            }
        };
        self.add("cgroup version 2", state, found, Some(fix));
    }

    fn parts(&mut self, node: &Node) {
        for (name, probe) in &node.probes {
            let (state, found) = match probe {
                Probe::Yes => (State::Ok, "there".to_owned()),
                Probe::No => (State::Missing, "this kernel does not have it".to_owned()),
                Probe::Unanswered(error) => (State::Missing, format!("the kernel would not say: {error}")),
            };
            self.add(
                name,
                state,
                found,
                Some("needs CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF, and the rights above"),
            );
        }
    }

    fn processes(&mut self, node: &Node) {
        let (state, found) = match node.initial_pids {
            Some(true) => (State::Ok, "the initial one"),
            Some(false) => (State::Limited, "another: no connection can be given its process"),
            None => (State::Limited, "cannot be told: processes may go unnamed"),
        };
        self.add("pid namespace", state, found, Some("hostPID: true in a pod, --pid=host with Docker"));
        let hidden = node.hidepid().filter(|_| !node.capabilities.is_some_and(|rights| rights.sys_ptrace));
        let (state, found) = match hidden {
            Some(mode) => (State::Limited, format!("hidepid={mode}: other users' processes are not seen")),
            None => (State::Ok, "all".to_owned()),
        };
        self.add(
            "processes shown by /proc",
            state,
            found,
            Some("add CAP_SYS_PTRACE, or mount /proc without hidepid"),
        );
        let (state, found) = if node.shifted_clock {
            (State::Limited, "a time namespace shifts it: processes may be taken for re-used pids")
        } else {
            (State::Ok, "the kernel's own")
        };
        self.add("boot clock", state, found, Some("run the observer outside of a time namespace"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("Linux {}\n\n", self.kernel);
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &self.checks {
            let state = match check.state {
                State::Ok => "ok",
                State::Limited => "LIMITED",
                State::Missing => "MISSING",
            };
            writeln!(text, "{state:<8} {:<width$}  {}", check.name, check.found)?;
            if let Some(fix) = &check.fix {
                writeln!(text, "{:<8} {:<width$}  → {fix}", "", "")?;
            }
        }
        if !self.kernel_limits.is_empty() {
            text.push_str("\nWhat later kernels have, and what is done without:\n");
        }
        for limit in &self.kernel_limits {
            writeln!(text, "  {} ({} on): {}", limit.what, limit.since, limit.before)?;
        }
        text.push_str("\nWhat can never be seen:\n");
        for what in self.never_seen {
            writeln!(text, "  {what}")?;
        }
        let end =
            if self.can_run() { "`observer run` can work here." } else { "`observer run` cannot work here." };
        writeln!(formatter, "{text}\n{end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::mount::Mount;

    fn good() -> Node {
        Node {
            release: "6.18.0".into(),
            capabilities: Some(Capabilities {
                bpf: true,
                net_admin: true,
                perfmon: true,
                sys_admin: true,
                sys_ptrace: true,
                sys_resource: true,
            }),
            mounts: Mount::parse_all(
                b"1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n2 0 0:2 / /proc rw - proc proc rw\n",
            ),
            probes: vec![("map: ring buffer", Probe::Yes)],
            jit: Some(1),
            lockdown: Some("none".into()),
            memlock: Some(65_536),
            btf: false,
            initial_pids: Some(true),
            initial_cgroups: Some(true),
            boot_time: 1,
            shifted_clock: false,
        }
    }

    /// The one check that is not fine.
    fn only_fault(node: &Node) -> Check {
        let faults: Vec<_> =
            Report::of(node).checks.into_iter().filter(|check| check.state != State::Ok).collect();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        assert!(faults[0].fix.is_some(), "a fault without a remedy: {faults:#?}");
        faults[0].clone()
    }

    #[test]
    fn finds_nothing_wrong_with_a_good_node() {
        let report = Report::of(&good());
        assert!(report.checks.iter().all(|check| check.state == State::Ok && check.fix.is_none()));
        assert_eq!((report.exit_code(), report.kernel_limits.len()), (0, 0));
        assert!(report.to_string().contains("UNIX sockets") && report.to_string().contains("QUIC"));
    }

    #[test]
    fn a_missing_requirement_is_named_and_ends_with_one() {
        let node = Node { mounts: good().mounts.split_off(1), ..good() };
        let fault = only_fault(&node);
        assert_eq!((fault.name.as_str(), fault.state), ("cgroup version 2", State::Missing));
        assert_eq!(Report::of(&node).exit_code(), 1);
        let node = Node { probes: vec![("map: ring buffer", Probe::No)], ..good() };
        assert_eq!(only_fault(&node).state, State::Missing);
        let rights = Capabilities { net_admin: false, ..good().capabilities.unwrap() };
        assert_eq!(only_fault(&Node { capabilities: Some(rights), ..good() }).name, "CAP_NET_ADMIN");
    }

    #[test]
    fn what_is_only_lost_does_not_stop_the_daemon() {
        let other_pids = Node { initial_pids: Some(false), ..good() };
        let interpreted = Node { jit: Some(0), ..good() };
        let part =
            Node { mounts: Mount::parse_all(b"1 0 0:1 /a /sys/fs/cgroup rw - cgroup2 c rw\n"), ..good() };
        let shifted = Node { shifted_clock: true, ..good() };
        for node in [other_pids, interpreted, part, shifted] {
            assert_eq!((only_fault(&node).state, Report::of(&node).exit_code()), (State::Limited, 0));
        }
    }

    #[test]
    fn locked_memory_matters_before_5_11_alone() {
        let rights = Capabilities { sys_resource: false, ..good().capabilities.unwrap() };
        let new = Node { capabilities: Some(rights), ..good() };
        assert!(Report::of(&new).can_run());
        let old = Node { release: "5.10.0-30-amd64".into(), ..new };
        assert_eq!(only_fault(&old).state, State::Missing);
        assert!(Report::of(&Node { memlock: None, ..old.clone() }).can_run());
        assert_eq!(Report::of(&old).kernel_limits.len(), KernelLimit::ALL.len());
    }

    #[test]
    fn hidden_processes_matter_without_the_right_to_see_them() {
        let mounts = Mount::parse_all(
            b"1 0 0:1 / /sys/fs/cgroup rw - cgroup2 c rw\n2 0 0:2 / /proc rw - proc proc rw,hidepid=invisible\n",
        );
        let seen = Node { mounts, ..good() };
        assert!(Report::of(&seen).checks.iter().all(|check| check.state == State::Ok));
        let rights = Capabilities { sys_ptrace: false, ..good().capabilities.unwrap() };
        let faults = Report::of(&Node { capabilities: Some(rights), ..seen }).checks;
        assert!(faults.iter().any(|check| check.found.contains("hidepid=invisible")));
    }

    #[test]
    fn reports_this_machine_in_both_forms() {
        let report = Report::of(&Node::read());
        println!("{report}");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["checks"].as_array().unwrap().len(), report.checks.len());
    }
}
