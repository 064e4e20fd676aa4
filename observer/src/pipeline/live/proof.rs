//! Whether a candidate is a watched program: the kernel knows a command name, which any program can take; the
//! executable is proof.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use observer_common::reach;

use super::watched::{Present, Watched};
use crate::attribution::Roots;
use crate::source::ebpf::{Announced, Control};

/// Judgements kept at most; the kernel's own table holds as many.
const MOST: usize = 4096;
/// How often processes are looked through: for watched programs under another name, and for judged ones that ended.
const PAUSE: Duration = Duration::from_secs(5);

/// Judges processes, and tells the kernel.
#[derive(Debug)]
pub(super) struct Proof {
    roots: Roots,
    present: Arc<Present>,
    watched: Arc<Watched>,
    /// Which configuration `watched` and `judged` are of.
    number: u64,
    /// Thread groups that the kernel was told about.
    judged: HashMap<u32, bool>,
}

impl Proof {
    pub(super) fn new(roots: Roots, present: Arc<Present>) -> Self {
        let (number, watched) = (present.number(), present.get());
        Self { roots, present, watched, number, judged: HashMap::new() }
    }

    /// Whether a connection is to be told. One that is watched for the command name alone is not if the executable
    /// belongs to another program; if the process is gone already, nothing disproves it.
    pub(super) fn holds(&mut self, announced: &Announced, control: Option<&Control>) -> bool {
        if announced.reach != reach::COMMAND {
            return true;
        }
        let Some(caller) = &announced.caller else { return true };
        let number = self.present.number();
        if self.number != number {
            (self.number, self.watched) = (number, self.present.get());
            self.judged.clear();
        }
        if let Some(watched) = self.judged.get(&caller.tgid) {
            return *watched;
        }
        if self.executable_is_hidden(caller.tgid) {
            return true;
        }
        let watched = self.watched.programs.program_of(&self.roots, caller.tgid).is_some();
        self.tell(caller.tgid, watched, control);
        watched
    }

    fn executable_is_hidden(&self, pid: u32) -> bool {
        std::fs::read_link(self.roots.proc.join(pid.to_string()).join("exe")).is_err()
    }

    fn tell(&mut self, pid: u32, watched: bool, control: Option<&Control>) {
        if self.judged.len() < MOST
            && control.is_some_and(|control| control.judge_process(pid, Some(watched)).is_ok())
        {
            self.judged.insert(pid, watched);
        }
    }

    /// Looks through all processes now and then, on the caller's thread.
    pub(super) fn keep_up(roots: &Roots, watched: &Watched, control: &Control, told: &mut Told) {
        let now = Instant::now();
        if told.next.is_some_and(|next| now < next) {
            return;
        }
        told.next = Some(now + PAUSE);
        let running: Vec<u32> = watched.programs.running(roots).map(|(pid, _)| pid).collect();
        for pid in &running {
            if !told.pids.contains(pid) && control.judge_process(*pid, Some(true)).is_ok() {
                told.pids.push(*pid);
            }
        }
        told.pids.retain(|pid| {
            running.contains(pid) || {
                let _ = control.judge_process(*pid, None);
                false
            }
        });
    }

    /// Forgets judgements on processes that have ended, so that a re-used pid is judged anew.
    pub(super) fn forget_ended(&mut self, control: Option<&Control>) {
        let roots = &self.roots;
        self.judged.retain(|pid, _| {
            let lives = roots.proc.join(pid.to_string()).exists();
            if !lives && let Some(control) = control {
                let _ = control.judge_process(*pid, None);
            }
            lives
        });
    }
}

/// Processes that [`Proof::keep_up`] has told the kernel about.
#[derive(Debug, Default)]
pub(super) struct Told {
    pids: Vec<u32>,
    next: Option<Instant>,
}
