//! Finds sessions of TLS that a relay passed on: one session over two connections, or more.
//!
//! A relay passes the hellos on unchanged, and each holds 32 bytes that its sender chose at random. Who repeats a ClientHello
//! to another connection gets another answer; the same two values on two connections are one session that somebody passed
//! on. The ClientHello passes the connection nearest to the client first, the answer that nearest to the server.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::engine::FaceKey;
use crate::order::Order;
use crate::time::Timestamp;

/// How long a ClientHello is remembered that was not answered: a relay may have to dial first.
const LIFE: Duration = Duration::from_secs(10);
/// ClientHellos remembered at one time; the oldest goes for a new one.
const MOST: usize = 8192;
/// Faces that are remembered with one ClientHello.
const ASKED: usize = 16;

type Random = [u8; 32];

/// ClientHellos that were not answered yet on every connection that showed them.
#[derive(Debug)]
pub(super) struct Sessions {
    waiting: Order<Session, usize, 1>,
    by_random: HashMap<Random, u32, RandomState>,
    forgotten: u64,
}

#[derive(Debug)]
struct Session {
    random: Random,
    since: Timestamp,
    /// Faces that showed the ClientHello, in that order; one of each connection.
    asked: Vec<FaceKey>,
    /// Those that showed an answer, in that order.
    answered: Vec<(FaceKey, Random)>,
}

/// What an answer shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No other connection showed the ClientHello.
    Alone,
    /// The same answer passed this connection before.
    PassedOn(FaceKey),
    /// These showed the same ClientHello and another answer, or asked before this one and were answered before it.
    Another(Vec<FaceKey>),
}

impl Default for Sessions {
    fn default() -> Self {
        Self { waiting: Order::new(), by_random: HashMap::default(), forgotten: 0 }
    }
}

impl Sessions {
    /// ClientHellos that had to go for others before their time was up.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A face showed a ClientHello. True if another connection did so before; `connection` says of which one a face is.
    pub(super) fn asked(
        &mut self,
        key: FaceKey,
        random: Random,
        now: Timestamp,
        connection: impl Fn(FaceKey) -> Option<u32>,
    ) -> bool {
        self.make_room(now);
        let Some(session) = self.by_random.get(&random).and_then(|index| self.waiting.value(*index)) else {
            let session = Session { random, since: now, asked: vec![key], answered: Vec::new() };
            self.by_random.insert(random, self.waiting.insert(session, 0));
            return false;
        };
        let own = connection(key);
        if session.asked.len() == ASKED || session.asked.iter().any(|other| connection(*other) == own) {
            return false;
        }
        session.asked.push(key);
        session.asked.iter().any(|other| *other != key && connection(*other).is_some())
    }

    /// A face showed the answer to a ClientHello. Most often nothing else did, and nothing is kept.
    pub(super) fn answered(
        &mut self,
        key: FaceKey,
        [asked, answer]: [Random; 2],
        connection: impl Fn(FaceKey) -> Option<u32>,
    ) -> Answer {
        let Some(&index) = self.by_random.get(&asked) else { return Answer::Alone };
        let Some(session) = self.waiting.value(index) else { return Answer::Alone };
        let own = connection(key);
        let is_own = |other: FaceKey| connection(other) == own;
        if !session.asked.iter().copied().any(is_own)
            || session.answered.iter().any(|(other, _)| is_own(*other))
        {
            return Answer::Alone;
        }
        // What is passed on was asked here before it was asked there.
        let own_place = session.asked.iter().position(|other| is_own(*other));
        let was_asked_later = |other: FaceKey| session.asked.iter().position(|it| *it == other) > own_place;
        let others: Vec<_> =
            session.answered.iter().copied().filter(|(other, _)| connection(*other).is_some()).collect();
        let before = others.iter().rev().find(|(other, same)| *same == answer && was_asked_later(*other));
        let before = before.map(|(before, _)| *before);
        session.answered.push((key, answer));
        if session.answered.len() == session.asked.len() {
            self.by_random.remove(&asked);
            self.waiting.remove(index);
        }
        match before {
            Some(before) => Answer::PassedOn(before),
            None if others.is_empty() => Answer::Alone,
            None => Answer::Another(others.into_iter().map(|(other, _)| other).collect()),
        }
    }

