//! Looks for who holds sockets now: the socket's inode by socket diagnostics, then that inode among the open files of those
//! who probably hold it, then of everybody.
//!
//! Nobody is named who was not seen with the socket. What was learned of a listener's other sockets only says where to
//! look first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use observer_core::connection::Party;
use observer_core::engine::FaceKey;

use super::holders::{Holders, Pace};
use super::owners::Owners;
use super::sought::{Found, Sockets, Sought};

/// Sockets looked for at one time.
const MOST: usize = 16_384;
/// Sockets looked up in one round.
const ROUND: usize = 1024;
/// Listeners whose holders are remembered, and holders of each.
const LISTENERS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
const HOLDERS: usize = 16;
/// When a socket that no program has accepted, or that was not reached, is looked at again.
const PATIENCE: [u64; 6] = [2, 10, 50, 250, 1000, 5000];
/// When a socket that was found is looked at once more: it may be handed on after it was accepted.
const AGAIN: Duration = Duration::from_secs(1);

/// What was found of one socket.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) key: FaceKey,
    /// Its holder, or the reason why there is none.
    pub(super) party: Box<Party>,
    /// Whether it is looked for no more.
    pub(super) last: bool,
}

/// One socket that is looked for.
#[derive(Debug)]
struct Wanted {
    sought: Box<Sought>,
    due: Instant,
    /// How often it was looked at in vain.
    tries: usize,
    /// Whether its holder was named once.
    named: bool,
}

/// Everything that is looked for.
#[derive(Debug)]
pub(super) struct Search<S> {
    owners: Owners,
    sockets: S,
    wanted: VecDeque<Wanted>,
    by_listener: LruCache<u64, Vec<u32>>,
    pace: Pace,
    /// Of looks through all processes.
    scans: Pace,
}

impl<S: Sockets> Search<S> {
    pub(super) fn new(owners: Owners, sockets: S) -> Self {
        Self {
            owners,
            sockets,
            wanted: VecDeque::new(),
            by_listener: LruCache::new(LISTENERS),
            pace: Pace::default(),
            scans: Pace::default(),
        }
    }

    /// Begins to look for a socket, not before `due`. `held`: its holder at the beginning is certain, and only whether it
    /// is handed on is asked. `false` if too many are looked for.
    pub(super) fn begin(&mut self, sought: Box<Sought>, now: Instant, held: bool) -> bool {
        if self.wanted.len() >= MOST {
            return false;
        }
        let due = if held { now + AGAIN } else { now };
        self.wanted.push_back(Wanted { sought, due, tries: 0, named: held });
        true
    }

