//! Owners looked up on threads of their own, so that the thread that empties the rings never waits for `/proc`.
//!
//! One thread answers at once what can be read at once: who called, who let go. It hands sockets whose holder is not
//! certain to a second one, which searches (`search`). A connection that is over before it was handed on costs no search:
//! the kernel programs tell who let go of it.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use observer_core::connection::Party;
use observer_core::engine::FaceKey;
use observer_core::party::NOT_YET;

use super::boot_time::BootTime;
use super::mail::{Mailbox, Over, Post, mail};
use super::owners::{Claim, Owners};
use super::search::{Finding, Search};
use super::sought::{Sockets, Sought};

/// Sockets whose search is under way at most.
const MOST: usize = 16_384;
/// Room that is kept for young sockets when there are none.
const FEW: usize = 1024;
/// How long a connection has to live to be searched for, where many are opened.
const GROWN: Duration = Duration::from_millis(20);
/// How many are searched for at once whatever their age: one in this time, and a burst of them.
const EACH: Duration = Duration::from_millis(20);
const BURST: Duration = Duration::from_millis(640);

/// How often those that have grown are handed on at most.
const TURN: Duration = Duration::from_millis(5);

/// Questions that are kept back at most.
const HANDFUL: usize = 256;

/// How long a process may have lived that had a socket but for a moment: from its fork to the end of its `execve`, on a
/// machine that has much else to do.
const MOMENT: Duration = Duration::from_secs(1);
/// How long it waits for the kernel programs to tell who accepted before it searches: until the next reading of the rings.
const SOON: Duration = Duration::from_millis(4);

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
        /// Who accepted it, if that was seen.
        holder: Option<Claim>,
        /// The socket, if it is known which one it is.
        socket: Option<Box<Sought>>,
    },
    /// It was seen who accepted it.
    Accepted {
        /// Which face.
        key: FaceKey,
        /// Who.
        claim: Claim,
    },
    /// Its last holder let go of it.
    Released {
        /// Which face.
        key: FaceKey,
        /// The holder.
        claim: Claim,
        /// The one thread group that was seen sending.
        sender: Option<u32>,
    },
}

/// What was found of the owner of a face's local end.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Who opened it.
    Opened(FaceKey, Box<Party>),
    /// Who holds it now, or why that is not known.
    Holder(FaceKey, Box<Party>),
    /// Who held it last, and from whom it inherited the socket if it had it but for a moment.
    Released(FaceKey, Box<Party>, Option<u32>),
}

/// The queue of questions is full (or its thread is gone): the question was not taken and has to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// What the thread that answers at once is told.
#[derive(Debug)]
enum Letter {
    Asked(Question),
    /// A connection is over: nobody asks any more who holds its socket.
    Over(FaceKey),
    Found(Finding),
    /// Nobody asks any more.
    Last,
}

/// Where to ask. Dropping it ends the threads once all questions are answered.
#[derive(Debug)]
pub struct Desk {
    /// What was asked since the last [`Desk::post`].
    asked: VecDeque<Letter>,
    letters: Post<Letter>,
    /// Questions that were asked and not answered.
    open: Arc<AtomicUsize>,
    most: usize,
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
        // Room for all questions, for as many findings, and for the last letter.
        let (letters, mailbox) = mail(2 * queue + 1);
        let (answers, answered) = bounded(queue);
        let (searches, sought) = mail(queue);
        let open = Arc::new(AtomicUsize::new(0));
        let not_searched = Arc::new(AtomicU64::new(0));
        let search = Search::new(owners(), sockets());
        let (findings, counter) = (letters.clone(), Arc::clone(&not_searched));
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
            soon: VecDeque::new(),
            young: VecDeque::new(),
            grown: VecDeque::new(),
            next: Instant::now(),
            open: Arc::clone(&open),
            not_searched: Arc::clone(&not_searched),
        };
        thread::Builder::new().name("owners".into()).spawn(move || clerk.serve(&mailbox))?;
        Ok((Self { asked: VecDeque::new(), letters, open, most: queue, not_searched }, answered))
    }

    /// Takes a question, which is asked with the next [`Desk::post`].
    ///
    /// # Errors
    /// [`Busy`] if too many wait for their answer.
    pub fn ask(&mut self, question: Question) -> Result<(), Busy> {
        if self.open.load(Ordering::Relaxed) >= self.most {
            return Err(Busy);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        self.asked.push_back(Letter::Asked(question));
        if self.asked.len() >= HANDFUL {
            self.post();
        }
        Ok(())
    }

    /// A connection is over, and who holds its socket is no longer wanted. If this is not taken, the search finds out.
    pub fn over(&mut self, key: FaceKey) {
        if self.asked.len() < self.most {
            self.asked.push_back(Letter::Over(key));
        }
    }

    /// Asks what was taken, without waiting.
    pub fn post(&mut self) {
        self.letters.offer(&mut self.asked);
    }

    /// Sockets whose holder was not searched for, because too many were.
    #[must_use]
    pub fn not_searched(&self) -> u64 {
        self.not_searched.load(Ordering::Relaxed)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.asked.push_back(Letter::Last);
        self.letters.post_last(&mut self.asked);
    }
}

