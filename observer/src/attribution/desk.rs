//! Owners looked up on a thread of their own, so that the thread that empties the rings never waits for `/proc`.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use observer_core::connection::Party;
use observer_core::engine::FaceKey;

use super::holders::{Holders, Pace};
use super::owners::{Claim, Owners};

/// Sockets whose holders are still to be looked for.
const MOST_PENDING: usize = 65_536;

/// Asks for the owner of a face's local end.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which face.
    pub key: FaceKey,
    /// What the kernel programs noted.
    pub claim: Claim,
    /// The socket's inode, if who holds it now is to be found out as well.
    pub inode: Option<u64>,
}

/// Names the owner of a face's local end. A question with an inode gets two: the opener at once, and the correction
/// once the holders were looked for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which face.
    pub key: FaceKey,
    /// The owner.
    pub party: Party,
}

/// The queue of questions is full (or its thread is gone): the question was not taken and has to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Where to ask. Dropping it ends the thread once all questions are answered.
#[derive(Debug)]
pub struct Desk {
    questions: SyncSender<Question>,
}

impl Desk {
    /// Starts the thread. At most `queue` questions and `queue` answers wait; a reader that does not take its answers
    /// makes questions be refused, never memory grow.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn open(owners: Owners, queue: usize) -> io::Result<(Self, Receiver<Answer>)> {
        let (questions, asked) = sync_channel(queue);
        let (answers, answered) = sync_channel(queue);
        thread::Builder::new().name("owners".into()).spawn(move || serve(owners, &asked, &answers))?;
        Ok((Self { questions }, answered))
    }

    /// Asks without waiting.
    ///
    /// # Errors
    /// [`Busy`] if the queue is full.
    pub fn ask(&self, question: Question) -> Result<(), Busy> {
        self.questions.try_send(question).map_err(|_| Busy)
    }
}

fn serve(mut owners: Owners, asked: &Receiver<Question>, answers: &SyncSender<Answer>) {
    let mut pending: VecDeque<(FaceKey, u64, Party)> = VecDeque::new();
    let mut pace = Pace::default();
    loop {
        let now = Instant::now();
        if !pending.is_empty() && pace.wait(now).is_none() {
            let wanted: HashSet<u64> = pending.iter().map(|(_, inode, _)| *inode).collect();
            let found = Holders::scan(owners.roots(), &wanted);
            pace.spent(Instant::now(), found.took);
            for (key, inode, opener) in pending.drain(..) {
                let holders = found.by_inode.get(&inode).map_or(&[][..], Vec::as_slice);
                let party = owners.correct(opener, holders);
                if answers.send(Answer { key, party }).is_err() {
                    return;
                }
            }
        }
        let wait = if pending.is_empty() {
            Duration::from_secs(60)
        } else {
            pace.wait(now).unwrap_or(Duration::ZERO)
        };
        match asked.recv_timeout(wait) {
            Ok(question) => {
                let party = owners.caller(&question.claim);
                if let Some(inode) = question.inode.filter(|_| pending.len() < MOST_PENDING) {
                    pending.push_back((question.key, inode, party.clone()));
                }
                if answers.send(Answer { key: question.key, party }).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if pending.is_empty() => return,
            // Nobody asks any more; what is pending is still answered, at its pace.
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(pace.wait(Instant::now()).unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::boot_time::BootTime;
    use super::super::fake::Fake;
    use super::*;

    fn question(key: u64, inode: Option<u64>) -> Question {
        let claim = Claim { tgid: 5, name: b"noted".to_vec(), called_at: BootTime::now(), cgroup_id: None };
        Question { key: FaceKey(key), claim, inode }
    }

    #[test]
    fn answers_with_the_opener_and_then_with_the_holder() {
        let fake = Fake::new();
        fake.process(9, b"daemon", 1, 1).open_socket(9, 3, 100);
        let (desk, answers) = Desk::open(Owners::new(fake.roots().clone()), 16).unwrap();
        desk.ask(question(1, Some(100))).unwrap();
        let first = answers.recv().unwrap();
        assert_eq!(first.party.missing, Some("process_exited"));
        let second = answers.recv().unwrap();
        assert_eq!((second.key, second.party.process.unwrap().name.as_str()), (FaceKey(1), "daemon"));
        assert_eq!(second.party.opened_by.unwrap().pid, 5);
    }

    #[test]
    fn refuses_questions_when_answers_are_not_taken() {
        let fake = Fake::new();
        let (desk, answers) = Desk::open(Owners::new(fake.roots().clone()), 4).unwrap();
        let taken = (0..1000).filter(|key| desk.ask(question(*key, None)).is_ok()).count();
        assert!(taken < 1000, "the queue is bounded");
        drop(desk);
        assert_eq!(answers.iter().count(), taken, "every question that was taken is answered");
    }
}
