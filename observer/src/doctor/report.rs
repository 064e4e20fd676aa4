//! The judgement of what a node has.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use super::kernel::KernelVersion;
use super::limits::{KernelLimit, NEVER_SEEN};
use super::node::{Node, Probe, Trial};
use super::rights::Right;

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
    /// It could not be asked for want of a right that is missing.
    Unasked,
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
        report.programs(node);
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

    fn programs(&mut self, node: &Node) {
        let name = "kernel programs in this binary";
        match &node.trial {
            Trial::Taken(instructions) => {
                let most = instructions.map(|most| format!(", at most {most} instructions verified for one"));
                self.add(name, State::Ok, format!("the kernel takes them{}", most.unwrap_or_default()), None);
            }
            Trial::Refused(why) => {
                let fix =
                    "if every other line is ok, report this line with the kernel's release and configuration";
                self.add(name, State::Missing, &**why, Some(fix));
            }
            Trial::NotTried => {
                self.add(name, State::Unasked, "there, and cannot be tried without the rights below", None)
            }
            Trial::NotBuiltIn => {
                let fix = "take a binary that `cargo xtask build` made; this one can replay only";
                self.add(name, State::Missing, "none", Some(fix));
            }
        }
    }

    fn rights(&mut self, node: &Node) {
        for right in &Right::ALL {
            let fix = format!("run as root, or add {} to the service or the pod", right.name);
            let (state, found) = if node.rights.include(right) {
                (State::Ok, "there".to_owned())
            } else {
                (right.without, format!("missing: {}", right.purpose))
            };
            self.add(right.name, state, found, Some(&fix));
        }
        if node.version().is_none_or(|version| version < WITHOUT_MEMLOCK) {
            let enough =
                node.rights.raise_locked_memory() || node.memlock.is_none_or(|limit| limit >= LOCKED);
            let state = if enough { State::Ok } else { State::Missing };
            let found = node.memlock.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} bytes"));
            let fix = "ulimit -l unlimited (LimitMEMLOCK=infinity), or add CAP_SYS_RESOURCE";
            self.add("locked memory (before Linux 5.11)", state, found, Some(fix));
        }
    }

    fn cgroups(&mut self, node: &Node) {
        let hybrid = if node.has_cgroup1() { " (hybrid: version 1 controllers beside it)" } else { "" };
        let (state, found, fix) = match &node.cgroup {
            None => (
                State::Missing,
                "not mounted".to_owned(),
                "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1; in a \
                 container mount the host's /sys/fs/cgroup and name it with --cgroup-root",
            ),
            Some(at) if !node.whole_cgroup_tree => (
                State::Limited,
                format!("{}: only a part of the tree; sockets outside of it are not seen", at.display()),
                "in a container mount the host's /sys/fs/cgroup and name it with --cgroup-root",
            ),
            Some(at) => (State::Ok, format!("{}{hybrid}", at.display()), ""),
        };
        self.add("cgroup version 2", state, found, Some(fix));
    }

    fn parts(&mut self, node: &Node) {
        for (name, probe) in &node.probes {
            let (state, found) = match probe {
                Probe::Yes => (State::Ok, "there".to_owned()),
                Probe::No => (State::Missing, "this kernel does not have it".to_owned()),
                Probe::Unanswered(_) if !node.rights.suffice() => {
                    (State::Unasked, "cannot be asked without the rights above".to_owned())
                }
                Probe::Unanswered(error) => (State::Missing, format!("the kernel would not say: {error}")),
            };
            let fix = match (state, probe) {
                (State::Unasked, _) => None,
                (_, Probe::Unanswered(_)) => Some(
                    "allow the system call bpf: a container's seccomp profile or a lockdown may forbid it",
                ),
                _ => Some("boot a kernel with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF"),
            };
            self.add(name, state, found, fix);
        }
    }

    fn processes(&mut self, node: &Node) {
        let (state, found) = match node.initial_pids {
            Some(true) => (State::Ok, "the initial one"),
            Some(false) => (State::Limited, "another: no connection can be given its process"),
            None => (State::Limited, "cannot be told: processes may go unnamed"),
        };
        self.add("pid namespace", state, found, Some("hostPID: true in a pod, --pid=host with Docker"));
        let hidden = node.hidepid().filter(|_| !node.rights.see_all_processes());
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
                State::Unasked => "?",
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
    use crate::doctor::Rights;

    fn good() -> Node {
        Node {
            release: "6.18.0".into(),
            rights: Rights::ALL,
            trial: Trial::Taken(Some(30_000)),
            cgroup: Some("/sys/fs/cgroup".into()),
            whole_cgroup_tree: true,
            mounts: Mount::parse_all(
                b"1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n2 0 0:2 / /proc rw - proc proc rw\n",
            ),
            probes: vec![("map: ring buffer", Probe::Yes)],
            jit: Some(1),
            lockdown: Some("none".into()),
            memlock: Some(65_536),
            btf: false,
            initial_pids: Some(true),
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
        let node = Node { cgroup: None, ..good() };
        let fault = only_fault(&node);
        assert_eq!((fault.name.as_str(), fault.state), ("cgroup version 2", State::Missing));
        assert_eq!(Report::of(&node).exit_code(), 1);
        let node = Node { probes: vec![("map: ring buffer", Probe::No)], ..good() };
        assert_eq!(only_fault(&node).state, State::Missing);
        for name in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"] {
            let node = Node { rights: Rights::ALL.without(name), ..good() };
            let missing = Report::of(&node).checks.into_iter().find(|check| check.state == State::Missing);
            assert!(missing.is_some_and(|check| check.fix.unwrap().contains("root")), "{name}");
        }
        let node = Node { trial: Trial::NotBuiltIn, ..good() };
        assert_eq!(only_fault(&node).name, "kernel programs in this binary");
        let node = Node { trial: Trial::Refused("out of registers".into()), ..good() };
        assert!(only_fault(&node).found.contains("out of registers"));
    }

    #[test]
    fn what_cannot_be_asked_is_not_called_missing() {
        let rights = Rights::ALL.without("CAP_BPF");
        let probes = vec![("map: ring buffer", Probe::Unanswered("EPERM".into()))];
        let node = Node { rights, probes, trial: Trial::NotTried, ..good() };
        let report = Report::of(&node);
        let unasked: Vec<_> = report.checks.iter().filter(|check| check.state == State::Unasked).collect();
        assert_eq!(unasked.len(), 2, "{report}");
        assert!(!report.can_run());
        // With all rights it is a fault of its own.
        let node = Node { rights: Rights::ALL, trial: good().trial, ..node };
        assert_eq!(only_fault(&node).state, State::Missing);
    }

    #[test]
    fn what_is_only_lost_does_not_stop_the_daemon() {
        let other_pids = Node { initial_pids: Some(false), ..good() };
        let interpreted = Node { jit: Some(0), ..good() };
        let part = Node { whole_cgroup_tree: false, ..good() };
        let shifted = Node { shifted_clock: true, ..good() };
        for node in [other_pids, interpreted, part, shifted] {
            assert_eq!((only_fault(&node).state, Report::of(&node).exit_code()), (State::Limited, 0));
        }
    }

    #[test]
    fn locked_memory_matters_before_5_11_alone() {
        let new = Node { rights: Rights::ALL.without("CAP_SYS_RESOURCE"), ..good() };
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
        let rights = Rights::ALL.without("CAP_SYS_PTRACE");
        let faults = Report::of(&Node { rights, ..seen }).checks;
        assert!(faults.iter().any(|check| check.found.contains("hidepid=invisible")));
    }

    #[test]
    fn reports_this_machine_in_both_forms() {
        let report = Report::of(&Node::read(None));
        println!("{report}");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["checks"].as_array().unwrap().len(), report.checks.len());
    }
}
