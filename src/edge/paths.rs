//! Default folders, by the platform's own rules.

use std::io;
use std::path::PathBuf;

use directories::{ProjectDirs, UserDirs};

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

/// A path as people write it in a config: a leading `~` is their home.
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
/// When the platform does not tell.
pub fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}
