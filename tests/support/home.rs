//! A user's home: every folder that the program may use, in one temporary place.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Replaces a folder by a file, so that not even root can write there.
pub(crate) fn break_folder(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
    std::fs::write(folder, "").unwrap();
}

/// Removed on drop.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the program under test, with nothing of this machine's environment but `PATH`.
    pub(crate) fn program(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smart-colab"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["COLAB_", "SMART_COLAB_", "JUPYTER_"]
                .iter()
                .any(|start| name.starts_with(start))
            {
                command.env_remove(name);
            }
        }
        for name in ["HOME", "USERPROFILE", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(name, self.folder("home"));
        }
        command
            .env("XDG_CACHE_HOME", self.folder("home"))
            .env("BROWSER", "no-such-browser")
            .env("SMART_COLAB_DATA_DIR", self.folder("data"))
            .env("LOCAL_SAVE_DIR", self.folder("results"))
            .env("CHECKPOINT_DIR", self.folder("checkpoints"))
            .envs(variables.iter().copied())
            .current_dir(self.path());
        command
    }

    /// Returns everything that the program wrote, names and contents, as text.
    pub(crate) fn everything(&self) -> String {
        let mut whole = String::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                whole.push_str(&path.display().to_string());
                whole.push('\n');
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(content) = std::fs::read(&path) {
                    whole.push_str(&String::from_utf8_lossy(&content));
                    whole.push('\n');
                }
            }
        }
        whole
    }
}
