//! What the kernel says of the daemon's programs and maps, from its descriptors (`/proc/PID/fdinfo`).

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

/// A loaded program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Program {
    pub id: u64,
    pub kind: &'static str,
    pub verified: u64,
    pub runs: u64,
    pub nanoseconds: u64,
}

/// Runs and their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub runs: u64,
    pub nanoseconds: u64,
}

impl Cost {
    /// Nanoseconds a run.
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    pub fn mean(self) -> f64 {
        self.nanoseconds as f64 / (self.runs.max(1)) as f64
    }
}

/// The programs of a process.
pub fn programs(pid: u32) -> Result<Vec<Program>> {
    Ok(descriptors(pid)?
        .iter()
        .filter_map(|text| program(text))
        .map(|it| (it.id, it))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .collect())
}

/// Bytes of kernel memory of the maps of a process.
pub fn maps(pid: u32) -> Result<u64> {
    let maps: BTreeMap<_, _> = descriptors(pid)?
        .iter()
        .filter_map(|text| Some((number(text, "map_id")?, number(text, "memlock")?)))
        .collect();
    Ok(maps.values().sum())
}

/// What the packet programs did in between.
pub fn packet_cost(before: &[Program], after: &[Program]) -> Cost {
    let mut cost = Cost::default();
    for program in after.iter().filter(|program| program.kind == "cgroup_skb") {
        let old = before.iter().find(|old| old.id == program.id).copied().unwrap_or_default();
        cost.runs += program.runs - old.runs;
        cost.nanoseconds += program.nanoseconds - old.nanoseconds;
    }
    cost
}

fn descriptors(pid: u32) -> Result<Vec<String>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).context(folder)?;
    // A descriptor may be gone by the time it is read.
    Ok(entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect())
}

fn program(text: &str) -> Option<Program> {
    // Values of `enum bpf_prog_type` (include/uapi/linux/bpf.h).
    let kind = match number(text, "prog_type")? {
        8 => "cgroup_skb",
        9 => "cgroup_sock",
        13 => "sock_ops",
        18 => "cgroup_sock_addr",
        25 => "cgroup_sockopt",
        _ => "another kind",
    };
    Some(Program {
        id: number(text, "prog_id")?,
        kind,
        verified: number(text, "verified_insns").unwrap_or_default(),
        runs: number(text, "run_cnt").unwrap_or_default(),
        nanoseconds: number(text, "run_time_ns").unwrap_or_default(),
    })
}

fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}

/// The kernel counts runs and their time while this lives.
#[derive(Debug)]
pub struct Statistics {
    before: String,
}

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl Statistics {
    pub fn on() -> Result<Self> {
        let before = fs::read_to_string(SWITCH)?;
        fs::write(SWITCH, "1")?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_program_and_takes_the_difference() {
        let text =
            "pos:\t0\nprog_type:\t8\nprog_id:\t7\nrun_time_ns:\t900\nrun_cnt:\t9\nverified_insns:\t1234\n";
        let now = program(text).unwrap();
        assert_eq!((now.kind, now.verified), ("cgroup_skb", 1234));
        let before = Program { runs: 4, nanoseconds: 400, ..now };
        assert_eq!(packet_cost(&[before], &[now]), Cost { runs: 5, nanoseconds: 500 });
        assert_eq!(packet_cost(&[before], &[now]).mean(), 100.0);
        assert_eq!(program("map_type:\t1\nmap_id:\t7\n"), None);
    }
}
