//! The settings, and the folders that this program writes to.

use super::check::Check;
use crate::edge::env::{Env, SETTINGS};
use crate::edge::folders;
use crate::edge::settings::Settings;

const CORRECT: &str = "Correct it where it is set, in this terminal's environment or in the client's config: until then no server starts.";

/// `settings` and `folders`.
pub(super) fn checks(settings: &Settings, faults: &[String], env: &Env) -> Vec<Check> {
    let mut checks: Vec<Check> = faults
        .iter()
        .map(|fault| Check::failed("settings", fault, CORRECT))
        .collect();
    let odd = settings.warnings.iter();
    checks.extend(odd.map(|warning| Check::warning("settings", warning, "")));
    if checks.is_empty() {
        checks.push(Check::ok("settings", names(env)));
    }
    checks.extend(writable(settings));
    checks
}

/// What is set; the values may be secret.
fn names(env: &Env) -> String {
    let names = SETTINGS.iter().map(|setting| setting.name);
    let set: Vec<_> = names.filter(|name| env.get(name).is_some()).collect();
    match set.is_empty() {
        true => "all have their defaults".to_owned(),
        false => format!("set: {}", set.join(", ")),
    }
}

fn writable(settings: &Settings) -> Vec<Check> {
    let folders = [
        &settings.save_dir,
        &settings.checkpoint_dir,
        &settings.data_dir,
    ];
    let failed: Vec<_> = folders
        .into_iter()
        .filter_map(|folder| {
            let error = folders::probe(folder).err()?;
            Some(Check::failed(
                "folders",
                format!("{} cannot be written ({error})", folder.display()),
                "Make it writable, free some space if its disk is full, or name others with LOCAL_SAVE_DIR, CHECKPOINT_DIR and SMART_COLAB_DATA_DIR.",
            ))
        })
        .collect();
    match failed.is_empty() {
        true => {
            let shown = folders.map(|folder| folder.display().to_string());
            vec![Check::ok(
                "folders",
                format!("writable: {}", shown.join(", ")),
            )]
        }
        false => failed,
    }
}
