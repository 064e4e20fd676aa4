//! The objects that one connection's requests were for.

use std::time::Duration;

use super::Forwarded;
use super::object::Object;
use crate::protocol::http::Request;
use crate::time::Timestamp;

/// Objects of one connection that are told apart. An API server keeps one connection for one address, so what they differ in
/// is the kind, the name of a service, and how the port is written.
const MOST: usize = 64;
/// How long a finding that goes on rests before it is told again.
const UPDATE: Duration = Duration::from_secs(60);
/// Faces of one connection that are counted apart.
pub(crate) const FACES: usize = 4;

/// What a request that may have been proxied names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An object.
    Object(Object),
    /// Nothing: it asks to leave HTTP, and then carries no `X-Forwarded-Uri`.
    Upgrade,
}

impl Subject {
    /// What `request` names; `None` if that is no object of Kubernetes.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        if request.has_forwarded_uri {
            Object::of_uri(request.forwarded_uri.as_deref()?).map(Self::Object)
        } else {
            request.may_be_proxied().then_some(Self::Upgrade)
        }
    }

    pub(crate) const fn forwarded(&self) -> Forwarded<'_> {
        match self {
            Self::Object(object) => Forwarded::Uri(object),
            Self::Upgrade => Forwarded::Upgrade,
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Object(object) => object.held(),
            Self::Upgrade => 0,
        }
    }
}

/// What a finding told of an object's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The finding's id.
    pub(crate) id: Box<str>,
    /// When it was told last.
    pub(crate) at: Timestamp,
    /// Requests that were told.
    pub(crate) count: u64,
}

/// What was asked of one object.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) subject: Subject,
    /// When the first of its requests was read.
    pub(crate) first: Timestamp,
    /// When the last of them was.
    pub(crate) last: Timestamp,
    /// The request that shows it, until a finding has told it.
    pub(crate) shown_by: Option<Box<Request>>,
    /// What was told of it.
    pub(crate) told: Option<Box<Told>>,
    /// Requests by face: both ends of a connection on one node tell the same.
    requests: [u64; FACES],
    /// Its only request so far was found by its looks behind missing bytes, where a body may look like one.
    doubtful: bool,
}

impl Asked {
    /// Requests for it.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.iter().copied().max().unwrap_or_default()
    }

    /// Whether a finding about it is still to be raised, once it is known who dialled.
    pub(crate) const fn is_untold(&self) -> bool {
        self.shown_by.is_some() && !self.doubtful
    }

    /// Whether there is something new of a finding that was told some time before `now`.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        self.told.as_ref().is_some_and(|told| now.since(told.at) >= UPDATE && self.requests() > told.count)
    }

    fn held(&self) -> usize {
        size_of::<Self>()
            + self.told.as_ref().map_or(0, |told| size_of::<Told>() + told.id.len())
            + self.subject.held()
            + self.shown_by.as_ref().map_or(0, |request| size_of::<Request>() + request.held())
    }
}

/// The objects that one connection's requests were for, in the order of their first requests.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    asked: Vec<Asked>,
    /// Requests for objects that there was no room for.
    left_out: [u64; FACES],
}

impl Objects {
    /// Counts a request that `face` read. What it needs is taken from `room` bytes. True if its object was not told yet and
    /// may be now.
    pub(crate) fn add(
        &mut self,
        face: usize,
        subject: Subject,
        request: Box<Request>,
        time: Timestamp,
        room: usize,
    ) -> bool {
        let face = face.min(FACES - 1);
        let doubtful = request.resynchronised;
        if let Some(known) = self.asked.iter_mut().find(|known| known.subject == subject) {
            known.requests[face] += 1;
            known.first = known.first.min(time);
            known.last = known.last.max(time);
            let cleared = known.doubtful && !doubtful;
            known.doubtful &= doubtful;
            return (cleared && known.shown_by.is_some()) || known.is_stale(time);
        }
        let mut requests = [0; FACES];
        requests[face] = 1;
        let asked = Asked {
            subject,
            first: time,
            last: time,
            shown_by: Some(request),
            told: None,
            requests,
            doubtful,
        };
        if self.asked.len() == MOST || asked.held() > room {
            self.left_out[face] += 1;
            return false;
        }
        self.asked.push(asked);
        !doubtful
    }

