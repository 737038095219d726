//! Chooses how long a tool call may take: long enough to be useful, shorter than the client's timeout.

use std::time::Duration;

/// Claude Desktop's code tab and Cline give up after 60 s.
const DEFAULT_BUDGET: Duration = Duration::from_secs(45);

/// Clients known to wait longer, by the beginning of the `clientInfo.name` that they send (Gemini CLI may append the server's name),
/// with a margin below what was measured.
const PATIENT: [(&str, Duration); 3] = [
    ("claude-code", Duration::from_secs(100)),
    ("codex-mcp-client", Duration::from_secs(270)),
    ("gemini-cli-mcp-client", Duration::from_secs(550)),
];

/// The budget for a client; the user's setting has priority.
pub(super) fn of(client: Option<&str>, configured: Option<Duration>) -> Duration {
    configured.unwrap_or_else(|| {
        let client = client.unwrap_or_default();
        let known = PATIENT.iter().find(|(name, _)| client.starts_with(name));
        known.map_or(DEFAULT_BUDGET, |(_, budget)| *budget)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::of;

    #[test]
    fn the_budget_follows_the_client_unless_it_is_set() {
        let set = Some(Duration::from_secs(10));
        for (client, configured, seconds) in [
            (Some("claude-code"), None, 100),
            (Some("gemini-cli-mcp-client-smart-colab"), None, 550),
            (Some("claude-ai"), None, 45),
            (None, None, 45),
            (Some("claude-code"), set, 10),
        ] {
            assert_eq!(of(client, configured).as_secs(), seconds, "{client:?}");
        }
    }
}
