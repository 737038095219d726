//! Finds variables that look like misspelt settings: an ignored setting must not go unnoticed.

use super::env::{ALLOWED_IPS, EXECUTOR_TOKEN, Env, UPLOAD_DIRS, setting_names};

/// The finding about one variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Odd {
    /// Surely meant for this program.
    Fault(String),
    /// Perhaps another program's.
    Warning(String),
}

/// Every odd variable with a value.
pub(super) fn find(env: &Env) -> Vec<Odd> {
    let names = env.names();
    let known = setting_names();
    let others =
        names.filter(|name| !known.contains(name) && ![EXECUTOR_TOKEN, ALLOWED_IPS].contains(name));
    others
        .filter(|name| env.get(name).is_some())
        .filter_map(classify)
        .collect()
}

fn classify(name: &str) -> Option<Odd> {
    let Some(stem) = stem(name) else {
        return classify_unprefixed(name);
    };
    // Colab itself sets COLAB_JUPYTER_TOKEN and the like.
    let ours = setting_names().into_iter();
    let mut ours = ours.filter(|known| !known.starts_with("JUPYTER"));
    let near = ours.find(|known| {
        let known = self::stem(known).unwrap_or_else(|| plain(known));
        let is_shortened = known.strip_prefix("LOCAL") == Some(&stem);
        is_shortened || is_near(&stem, &known, (known.len() / 4).max(1))
    });
    if let Some(known) = near {
        return Some(misspelt(name, known));
    }
    plain(name).starts_with("SMARTCOLAB").then(|| {
        Odd::Warning(format!(
            "{name} is not a setting of smart-colab and has no effect. The settings are {}",
            setting_names().join(", ")
        ))
    })
}

/// Classifies a name that does not begin with the product's.
fn classify_unprefixed(name: &str) -> Option<Odd> {
    let plain_name = plain(name);
    let distance = |known: &str| strsim::osa_distance(&plain_name, &plain(known));
    let known = setting_names()
        .into_iter()
        .min_by_key(|known| distance(known))?;
    // Other programs' variables may resemble short names, and that for uploads.
    let is_surely_meant = known != UPLOAD_DIRS && distance(known) <= plain(known).len() / 6;
    match distance(known) {
        0..=2 if is_surely_meant => Some(misspelt(name, known)),
        0..=2 => Some(Odd::Warning(format!(
            "{name} is set, but is not a setting of smart-colab: {known} is"
        ))),
        _ => None,
    }
}

fn misspelt(name: &str, known: &str) -> Odd {
    Odd::Fault(format!(
        "{name} is not a setting: {known} is. Rename it in the client's config"
    ))
}

/// The part after the product's name; none if the name does not begin with it.
fn stem(name: &str) -> Option<String> {
    let plain = plain(name);
    let rest = plain
        .strip_prefix("SMART")
        .unwrap_or(&plain)
        .strip_prefix("COLAB")?;
    Some(rest.to_owned())
}

fn plain(name: &str) -> String {
    name.replace(['_', '-'], "").to_ascii_uppercase()
}

fn is_near(name: &str, known: &str, distance: usize) -> bool {
    strsim::osa_distance(name, known) <= distance
}

#[cfg(test)]
mod tests {
    use super::{Env, Odd, find};

    #[test]
    fn misspelt_settings_are_found_and_variables_of_other_programs_are_not() {
        for (name, known) in [
            ("SMART_COLAB_PYTON", "SMART_COLAB_PYTHON"),
            ("SMART_COLAB_LOGS", "SMART_COLAB_LOG"),
            ("SMARTCOLAB_LOG", "SMART_COLAB_LOG"),
            ("SMART_COLAB_DATA_DIRS", "SMART_COLAB_DATA_DIR"),
            ("SMART_COLAB_CALL_BUDGET", "SMART_COLAB_CALL_BUDGET_SEC"),
            ("SMART_COLAB_URL", "COLAB_URL"),
            ("SMART_COLAB_UPLOAD_DIRS", "UPLOAD_DIRS"),
            ("SMART_COLAB_SAVE_DIR", "LOCAL_SAVE_DIR"),
            ("COLAB_URI", "COLAB_URL"),
            ("colab_token", "COLAB_TOKEN"),
            ("COLB_URL", "COLAB_URL"),
            ("LOCAL_SAVE_DIRS", "LOCAL_SAVE_DIR"),
            ("LOCAL_SAVEDIR", "LOCAL_SAVE_DIR"),
            ("CHECKPOINTS_DIR", "CHECKPOINT_DIR"),
            ("CHECKPOINT_DIRS", "CHECKPOINT_DIR"),
            ("checkpoint_dir", "CHECKPOINT_DIR"),
        ] {
            let found = find(&Env::from([(name, "x")]));
            let [Odd::Fault(fault)] = found.as_slice() else {
                panic!("{name}: {found:?}")
            };
            assert!(fault.contains(&format!("{known} is.")), "{fault}");
        }
        for (name, known) in [
            ("UPLOAD_DIR", "UPLOAD_DIRS"),
            ("UPLOADS_DIR", "UPLOAD_DIRS"),
            ("SLAB_URL", "COLAB_URL"),
            ("SMART_COLAB_COLOUR", "SMART_COLAB_LOG"),
        ] {
            let found = find(&Env::from([(name, "x")]));
            let [Odd::Warning(warning)] = found.as_slice() else {
                panic!("{name}: {found:?}")
            };
            assert!(warning.contains(known), "{warning}");
        }
        for name in [
            "COLAB_GPU",
            "COLAB_TPU",
            "COLAB_JUPYTER_TOKEN",
            "COLAB_RELEASE_TAG",
            "SMART_COLAB_TOKEN",
            "PATH",
            "LOG",
            "TOKEN",
            "SAVE_DIR",
        ] {
            assert_eq!(find(&Env::from([(name, "x")])), [], "{name}");
        }
        assert_eq!(find(&Env::from([("SMART_COLAB_PYTON", " ")])), []);
    }
}
