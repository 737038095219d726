//! Errors on the wire: `application/problem+json` (RFC 9457).

use serde::{Deserialize, Deserializer, Serialize};

/// Longest sentence of an error in a tool's answer.
const MAX_TEXT_CHARS: usize = 2000;
const MAX_CODE_CHARS: usize = 100;

/// The executor's reply when it refuses a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub status: u16,
    #[serde(deserialize_with = "bounded::<_, MAX_CODE_CHARS>")]
    pub code: String,
    #[serde(default, deserialize_with = "bounded::<_, MAX_TEXT_CHARS>")]
    pub detail: String,
    #[serde(default, deserialize_with = "bounded::<_, MAX_TEXT_CHARS>")]
    pub hint: String,
    #[serde(default)]
    pub retryable: bool,
    /// Seconds after which the same request may succeed, where that is known.
    #[serde(default)]
    pub retry_after_sec: Option<u64>,
}

impl Problem {
    /// Whether the executor's policy has kept the code from running.
    #[must_use]
    pub fn is_by_policy(&self) -> bool {
        ["consent_needed", "forbidden_by_policy"].contains(&&*self.code)
    }
}

fn bounded<'de, D: Deserializer<'de>, const CHARS: usize>(text: D) -> Result<String, D::Error> {
    let mut text = String::deserialize(text)?;
    if let Some((end, _)) = text.char_indices().nth(CHARS) {
        text.truncate(end);
        text.push('…');
    }
    Ok(text)
}
