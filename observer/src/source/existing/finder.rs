//! Finds single sockets: in which network namespace they are, and what their descriptor's inode is.

use std::collections::HashMap;
use std::io;

use super::diagnostics::look_up;
use super::namespace::Namespace;
use super::spaces::Spaces;
use crate::attribution::{Found, Roots, Sockets, Sought};

/// Looks sockets up by their cookie and ends. Enters a namespace for as long as that takes and keeps nothing of it open,
/// so that no namespace outlives its pod for our sake.
#[derive(Debug)]
pub struct Finder {
    spaces: Spaces,
}

impl Finder {
    /// Reads from `roots`.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self { spaces: Spaces::new(roots) }
    }

    /// Looks for those in one namespace; `None` if it cannot be entered or is another one by now.
    fn in_space(namespace: &Namespace, cookie: Option<u64>, sought: &[&Sought]) -> io::Result<Vec<Found>> {
        let sockets = namespace.enter(|| look_up(sought, cookie))?;
        let netns = namespace.inode;
        let found = sockets.into_iter().map(|socket| match socket {
            None => Found::Gone,
            Some(socket) if socket.inode == 0 => Found::NotAccepted { netns },
            Some(socket) => Found::At { netns, inode: socket.inode },
        });
        Ok(found.collect())
    }
}

impl Sockets for Finder {
    fn netns(&mut self, cookie: u64, hint: u32) -> Option<u32> {
        self.spaces.by_cookie(cookie, hint).map(|namespace| namespace.inode)
    }

    fn find(&mut self, sought: &[Sought]) -> Vec<Found> {
        let mut found = vec![Found::Unreached; sought.len()];
        let mut by_space: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, socket) in sought.iter().enumerate() {
            match socket.space {
                Some(space) => by_space.entry(space).or_default().push(at),
                None => {
                    // Before Linux 6.18: wherever it is.
                    for namespace in self.spaces.likely(socket.hint) {
                        if let Ok(answers) = Self::in_space(&namespace, None, &[socket])
                            && let [answer] = answers[..]
                        {
                            found[at] = answer;
                            if answer != Found::Gone {
                                break;
                            }
                        }
                    }
                }
            }
        }
        for (space, places) in by_space {
            let hint = places.first().and_then(|at| sought.get(*at)).map_or(0, |socket| socket.hint);
            let Some(namespace) = self.spaces.by_cookie(space, hint).cloned() else { continue };
            let here: Vec<&Sought> = places.iter().filter_map(|at| sought.get(*at)).collect();
            match Self::in_space(&namespace, Some(space), &here) {
                Ok(answers) => {
                    for (at, answer) in places.into_iter().zip(answers) {
                        found[at] = answer;
                    }
                }
                // Its file stands for another namespace now, or for none.
                Err(_) => self.spaces.forget(space),
            }
        }
        found
    }
}
