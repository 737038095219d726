//! Arguments as models send them.

use super::fault::Fault;
use crate::base::ids::JobId;
use crate::wire::session::is_name;

/// The session that is meant where none is named.
pub(super) const MAIN: &str = "main";
/// Characters of a wrong argument that its error repeats.
const MAX_SHOWN_CHARS: usize = 64;

/// A session's name as the executor takes it: letters, digits, `_` and `-`, 1 to 64 of them.
pub(super) fn session(name: String) -> Result<String, Fault> {
    if is_name(&name) {
        return Ok(name);
    }
    let shown: String = name.chars().take(MAX_SHOWN_CHARS).collect();
    Err(Fault::invalid(format!(
        "{shown:?} is no name for a session: it is 1 to 64 letters, digits, _ or -"
    )))
}

/// The same, `main` where none is named.
pub(super) fn session_or_main(name: Option<String>) -> Result<String, Fault> {
    name.map_or_else(|| Ok(MAIN.to_owned()), session)
}

/// The UUID that an earlier answer named.
pub(super) fn job_id(text: &str) -> Result<JobId, Fault> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
        Fault::invalid(format!(
            "{shown:?} is not a job_id: it is the UUID that an earlier answer named, or one of list_jobs (what has a checkpoint_name is shown by \
             get_checkpoint)"
        ))
    })
}
