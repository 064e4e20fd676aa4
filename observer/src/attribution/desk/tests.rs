use super::super::fake::{Fake, Places};
use super::super::sought::Found;
use super::*;

fn claim(tgid: u32) -> Claim {
    Claim { tgid, name: b"noted".to_vec(), called_at: BootTime::now(), cgroup_id: None }
}

fn opened(key: u64, accepted: bool, socket: Option<Sought>) -> Question {
    Question::Opened {
        key: FaceKey(key),
        claim: Some(claim(5)),
        accepted,
        space: Some(1),
        holder: None,
        socket: socket.map(Box::new),
    }
}

fn open(fake: &Fake, places: &Places) -> (Desk, Receiver<Answer>) {
    Desk::open(|| Owners::new(fake.roots().clone()), || places.clone(), 16).unwrap()
}

fn pid(party: &Party) -> u32 {
    party.process.as_ref().map_or(0, |process| process.pid)
}

#[test]
fn answers_with_the_opener_and_then_with_the_holder() {
    let fake = Fake::new();
    fake.process(5, b"master", 1, 1).process(9, b"worker", 5, 1).open_socket(9, 3, 100);
    let places = Places::new(&[(1, Found::At { netns: 8, inode: 100 })]);
    let (mut desk, answers) = open(&fake, &places);
    desk.ask(opened(1, true, Some(places.sought(1, 5)))).unwrap();
    desk.post();
    let Answer::Opened(FaceKey(1), mut party) = answers.recv().unwrap() else { panic!("no opener") };
    assert_eq!((pid(&party), party.netns, party.missing), (0, Some(4001), Some(NOT_YET)));
    let Answer::Holder(FaceKey(1), holder) = answers.recv().unwrap() else { panic!("no holder") };
    party.held_by(*holder);
    assert_eq!((pid(&party), party.opened_by.unwrap().pid, party.netns), (9, 5, Some(8)));
}

#[test]
fn who_was_seen_accepting_is_told_without_a_search() {
    let fake = Fake::new();
    fake.process(5, b"master", 1, 1).process(9, b"worker", 5, 1);
    let places = Places::new(&[]);
    let (mut desk, answers) = open(&fake, &places);
    let Question::Opened { key, claim: by, accepted, space, socket, .. } = opened(1, true, None) else {
        panic!("another question")
    };
    let holder = Some(Claim { name: Vec::new(), ..claim(9) });
    desk.ask(Question::Opened { key, claim: by, accepted, space, holder, socket }).unwrap();
    desk.ask(Question::Accepted { key: FaceKey(2), claim: claim(5) }).unwrap();
    desk.post();
    assert!(matches!(answers.recv().unwrap(), Answer::Opened(..)));
    for expected in [(1, 9), (2, 5)] {
        let Answer::Holder(FaceKey(key), party) = answers.recv().unwrap() else { panic!("no holder") };
        assert_eq!((key, pid(&party), party.missing), (expected.0, expected.1, None));
    }
    assert_eq!(places.asked(1), 0);
}

#[test]
fn a_last_holder_is_an_heir_only_if_another_process_alone_sent_and_lives() {
    let fake = Fake::new();
    let now = BootTime::now();
    let ticks = |ago: u64| (now.0 - ago) / (1_000_000_000 / rustix::param::clock_ticks_per_second());
    fake.process(5, b"kubelet", 1, 1).process(8, b"child", 5, ticks(50_000_000));
    fake.process(9, b"worker", 5, ticks(5_000_000_000));
    let (mut desk, answers) = open(&fake, &Places::new(&[]));
    for (last, sender, heir_of) in [
        (8, Some(5), Some(5)),
        (7, Some(5), Some(5)), // gone
        (8, Some(8), None),
        (8, None, None),
        (8, Some(6), None), // the sender is gone
        (9, Some(5), None), // it had it for long
    ] {
        let claim = Claim { tgid: last, name: Vec::new(), called_at: now, cgroup_id: None };
        desk.ask(Question::Released { key: FaceKey(1), claim, sender }).unwrap();
        desk.post();
        let Answer::Released(_, _, told) = answers.recv().unwrap() else { panic!("no answer") };
        assert_eq!(told, heir_of, "{last} after {sender:?}");
    }
}

#[test]
fn who_dialled_holds_the_socket() {
    let fake = Fake::new();
    fake.process(5, b"curl", 1, 1);
    let (mut desk, answers) = open(&fake, &Places::new(&[]));
    desk.ask(opened(1, false, None)).unwrap();
    desk.post();
    let Answer::Opened(_, party) = answers.recv().unwrap() else { panic!("no opener") };
    assert_eq!((pid(&party), party.netns, party.missing), (5, Some(4001), None));
}

#[test]
fn who_let_go_last_is_the_last_word() {
    let fake = Fake::new();
    fake.process(5, b"master", 1, 1).open_socket(5, 3, 100).process(9, b"worker", 5, 1);
    let places = Places::new(&[(1, Found::At { netns: 8, inode: 100 })]);
    let (mut desk, answers) = open(&fake, &places);
    desk.ask(opened(1, true, Some(places.sought(1, 5)))).unwrap();
    desk.ask(Question::Released {
        key: FaceKey(1),
        claim: Claim { name: Vec::new(), ..claim(9) },
        sender: None,
    })
    .unwrap();
    drop(desk);
    let holders: Vec<u32> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Holder(_, party) | Answer::Released(_, party, _) => Some(pid(&party)),
            Answer::Opened(..) => None,
        })
        .collect();
    assert_eq!(holders.last(), Some(&9), "{holders:?}");
}

#[test]
fn a_flood_of_short_connections_is_not_searched_for() {
    let fake = Fake::new();
    let places = Places::new(&[]);
    let (mut desk, answers) =
        Desk::open(|| Owners::new(fake.roots().clone()), || places.clone(), 16_384).unwrap();
    let flood = 4000;
    for key in 0..flood {
        let places = Places::new(&[]);
        desk.ask(opened(key, true, Some(places.sought(key, 5)))).unwrap();
        desk.ask(Question::Released { key: FaceKey(key), claim: claim(5), sender: None }).unwrap();
    }
    drop(desk);
    assert_eq!(answers.iter().filter(|it| matches!(it, Answer::Opened(..))).count() as u64, flood);
}

#[test]
fn a_connection_that_is_over_is_not_searched_for_though_nobody_was_seen_letting_go() {
    let fake = Fake::new();
    fake.process(5, b"master", 1, 1).open_socket(5, 3, 100);
    let at = Found::At { netns: 8, inode: 100 };
    let places = Places::new(&[(1, at), (2, at)]);
    let (mut desk, answers) = open(&fake, &places);
    desk.ask(opened(1, true, Some(places.sought(1, 5)))).unwrap();
    desk.over(FaceKey(1));
    desk.ask(opened(2, true, Some(places.sought(2, 5)))).unwrap();
    desk.post();
    let key = answers.iter().find_map(|answer| match answer {
        Answer::Holder(key, _) => Some(key),
        _ => None,
    });
    assert_eq!((key, places.asked(1)), (Some(FaceKey(2)), 0));
}

#[test]
fn refuses_questions_when_answers_are_not_taken() {
    let fake = Fake::new();
    let (mut desk, answers) = open(&fake, &Places::new(&[]));
    let taken = (0..1000).filter(|key| desk.ask(opened(*key, true, None)).is_ok()).count();
    assert!(taken < 1000, "the queue is bounded");
    drop(desk);
    assert_eq!(answers.iter().count(), taken, "every question that was taken is answered");
}