/// The thread that answers at once.
struct Clerk<S> {
    owners: Owners,
    sockets: S,
    answers: Sender<Answer>,
    searches: Post<(Box<Sought>, bool)>,
    /// Faces whose holder is searched for, or is to be; what is found of others comes too late.
    under_way: HashSet<FaceKey>,
    /// Sockets that are searched for unless their holder is told at once.
    soon: VecDeque<(Instant, Box<Sought>)>,
    /// Sockets that are searched for when they have grown, and whether each was accepted.
    young: VecDeque<(Instant, Box<Sought>, bool)>,
    /// Those that are searched for from the next post on.
    grown: VecDeque<(Box<Sought>, bool)>,
    /// When the next one may be searched for at once, less the burst.
    next: Instant,
    open: Arc<AtomicUsize>,
    not_searched: Arc<AtomicU64>,
}

impl<S: Sockets> Clerk<S> {
    fn serve(mut self, mailbox: &Mailbox<Letter>) {
        let mut letters = VecDeque::new();
        loop {
            if mailbox.take(&mut letters, self.wait(Instant::now())).is_err() {
                return;
            }
            for letter in letters.drain(..) {
                let done = match letter {
                    Letter::Asked(question) => {
                        let done = self.answer(question);
                        self.open.fetch_sub(1, Ordering::Relaxed);
                        done
                    }
                    Letter::Over(key) => {
                        self.under_way.remove(&key);
                        Ok(())
                    }
                    Letter::Found(finding) => self.found(finding),
                    Letter::Last => Err(Over),
                };
                if done.is_err() {
                    return;
                }
            }
            self.grow(Instant::now());
            self.hand_over();
        }
    }

