//! Default folders, by the platform's own rules.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use directories::{ProjectDirs, UserDirs};

use super::env::{self, Env};

/// Usual folders of programs, searched after `PATH`: a client started from a desktop passes on a bare `PATH`.
const USUAL_FOLDERS: &[&str] = if cfg!(windows) {
    &[]
} else {
    &[
        "/opt/homebrew/bin",
        "/usr/local/bin",
        "/Library/Frameworks/Python.framework/Versions/Current/bin",
        "/usr/bin",
        "/bin",
    ]
};
const USUAL_FOLDERS_AT_HOME: &[&str] = &[".local/bin", ".cargo/bin", ".pyenv/shims"];

/// Why relative paths are refused, and what to write instead.
pub(super) const RELATIVE_PATH_FAULT: &str = if cfg!(windows) {
    "it must be an absolute path, such as C:\\Users\\me\\data or ~\\data: clients start programs in folders of their own, so a relative one leads nowhere"
} else {
    "it must be an absolute path, such as /home/me/data or ~/data: clients start programs in folders of their own, so a relative one leads nowhere"
};

/// `~/colab_results`; under the current folder where there is no home.
#[must_use]
pub fn default_save_dir() -> PathBuf {
    UserDirs::new().map_or_else(
        || PathBuf::from("colab_results"),
        |dirs| dirs.home_dir().join("colab_results"),
    )
}

/// The platform's data folder for this program (`~/.local/share/smart-colab` on Linux).
#[must_use]
pub fn default_data_dir() -> PathBuf {
    ProjectDirs::from("", "", "smart-colab").map_or_else(
        || PathBuf::from(".smart-colab"),
        |dirs| dirs.data_local_dir().to_owned(),
    )
}

/// Expands a path from a config: a leading `~` is the user's home.
#[must_use]
pub fn expand_home(text: &str) -> PathBuf {
    match (text.strip_prefix('~'), UserDirs::new()) {
        (Some(rest), Some(dirs)) if rest.is_empty() || rest.starts_with(['/', '\\']) => {
            dirs.home_dir().join(rest.trim_start_matches(['/', '\\']))
        }
        _ => PathBuf::from(text),
    }
}

/// This program's own file, for starting it again and for naming it in a client's config.
///
/// # Errors
/// If the platform cannot report it.
pub fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// `PATH` with the usual folders after it, in the form of `PATH`.
#[must_use]
pub fn search_path(env: &Env) -> OsString {
    let path = env.get(env::PATH).unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    if let Some(dirs) = UserDirs::new() {
        folders.extend(
            USUAL_FOLDERS_AT_HOME
                .iter()
                .map(|folder| dirs.home_dir().join(folder)),
        );
    }
    folders.extend(USUAL_FOLDERS.iter().map(PathBuf::from));
    let mut seen = std::collections::BTreeSet::new();
    folders.retain(|folder| folder.is_absolute() && seen.insert(folder.clone()));
    std::env::join_paths(folders).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests {
    use super::{Env, search_path};

    #[cfg(unix)]
    #[test]
    fn path_comes_first_and_the_usual_folders_after_it_once() {
        let found = search_path(&Env::from([("PATH", "/usr/bin:relative:/mine")]));
        let found = found.to_str().unwrap();
        assert!(found.starts_with("/usr/bin:/mine:"), "{found}");
        assert_eq!(found.matches("/usr/bin").count(), 1, "{found}");
        assert!(found.ends_with(":/bin"), "{found}");
    }
}
