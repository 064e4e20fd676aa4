use super::super::fake::Fake;
use super::*;

const ID: &str = "4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e0011";

fn claim(tgid: u32, ticks: u64) -> Claim {
    Claim { tgid, name: b"noted".to_vec(), called_at: BootTime::from_start_ticks(ticks), cgroup_id: None }
}

fn name(party: &Party) -> &str {
    &party.process.as_ref().unwrap().name
}

#[test]
fn names_the_caller_with_all_that_is_known() {
    let fake = Fake::new();
    fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet").network_namespace(7, 99);
    let id = fake.cgroup(7, &format!("/kubepods/pod1/{ID}"));
    let party = Owners::new(fake.roots().clone()).caller(&claim(7, 51));
    let process = Process {
        pid: 7,
        start_ticks: Some(50),
        name: "kubelet".into(),
        executable: Some("/usr/bin/kubelet".into()),
    };
    assert_eq!(party.process, Some(process));
    assert_eq!((party.netns, party.cgroup_id, party.container_id.as_deref()), (Some(99), Some(id), Some(ID)));
    assert_eq!(party.missing, None);
}

#[test]
fn never_names_a_process_that_started_after_the_call() {
    let fake = Fake::new();
    fake.process(7, b"innocent", 1, 50).executable(7, b"/usr/bin/innocent");
    let mut owners = Owners::new(fake.roots().clone());
    let party = owners.caller(&claim(7, 49));
    assert_eq!((name(&party), party.missing), ("noted", Some("pid_reused")));
    assert_eq!(party.process.unwrap().executable, None);
    assert_eq!(name(&owners.caller(&claim(7, 50))), "innocent", "started in the tick of the call");
}

#[test]
fn never_names_from_memory_the_process_that_had_the_pid_before() {
    let fake = Fake::new();
    fake.process(7, b"old", 1, 50);
    let mut owners = Owners::new(fake.roots().clone());
    assert_eq!(name(&owners.caller(&claim(7, 51))), "old");
    fake.remove(7);
    let now = BootTime::now().0;
    let ticks = now / (1_000_000_000 / rustix::param::clock_ticks_per_second());
    fake.process(7, b"new", 1, ticks);
    let later = Claim { called_at: BootTime(now + 20_000_000), ..claim(7, 0) };
    assert_eq!(name(&owners.caller(&later)), "new");
}

#[test]
fn a_process_that_was_read_before_it_ended_still_names_its_calls() {
    let fake = Fake::new();
    fake.process(7, b"brief", 1, 50);
    let mut owners = Owners::new(fake.roots().clone());
    owners.caller(&claim(7, 51));
    fake.remove(7);
    assert_eq!(name(&owners.caller(&claim(7, 52))), "brief");
    let after = Claim { called_at: BootTime(BootTime::now().0 + 1), ..claim(7, 0) };
    assert_eq!(owners.caller(&after).missing, Some("process_exited"));
}

#[test]
fn notices_a_new_program_in_the_same_process() {
    let fake = Fake::new();
    fake.process(7, b"sh", 1, 50).executable(7, b"/bin/sh");
    let mut owners = Owners::new(fake.roots().clone());
    owners.process_now(7).unwrap();
    fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet");
    let party = owners.process_now(7).unwrap();
    assert_eq!(party.process.unwrap().executable.as_deref(), Some("/usr/bin/kubelet"));
}

#[test]
fn a_gone_caller_keeps_its_name_control_group_and_container() {
    let fake = Fake::new();
    let id = fake.make_cgroup(&format!("/kubepods/pod1/{ID}"));
    let mut owners = Owners::new(fake.roots().clone());
    let party = owners.caller(&Claim { cgroup_id: Some(id), ..claim(7, 51) });
    assert_eq!((name(&party), party.missing), ("noted", Some("process_exited")));
    assert_eq!((party.cgroup_id, party.container_id.as_deref()), (Some(id), Some(ID)));
}

#[test]
fn names_nobody_by_pids_of_another_namespace() {
    let fake = Fake::new();
    let link = fake.roots().proc.join("1/ns/pid");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("pid:[4026532999]", link).unwrap();
    fake.process(7, b"innocent", 1, 50);
    let party = Owners::new(fake.roots().clone()).caller(&claim(7, 51));
    assert_eq!((party.process, party.missing), (None, Some("pid_namespace")));
}

#[test]
fn a_call_without_a_process_says_so() {
    let fake = Fake::new();
    assert_eq!(Owners::new(fake.roots().clone()).caller(&claim(0, 5)).missing, Some("no_process"));
}

#[test]
fn a_service_holds_what_its_manager_opened() {
    let fake = Fake::new();
    fake.process(1, b"systemd", 0, 1).executable(1, b"/usr/lib/systemd/systemd");
    fake.process(9, b"sshd", 1, 70);
    let mut owners = Owners::new(fake.roots().clone());
    let mut party = owners.caller(&claim(1, 60));
    party.held_by(owners.holder(&[1, 9], 1).unwrap());
    assert_eq!((name(&party), party.opened_by.as_ref().unwrap().name.as_str()), ("sshd", "systemd"));
}

#[test]
fn a_process_that_was_handed_the_socket_goes_before_its_opener() {
    let fake = Fake::new();
    fake.process(5, b"activator", 1, 40);
    fake.process(9, b"service", 5, 70).environment(9, "A=1\0LISTEN_PID=9\0LISTEN_FDS=1\0");
    let mut owners = Owners::new(fake.roots().clone());
    assert_eq!(name(&owners.holder(&[5, 9], 5).unwrap()), "service");
}

#[test]
fn of_several_holders_the_opener_counts_and_else_the_oldest() {
    let fake = Fake::new();
    fake.process(9, b"worker", 8, 71);
    fake.process(8, b"daemon", 1, 70);
    let mut owners = Owners::new(fake.roots().clone());
    assert_eq!(name(&owners.holder(&[9, 8], 9).unwrap()), "worker");
    assert_eq!(name(&owners.holder(&[9, 8], 5).unwrap()), "daemon");
    assert_eq!(owners.holder(&[], 5), None);
}

#[test]
fn names_the_holder_of_each_socket_and_nobody_for_others() {
    let fake = Fake::new();
    fake.process(5, b"master", 1, 40).open_socket(5, 3, 100).open_socket(5, 4, 7);
    fake.process(6, b"worker", 5, 41).open_socket(6, 3, 100).open_socket(6, 4, 200);
    let wanted = HashMap::from([(100, 6), (200, 0), (300, 5)]);
    let found = Owners::new(fake.roots().clone()).holding(&[5, 6, 99], &wanted);
    assert_eq!(found.len(), 2);
    assert_eq!((name(&found[&100]), name(&found[&200])), ("worker", "worker"));
}

#[test]
fn a_thread_of_the_kernel_owns_nothing() {
    let fake = Fake::new();
    let line = b"7 (kworker/0:1) S 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0 18 0 0 0 0";
    fake.process(7, b"x", 2, 9).open_socket(7, 3, 100);
    std::fs::write(fake.roots().proc.join("7/stat"), line).unwrap();
    let mut owners = Owners::new(fake.roots().clone());
    assert_eq!(owners.caller(&claim(7, 51)).missing, Some("kernel_thread"));
    assert!(owners.holding(&[7], &HashMap::from([(100, 7)])).is_empty());
}