    /// Takes in what other faces of the same connection read; they come behind `faces` that are here already.
    pub(crate) fn absorb(&mut self, other: Self, faces: usize) {
        let shifted = |counts: [u64; FACES]| {
            let mut all = [0; FACES];
            for (at, count) in counts.into_iter().enumerate() {
                all[(at + faces).min(FACES - 1)] += count;
            }
            all
        };
        let mut left_out = shifted(other.left_out);
        for asked in other.asked {
            let requests = shifted(asked.requests);
            if let Some(known) = self.asked.iter_mut().find(|known| known.subject == asked.subject) {
                sum(&mut known.requests, requests);
                known.first = known.first.min(asked.first);
                known.last = known.last.max(asked.last);
                known.doubtful &= asked.doubtful;
                if asked.shown_by.is_none() {
                    known.shown_by = None;
                }
                known.told = known.told.take().or(asked.told);
            } else if self.asked.len() < MOST {
                self.asked.push(Asked { requests, ..asked });
            } else {
                sum(&mut left_out, requests);
            }
        }
        sum(&mut self.left_out, left_out);
    }

    /// Every object.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter()
    }

    /// The object of the first request.
    pub(crate) fn first(&self) -> Option<&Asked> {
        self.asked.first()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Asked> {
        self.asked.get(index)
    }

    /// A finding has told this one.
    pub(crate) fn told(&mut self, index: usize, told: Told) {
        if let Some(asked) = self.asked.get_mut(index) {
            asked.shown_by = None;
            asked.told = Some(Box::new(told));
        }
    }

    /// Requests for objects that there was no room for.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.iter().copied().max().unwrap_or_default()
    }

    /// Bytes of heap held.
    pub(crate) fn held(&self) -> usize {
        self.asked.iter().map(Asked::held).sum()
    }
}

fn sum(counts: &mut [u64; FACES], more: [u64; FACES]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count = count.saturating_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(object: &str) -> Box<Request> {
        Box::new(Request {
            has_forwarded_uri: true,
            forwarded_uri: Some(format!("/api/v1/namespaces/default/pods/{object}/proxy/")),
            ..Request::default()
        })
    }

    fn add(objects: &mut Objects, face: usize, request: Box<Request>) -> bool {
        let subject = Subject::of(&request).unwrap();
        objects.add(face, subject, request, Timestamp(7), usize::MAX)
    }

    #[test]
    fn both_faces_tell_the_same_requests_and_the_larger_count_stands() {
        let (mut one, mut other) = (Objects::default(), Objects::default());
        for _ in 0..3 {
            add(&mut one, 0, request("web"));
        }
        for _ in 0..5 {
            add(&mut other, 0, request("web"));
        }
        add(&mut other, 0, request("db"));
        one.absorb(other, 1);
        let counts: Vec<_> = one.iter().map(Asked::requests).collect();
        assert_eq!(counts, [5, 1]);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut objects = Objects::default();
        for number in 0..100 {
            assert_eq!(add(&mut objects, 0, request(&format!("web-{number}"))), number < MOST);
        }
        assert_eq!((objects.iter().count(), objects.left_out()), (MOST, 36));
        let asked = request("more");
        let mut empty = Objects::default();
        assert!(!empty.add(0, Subject::of(&asked).unwrap(), asked, Timestamp(1), 10));
        assert_eq!((empty.held(), empty.left_out()), (0, 1));
    }

    #[test]
    fn a_request_found_by_its_looks_shows_nothing_before_another_does() {
        let mut objects = Objects::default();
        let looks = Box::new(Request { resynchronised: true, ..*request("web") });
        assert!(!add(&mut objects, 0, looks));
        assert!(!objects.first().unwrap().is_untold());
        assert!(add(&mut objects, 0, request("web")));
        assert!(objects.first().unwrap().is_untold());
        let (id, second) = ("f".into(), 1_000_000_000);
        objects.told(0, Told { id, at: Timestamp(7), count: 2 });
        assert!(!add(&mut objects, 0, request("web")));
        assert_eq!(objects.first().unwrap().requests(), 3);
        assert!(!objects.first().unwrap().is_stale(Timestamp(59 * second)));
        assert!(objects.first().unwrap().is_stale(Timestamp(61 * second)));
    }

    #[test]
    fn a_request_that_names_no_object_is_none_of_them() {
        let mut forged = request("Web");
        assert_eq!(Subject::of(&forged), None);
        forged.has_forwarded_uri = false;
        assert_eq!(Subject::of(&forged), None);
        forged.upgrade = Some("websocket".to_owned());
        forged.has_forwarded_for = true;
        assert_eq!(Subject::of(&forged), Some(Subject::Upgrade));
    }
}
