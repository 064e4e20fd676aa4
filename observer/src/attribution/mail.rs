//! Letters to a thread, posted by the handful: it is woken once for all of them. A thread that is woken for each of a
//! thousand letters a second costs the node more than what it does with them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Nobody posts any more and nothing is left; or nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over;

/// Makes a mailbox with room for so many letters.
pub(super) fn mail<T>(most: usize) -> (Post<T>, Mailbox<T>) {
    let open = Open { letters: VecDeque::new(), posts: 1, read: true, waiting: 0 };
    let shared =
        Arc::new(Shared { open: Mutex::new(open), came: Condvar::new(), room: Condvar::new(), most });
    (Post(Arc::clone(&shared)), Mailbox(shared))
}

#[derive(Debug)]
struct Shared<T> {
    open: Mutex<Open<T>>,
    came: Condvar,
    room: Condvar,
    most: usize,
}

#[derive(Debug)]
struct Open<T> {
    letters: VecDeque<T>,
    /// Who may post.
    posts: usize,
    /// Whether somebody reads.
    read: bool,
    /// How many wait for room.
    waiting: usize,
}

impl<T> Shared<T> {
    /// What a panic of the other thread left is whole: nothing is done by halves under the lock.
    fn open(&self) -> MutexGuard<'_, Open<T>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, open: &mut Open<T>, letters: &mut VecDeque<T>) {
        let room = self.most.saturating_sub(open.letters.len()).min(letters.len());
        if room > 0 && open.letters.is_empty() {
            self.came.notify_one();
        }
        open.letters.extend(letters.drain(..room));
    }
}

/// Where letters are posted.
#[derive(Debug)]
pub(super) struct Post<T>(Arc<Shared<T>>);

impl<T> Post<T> {
    /// Posts what there is room for at once, from the front; the rest stays.
    pub(super) fn offer(&self, letters: &mut VecDeque<T>) {
        if !letters.is_empty() {
            self.0.put(&mut self.0.open(), letters);
        }
    }

    /// Posts all of them, whatever room there is: nothing follows them.
    pub(super) fn post_last(&self, letters: &mut VecDeque<T>) {
        self.0.open().letters.append(letters);
        self.0.came.notify_one();
    }

    /// Posts all of them, and waits for room where there is none.
    ///
    /// # Errors
    /// [`Over`] if nobody reads any more; what was not posted stays.
    pub(super) fn send(&self, letters: &mut VecDeque<T>) -> Result<(), Over> {
        let mut open = self.0.open();
        while !letters.is_empty() {
            if !open.read {
                return Err(Over);
            }
            self.0.put(&mut open, letters);
            if !letters.is_empty() {
                open.waiting += 1;
                open = self.0.room.wait(open).unwrap_or_else(PoisonError::into_inner);
                open.waiting -= 1;
            }
        }
        Ok(())
    }
}

impl<T> Drop for Post<T> {
    fn drop(&mut self) {
        self.0.open().posts -= 1;
        self.0.came.notify_one();
    }
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        self.0.open().posts += 1;
        Self(Arc::clone(&self.0))
    }
}

/// Where letters arrive.
#[derive(Debug)]
pub(super) struct Mailbox<T>(Arc<Shared<T>>);

impl<T> Mailbox<T> {
    /// Takes all letters, and waits for the first one if there is none: until `wait` is over, for ever without it.
    ///
    /// # Errors
    /// [`Over`] if there is none and nobody is left who could post one.
    pub(super) fn take(&self, into: &mut VecDeque<T>, wait: Option<Duration>) -> Result<(), Over> {
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        let mut open = self.0.open();
        while open.letters.is_empty() {
            if open.posts == 0 {
                return Err(Over);
            }
            open = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.0.came.wait(open).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Ok(()),
                Some(left) => self.0.came.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        into.append(&mut open.letters);
        if open.waiting > 0 {
            self.0.room.notify_all();
        }
        Ok(())
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        self.0.open().read = false;
        self.0.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_it_has_room_for() {
        let (post, mailbox) = mail(3);
        let mut letters: VecDeque<u32> = (0..5).collect();
        post.offer(&mut letters);
        assert_eq!(letters, [3, 4]);
        let mut taken = VecDeque::new();
        mailbox.take(&mut taken, None).unwrap();
        post.offer(&mut letters);
        mailbox.take(&mut taken, None).unwrap();
        assert_eq!(taken, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_sender_waits_for_room() {
        let (post, mailbox) = mail(2);
        let sender = std::thread::spawn(move || post.send(&mut (0..100).collect()));
        let mut taken = VecDeque::new();
        while mailbox.take(&mut taken, None).is_ok() {}
        assert_eq!(taken, (0..100).collect::<VecDeque<u32>>());
        assert_eq!(sender.join().unwrap(), Ok(()));
    }

    #[test]
    fn both_sides_learn_that_the_other_is_gone() {
        let (post, mailbox) = mail(2);
        let other = post.clone();
        drop(post);
        assert_eq!(mailbox.take(&mut VecDeque::new(), Some(Duration::ZERO)), Ok(()));
        other.offer(&mut [7].into());
        drop(other);
        let mut taken = VecDeque::new();
        assert_eq!((mailbox.take(&mut taken, None), taken.pop_front()), (Ok(()), Some(7)));
        assert_eq!(mailbox.take(&mut taken, None), Err(Over));
        let (post, mailbox) = mail(1);
        let sender = std::thread::spawn(move || post.send(&mut [1, 2].into()));
        drop(mailbox);
        assert_eq!(sender.join().unwrap(), Err(Over));
    }
}
