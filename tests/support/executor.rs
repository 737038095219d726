//! The real executor, as a user starts it on a machine of theirs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::python::python;
use super::stdio::PATIENCE;

/// Looked for wherever it must not be.
pub(crate) const TOKEN: &str = "t0ken-of-the-tests-7f3a9c";

/// Ends with its value, and with this process however that ends: it lives as long as its stdin.
pub(crate) struct Executor {
    child: Child,
    folder: TempDir,
    pub url: String,
}

impl Executor {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let log = File::create(folder.path().join("stderr")).unwrap();
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("colab");
        let mut child = Command::new(python())
            .args([
                "-m",
                "smart_colab_executor",
                "--port",
                "0",
                "--exit-with-stdin",
            ])
            .arg("--root")
            .arg(&root)
            .arg("--state")
            .arg(folder.path().join("state"))
            .env("PYTHONPATH", package)
            .env("IPYTHONDIR", folder.path().join("ipython"))
            .env("SMART_COLAB_TOKEN", TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut executor = Self {
            child,
            folder,
            url: String::new(),
        };
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("it did not start: {}", executor.stderr()));
        executor.url = ready["url"].as_str().unwrap().to_owned();
        executor
    }

    /// One for all tests that need no executor of their own; each takes a session of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Executor> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The line that the notebook prints.
    pub(crate) fn line(&self) -> String {
        format!("{}#{TOKEN}", self.url)
    }

    /// Where its code runs.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let end = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.child.kill();
            }
            sleep(Duration::from_millis(20));
        }
    }
}
