//! Owners looked up on threads of their own, so that the thread that empties the rings never waits for `/proc`.
//!
//! One thread answers at once what can be read at once: who called, who let go. It hands sockets whose holder is not
//! certain to a second one, which searches (`search`). A connection that is over before it was handed on costs no search:
//! the kernel programs tell who let go of it.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use observer_core::connection::Party;
use observer_core::engine::FaceKey;

use super::owners::{Claim, Owners};
use super::search::{Finding, Search};
use super::sought::{Sockets, Sought};

/// Sockets whose search is under way at most.
const MOST: usize = 16_384;
/// How long a connection has to live to be searched for, where many are opened.
const GROWN: Duration = Duration::from_millis(20);
/// How many are searched for at once whatever their age: one in this time, and a burst of them.
const EACH: Duration = Duration::from_millis(5);
const BURST: Duration = Duration::from_millis(160);

/// How long it waits where nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Why the holder of an accepted socket is missing until it was looked for: no hook sees `accept`.
pub const NOT_YET: &str = "holder_not_known_yet";

/// Something to find out about the owner of a face's local end.
#[derive(Clone, Debug)]
pub enum Question {
    /// It became known.
    Opened {
        /// Which face.
        key: FaceKey,
        /// Who dialled, or bound the listener, as far as the kernel programs noted it.
        claim: Option<Claim>,
        /// Whether it was accepted: then whoever bound the listener need not hold it.
        accepted: bool,
        /// Cookie of its network namespace, where the kernel says.
        space: Option<u64>,
        /// The socket, if it is known which one it is.
        socket: Option<Box<Sought>>,
    },
    /// Its last holder let go of it.
    Released {
        /// Which face.
        key: FaceKey,
        /// The holder.
        claim: Claim,
    },
}

/// What was found of the owner of a face's local end.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Who opened it.
    Opened(FaceKey, Party),
    /// Who holds it now, or why that is not known.
    Holder(FaceKey, Party),
    /// Who held it last.
    Released(FaceKey, Party),
}

/// The queue of questions is full (or its thread is gone): the question was not taken and has to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Where to ask. Dropping it ends the threads once all questions are answered.
#[derive(Debug)]
pub struct Desk {
    questions: Sender<Question>,
    not_searched: Arc<AtomicU64>,
}

impl Desk {
    /// Starts the threads. At most `queue` questions and `queue` answers wait; a reader that does not take its answers
    /// makes questions be refused, never memory grow. `owners` and `sockets` make one of each for each thread.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn open<S: Sockets>(
        owners: impl Fn() -> Owners,
        sockets: impl Fn() -> S,
        queue: usize,
    ) -> io::Result<(Self, Receiver<Answer>)> {
        let (questions, asked) = bounded(queue);
        let (answers, answered) = bounded(queue);
        let (searches, sought) = bounded(queue);
        let (findings, found) = bounded(queue);
        let not_searched = Arc::new(AtomicU64::new(0));
        let search = Search::new(owners(), sockets());
        let counter = Arc::clone(&not_searched);
        thread::Builder::new().name("holders".into()).spawn(move || {
            let _ = rustix::process::setpriority_process(None, 5);
            seek(search, &sought, &findings, &counter);
        })?;
        let clerk = Clerk {
            owners: owners(),
            sockets: sockets(),
            answers,
            searches,
            under_way: HashSet::new(),
            young: VecDeque::new(),
            next: Instant::now(),
            not_searched: Arc::clone(&not_searched),
        };
        thread::Builder::new().name("owners".into()).spawn(move || clerk.serve(&asked, &found))?;
        Ok((Self { questions, not_searched }, answered))
    }

    /// Asks without waiting.
    ///
    /// # Errors
    /// [`Busy`] if the queue is full.
    pub fn ask(&self, question: Question) -> Result<(), Busy> {
        self.questions.try_send(question).map_err(|_| Busy)
    }

    /// Sockets whose holder was not searched for, because too many were.
    #[must_use]
    pub fn not_searched(&self) -> u64 {
        self.not_searched.load(Ordering::Relaxed)
    }
}

