//! How long a tool call may take.

use std::time::Duration;

use super::env::{self, Env};

pub(super) fn read(env: &Env) -> Result<Option<Duration>, String> {
    let Some(text) = env.get(env::CALL_BUDGET_SEC) else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(seconds @ 5..=3600) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(format!(
            "{} is {text:?}: it must be whole seconds from 5 to 3600",
            env::CALL_BUDGET_SEC
        )),
    }
}
