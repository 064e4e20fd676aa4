//! Processes that end, and others that get their numbers, while they are read.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::fake::Fake;
use super::*;

/// All there may be said of one that is not named.
const REASONS: [&str; 4] = ["process_exited", "process_unreadable", "pid_reused", "kernel_thread"];

fn tick() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second()
}

/// One life of a number: its tick, and the time at which it was gone for certain.
type Life = (u64, Option<u64>);

#[test]
fn who_had_the_number_is_named_or_nobody() {
    const PIDS: std::ops::Range<u32> = 10..42;
    let fake = Fake::new();
    let lives: Mutex<HashMap<u32, Vec<Life>>> = Mutex::default();
    let (over, named) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for first in [PIDS.start, PIDS.start + 16] {
            let (fake, lives, over) = (&fake, &lives, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    for pid in first..first + 16 {
                        if lives.lock().unwrap().get(&pid).is_some_and(|all| all.last().unwrap().1.is_none())
                        {
                            fake.remove(pid);
                            let now = BootTime::now().0;
                            lives.lock().unwrap().get_mut(&pid).unwrap().last_mut().unwrap().1 = Some(now);
                            continue;
                        }
                        let start = BootTime::now().0 / tick();
                        fake.process(pid, format!("n{start}").as_bytes(), 1, start);
                        fake.executable(pid, format!("/bin/n{start}").as_bytes());
                        fake.arguments(pid, &["x", "--config=/etc/x"]).open_socket(pid, 3, start);
                        fake.cgroup(pid, &format!("/g{}", start % 50));
                        lives.lock().unwrap().entry(pid).or_default().push((start, None));
                    }
                    // No two lives of a number in one tick: the kernel does not tell them apart either.
                    std::thread::sleep(Duration::from_nanos(tick() + tick() / 2));
                }
            });
        }
        let mut owners = Owners::new(fake.roots().clone());
        // However slow the machine is: long enough for many to have been named.
        let (began, few) = (Instant::now(), 1000);
        let enough =
            |named: usize| named > few && lives.lock().unwrap().values().map(Vec::len).sum::<usize>() > few;
        let mut calls: Vec<(u32, u64, u64)> = Vec::new();
        while began.elapsed().as_secs() < 4
            || began.elapsed().as_secs() < 120 && !enough(named.load(Ordering::Relaxed))
        {
            // Whoever lives now, and those that were asked for lately: by now they may be gone, or another.
            {
                let lives = lives.lock().unwrap();
                let now = BootTime::now().0;
                let alive = lives
                    .iter()
                    .filter_map(|(pid, all)| Some((*pid, now, all.last().filter(|it| it.1.is_none())?.0)));
                calls.extend(alive);
            }
            let kept = calls.len().saturating_sub(500);
            calls.drain(..kept);
            for (pid, called_at, start) in &calls {
                let claim = Claim {
                    tgid: *pid,
                    name: b"noted".to_vec(),
                    called_at: BootTime(*called_at),
                    cgroup_id: None,
                };
                let party = owners.caller(&claim);
                let process = party.process.unwrap();
                match process.start_ticks {
                    Some(told) => {
                        assert_eq!(
                            (told, &process.name),
                            (*start, &format!("n{start}")),
                            "another one's name"
                        );
                        assert!(process.executable.is_none_or(|it| it == format!("/bin/n{start}")));
                        named.fetch_add(1, Ordering::Relaxed);
                    }
                    None => assert!(REASONS.contains(&party.missing.unwrap()), "{:?}", party.missing),
                }
            }
            let wanted: HashSet<u64> = calls.iter().map(|(_, _, start)| *start).collect();
            let _ = owners.holders(&wanted);
            let wanted = wanted.into_iter().map(|inode| (inode, 10)).collect();
            for (inode, party) in owners.holding(&PIDS.collect::<Vec<_>>(), &wanted) {
                assert_eq!(party.process.unwrap().start_ticks, Some(inode), "another one's socket");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let all = lives.into_inner().unwrap().values().map(Vec::len).sum::<usize>();
    println!("{all} lives, {} times named", named.load(Ordering::Relaxed));
    assert!(named.into_inner() > 1000 && all > 1000);
}

#[test]
fn a_hundred_thousand_dead_are_asked_for_and_none_is_kept_or_named() {
    let fake = Fake::new();
    for roots in [fake.roots().clone(), Roots::of_this_machine().unwrap()] {
        let mut owners = Owners { pids_fit: true, ..Owners::new(roots) };
        for pid in 0..100_000 {
            // Beyond every number that a kernel gives.
            let pid = (1 << 23) + pid;
            let claim =
                Claim { tgid: pid, name: b"noted".to_vec(), called_at: BootTime::now(), cgroup_id: Some(5) };
            let party = owners.caller(&claim);
            assert_eq!((party.missing, party.pod, party.container_id), (Some("process_exited"), None, None));
            let process = party.process.unwrap();
            assert_eq!((process.pid, process.name.as_str(), process.executable), (pid, "noted", None));
        }
        assert_eq!(owners.known.len(), 0);
    }
}

#[test]
fn of_those_that_lived_so_many_are_kept() {
    let fake = Fake::new();
    let mut owners = Owners::new(fake.roots().clone());
    let most = u32::try_from(MOST_KEPT.get()).unwrap();
    for pid in 10..10 + 2 * most {
        fake.process(pid, b"x", 1, 50);
        assert_eq!(owners.process_now(pid).unwrap().missing, None);
        fake.remove(pid);
    }
    assert_eq!(owners.known.len(), MOST_KEPT.get());
}

#[test]
fn children_that_live_for_a_moment_are_named_right_or_not_at_all() {
    let roots = Roots::of_this_machine().unwrap();
    let own = std::env::current_exe().unwrap();
    let (over, asked, named) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (sender, spawned) = crossbeam_channel::bounded::<(u32, BootTime)>(4096);
        for _ in 0..2 {
            let (sender, over) = (sender.clone(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut child = Command::new("/bin/true").stdin(Stdio::null()).spawn().unwrap();
                    let _ = sender.try_send((child.id(), BootTime::now()));
                    child.wait().unwrap();
                }
            });
        }
        let mut owners = Owners { pids_fit: true, ..Owners::new(roots.clone()) };
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            for (pid, called_at) in spawned.try_iter() {
                asked.fetch_add(1, Ordering::Relaxed);
                let party = owners.caller(&Claim { tgid: pid, called_at, ..Claim::default() });
                let process = party.process.unwrap();
                if let Some(executable) = process.executable {
                    let is_child = executable.ends_with("/true") || executable == own.to_str().unwrap();
                    assert!(is_child || executable.contains("coreutils"), "{executable}");
                    named.fetch_add(1, Ordering::Relaxed);
                } else if process.start_ticks.is_none() {
                    assert!(REASONS.contains(&party.missing.unwrap()), "{:?}", party.missing);
                }
            }
            let found = Holders::scan(&roots, &HashSet::from([u64::MAX]));
            assert!(found.by_inode.is_empty() && found.processes > 0);
            let _ = super::super::running::Running::list(&roots);
        }
        over.store(true, Ordering::Relaxed);
    });
    println!("{} born and asked for, {} named", asked.load(Ordering::Relaxed), named.load(Ordering::Relaxed));
    assert!(asked.into_inner() > 100);
}
