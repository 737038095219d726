//! Parses single arguments.

use super::fault::Fault;
use crate::wire::session::is_name;

/// The default session.
pub(super) const MAIN: &str = "main";
/// Characters of a wrong argument that its error quotes.
const MAX_SHOWN_CHARS: usize = 64;

/// Checks the number of rows that a list should have.
pub(super) fn top(top: Option<u64>, max: u64) -> Result<Option<u64>, Fault> {
    match top {
        Some(top) if !(1..=max).contains(&top) => Err(Fault::invalid(format!(
            "top is {top}: it must be 1 to {max}"
        ))),
        top => Ok(top),
    }
}

/// Checks a session's name: 1 to 64 letters, digits, `_` or `-`.
pub(super) fn session(name: String) -> Result<String, Fault> {
    if is_name(&name) {
        return Ok(name);
    }
    let shown: String = name.chars().take(MAX_SHOWN_CHARS).collect();
    Err(Fault::invalid(format!(
        "{shown:?} is not a session name: it must be 1 to 64 letters, digits, _ or -"
    )))
}

/// Checks a session's name; `main` if none is given.
pub(super) fn session_or_main(name: Option<String>) -> Result<String, Fault> {
    name.map_or_else(|| Ok(MAIN.to_owned()), session)
}
