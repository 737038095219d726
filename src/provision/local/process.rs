//! The executor as a child process. It ends when its stdin closes, so it cannot outlive the bridge, however that ends.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::time::timeout;
use url::Url;

use super::command::{command, path_with};
use super::fault::Fault;
use super::layout::Environment;
use super::package::Package;
use super::slot::Slot;
use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::edge::settings::{Endpoint, Kind};

/// The first start compiles every module, and virus scanners look at each.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// From closing stdin to the end of the process, which ends its kernels first.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_LINE_BYTES: u64 = 4096;
/// The exit code of Python's argparse for arguments that it refuses.
const REFUSED: i32 = 2;
/// Lines of stderr kept for the error of a failed start.
const MAX_KEPT_LINES: usize = 8;

/// A serving executor.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) endpoint: Endpoint,
    child: Child,
    /// Open for as long as the executor is to run.
    stdin: Option<ChildStdin>,
}

/// The line on stdout that says that it serves. The token was made by the executor: it is in no argument and no environment.
#[derive(Deserialize)]
struct ReadyLine {
    url: String,
    token: String,
}

impl Process {
    /// Starts the executor and waits until it serves. `root` and the folders of `slot` are absolute.
    ///
    /// # Errors
    /// The last lines that the executor wrote.
    pub(super) async fn start(
        environment: &Environment,
        package: &Package,
        root: &Path,
        slot: &Slot,
        search_path: &std::ffi::OsStr,
        policy: &str,
    ) -> Result<Self, Fault> {
        let state = &*slot.state;
        for folder in [root, state] {
            std::fs::create_dir_all(folder).map_err(|error| Fault::disk(folder, &error))?;
        }
        let mut command = command(&environment.python);
        command
            // -P: a user's own json.py in the current folder must not be taken for the library's.
            .args(["-P", "-m", "smart_colab_executor", "--exit-with-stdin"])
            .arg("--neighbours")
            .args(["--host", "127.0.0.1", "--port", "0"])
            .arg("--root")
            .arg(root)
            .arg("--state")
            .arg(state)
            .args(["--policy", policy])
            .arg("--ready-file")
            .arg(&slot.ready)
            .current_dir(root)
            .env("PYTHONPATH", &package.folder)
            .env("PYTHONUTF8", "1")
            .env("PATH", path_with(&environment.programs, search_path))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let fault = |detail: String| Fault::new(detail, environment.remedy.clone());
        let mut child = command.spawn().map_err(|error| {
            fault(format!(
                "{} does not run: {error}",
                environment.python.display()
            ))
        })?;
        let stdin = child.stdin.take();
        let said = Tail::default();
        let stderr = child
            .stderr
            .take()
            .map(|pipe| tokio::spawn(follow(pipe, said.clone())));
        let ready = match child.stdout.take() {
            Some(pipe) => timeout(READY_TIMEOUT, ready_line(pipe)).await,
            None => Ok(None),
        };
        if let Ok(Some(endpoint)) = ready {
            return Ok(Self {
                endpoint,
                child,
                stdin,
            });
        }
        let what = match ready {
            Ok(_) => "the executor ended during its start".to_owned(),
            Err(_) => format!(
                "the executor did not serve within {} s",
                READY_TIMEOUT.as_secs()
            ),
        };
        let _ = child.kill().await;
        let code = child.wait().await.ok().and_then(|status| status.code());
        if let Some(stderr) = stderr {
            let _ = timeout(Duration::from_secs(1), stderr).await;
        }
        Err(match refusal(code, &said.text()) {
            Some(reason) => Fault::folder(reason),
            None => fault(format!("{what}: {}", said.text())),
        })
    }

    /// Waits for an unexpected end.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Stops the executor cleanly, and kills it if that takes too long.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!(
                "the local executor did not end within {} s and is killed",
                STOP_TIMEOUT.as_secs()
            );
            let _ = self.child.kill().await;
        }
    }
}

/// The reason of an executor that refused its folders: the last thing that it said. Its other arguments are this program's own.
fn refusal(code: Option<i32>, said: &str) -> Option<&str> {
    let (_, reason) = said.rsplit_once("smart_colab_executor: error: ")?;
    (code == Some(REFUSED)).then_some(reason)
}

/// Reads up to the ready line and keeps reading in the background, so that the pipe never fills.
async fn ready_line(pipe: impl AsyncRead + Send + Unpin + 'static) -> Option<Endpoint> {
    let mut reader = BufReader::new(pipe);
    while let Some(line) = next_line(&mut reader).await {
        // A site hook may print before it.
        if let Some(endpoint) = endpoint(&line) {
            tokio::spawn(follow(reader, Tail::default()));
            return Some(endpoint);
        }
    }
    None
}

/// Reads the line that says that it serves.
pub(super) fn endpoint(line: &str) -> Option<Endpoint> {
    let ready: ReadyLine = serde_json::from_str(line).ok()?;
    Some(Endpoint {
        kind: Kind::Executor,
        url: Url::parse(&ready.url).ok()?,
        token: Secret::new(ready.token),
    })
}

/// Logs what is written to `pipe`, line by line, until its end.
async fn follow(pipe: impl AsyncRead + Send + Unpin, tail: Tail) {
    let mut reader = BufReader::new(pipe);
    while let Some(line) = next_line(&mut reader).await {
        tracing::debug!("executor: {line}");
        tail.push(line);
    }
}

/// A line without its end, cut after [`MAX_LINE_BYTES`]; none at the end of the stream.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    let read = reader
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', &mut line)
        .await;
    match read {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
    }
}

/// The last lines that are not blank.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Lock<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock();
        if !line.is_empty() {
            lines.push_back(line);
        }
        if lines.len() > MAX_KEPT_LINES {
            lines.pop_front();
        }
    }

    fn text(&self) -> String {
        let mut lines = self.0.lock();
        lines.make_contiguous().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINE_BYTES, next_line, ready_line, refusal};

    #[test]
    fn a_refused_folder_is_told_from_a_python_that_lacks_packages() {
        let usage =
            "usage: smart_colab_executor [--root ROOT]\n                            [--version]\n";
        let said =
            format!("{usage}smart_colab_executor: error: --state /s: No space left on device");
        assert_eq!(
            refusal(Some(2), &said),
            Some("--state /s: No space left on device")
        );
        assert_eq!(refusal(Some(1), "No module named 'flask'"), None);
        assert_eq!(refusal(None, &said), None);
    }

    #[tokio::test]
    async fn the_ready_line_is_found_behind_other_lines() {
        let said = "hello\n{\"not\":1}\n{\"url\":\"http://127.0.0.1:5\",\"token\":\"t\",\"pid\":1}\nmore\n";
        let ready = ready_line(said.as_bytes()).await.unwrap();
        assert_eq!((ready.url.port(), ready.token.expose()), (Some(5), "t"));
        assert!(ready_line("hello\n".as_bytes()).await.is_none());
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let endless = vec![b'x'; 2 * MAX_LINE_BYTES as usize];
        let mut reader = endless.as_slice();
        assert_eq!(
            next_line(&mut reader).await.unwrap().len() as u64,
            MAX_LINE_BYTES
        );
    }
}
