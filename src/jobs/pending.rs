//! Displays whose final state is not known yet: the newest one, which an update may replace, and those that keep changing.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Live displays held at once; beyond that the oldest is shown as it is.
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

/// Holds displays back until their state is final; replaced states cost no rendering time.
#[derive(Debug, Default)]
pub(super) struct Pending {
    newest: Option<State>,
    /// In display order.
    live: Vec<State>,
    displayed: HashSet<String>,
    /// Ids of displays that the code has cleared: their updates are not shown.
    cleared: HashSet<String>,
}

impl Pending {
    /// Whether `state` replaces the newest display, which then is not shown.
    pub(super) fn replaces_newest(&self, state: &State) -> bool {
        let newest = self.newest.as_ref();
        state.is_update && newest.is_some_and(|newest| newest.id == state.id)
    }

    /// Holds a state; returns the one that it displaced, to be shown.
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

    /// Takes the newest display, to be shown.
    pub(super) fn take_newest(&mut self) -> Option<State> {
        self.newest.take()
    }

    /// Takes all held displays, to be shown.
    pub(super) fn take_all(&mut self) -> Vec<State> {
        self.newest
            .take()
            .into_iter()
            .chain(self.live.drain(..))
            .collect()
    }

    /// Drops all held displays, and ignores later updates of any display so far.
    pub(super) fn clear(&mut self) {
        self.newest = None;
        self.live.clear();
        self.cleared.extend(self.displayed.drain());
    }

    /// The first line of the newest live display.
    pub(super) fn last_line(&self) -> Option<&str> {
        let text = self.live.last()?.data.get("text/plain")?.as_str()?;
        text.lines().find(|line| !line.trim().is_empty())
    }
}