    /// How long it may not work at all, because it has worked lately.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.pace.wait(now)
    }

    /// How long there is nothing to do; `None` if nothing is looked for.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let due = self.wanted.iter().map(|wanted| wanted.due).min()?.saturating_duration_since(now);
        Some(due.max(self.pace.wait(now).unwrap_or_default()))
    }

    /// Looks for those that are due.
    pub(super) fn round(&mut self, now: Instant, mut tell: impl FnMut(Finding)) {
        if self.pace.wait(now).is_some() {
            return;
        }
        let mut due = Vec::new();
        let mut later = VecDeque::with_capacity(self.wanted.len());
        for wanted in self.wanted.drain(..) {
            if wanted.due <= now && due.len() < ROUND {
                due.push(wanted);
            } else {
                later.push_back(wanted);
            }
        }
        self.wanted = later;
        if due.is_empty() {
            return;
        }
        let began = Instant::now();
        let sought: Vec<Sought> = due.iter().map(|wanted| (*wanted.sought).clone()).collect();
        let found = self.sockets.find(&sought);
        let mut held = Vec::new();
        for (wanted, found) in due.into_iter().zip(found) {
            match found {
                Found::At { netns, inode } => held.push((wanted, netns, inode)),
                Found::NotAccepted { netns } => {
                    self.later(wanted, Some(netns), "not_accepted_or_closed", now, &mut tell);
                }
                Found::Gone => tell(nobody(&wanted, None, "not_accepted_or_closed")),
                // What stood for its namespace may have gone, and something else stand for it.
                Found::Unreached => self.later(wanted, None, "namespace_not_reached", now, &mut tell),
            }
        }
        let unfound = self.ask(held, |search, wanted| search.probable(wanted), now, &mut tell);
        self.pace.spent(Instant::now(), began.elapsed());
        if !unfound.is_empty() {
            self.ask_everybody(unfound, &mut tell);
        }
    }

    /// Asks the processes that `whom` names for each socket; gives back the sockets that none of them holds.
    fn ask(
        &mut self,
        held: Vec<(Wanted, u32, u64)>,
        whom: impl Fn(&mut Self, &Wanted) -> Vec<u32>,
        now: Instant,
        tell: &mut impl FnMut(Finding),
    ) -> Vec<(Wanted, u32, u64)> {
        let mut pids = Vec::new();
        let mut seen = HashSet::new();
        for (wanted, _, _) in &held {
            pids.extend(whom(self, wanted).into_iter().filter(|pid| *pid != 0 && seen.insert(*pid)));
        }
        let inodes = held.iter().map(|(wanted, _, inode)| (*inode, wanted.sought.hint)).collect();
        let mut holders = self.owners.holding(&pids, &inodes);
        let mut unfound = Vec::new();
        for (mut wanted, netns, inode) in held {
            let Some(mut party) = holders.remove(&inode) else {
                unfound.push((wanted, netns, inode));
                continue;
            };
            if let (Some(listener), Some(process)) = (wanted.sought.listener, &party.process) {
                self.remember(listener, process.pid);
            }
            // The socket's namespace, whatever namespace its holder is in.
            party.netns = Some(netns);
            let last = wanted.named;
            tell(Finding { key: wanted.sought.key, party: Box::new(party), last });
            if !last {
                (wanted.named, wanted.due) = (true, now + AGAIN);
                self.wanted.push_back(wanted);
            }
        }
        unfound
    }

    /// Looks through all processes, if it is time for that; else later.
    fn ask_everybody(&mut self, unfound: Vec<(Wanted, u32, u64)>, tell: &mut impl FnMut(Finding)) {
        let began = Instant::now();
        if let Some(wait) = self.scans.wait(began) {
            self.wanted.extend(unfound.into_iter().map(|(mut wanted, _, _)| {
                wanted.due = began + wait;
                wanted
            }));
            return;
        }
        let inodes: HashSet<u64> = unfound.iter().map(|(_, _, inode)| *inode).collect();
        let scan = Holders::scan(self.owners.roots(), &inodes);
        let by_inode: HashMap<u64, Vec<u32>> = scan.by_inode;
        let by_key: HashMap<FaceKey, Vec<u32>> = unfound
            .iter()
            .filter_map(|(wanted, _, inode)| Some((wanted.sought.key, by_inode.get(inode)?.clone())))
            .collect();
        let whom =
            |_: &mut Self, wanted: &Wanted| by_key.get(&wanted.sought.key).cloned().unwrap_or_default();
        let unfound = self.ask(unfound, whom, began, tell);
        self.scans.spent(Instant::now(), began.elapsed());
        for (mut wanted, netns, _) in unfound {
            // It may have been on its way from one process to another.
            if wanted.tries < PATIENCE.len() - 1 {
                wanted.tries = PATIENCE.len() - 1;
                wanted.due = began + AGAIN;
                self.wanted.push_back(wanted);
            } else {
                tell(nobody(&wanted, Some(netns), "holder_not_found"));
            }
        }
    }

    /// Looks again later, or says why no holder was found.
    fn later(
        &mut self,
        mut wanted: Wanted,
        netns: Option<u32>,
        missing: &'static str,
        now: Instant,
        tell: &mut impl FnMut(Finding),
    ) {
        match PATIENCE.get(wanted.tries) {
            Some(patience) if !wanted.named => {
                wanted.tries += 1;
                wanted.due = now + Duration::from_millis(*patience);
                self.wanted.push_back(wanted);
            }
            _ => tell(nobody(&wanted, netns, missing)),
        }
    }

    /// Who probably holds it: whoever held the listener's other sockets, and whoever opened it.
    fn probable(&mut self, wanted: &Wanted) -> Vec<u32> {
        let known = wanted.sought.listener.and_then(|listener| self.by_listener.get(&listener));
        known.into_iter().flatten().copied().chain([wanted.sought.hint]).collect()
    }

    fn remember(&mut self, listener: u64, pid: u32) {
        let pids = self.by_listener.get_or_insert_mut(listener, Vec::new);
        pids.retain(|known| *known != pid);
        pids.insert(0, pid);
        pids.truncate(HOLDERS);
    }
}

