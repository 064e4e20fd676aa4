//! The analysis on the reader's thread.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::Receiver;
use observer_core::connection::{Joiner, Party};
use observer_core::engine::{Engine, FaceKey, Input, LossPlace, Lost, Opened, Report, Role};
use observer_core::event::Event;
use observer_core::party::NOT_YET;
use observer_core::time::Timestamp;

use super::counts::Counts;
use super::older::Older;
use super::outlet::Outlet;
use super::proof::Proof;
use super::servers::Servers;
use super::wishes::Wishes;
use crate::attribution::{Answer, BootTime, Claim, Desk, Question, Sought};
use crate::kubernetes::{self, Kubernetes, News};
use crate::source::ebpf::{Announced, Clock, Control, Hear};
use crate::source::existing::Pair;
use crate::source::tracking::{self, Tracking, Translation};

/// What the reader's thread needs to know of the rest.
pub(super) struct Ears {
    pub(super) engine: Engine,
    pub(super) joiner: Joiner,
    pub(super) control: Arc<OnceLock<Control>>,
    pub(super) events: Outlet,
    pub(super) counts: Arc<Counts>,
    pub(super) proof: Proof,
    pub(super) desk: Desk,
    pub(super) answers: Receiver<Answer>,
    /// Where connections really go.
    pub(super) tracking: Tracking,
    pub(super) translations: Receiver<Translation>,
    /// The Kubernetes API and what it says, where it is asked.
    pub(super) kubernetes: Option<(Kubernetes, Receiver<News>)>,
    /// Where the API servers are.
    pub(super) servers: Servers,
    /// What was listed at the start, and is told on this thread when it begins to hear.
    pub(super) older: Arc<OnceLock<Older>>,
    /// The observer's own process, where its number is known.
    pub(super) own: Option<u32>,
    pub(super) state: State,
}

/// What the ears keep between two calls.
#[derive(Default)]
pub(super) struct State {
    told_older: bool,
    /// Keys of listed connections that have not shown a packet yet.
    listed: HashSet<FaceKey>,
    /// The face that was announced last and is not to be told.
    disproved: Option<FaceKey>,
    events_lost_told: u64,
    servers_not_watched_told: u64,
    /// The version of `servers` that was told last.
    servers: u64,
    tidied: Timestamp,
    /// Connections that were dialled since the last rest, and those before it.
    dialled: [Vec<tracking::Question>; 2],
    wishes: Wishes,
    /// The same moment as the source tells time, and by the clock of process starts; taken anew at every rest.
    clocks: Option<(Timestamp, BootTime)>,
}

impl State {
    /// The boot clock at a time of day that has just been.
    fn boot_time(&mut self, time: Timestamp) -> BootTime {
        let (now, boot) =
            *self.clocks.get_or_insert_with(|| (Clock::now().utc(Clock::monotonic()), BootTime::now()));
        let nanoseconds = |time: core::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (ago, ahead) = (nanoseconds(now.since(time)), nanoseconds(time.since(now)));
        BootTime(boot.0.saturating_sub(ago).saturating_add(ahead))
    }
}

impl Ears {
    /// Whether it will be answered; counted if not.
    fn ask(&mut self, question: Question) -> bool {
        let asked = self.desk.ask(question).is_ok();
        if !asked {
            Counts::add(&self.counts.owners_not_asked, 1);
        }
        asked
    }

    /// A thread group that was seen with a socket.
    fn seen(&mut self, tgid: u32, time: Timestamp) -> Claim {
        Claim { tgid, called_at: self.state.boot_time(time), ..Claim::default() }
    }

    fn feed(&mut self, input: Input<'_>) {
        let Self { engine, joiner, control, events, counts, state, .. } = self;
        let mut hand_on = |event| events.put(event, counts);
        engine
            .feed(input, &mut |report| tell(report, &mut state.wishes, control.get(), joiner, &mut hand_on));
    }

    /// A connection became known. The observer's own is counted and never told: what it told would be asked for again.
    fn open(&mut self, opened: Opened) {
        let dialler = opened.party.as_ref().and_then(|party| party.process.as_ref()).map(|it| it.pid);
        let is_own = opened.role == Role::Client && dialler.is_some() && dialler == self.own;
        let key = opened.key;
        self.feed(Input::Opened(opened));
        if is_own {
            self.joiner.keep_to_itself(key);
            Counts::add(&self.counts.own, 1);
        }
    }

