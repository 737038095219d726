//! The real executor, started as a user starts it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::home::Home;
use super::python::python;
use super::stdio::{Bridge, PATIENCE};

/// Searched for wherever it must not appear.
pub(crate) const TOKEN: &str = "t0ken-of-the-tests-7f3a9c";

/// A Python expression for the pid of the executor, whose kernel evaluates it; needs `psutil`.
pub(crate) const EXECUTOR_PID: &str = "next(one.pid for one in psutil.Process().parents() if 'smart_colab_executor' in one.cmdline())";

/// Ended on drop, and when this process ends in any way, because it lives as long as its stdin.
pub(crate) struct Executor {
    child: Child,
    folder: TempDir,
    pub url: String,
}

impl Executor {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    fn start_in(folder: TempDir) -> Self {
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let mut executor = Self {
            child: spawn(folder.path(), 0),
            folder,
            url: String::new(),
        };
        executor.url = executor.ready();
        executor
    }

    /// Kills it, as the OOM killer does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Restarts it at the same address, with its state on disk.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.address().port());
        assert_eq!(self.ready(), self.url);
    }

    /// Waits for the address that it reports.
    fn ready(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the executor did not start: {}", self.stderr()));
        ready["url"].as_str().unwrap().to_owned()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.url.strip_prefix("http://").unwrap();
        address.parse().unwrap()
    }

    /// Returns the executor shared by tests that need none of their own; each uses its own session.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Executor> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_in(shared_folder()))
    }

    /// Returns the connection line, as the notebook prints it.
    pub(crate) fn line(&self) -> String {
        format!("{}#{TOKEN}", self.url)
    }

    /// Starts a bridge of `home` that is connected to this executor.
    pub(crate) fn bridge(&self, home: &Home, variables: &[(&str, &str)]) -> Bridge {
        self.bridge_of("test", home, variables)
    }

    /// Starts a bridge for the client of this name.
    pub(crate) fn bridge_of(
        &self,
        client: &str,
        home: &Home,
        variables: &[(&str, &str)],
    ) -> Bridge {
        let line = self.line();
        let mut command = home.program(&[("COLAB_URL", &line)]);
        command.envs(variables.iter().copied());
        Bridge::greeted_by(client, command)
    }

    /// Returns the folder in which its code runs.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

fn spawn(folder: &Path, port: u16) -> Child {
    let log = File::options()
        .append(true)
        .create(true)
        .open(folder.join("stderr"));
    Command::new(python())
        .args(["-m", "smart_colab_executor", "--exit-with-stdin", "--port"])
        .arg(port.to_string())
        .arg("--root")
        .arg(folder.join("root"))
        .arg("--state")
        .arg(folder.join("state"))
        .env(
            "PYTHONPATH",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("colab"),
        )
        .env("IPYTHONDIR", folder.join("ipython"))
        .env("SMART_COLAB_TOKEN", TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.unwrap())
        .spawn()
        .unwrap()
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

/// Returns a folder for the shared executor. It is never dropped, so a run on a later day removes it from the build folder.
fn shared_folder() -> TempDir {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(place).unwrap();
    for entry in std::fs::read_dir(place).unwrap().flatten() {
        let is_ours = entry
            .file_name()
            .to_string_lossy()
            .starts_with("shared-executor-");
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| changed.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > Duration::from_secs(86_400)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("shared-executor-")
        .tempdir_in(place)
        .unwrap()
}

/// Waits for a file that running code creates.
pub(crate) fn until_there(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < end, "{} was not created", path.display());
        sleep(Duration::from_millis(20));
    }
}
