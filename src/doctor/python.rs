//! What code on this machine needs.

use super::check::Check;
use crate::edge::settings::{Settings, Target};
use crate::provision::local::look::look;

/// `python` and `environment`.
pub(super) async fn checks(settings: &Settings) -> Vec<Check> {
    if settings.target != Target::Local {
        let why = "only `local` needs it";
        return vec![
            Check::skipped("python", why),
            Check::skipped("environment", why),
        ];
    }
    match look(settings).await {
        Ok(found) if found.is_ready => vec![
            Check::ok("python", found.python),
            Check::ok("environment", "ready"),
        ],
        Ok(found) => vec![
            Check::ok("python", found.python),
            Check::ok(
                "environment",
                "not made yet: the first use makes it, in about a minute, and needs the package index",
            ),
        ],
        Err(error) => vec![
            Check::fault("python", &error),
            Check::skipped("environment", "needs python"),
        ],
    }
}
