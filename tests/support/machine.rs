//! A user's machine, bridges on it, and helpers for their executors.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use smart_colab::base::ids::JobId;
use smart_colab::edge::env::Env;
use smart_colab::edge::settings::{Flags, Settings};
use smart_colab::provision::Provisioner;
use smart_colab::provision::local::Local;
use smart_colab::runtime::arrival::Arrival;
use smart_colab::runtime::{Hold, Runtime};
use smart_colab::wire::job::JobRequest;
use smart_colab::wire::state::JobState;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::python::python;

/// Limit for waits, generous for slow machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A user's machine, with nothing on it yet.
pub(crate) struct Machine(TempDir);

impl Machine {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn settings(&self) -> Settings {
        let path = std::env::var("PATH").unwrap();
        let env = Env::from([
            (
                "SMART_COLAB_DATA_DIR",
                self.folder("data").to_str().unwrap(),
            ),
            ("LOCAL_SAVE_DIR", self.folder("results").to_str().unwrap()),
            ("PATH", &path),
        ]);
        Settings::read(
            &env,
            &Flags {
                local: true,
                ..Flags::default()
            },
        )
        .unwrap()
    }

    /// Settings with the tests' Python, so that nothing is installed.
    pub(crate) fn with_packages(&self) -> Settings {
        Settings {
            python: Some(python()),
            ..self.settings()
        }
    }

    /// Settings whose search path is `folder` alone.
    pub(crate) fn finding_only(&self, folder: &Path) -> Settings {
        Settings {
            search_path: folder.into(),
            ..self.settings()
        }
    }

    /// Starts a bridge in its own process with more variables; its body is `local_executor::bridge_process`.
    pub(crate) fn bridge(&self, code: &str, variables: &[(&str, &str)]) -> Bridge {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "local_executor::bridge_process",
                "--ignored",
                "--nocapture",
            ])
            .env("SMART_COLAB_DATA_DIR", self.folder("data"))
            .env("LOCAL_SAVE_DIR", self.folder("results"))
            .env("TEST_CODE", code)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Bridge { child, lines }
    }
}

pub(crate) struct Bridge {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

impl Bridge {
    /// Waits for the next line that starts with `mark`; returns the rest of it.
    pub(crate) fn wait_for_line(&mut self, mark: &str) -> String {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if let Some(rest) = line.trim_end().strip_prefix(mark) {
                return rest.to_owned();
            }
            line.clear();
        }
        panic!("the bridge ended without saying {mark:?}");
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the executor, starting it if needed.
pub(crate) async fn ready(local: &Local) -> Arc<dyn Runtime> {
    local.runtime(Instant::now() + PATIENCE).await.unwrap()
}

/// Runs code and asserts its success; returns its id and output.
pub(crate) async fn run(runtime: &dyn Runtime, code: &str) -> (JobId, String) {
    let id = JobId::fresh();
    let request = JobRequest {
        code: code.to_owned(),
        session: "main".to_owned(),
        timeout_sec: 300,
        iterations: None,
        kernel_id: None,
        folder: None,
        answers: false,
    };
    let hold = || Hold::up_to(Duration::from_secs(20), 1 << 20);
    let arrival = Arrival::default();
    let sent = runtime.put_job(id, &request, hold(), &arrival).await;
    let mut page = sent.unwrap();
    while !page.job.state.is_final() {
        page = runtime.events(id, page.next, hold()).await.unwrap();
    }
    let said = log(runtime, id).await;
    assert_eq!(page.job.state, JobState::Succeeded, "{said}");
    (id, said)
}

/// Returns all that a job printed.
pub(crate) async fn log(runtime: &dyn Runtime, id: JobId) -> String {
    let parts: Vec<_> = runtime
        .log(id, 0)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    String::from_utf8(parts.concat()).unwrap().trim().to_owned()
}

/// Waits until nothing listens at `address`.
pub(crate) async fn until_gone(address: &str) {
    let address = address.strip_prefix("http://").unwrap();
    let end = Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < end, "{address} is still served");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Writes an executable to `path` that runs `script` in a shell.
#[cfg(unix)]
pub(crate) fn program(path: &Path, script: &str) {
    let text = path.with_extension("txt");
    fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Installed by another process, because a file once open for writing here may be "busy" for a child.
    let mut install = Command::new("install");
    install.args(["-m", "755"]).arg(&text).arg(path);
    assert!(install.status().unwrap().success());
}

/// Lists the folders in `place`.
pub(crate) fn folders(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect()
}