    fn make_room(&mut self, now: Timestamp) {
        while let Some(index) = self.waiting.oldest(0)
            && let Some(session) = self.waiting.get(index)
        {
            let is_old = now.since(session.since) > LIFE;
            if !is_old && self.waiting.len() < MOST {
                break;
            }
            self.forgotten += u64::from(!is_old);
            self.by_random.remove(&session.random);
            self.waiting.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Face 1 and 2 are of one connection, any other is of its own.
    fn connection(key: FaceKey) -> Option<u32> {
        Some(if key.0 == 2 { 1 } else { u32::try_from(key.0).unwrap() })
    }

    fn asked(sessions: &mut Sessions, key: u64, random: u8, second: u64) -> bool {
        sessions.asked(FaceKey(key), [random; 32], Timestamp(second * 1_000_000_000), connection)
    }

    fn answered(sessions: &mut Sessions, key: u64, random: u8, answer: u8) -> Answer {
        sessions.answered(FaceKey(key), [[random; 32], [answer; 32]], connection)
    }

    #[test]
    fn a_session_of_one_connection_leaves_nothing_behind() {
        let mut sessions = Sessions::default();
        assert!(!asked(&mut sessions, 1, 7, 0));
        assert!(!asked(&mut sessions, 2, 7, 0), "its other end");
        assert_eq!(answered(&mut sessions, 1, 7, 8), Answer::Alone);
        assert_eq!(answered(&mut sessions, 2, 7, 8), Answer::Alone);
        assert_eq!((sessions.waiting.len(), sessions.by_random.len()), (0, 0));
    }

    #[test]
    fn the_same_answer_on_a_second_connection_is_the_session_passed_on() {
        let mut sessions = Sessions::default();
        assert!(!asked(&mut sessions, 1, 7, 0));
        assert!(asked(&mut sessions, 3, 7, 0));
        assert!(asked(&mut sessions, 4, 7, 0));
        assert_eq!(answered(&mut sessions, 4, 7, 8), Answer::Alone);
        assert_eq!(answered(&mut sessions, 3, 7, 8), Answer::PassedOn(FaceKey(4)));
        assert_eq!(answered(&mut sessions, 1, 7, 8), Answer::PassedOn(FaceKey(3)), "from relay to relay");
        assert_eq!((sessions.waiting.len(), sessions.by_random.len()), (0, 0));
    }

    #[test]
    fn a_clienthello_that_was_repeated_gets_another_answer() {
        let mut sessions = Sessions::default();
        asked(&mut sessions, 1, 7, 0);
        asked(&mut sessions, 3, 7, 0);
        assert_eq!(answered(&mut sessions, 1, 7, 8), Answer::Alone);
        assert_eq!(answered(&mut sessions, 3, 7, 9), Answer::Another(vec![FaceKey(1)]));
    }

    #[test]
    fn who_asked_first_and_was_answered_first_passed_nothing_on() {
        let mut sessions = Sessions::default();
        asked(&mut sessions, 1, 7, 0);
        asked(&mut sessions, 3, 7, 0);
        assert_eq!(answered(&mut sessions, 1, 7, 8), Answer::Alone);
        assert_eq!(answered(&mut sessions, 3, 7, 8), Answer::Another(vec![FaceKey(1)]));
    }

    #[test]
    fn an_answer_to_a_clienthello_that_was_not_seen_there_joins_nothing() {
        let mut sessions = Sessions::default();
        asked(&mut sessions, 1, 7, 0);
        asked(&mut sessions, 3, 7, 0);
        assert_eq!(answered(&mut sessions, 1, 7, 8), Answer::Alone);
        assert_eq!(answered(&mut sessions, 5, 7, 8), Answer::Alone);
    }

    #[test]
    fn what_is_never_answered_is_bounded_by_time_and_number() {
        let mut sessions = Sessions::default();
        asked(&mut sessions, 1, 7, 0);
        assert!(!asked(&mut sessions, 3, 7, 20), "too long ago");
        for key in 0..20_000_u64 {
            let mut random = [0; 32];
            random[..8].copy_from_slice(&key.to_be_bytes());
            sessions.asked(FaceKey(key + 10), random, Timestamp(20_000_000_000), connection);
        }
        assert_eq!((sessions.waiting.len(), sessions.by_random.len()), (MOST, MOST));
        assert_eq!(sessions.forgotten(), 20_001 - u64::try_from(MOST).unwrap());
        for key in 0..100 {
            asked(&mut sessions, 100_000 + key, 9, 20);
        }
        let index = sessions.by_random[&[9; 32]];
        assert_eq!(sessions.waiting.get(index).unwrap().asked.len(), ASKED);
    }
}