fn nobody(wanted: &Wanted, netns: Option<u32>, missing: &'static str) -> Finding {
    let party = Party { netns, missing: Some(missing), ..Party::default() };
    Finding { key: wanted.sought.key, party: Box::new(party), last: true }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Places};
    use super::*;

    /// Rounds until nothing is looked for, with time flying; pid and reason by round.
    fn story(fake: &Fake, places: &Places, sought: &[Sought]) -> Vec<(u64, u32, Option<&'static str>)> {
        let mut search = Search::new(Owners::new(fake.roots().clone()), places.clone());
        let mut now = Instant::now();
        for sought in sought {
            assert!(search.begin(Box::new(sought.clone()), now, false));
        }
        let mut findings = Vec::new();
        while let Some(wait) = search.wait(now) {
            now += wait;
            search.scans = Pace::default();
            search.round(now, |finding| {
                let pid = finding.party.process.map_or(0, |process| process.pid);
                findings.push((finding.key.0, pid, finding.party.missing));
            });
        }
        findings
    }

    #[test]
    fn names_the_one_that_was_seen_with_the_socket() {
        let fake = Fake::new();
        fake.process(5, b"master", 1, 40);
        fake.process(6, b"worker", 5, 41).open_socket(6, 3, 100);
        let places = Places::new(&[(1, Found::At { netns: 9, inode: 100 })]);
        // Nobody knows of the worker: everybody is asked. It is looked at once more later.
        assert_eq!(story(&fake, &places, &[places.sought(1, 5)]), [(1, 6, None), (1, 6, None)]);
    }

    #[test]
    fn waits_for_a_socket_to_be_accepted_and_says_when_it_is_not() {
        let fake = Fake::new();
        let places = Places::new(&[(1, Found::NotAccepted { netns: 9 }), (2, Found::Gone)]);
        let asked = [places.sought(1, 5), places.sought(2, 5)];
        let missing = Some("not_accepted_or_closed");
        assert_eq!(story(&fake, &places, &asked), [(2, 0, missing), (1, 0, missing)]);
        assert_eq!(places.asked(1), PATIENCE.len() + 1);
    }

    #[test]
    fn says_that_a_holder_was_not_found() {
        let fake = Fake::new();
        fake.process(5, b"master", 1, 40);
        let places = Places::new(&[(1, Found::At { netns: 9, inode: 100 }), (2, Found::Unreached)]);
        let asked = [places.sought(1, 5), places.sought(2, 5)];
        let told = story(&fake, &places, &asked);
        assert_eq!(told, [(1, 0, Some("holder_not_found")), (2, 0, Some("namespace_not_reached"))]);
    }

    #[test]
    fn a_socket_that_was_handed_on_is_told_again() {
        let fake = Fake::new();
        fake.process(5, b"master", 1, 40).open_socket(5, 3, 100);
        fake.process(6, b"worker", 5, 41);
        let places = Places::new(&[(1, Found::At { netns: 9, inode: 100 })]);
        let mut search = Search::new(Owners::new(fake.roots().clone()), places.clone());
        let now = Instant::now();
        search.begin(Box::new(places.sought(1, 5)), now, false);
        let mut told = Vec::new();
        let mut pid = |finding: Finding| {
            told.push((finding.party.process.unwrap().pid, finding.party.netns, finding.last));
        };
        search.round(now, &mut pid);
        std::fs::remove_file(fake.roots().proc.join("5/fd/3")).unwrap();
        fake.open_socket(6, 3, 100);
        search.round(now + Duration::from_secs(2), &mut pid);
        assert_eq!(told, [(5, Some(9), false), (6, Some(9), true)]);
    }

    #[test]
    fn what_is_looked_for_is_bounded() {
        let fake = Fake::new();
        let places = Places::new(&[]);
        let mut search = Search::new(Owners::new(fake.roots().clone()), places.clone());
        let now = Instant::now();
        let begun = (0..2 * MOST).filter(|_| search.begin(Box::new(places.sought(1, 5)), now, true)).count();
        assert_eq!(begun, MOST);
    }
}