    /// How long nothing is due. Those that are due within the next moments are handed on together.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let soon = self.soon.front().map(|(due, _)| due.saturating_duration_since(now));
        let young = self.young.front().map(|(due, _, _)| due.saturating_duration_since(now).max(TURN));
        soon.into_iter().chain(young).min()
    }

    fn answer(&mut self, question: Question) -> Result<(), Over> {
        match question {
            Question::Opened { key, claim, accepted, space, holder, socket } => {
                if let Some(claim) = claim {
                    let party = self.opened(&claim, accepted, space);
                    self.answers.send(Answer::Opened(key, Box::new(party))).map_err(|_| Over)?;
                }
                let seen = holder.map_or(Ok(false), |claim| self.accepted(key, &claim))?;
                if let Some(socket) = socket {
                    self.search(socket, accepted, seen, Instant::now());
                }
                Ok(())
            }
            Question::Accepted { key, claim } => {
                if self.accepted(key, &claim)?
                    && let Some(at) = self.soon.iter().position(|(_, socket)| socket.key == key)
                    && let Some((due, socket)) = self.soon.remove(at)
                {
                    self.young.push_back((due + GROWN, socket, true));
                }
                Ok(())
            }
            Question::Released { key, claim, sender } => {
                self.under_way.remove(&key);
                let mut party = self.owners.caller(&claim);
                if party.missing == Some("kernel_thread") {
                    // It let go on behalf of somebody: nothing new.
                    party = Party::default();
                }
                party.netns = None;
                let heir_of = sender.filter(|sender| self.inherited(&party, &claim, *sender));
                self.answers.send(Answer::Released(key, Box::new(party), heir_of)).map_err(|_| Over)
            }
        }
    }

    /// Tells who accepted a socket; whether that one is known.
    fn accepted(&mut self, key: FaceKey, claim: &Claim) -> Result<bool, Over> {
        let party = Party { netns: None, ..self.owners.caller(claim) };
        let is_known = party.process.is_some() && party.missing != Some("kernel_thread");
        if is_known {
            self.answers.send(Answer::Holder(key, Box::new(party))).map_err(|_| Over)?;
        }
        Ok(is_known)
    }

    /// Whether a last holder came by the socket only because it was forked: a child has all of its parent's until it becomes
    /// another program or ends. Another process, which still lives, is the only one that was seen sending; and this one is
    /// gone, or has lived but for a moment.
    fn inherited(&mut self, last: &Party, claim: &Claim, sender: u32) -> bool {
        if sender == claim.tgid {
            return false;
        }
        let lived = last.process.as_ref().and_then(|process| process.start_ticks).map(|start| {
            Duration::from_nanos(claim.called_at.0.saturating_sub(BootTime::from_start_ticks(start).0))
        });
        let briefly = lived.map_or(last.missing == Some("process_exited"), |lived| lived < MOMENT);
        briefly
            && self
                .owners
                .caller(&Claim { tgid: sender, called_at: claim.called_at, ..Claim::default() })
                .missing
                .is_none()
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

    /// The holder of a socket is wanted. Who dialled holds it certainly at first; who was `seen` accepting does so for a
    /// moment, and may have been on its way to become another program.
    fn search(&mut self, socket: Box<Sought>, accepted: bool, seen: bool, now: Instant) {
        if self.under_way.len() >= MOST {
            self.not_searched.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.under_way.insert(socket.key);
        if accepted && !seen && self.next <= now + BURST {
            self.next = self.next.max(now) + EACH;
            self.soon.push_back((now + SOON, socket));
        } else {
            self.young.push_back((now + GROWN, socket, accepted));
        }
    }

    /// Hands on what has grown and is still open.
    fn grow(&mut self, now: Instant) {
        while let Some((due, _)) = self.soon.front()
            && *due <= now
            && let Some((_, socket)) = self.soon.pop_front()
        {
            if self.under_way.contains(&socket.key) {
                self.grown.push_back((socket, false));
            }
        }
        while let Some((due, _, _)) = self.young.front()
            && *due <= now
            && let Some((_, socket, accepted)) = self.young.pop_front()
        {
            if self.under_way.contains(&socket.key) {
                self.grown.push_back((socket, !accepted));
            }
        }
        if self.young.is_empty() {
            self.young.shrink_to(FEW);
        }
    }

    fn hand_over(&mut self) {
        self.searches.offer(&mut self.grown);
        for (socket, _) in self.grown.drain(..) {
            self.under_way.remove(&socket.key);
            self.not_searched.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn found(&mut self, finding: Finding) -> Result<(), Over> {
        if !self.under_way.contains(&finding.key) {
            return Ok(());
        }
        if finding.last {
            self.under_way.remove(&finding.key);
            if self.under_way.is_empty() {
                self.under_way.shrink_to(FEW);
            }
        }
        self.answers.send(Answer::Holder(finding.key, finding.party)).map_err(|_| Over)
    }
}

/// The thread that searches.
fn seek<S: Sockets>(
    mut search: Search<S>,
    sought: &Mailbox<(Box<Sought>, bool)>,
    letters: &Post<Letter>,
    not_searched: &AtomicU64,
) {
    let (mut sockets, mut findings) = (VecDeque::new(), VecDeque::new());
    loop {
        // Whatever comes meanwhile waits: to be woken by each of them costs as well.
        if let Some(rest) = search.rest(Instant::now()) {
            thread::sleep(rest);
        }
        if sought.take(&mut sockets, search.wait(Instant::now())).is_err() {
            return;
        }
        for (socket, held) in sockets.drain(..) {
            let key = socket.key;
            if !search.begin(socket, Instant::now(), held) {
                not_searched.fetch_add(1, Ordering::Relaxed);
                findings.push_back(Letter::Found(Finding { key, party: Box::default(), last: true }));
            }
        }
        search.round(Instant::now(), |finding| findings.push_back(Letter::Found(finding)));
        if letters.send(&mut findings).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
