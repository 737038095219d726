//! The packages that the user's code requires.

use std::fs;

use super::env::{self, Env};
use super::paths;

/// The value for [`Required::Remembered`].
const REMEMBER: &str = "remember";

/// What each machine is to have before code runs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Required {
    /// These, in the form of a requirements file; empty if there are none.
    Named(String),
    /// What code installed on earlier machines.
    Remembered,
}

impl Default for Required {
    fn default() -> Self {
        Self::Named(String::new())
    }
}

pub(super) fn read(env: &Env) -> Result<Required, String> {
    match env.get(env::REQUIREMENTS) {
        None => Ok(Required::default()),
        Some(REMEMBER) => Ok(Required::Remembered),
        Some(text) => read_named(text).map(Required::Named),
    }
}

fn read_named(text: &str) -> Result<String, String> {
    let path = paths::expand_home(text);
    if path.is_absolute() {
        return fs::read_to_string(&path).map_err(|error| {
            format!(
                "{} is {}: that file cannot be read ({error}); name a requirements file on this computer",
                env::REQUIREMENTS,
                path.display()
            )
        });
    }
    if path.extension().is_some_and(|extension| extension == "txt") {
        return Err(format!(
            "{} is {text}: {}",
            env::REQUIREMENTS,
            paths::RELATIVE_PATH_FAULT
        ));
    }
    let packages: Vec<&str> = text.split_whitespace().collect();
    match packages.iter().find(|package| !is_requirement(package)) {
        Some(odd) => Err(format!(
            "{} has {odd:?}, which is no requirement: name packages with a space between them, such as `pandas>=2,<3 scikit-learn`, or the absolute path of a requirements file",
            env::REQUIREMENTS
        )),
        None => Ok(packages.join("\n") + "\n"),
    }
}

/// Whether it may be a requirement: options, and versions apart from their package, are none.
fn is_requirement(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.contains(|one: char| one.is_ascii_alphabetic())
        && !text.ends_with(['=', '<', '>', '~', '!', ','])
        && !is_list(text)
}

/// Whether something else than a version follows a comma: names in brackets, and addresses, may have commas too.
fn is_list(text: &str) -> bool {
    let versions = text.rsplit(']').next().unwrap_or(text);
    !text.contains('@')
        && versions
            .split(',')
            .skip(1)
            .any(|version| !version.starts_with(['=', '<', '>', '~', '!']))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Env, Required, read};

    fn of(text: &str) -> Result<String, String> {
        match read(&Env::from([("SMART_COLAB_REQUIREMENTS", text)]))? {
            Required::Named(text) => Ok(text),
            Required::Remembered => Ok("(remembered)".to_owned()),
        }
    }

    #[test]
    fn requirements_are_a_list_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("needed.txt");
        assert!(
            of(file.to_str().unwrap())
                .unwrap_err()
                .contains("cannot be read")
        );
        fs::write(&file, "--no-index\npandas ; python_version > '3'\n").unwrap();
        assert_eq!(
            of(file.to_str().unwrap()).unwrap(),
            "--no-index\npandas ; python_version > '3'\n"
        );
        assert_eq!(of("").unwrap(), "");
        assert_eq!(of("remember").unwrap(), "(remembered)");
        assert_eq!(of("remember>=0").unwrap(), "remember>=0\n");
        assert_eq!(
            of(" pandas>=2,<3  torch[x,y]==2.1 ").unwrap(),
            "pandas>=2,<3\ntorch[x,y]==2.1\n"
        );
        for wrong in [
            "needed.txt",
            "pandas >= 2",
            "--upgrade pandas",
            "pandas, torch",
            "pandas,torch",
            "pandas[a,b]>=2,torch",
            "pandas 2.1",
        ] {
            assert!(of(wrong).unwrap_err().contains("absolute path"), "{wrong}");
        }
    }
}
