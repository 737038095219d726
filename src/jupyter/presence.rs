//! How this process appears to the people who have a notebook open: the part of a room's messages that is not of the document.
//!
//! The fields are those that the front end of `jupyter-collaboration` 5 reads: `user` for the icon in the notebook's toolbar, `cursors` for the
//! flag in a cell. It forgets whoever has not been heard of for 30 s.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use yrs::block::{ClientID, ID};
use yrs::sync::Message;
use yrs::sync::awareness::{AwarenessUpdate, AwarenessUpdateEntry};

/// Between two reports.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(12);

/// What the others see, and how often it was reported.
#[derive(Debug)]
pub(super) struct Presence {
    name: String,
    clock: u32,
    /// The text at whose end the cursor is.
    pub(super) cursor: Option<ID>,
}

impl Presence {
    /// Appears under `name`.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            clock: 0,
            cursor: None,
        }
    }

    /// A message that shows it.
    pub(super) fn report(&mut self, client: ClientID) -> Message {
        let name = &self.name;
        let mut state = json!({"user": {
            "username": name, "name": name, "display_name": name, "initials": "SC", "color": "var(--jp-collaborator-color4)", "avatar_url": null,
        }});
        if let Some(text) = self.cursor {
            // A position as Yjs writes it: after all of the text. It wants the fields that are null, too.
            let place = json!({"client": text.client.get(), "clock": text.clock});
            let end = json!({"type": place, "tname": null, "item": null, "assoc": 0});
            state["cursors"] =
                json!([{"anchor": end, "head": end, "primary": true, "empty": true}]);
        }
        self.message(client, &state)
    }

    /// A message that removes it.
    pub(super) fn leave(&mut self, client: ClientID) -> Message {
        self.message(client, &Value::Null)
    }

    fn message(&mut self, client: ClientID, state: &Value) -> Message {
        self.clock += 1;
        let (clock, json) = (self.clock, Arc::from(state.to_string()));
        let entry = AwarenessUpdateEntry { clock, json };
        let clients = HashMap::from([(client, entry)]);
        Message::Awareness(AwarenessUpdate { clients })
    }
}