    /// The first thing that is told is what was there before.
    fn tell_older(&mut self) {
        if self.state.told_older {
            return;
        }
        let all = Arc::clone(&self.older);
        let Some(older) = all.get() else { return };
        self.state.told_older = true;
        for opened in &older.connections {
            self.state.listed.insert(opened.key);
            self.open(opened.clone());
        }
        for Pair { one, other, certain } in older.pairs.iter().copied() {
            self.feed(Input::Ends { one, other, certain });
        }
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.feed(match answer {
                Answer::Opened(key, party) => Input::Party { key, party },
                Answer::Holder(key, party) => Input::Holder { key, party, last: false, heir_of: None },
                Answer::Released(key, party, heir_of) => Input::Holder { key, party, last: true, heir_of },
            });
        }
    }

    /// Asks who is at the other end, if that is another node's.
    fn ask_for_peer(&self, opened: &Opened) {
        let Some((kubernetes, _)) = &self.kubernetes else { return };
        let ip = match opened.role {
            Role::Client => opened.tuple.server.ip(),
            Role::Server => opened.tuple.client.ip(),
            Role::Wire => return,
        };
        if !ip.is_loopback() && !kubernetes.own_pods().has(ip) {
            kubernetes.ask(kubernetes::Question { key: opened.key, ip, opened: opened.time });
        }
    }

    /// Asks connection tracking where those connections go whose other end has not shown itself since the last rest.
    fn ask_where_they_go(&mut self) {
        let Self { joiner, tracking, counts, state, .. } = self;
        let [new, old] = &mut state.dialled;
        let mut asked = core::mem::replace(old, core::mem::take(new));
        asked.retain(|question| joiner.lacks_backend(question.key));
        if !asked.is_empty() {
            tracking.ask(asked);
        }
        counts.backends_not_asked.store(tracking.not_asked(), Ordering::Relaxed);
    }

    fn take_translations(&mut self) {
        let Self { joiner, events, counts, translations, .. } = self;
        let mut hand_on = |event| events.put(event, counts);
        for Translation { key, client, server } in translations.try_iter() {
            joiner.report(Report::Translated { key, client, server }, &mut hand_on);
        }
    }

    fn take_news(&mut self) {
        let Self { joiner, events, counts, kubernetes, servers, state, .. } = self;
        let mut hand_on = |event| events.put(event, counts);
        for news in kubernetes.iter().flat_map(|(_, news)| news.try_iter()) {
            match news {
                News::Peer { key, resident } => {
                    let party = Party { pod: Some(resident.pod), node: resident.node, ..Party::default() };
                    joiner.report(Report::Peer { key, party: Box::new(party) }, &mut hand_on);
                }
                News::Cluster(id) => joiner.cluster_id(Arc::clone(counts.cluster.get_or_init(|| id))),
                News::Servers(endpoints) => servers.endpoints(endpoints),
            }
        }
        if let Some(addresses) = servers.news(&mut state.servers) {
            joiner.addresses(addresses, &mut hand_on);
        }
    }

    /// The end of the observation.
    pub(super) fn finish(mut self) {
        self.take_answers();
        self.take_translations();
        let now = Clock::now().utc(Clock::monotonic());
        let Self { engine, joiner, control, events, counts, state, .. } = &mut self;
        let mut hand_on = |event| events.put_last(event, counts);
        engine
            .finish(now, &mut |report| tell(report, &mut state.wishes, control.get(), joiner, &mut hand_on));
        joiner.finish(&mut hand_on);
        events.post_last(counts);
    }
}

impl Hear for Ears {
    fn announced(&mut self, announced: &Announced) -> Option<Box<Party>> {
        if !self.proof.holds(announced, self.control.get()) {
            Counts::add(&self.counts.not_proven, 1);
            self.state.disproved = Some(announced.key);
            if let Some(control) = self.control.get() {
                control.unwatch(announced.key);
            }
            return None;
        }
        let accepted = announced.role == Some(Role::Server);
        let accepted_by = announced.holder.map(|(tgid, time)| self.seen(tgid, time));
        let older = announced.listener.and_then(|cookie| self.older.get()?.listeners.get(&cookie));
        let claim = announced.caller.as_ref().map(|caller| Claim {
            tgid: caller.tgid,
            name: caller.command.clone().into_bytes(),
            called_at: self.state.boot_time(caller.time),
            cgroup_id: Some(caller.cgroup).filter(|id| *id != 0),
        });
        // Whoever listens accepts, or somebody else does: the holder has to be seen.
        let holder = older.and_then(|owner| owner.process.as_ref()).map(|process| process.pid);
        let netns = older.and_then(|owner| owner.netns);
        let hint = claim.as_ref().map(|claim| claim.tgid).or(holder);
        let socket = (announced.cookie != 0 && (hint.is_some() || accepted)).then(|| {
            Box::new(Sought {
                key: announced.key,
                cookie: announced.cookie,
                space: announced.netns_cookie,
                local: announced.local.into(),
                remote: announced.remote.into(),
                hint: hint.unwrap_or(0),
                listener: announced.listener,
            })
        });
        if claim.is_some() || socket.is_some() || accepted_by.is_some() {
            let (key, space) = (announced.key, announced.netns_cookie);
            self.ask(Question::Opened { key, claim, accepted, space, holder: accepted_by, socket });
        }
        let party = announced.party();
        if announced.role == Some(Role::Client) && !announced.remote.ip().is_loopback() && !announced.joined {
            let [dialled, _] = &mut self.state.dialled;
            dialled.push(tracking::Question {
                key: announced.key,
                space: announced.netns_cookie,
                hint: announced.caller.as_ref().map_or(0, |caller| caller.tgid),
                client: announced.local,
                server: announced.remote,
            });
        }
        if !accepted {
            return party;
        }
        let opener_unseen = party.is_none();
        let missing = Some(NOT_YET);
        Some(Box::new(Party { netns, missing, opener_unseen, ..party.map_or_else(Party::default, |it| *it) }))
    }

