//! What each client allows: how long a call may take, how many bytes of a reply reach the model, and whether a picture of an error does.

use std::time::Duration;

use rmcp::model::JsonObject;

use crate::base::text::Room;

/// Most bytes of a reply that are set aside for the facts, the links and the frames of its blocks.
const MAX_RESERVED_BYTES: usize = 8_000;

/// Bytes of a reply with a list that are set aside for its facts, its heading and the frame.
const LIST_FACTS_BYTES: usize = 1_200;

/// One client's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Longer than most calls take, shorter than the client's timeout.
    pub call_budget: Duration,
    /// Bytes of a reply as JSON, without the pictures, which count apart.
    pub reply_bytes: usize,
    /// Characters of a reply that is an error.
    pub error_chars: usize,
    /// Whether the model sees a picture beside an error: Claude Code drops it, and Gemini CLI turns it into base64 text.
    pub shows_error_pictures: bool,
}

/// Claude Desktop's code tab and Cline give up after 60 s.
const UNKNOWN: Client = Client {
    call_budget: Duration::from_secs(45),
    reply_bytes: 10_000,
    error_chars: usize::MAX,
    shows_error_pictures: true,
};

/// Known clients, by the beginning of the `clientInfo.name` that they send (Gemini CLI may append the server's name), with a margin below
/// what was measured.
const KNOWN: [(&str, Client); 4] = [
    // 50,000 characters, of whatever number of tokens; of an error the first and last 5,000.
    (
        "claude-code",
        Client {
            call_budget: Duration::from_secs(100),
            reply_bytes: 48_000,
            error_chars: 9_500,
            shows_error_pictures: false,
        },
    ),
    // 1 MB, of which pictures take most.
    (
        "claude-ai",
        Client {
            reply_bytes: 50_000,
            ..UNKNOWN
        },
    ),
    // About 12,000 bytes for a model outside its catalogue.
    (
        "codex-mcp-client",
        Client {
            call_budget: Duration::from_secs(270),
            reply_bytes: 11_000,
            ..UNKNOWN
        },
    ),
    // 40,000 characters, where all is in one block.
    (
        "gemini-cli-mcp-client",
        Client {
            call_budget: Duration::from_secs(550),
            reply_bytes: 36_000,
            shows_error_pictures: false,
            ..UNKNOWN
        },
    ),
];

/// The metadata of a call in which Codex names its model.
const CODEX_METADATA: &str = "x-codex-turn-metadata";

/// Models in the catalogue of Codex 0.171, which finds them by the beginnings of their names.
const CODEX_CATALOGUE: [&str; 13] = [
    "codex-auto-review",
    "gpt-5.5",
    "gpt-5.6-luna",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-6-astra",
    "gpt-6-luna",
    "gpt-6-sol",
    "gpt-6.1-sol",
    "gpt-6.1-terra",
    "gpt-6.2-astra",
    "gpt-6.2-sol",
    "gpt-daybreak-",
];

/// Codex keeps about 48,000 bytes for them.
const CODEX_CATALOGUE_REPLY_BYTES: usize = 44_000;

impl Client {
    /// The limits of the client with this `clientInfo.name`, for a call with this metadata.
    pub(super) fn of(name: Option<&str>, meta: &JsonObject) -> Self {
        let name = name.unwrap_or_default();
        let known = KNOWN.iter().find(|(known, _)| name.starts_with(known));
        let client = known.map_or(UNKNOWN, |(_, client)| *client);
        let model = meta
            .get(CODEX_METADATA)
            .and_then(|turn| turn["model"].as_str());
        let is_known = |model: &str| CODEX_CATALOGUE.iter().any(|known| model.starts_with(known));
        if model.is_some_and(is_known) {
            return Self {
                reply_bytes: CODEX_CATALOGUE_REPLY_BYTES,
                ..client
            };
        }
        client
    }

    /// Room for `chars` characters of output, or as many as the reply holds.
    pub(super) fn room(self, chars: usize) -> Room {
        Room {
            chars,
            json_bytes: self.reply_bytes - reserved(self.reply_bytes),
        }
    }

    /// Most bytes of a list's rows.
    pub(super) fn list_bytes(self) -> usize {
        self.reply_bytes - LIST_FACTS_BYTES
    }

    /// Room for as many characters of output in an error.
    pub(super) fn error_room(self, chars: usize) -> Room {
        self.room(chars.min(self.error_chars - reserved(self.error_chars)))
    }

    /// Most bytes of the facts.
    pub(super) fn facts_bytes(self, has_failed: bool) -> usize {
        let most = if has_failed {
            self.error_chars.min(self.reply_bytes)
        } else {
            self.reply_bytes
        };
        reserved(most) / 2
    }
}

/// How much of a reply output leaves free.
fn reserved(size: usize) -> usize {
    (size / 5 * 2).min(MAX_RESERVED_BYTES)
}

#[cfg(test)]
mod tests {
    use rmcp::model::JsonObject;
    use serde_json::json;

    use super::{Client, KNOWN, UNKNOWN};

    #[test]
    fn a_client_is_known_by_the_beginning_of_its_name() {
        for (name, seconds, bytes) in [
            (Some("claude-code"), 100, 48_000),
            (Some("gemini-cli-mcp-client-smart-colab"), 550, 36_000),
            (Some("claude-ai"), 45, 50_000),
            (Some("something"), 45, 10_000),
            (None, 45, 10_000),
        ] {
            let client = Client::of(name, &JsonObject::new());
            assert_eq!(client.call_budget.as_secs(), seconds, "{name:?}");
            assert_eq!(client.reply_bytes, bytes, "{name:?}");
        }
    }

    #[test]
    fn codex_keeps_more_for_the_models_that_it_knows() {
        for (model, bytes) in [
            ("gpt-6-sol", 44_000),
            ("gpt-5.5-mini", 44_000),
            ("gpt-5", 11_000),
        ] {
            let meta = json!({"x-codex-turn-metadata": {"model": model}, "threadId": "1"});
            let client = Client::of(Some("codex-mcp-client"), meta.as_object().unwrap());
            assert_eq!(client.reply_bytes, bytes, "{model}");
        }
    }

    #[test]
    fn most_of_a_reply_is_output() {
        for client in KNOWN.map(|(_, client)| client).into_iter().chain([UNKNOWN]) {
            assert!(client.room(1).json_bytes * 2 > client.reply_bytes);
            let room = client.error_room(usize::MAX);
            assert!(room.chars > client.error_chars / 2);
            assert!(room.chars + client.facts_bytes(true) < client.error_chars);
        }
    }
}
