//! Displays whose last state is not known yet: the newest one, which an update may take the place of, and those that go on changing.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Displays that go on changing at once; the oldest of more is shown as it is.
const MAX_LIVE: usize = 64;

/// One state of a display.
#[derive(Debug)]
pub(super) struct State {
    pub(super) seq: u64,
    pub(super) data: Map<String, Value>,
    pub(super) id: Option<String>,
    pub(super) is_update: bool,
    pub(super) is_live: bool,
}

/// Holds back what is not to be shown yet; what none of it is seen of takes no time.
#[derive(Debug, Default)]
pub(super) struct Pending {
    newest: Option<State>,
    /// In the order in which they were displayed.
    live: Vec<State>,
    displayed: HashSet<String>,
    /// Displays that the code has cleared: their updates are not seen.
    cleared: HashSet<String>,
}

impl Pending {
    /// Whether it is a new state of the newest display, which is not to be shown then.
    pub(super) fn replaces_newest(&self, state: &State) -> bool {
        let newest = self.newest.as_ref();
        state.is_update && newest.is_some_and(|newest| newest.id == state.id)
    }

    /// Holds a state; gives back one that has to make room.
    pub(super) fn hold(&mut self, state: State) -> Option<State> {
        if let Some(id) = &state.id {
            if state.is_update && self.cleared.contains(id) {
                return None;
            }
            self.cleared.remove(id);
            self.displayed.insert(id.clone());
        }
        let before = (self.live.iter()).position(|one| one.id.is_some() && one.id == state.id);
        match (before, state.is_live) {
            (Some(at), true) => self.live[at] = state,
            (None, true) => {
                self.live.push(state);
                return (self.live.len() > MAX_LIVE).then(|| self.live.remove(0));
            }
            (before, false) => {
                before.map(|at| self.live.remove(at));
                self.newest = Some(state);
            }
        }
        None
    }

    /// The newest display, which counts as shown then.
    pub(super) fn take_newest(&mut self) -> Option<State> {
        self.newest.take()
    }

    /// All that is held, which counts as shown then.
    pub(super) fn take_all(&mut self) -> Vec<State> {
        self.newest
            .take()
            .into_iter()
            .chain(self.live.drain(..))
            .collect()
    }

    /// Nothing that was displayed so far is seen any more.
    pub(super) fn clear(&mut self) {
        self.newest = None;
        self.live.clear();
        self.cleared.extend(self.displayed.drain());
    }

    /// A line of what is changing.
    pub(super) fn last_line(&self) -> Option<&str> {
        let text = self.live.last()?.data.get("text/plain")?.as_str()?;
        text.lines().find(|line| !line.trim().is_empty())
    }
}