/// The thread that answers at once.
struct Clerk<S> {
    owners: Owners,
    sockets: S,
    answers: Sender<Answer>,
    searches: Sender<(Sought, bool)>,
    /// Faces whose holder is searched for, or is to be; what is found of others comes too late.
    under_way: HashSet<FaceKey>,
    /// Sockets that are searched for when they have grown.
    young: VecDeque<(Instant, Sought, bool)>,
    /// When the next one may be searched for at once, less the burst.
    next: Instant,
    not_searched: Arc<AtomicU64>,
}

/// Nobody takes answers any more.
struct Over;

impl<S: Sockets> Clerk<S> {
    fn serve(mut self, asked: &Receiver<Question>, found: &Receiver<Finding>) {
        loop {
            let due = self.young.front().map(|(due, _, _)| due.saturating_duration_since(Instant::now()));
            let done = select! {
                recv(asked) -> question => match question {
                    Ok(question) => self.answer(question),
                    Err(_) => return,
                },
                recv(found) -> finding => finding.map_or(Err(Over), |finding| self.found(finding)),
                default(due.unwrap_or(IDLE)) => Ok(()),
            };
            if done.is_err() {
                return;
            }
            self.grow(Instant::now());
        }
    }

    fn answer(&mut self, question: Question) -> Result<(), Over> {
        match question {
            Question::Opened { key, claim, accepted, space, socket } => {
                if let Some(claim) = claim {
                    let party = self.opened(&claim, accepted, space);
                    self.answers.send(Answer::Opened(key, party)).map_err(|_| Over)?;
                }
                if let Some(socket) = socket {
                    self.search(*socket, accepted, Instant::now());
                }
                Ok(())
            }
            Question::Released { key, claim } => {
                self.under_way.remove(&key);
                let mut party = self.owners.caller(&claim);
                if party.missing == Some("kernel_thread") {
                    // It let go on behalf of somebody: nothing new.
                    party = Party::default();
                }
                party.netns = None;
                self.answers.send(Answer::Released(key, party)).map_err(|_| Over)
            }
        }
    }

    fn opened(&mut self, claim: &Claim, accepted: bool, space: Option<u64>) -> Party {
        let mut party = self.owners.caller(claim);
        // The socket's namespace, which its process may have left, or never been in but for one thread.
        if let Some(space) = space {
            party.netns = self.sockets.netns(space, claim.tgid);
        }
        if !accepted {
            return party;
        }
        let Party { process: opened_by, netns, component, pod, node, .. } = party;
        // What part of the control plane opened it, and in which pod, is so whoever accepts; the rest is the holder's.
        Party { opened_by, netns, component, pod, node, missing: Some(NOT_YET), ..Party::default() }
    }

