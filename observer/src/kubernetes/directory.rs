//! Names by address: what the API said of an address, and for which time that holds.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use observer_core::party::Pod;
use observer_core::time::Timestamp;

use super::objects::Known;

/// Addresses that are remembered.
const MOST: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// How long it is believed that an address is no pod's: a name that is not given is no wrong name.
const NOBODY: Duration = Duration::from_secs(60);
/// How much the clocks of two nodes may differ.
const SKEW: Duration = Duration::from_secs(2);

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its node.
    pub node: Option<Arc<str>>,
}

/// What the directory says of an address at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// This pod had it.
    Had(Resident),
    /// No pod had it, or it cannot be told which.
    Nobody,
    /// What is known is older than the connection: the API has to be asked.
    Ask,
}

#[derive(Clone, Debug)]
struct Answer {
    asked: Timestamp,
    /// The one pod that had the address then, and since when the pod is there.
    one: Option<(Resident, Timestamp)>,
}

/// What was found out, by address. An answer holds for connections opened before it was asked for and after the pod was
/// made: an address is given to another pod as soon as its first one is gone.
#[derive(Debug)]
pub(super) struct Directory {
    answers: LruCache<IpAddr, Answer>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { answers: LruCache::new(MOST) }
    }
}

impl Directory {
    /// Who had `ip` when a connection was opened.
    pub(super) fn look_up(&mut self, ip: IpAddr, opened: Timestamp) -> Entry {
        match self.answers.get(&ip) {
            None => Entry::Ask,
            Some(Answer { one: Some((resident, since)), asked }) if opened <= *asked => {
                if opened.since(*since) >= SKEW { Entry::Had(resident.clone()) } else { Entry::Nobody }
            }
            Some(Answer { one: None, asked }) if opened.since(*asked) < NOBODY => Entry::Nobody,
            Some(_) => Entry::Ask,
        }
    }

    /// Takes in what the API answered at `asked`: the pods that have `ip`, and whether these are all.
    pub(super) fn learn(
        &mut self,
        ip: IpAddr,
        asked: Timestamp,
        pods: impl IntoIterator<Item = Known>,
        whole: bool,
    ) {
        let mut pods = pods.into_iter().filter(|known| known.addresses.contains(&ip));
        let one = match (pods.next(), pods.next()) {
            (Some(known), None) if whole => {
                Some((Resident { pod: known.pod, node: known.node }, known.since))
            }
            _ => None,
        };
        self.answers.put(ip, Answer { asked, one });
    }
}

#[cfg(test)]
mod tests {
    use observer_core::party::Named;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    fn ip() -> IpAddr {
        "10.0.0.9".parse().unwrap()
    }

    fn known(name: &str, since: u64) -> Known {
        let pod = Pod {
            uid: None,
            namespace: Some("default".into()),
            name: Some(name.into()),
            container: None,
            named: Named::Api,
        };
        Known {
            pod: Arc::new(pod),
            node: None,
            addresses: vec![ip()],
            containers: Vec::new(),
            since: at(since),
        }
    }

    fn name(entry: Entry) -> Option<String> {
        match entry {
            Entry::Had(resident) => resident.pod.name.clone(),
            Entry::Nobody => None,
            Entry::Ask => Some("?".into()),
        }
    }

    #[test]
    fn an_answer_holds_from_the_pods_beginning_until_it_was_asked_for() {
        let mut directory = Directory::default();
        assert_eq!(directory.look_up(ip(), at(5)), Entry::Ask);
        directory.learn(ip(), at(100), [known("first", 50)], true);
        assert_eq!(name(directory.look_up(ip(), at(90))).as_deref(), Some("first"));
        assert_eq!(name(directory.look_up(ip(), at(40))), None, "before the pod");
        assert_eq!(directory.look_up(ip(), at(101)), Entry::Ask, "it may be another's by now");
        directory.learn(ip(), at(110), [known("second", 95)], true);
        assert_eq!(name(directory.look_up(ip(), at(105))).as_deref(), Some("second"));
        assert_eq!(name(directory.look_up(ip(), at(90))), None, "no longer known, and not guessed");
    }

    #[test]
    fn two_pods_with_one_address_name_nobody() {
        let mut directory = Directory::default();
        directory.learn(ip(), at(100), [known("a", 50), known("b", 60)], true);
        assert_eq!(directory.look_up(ip(), at(90)), Entry::Nobody);
    }

    #[test]
    fn an_address_of_nobody_is_asked_for_again_after_a_while() {
        let mut directory = Directory::default();
        directory.learn(ip(), at(100), [], true);
        assert_eq!(directory.look_up(ip(), at(130)), Entry::Nobody);
        assert_eq!(directory.look_up(ip(), at(161)), Entry::Ask);
    }
}
