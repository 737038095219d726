//! The settings, and the folders that this program writes to.

use std::io;
use std::path::Path;

use super::check::Check;
use crate::edge::env::{Env, SETTINGS};
use crate::edge::folders;
use crate::edge::settings::Settings;

const NAME: &str = "folders";
/// The packages of an environment take half of it.
const MIN_FREE_BYTES: u64 = 1_000_000_000;
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
    checks.extend(written(settings));
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

/// The folders that are written to, or those at fault.
fn written(settings: &Settings) -> Vec<Check> {
    let folders = [
        &settings.save_dir,
        &settings.checkpoint_dir,
        &settings.data_dir,
    ];
    let faults: Vec<_> = folders
        .into_iter()
        .filter_map(|folder| fault(folder, folders::probe(folder)))
        .collect();
    if !faults.is_empty() {
        return faults;
    }
    let shown = folders.map(|folder| folder.display().to_string());
    vec![Check::ok(NAME, format!("writable: {}", shown.join(", ")))]
}

/// The fault of a folder with so many free bytes on its disk.
fn fault(folder: &Path, probed: io::Result<Option<u64>>) -> Option<Check> {
    let shown = folder.display();
    match probed {
        Err(error) => Some(Check::failed(
            NAME,
            format!("{shown} cannot be written ({error})"),
            "Make it writable, free some space if its disk is full, or name others with LOCAL_SAVE_DIR, CHECKPOINT_DIR and SMART_COLAB_DATA_DIR.",
        )),
        Ok(Some(free)) if free < MIN_FREE_BYTES => {
            let free_gb = free as f64 / 1e9;
            Some(Check::warning(
                NAME,
                format!("only {free_gb:.1} GB are free on the disk of {shown}"),
                "Free some space: downloads, logs and the environment of `local` need it.",
            ))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::fault;
    use crate::doctor::State;

    #[test]
    fn a_nearly_full_disk_of_this_computer_is_a_warning() {
        let state = |free| fault(Path::new("/a"), Ok(free)).map(|check| check.state);
        assert_eq!(state(Some(999_000_000)), Some(State::Warning));
        assert_eq!(state(Some(1_000_000_000)), None);
        assert_eq!(state(None), None);
    }
}