    /// The holder of a socket is wanted. Who dialled holds it certainly at first.
    fn search(&mut self, socket: Sought, accepted: bool, now: Instant) {
        if self.under_way.len() >= MOST {
            self.not_searched.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.under_way.insert(socket.key);
        let at_once = accepted && self.next <= now + BURST;
        if at_once {
            self.next = self.next.max(now) + EACH;
            self.hand_over(socket, false);
        } else {
            self.young.push_back((now + GROWN, socket, accepted));
        }
    }

    /// Hands on what has grown and is still open.
    fn grow(&mut self, now: Instant) {
        while let Some((due, _, _)) = self.young.front()
            && *due <= now
            && let Some((_, socket, accepted)) = self.young.pop_front()
        {
            if self.under_way.contains(&socket.key) {
                self.hand_over(socket, !accepted);
            }
        }
    }

    fn hand_over(&mut self, socket: Sought, held: bool) {
        let key = socket.key;
        if self.searches.try_send((socket, held)).is_err() {
            self.under_way.remove(&key);
            self.not_searched.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn found(&mut self, finding: Finding) -> Result<(), Over> {
        if !self.under_way.contains(&finding.key) {
            return Ok(());
        }
        if finding.last {
            self.under_way.remove(&finding.key);
        }
        self.answers.send(Answer::Holder(finding.key, finding.party)).map_err(|_| Over)
    }
}

/// The thread that searches.
fn seek<S: Sockets>(
    mut search: Search<S>,
    sought: &Receiver<(Sought, bool)>,
    findings: &Sender<Finding>,
    not_searched: &AtomicU64,
) {
    let begin = |search: &mut Search<S>, (socket, held): (Sought, bool)| {
        let key = socket.key;
        if !search.begin(socket, Instant::now(), held) {
            not_searched.fetch_add(1, Ordering::Relaxed);
            let _ = findings.send(Finding { key, party: Party::default(), last: true });
        }
    };
    loop {
        let next = match search.wait(Instant::now()) {
            Some(wait) => sought.recv_timeout(wait),
            None => sought.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(first) => {
                begin(&mut search, first);
                sought.try_iter().for_each(|next| begin(&mut search, next));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let mut over = false;
        search.round(Instant::now(), |finding| over |= findings.send(finding).is_err());
        if over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::boot_time::BootTime;
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
        let (desk, answers) = open(&fake, &places);
        desk.ask(opened(1, true, Some(places.sought(1, 5)))).unwrap();
        let Answer::Opened(FaceKey(1), mut party) = answers.recv().unwrap() else { panic!("no opener") };
        assert_eq!((pid(&party), party.netns, party.missing), (0, Some(4001), Some(NOT_YET)));
        let Answer::Holder(FaceKey(1), holder) = answers.recv().unwrap() else { panic!("no holder") };
        party.held_by(holder);
        assert_eq!((pid(&party), party.opened_by.unwrap().pid, party.netns), (9, 5, Some(8)));
    }

    #[test]
    fn who_dialled_holds_the_socket() {
        let fake = Fake::new();
        fake.process(5, b"curl", 1, 1);
        let (desk, answers) = open(&fake, &Places::new(&[]));
        desk.ask(opened(1, false, None)).unwrap();
        let Answer::Opened(_, party) = answers.recv().unwrap() else { panic!("no opener") };
        assert_eq!((pid(&party), party.netns, party.missing), (5, Some(4001), None));
    }

    #[test]
    fn who_let_go_last_is_the_last_word() {
        let fake = Fake::new();
        fake.process(5, b"master", 1, 1).open_socket(5, 3, 100).process(9, b"worker", 5, 1);
        let places = Places::new(&[(1, Found::At { netns: 8, inode: 100 })]);
        let (desk, answers) = open(&fake, &places);
        desk.ask(opened(1, true, Some(places.sought(1, 5)))).unwrap();
        desk.ask(Question::Released { key: FaceKey(1), claim: Claim { name: Vec::new(), ..claim(9) } })
            .unwrap();
        drop(desk);
        let holders: Vec<u32> = answers
            .iter()
            .filter_map(|answer| match answer {
                Answer::Holder(_, party) | Answer::Released(_, party) => Some(pid(&party)),
                Answer::Opened(..) => None,
            })
            .collect();
        assert_eq!(holders.last(), Some(&9), "{holders:?}");
    }

    #[test]
    fn a_flood_of_short_connections_is_not_searched_for() {
        let fake = Fake::new();
        let places = Places::new(&[]);
        let (desk, answers) =
            Desk::open(|| Owners::new(fake.roots().clone()), || places.clone(), 16_384).unwrap();
        let flood = 4000;
        for key in 0..flood {
            let places = Places::new(&[]);
            desk.ask(opened(key, true, Some(places.sought(key, 5)))).unwrap();
            desk.ask(Question::Released { key: FaceKey(key), claim: claim(5) }).unwrap();
        }
        drop(desk);
        assert_eq!(answers.iter().filter(|it| matches!(it, Answer::Opened(..))).count() as u64, flood);
    }

    #[test]
    fn refuses_questions_when_answers_are_not_taken() {
        let fake = Fake::new();
        let (desk, answers) = open(&fake, &Places::new(&[]));
        let taken = (0..1000).filter(|key| desk.ask(opened(*key, true, None)).is_ok()).count();
        assert!(taken < 1000, "the queue is bounded");
        drop(desk);
        assert_eq!(answers.iter().count(), taken, "every question that was taken is answered");
    }
}
