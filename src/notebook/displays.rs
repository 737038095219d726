//! Applies updates that the code of a later cell makes to an earlier cell's outputs.

use std::collections::HashMap;

use serde_json::Value;

use super::file::Updates;
use super::outputs::Finished;

/// The places of a notebook's updatable displays, and their updates.
#[derive(Debug, Default)]
pub(super) struct Displays {
    places: HashMap<String, Vec<(usize, usize)>>,
    pub(super) updates: Updates,
}

impl Displays {
    /// Records the displays of the `cell`-th cell of the notebook; returns its outputs.
    pub(super) fn place(&mut self, cell: usize, outputs: Finished) -> Vec<Value> {
        for (id, rich) in outputs.elsewhere {
            for (cell, output) in self.places.get(&id).into_iter().flatten() {
                let state = (rich.data_in_shape(), rich.metadata.clone());
                self.updates
                    .entry(*cell)
                    .or_default()
                    .insert(*output, state);
            }
        }
        for (id, at) in outputs.displays {
            let places = self.places.entry(id).or_default();
            // Displayed again: all places of an id show the same.
            for (cell, output) in &*places {
                let map = |field: &str| outputs.values[at][field].as_object().cloned();
                let state = (
                    map("data").unwrap_or_default(),
                    map("metadata").unwrap_or_default(),
                );
                self.updates
                    .entry(*cell)
                    .or_default()
                    .insert(*output, state);
            }
            places.push((cell, at));
        }
        outputs.values
    }
}
