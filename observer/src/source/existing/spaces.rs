//! Network namespaces by the cookie that the kernel programs see.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::diagnostics;
use super::namespace::Namespace;
use crate::attribution::Roots;

/// Namespaces remembered; a node has one a pod.
const MOST: usize = 4096;
/// How often all namespaces of the node may be looked through for one that is not known.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the node's network namespaces. A cookie is never given twice until the next boot; an inode number may
/// be, and a file that stood for one namespace may stand for another later, so whoever enters one checks its cookie.
#[derive(Debug)]
pub(crate) struct Spaces {
    roots: Roots,
    by_cookie: HashMap<u64, Namespace>,
    /// Inodes that were entered for their cookie.
    entered: HashSet<u32>,
    looked: Option<Instant>,
}

impl Spaces {
    pub(crate) fn new(roots: Roots) -> Self {
        Self { roots, by_cookie: HashMap::new(), entered: HashSet::new(), looked: None }
    }

    /// The namespace with this cookie. One that is not known is looked for where the process `hint` is, then where one of
    /// its threads is, and at last everywhere; that enters every namespace and is done at most once a second.
    pub(crate) fn by_cookie(&mut self, cookie: u64, hint: u32) -> Option<&Namespace> {
        if !self.by_cookie.contains_key(&cookie) {
            let process = Namespace::of_process(&self.roots, hint);
            self.learn_new(process);
        }
        if !self.by_cookie.contains_key(&cookie) {
            let threads = Namespace::of_threads(&self.roots, hint);
            self.learn_new(threads);
        }
        if !self.by_cookie.contains_key(&cookie) && self.looked.is_none_or(|looked| looked.elapsed() >= PAUSE)
        {
            self.looked = Some(Instant::now());
            for namespace in self.likely(hint) {
                self.learn(namespace);
            }
        }
        self.by_cookie.get(&cookie)
    }

    /// The namespaces where a socket of the process `hint` may be, the likely ones first, for a kernel that names none.
    pub(crate) fn likely(&self, hint: u32) -> Vec<Namespace> {
        let mut likely: Vec<_> = Namespace::of_process(&self.roots, hint)
            .into_iter()
            .chain(Namespace::of_threads(&self.roots, hint))
            .chain(self.all())
            .collect();
        let mut seen = HashSet::new();
        likely.retain(|namespace| seen.insert(namespace.inode));
        likely
    }

    /// What was known of this cookie is no longer so.
    pub(crate) fn forget(&mut self, cookie: u64) {
        if let Some(namespace) = self.by_cookie.remove(&cookie) {
            self.entered.remove(&namespace.inode);
        }
    }

    fn all(&self) -> Vec<Namespace> {
        Namespace::all(&self.roots).map(|(all, _)| all).unwrap_or_default()
    }

    fn learn_new(&mut self, namespaces: impl IntoIterator<Item = Namespace>) {
        for namespace in namespaces {
            if !self.entered.contains(&namespace.inode) {
                self.learn(namespace);
            }
        }
    }

    fn learn(&mut self, namespace: Namespace) {
        if self.by_cookie.len() >= MOST {
            self.by_cookie.clear();
            self.entered.clear();
        }
        // One that cannot be entered is asked again the next time.
        if let Ok(Some(cookie)) = namespace.enter(diagnostics::own_space_cookie) {
            self.entered.insert(namespace.inode);
            self.by_cookie.insert(cookie, namespace);
        }
    }
}