    fn accepted(&mut self, key: FaceKey, tgid: u32, time: Timestamp) {
        let claim = self.seen(tgid, time);
        self.ask(Question::Accepted { key, claim });
    }

    fn released(&mut self, key: FaceKey, tgid: u32, time: Timestamp, sender: Option<u32>) {
        let claim = self.seen(tgid, time);
        if self.ask(Question::Released { key, claim, sender }) {
            self.feed(Input::Released(key));
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.tell_older();
        if let Input::Opened(opened) = &input
            && (self.state.disproved.take() == Some(opened.key) || self.state.listed.remove(&opened.key))
        {
            return;
        }
        if let Input::Opened(opened) = input {
            self.ask_for_peer(&opened);
            self.open(opened);
        } else {
            self.feed(input);
        }
        self.state.wishes.press(self.control.get());
    }

    fn forget(&mut self, key: u64) {
        self.state.wishes.forget(FaceKey(key));
        self.desk.over(FaceKey(key));
    }

    fn rest(&mut self, now: Timestamp) {
        self.state.clocks = Some((now, BootTime::now()));
        self.tell_older();
        self.take_answers();
        self.take_translations();
        self.ask_where_they_go();
        self.take_news();
        let lost = Counts::read(&self.counts.events_lost);
        if lost > self.state.events_lost_told && self.events.has_room() {
            let records = lost - core::mem::replace(&mut self.state.events_lost_told, lost);
            self.feed(Input::Lost(Lost { time: now, place: LossPlace::Sink, key: None, records, bytes: 0 }));
        }
        let unwatched = Counts::read(&self.counts.servers_not_watched);
        let before = core::mem::replace(&mut self.state.servers_not_watched_told, unwatched);
        if unwatched > before {
            let records = unwatched - before;
            self.feed(Input::Lost(Lost {
                time: now,
                place: LossPlace::KernelTable,
                key: None,
                records,
                bytes: 0,
            }));
        }
        let Self { engine, joiner, control, events, counts, desk, state, .. } = self;
        let mut hand_on = |event| events.put(event, counts);
        engine
            .advance(now, &mut |report| tell(report, &mut state.wishes, control.get(), joiner, &mut hand_on));
        joiner.advance(now, &mut hand_on);
        events.post(counts);
        desk.post();
        state.wishes.next_reading(control.get());
        counts.not_searched.store(desk.not_searched(), Ordering::Relaxed);
        counts.relayed.store(joiner.relayed(), Ordering::Relaxed);
        counts.hellos_forgotten.store(joiner.hellos_forgotten(), Ordering::Relaxed);
        counts.open.store(u64::try_from(joiner.open()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if now.since(self.state.tidied).as_secs() >= 10 {
            self.state.tidied = now;
            self.proof.forget_ended(self.control.get());
        }
    }
}

/// One report: what the source is to do is noted, everything goes on to the joiner.
fn tell(
    report: Report,
    wishes: &mut Wishes,
    control: Option<&Control>,
    joiner: &mut Joiner,
    out: &mut impl FnMut(Event),
) {
    match &report {
        Report::Enough(key) => wishes.enough(*key),
        Report::RequestsOnly { key, from } => {
            if let Some(control) = control {
                control.read_requests(*key, *from);
            }
        }
        Report::Closed { key, .. } => wishes.forget(*key),
        _ => {}
    }
    joiner.report(report, out);
}
