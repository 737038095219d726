//! The guarantees under faults between the real binary and the real executor: sent code runs exactly once, its output is never
//! lost, every call returns in time, and every error says what to do next.

mod exporting;
mod following;
mod intermediaries;
mod keeping;
mod mirroring;
mod process_deaths;
mod repeating;
mod sending;
mod silence;
mod strangers;
mod transferring;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smart_colab::mcp::client::{Answer, Client};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::executor::{Executor, TOKEN};
use crate::support::proxy::Proxy;

/// Limit for waits without a bound of their own, generous for slow machines.
const PATIENCE: Duration = Duration::from_secs(120);
/// A call's budget unless a test sets another.
const BUDGET: Duration = Duration::from_secs(15);
/// The shortest call budget that can be configured.
const MIN_BUDGET: (&str, &str) = ("SMART_COLAB_CALL_BUDGET_SEC", "5");
/// Allowance beyond a call's budget, for the process's own time on a busy machine.
const MARGIN: Duration = Duration::from_secs(10);

/// An executor behind a proxy, and a folder for bridges.
struct Rig {
    executor: Executor,
    proxy: Proxy,
    folder: TempDir,
}

impl Rig {
    /// Starts the executor and its kernel, so that no call waits for the kernel's start.
    async fn start() -> Self {
        let executor = tokio::task::spawn_blocking(Executor::start).await.unwrap();
        let proxy = Proxy::to(executor.address());
        let folder = tempfile::tempdir().unwrap();
        let rig = Self {
            executor,
            proxy,
            folder,
        };
        let bridge = rig.bridge(&[]).await;
        finish(&bridge, run(&bridge, "None").await).await;
        bridge.leave().await;
        rig
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a process of the real binary.
    async fn bridge(&self, variables: &[(&str, &str)]) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smart-colab"));
        command
            .env(
                "COLAB_URL",
                format!("http://{}/#{TOKEN}", self.proxy.address()),
            )
            .env("LOCAL_SAVE_DIR", self.folder("results"))
            .env("SMART_COLAB_DATA_DIR", self.folder("data"))
            .env("SMART_COLAB_CALL_BUDGET_SEC", BUDGET.as_secs().to_string())
            .env("SMART_COLAB_LOG", "smart_colab=debug")
            .envs(variables.iter().copied());
        Client::start(command).await.unwrap()
    }

    /// Reads a file that code wrote on the machine.
    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.executor.root().join(name)).unwrap_or_default()
    }
}

/// Appends a mark to the file `ran` each time it runs.
const MARK: &str = "with open('ran', 'a') as ran: ran.write('x')\n";

async fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "timed out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the bridge has read `line` during a running call.
async fn until_read(bridge: &Client, line: &'static str) {
    let heard = Arc::new(AtomicBool::new(false));
    let hears = heard.clone();
    bridge.on_progress(move |message| hears.store(message == line, Ordering::Relaxed));
    until(|| heard.load(Ordering::Relaxed)).await;
}

async fn run(bridge: &Client, code: &str) -> Answer {
    call(bridge, "run_code_quick", json!({"code": code})).await
}

async fn call(bridge: &Client, tool: &'static str, arguments: Value) -> Answer {
    bridge.call(tool, arguments).await.unwrap()
}

/// Waits until the session's kernel is up, as [`Bridge::warm`](crate::support::stdio::Bridge::warm).
async fn warm(bridge: &Client) {
    let end = Instant::now() + PATIENCE;
    while run(bridge, "pass").await.facts["state"] != "succeeded" {
        assert!(Instant::now() < end, "the kernel did not start");
    }
}

/// Reads from the end of `answer` until the job is over; returns the last answer with the text of all.
async fn finish(bridge: &Client, answer: Answer) -> Answer {
    let mut answer = answer;
    let end = Instant::now() + PATIENCE;
    while answer.facts["next"].is_u64() {
        assert!(Instant::now() < end, "{answer:?}");
        let arguments = json!({"job_id": answer.facts["job_id"], "after": answer.facts["next"]});
        let more = call(bridge, "get_output", arguments).await;
        answer = Answer {
            text: answer.text + &more.text,
            ..more
        };
    }
    answer
}

fn succeeded(answer: &Answer) {
    assert_eq!(answer.facts["state"], "succeeded", "{answer:?}");
    assert_eq!(answer.facts["success"], true, "{answer:?}");
    assert!(!answer.is_error, "{answer:?}");
}

/// Asserts an error with `code`, a message and a hint, and without the token.
fn failed(answer: &Answer, code: &str) {
    assert_eq!(answer.facts["code"], code, "{answer:?}");
    assert!(answer.is_error, "{answer:?}");
    for part in ["error", "hint"] {
        let text = answer.facts[part].as_str().unwrap_or_default();
        assert!(text.len() > 10, "{part} of {answer:?}");
    }
    assert!(!format!("{answer:?}").contains(TOKEN), "{answer:?}");
}
