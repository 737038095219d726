//! The guarantees under long series of random faults, with a real bridge over stdio, a real executor and real kernels.
//!
//! Each test prints its seed; `SMART_COLAB_SEED` replays it. `SMART_COLAB_CAMPAIGN=long` scales every test up.

mod downloads;
mod endless;
mod jupyter;
mod kills;
mod long_code;
mod mirrors;
mod network;
mod sessions;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smart_colab::mcp::client::{Answer, Client};
use tokio::process::Command;
use tokio::time::sleep;

use crate::support::executor::{Executor, TOKEN};
use crate::support::home::Home;

/// Allowance beyond a call's budget, for the process's own time on a busy machine.
const MARGIN: Duration = Duration::from_secs(10);
/// The shortest budget that can be configured.
const MIN_BUDGET: Duration = Duration::from_secs(5);
/// Limit for one job and all calls about it, generous for slow machines.
const PATIENCE: Duration = Duration::from_secs(400);
/// After this time a request in flight when a call ended has arrived, or never will.
const ARRIVAL_TIME: Duration = Duration::from_secs(5);

fn is_long() -> bool {
    std::env::var("SMART_COLAB_CAMPAIGN").is_ok_and(|form| form == "long")
}

/// Picks the count for the short or the long campaign.
fn scaled(short: u64, long: u64) -> u64 {
    if is_long() { long } else { short }
}

async fn executor() -> Executor {
    tokio::task::spawn_blocking(Executor::start).await.unwrap()
}

/// Asks the executor itself for `route`.
async fn ask(executor: &Executor, route: &str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}/{route}", executor.url));
    let reply = request.bearer_auth(TOKEN).send().await.unwrap();
    reply.error_for_status().unwrap().text().await.unwrap()
}

/// A bridge and the budget of its calls.
struct Caller {
    client: Client,
    budget: Duration,
}

impl Caller {
    /// Starts a bridge in `home` that reaches the executor at `address`.
    async fn start(home: &Home, address: SocketAddr, budget: Duration) -> Self {
        Self::start_at(home, &format!("http://{address}/#{TOKEN}"), budget).await
    }

    /// Starts a bridge with this `COLAB_URL`.
    async fn start_at(home: &Home, url: &str, budget: Duration) -> Self {
        let mut command = home.program(&[("COLAB_URL", url)]);
        command.env("SMART_COLAB_CALL_BUDGET_SEC", budget.as_secs().to_string());
        let client = Client::start(Command::from(command)).await.unwrap();
        Self { client, budget }
    }

    /// Calls a tool and asserts that it answers in time.
    async fn call(&self, tool: &'static str, arguments: Value) -> Answer {
        let started = Instant::now();
        let answer = self.client.call(tool, arguments).await.unwrap();
        let took = started.elapsed();
        assert!(
            took < self.budget + MARGIN,
            "{tool} took {took:?}: {answer:?}"
        );
        answer
    }

    /// Runs code as a model does: sends it again only if the answer says that it did not run.
    async fn run(&self, code: &str, session: &str, timeout_sec: u64) -> Reader {
        let arguments = json!({"code": code, "session": session, "timeout_sec": timeout_sec});
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let answer = self.call("run_code_long", arguments.clone()).await;
            let Some(job) = answer.facts["job_id"].as_str() else {
                assert!(answer.is_error, "{answer:?}");
                continue;
            };
            let mut reader = Reader::of(job);
            if answer.facts["state"].is_string() {
                reader.take(answer);
                return reader;
            }
            sleep(ARRIVAL_TIME).await;
            loop {
                let answer = self
                    .call("get_output", json!({"job_id": job, "after": 0}))
                    .await;
                if answer.facts["code"] == "not_found" {
                    break;
                }
                if answer.facts["state"].is_string() {
                    reader.take(answer);
                    return reader;
                }
                assert!(Instant::now() < end, "{answer:?}");
            }
        }
        panic!("the code could not be sent");
    }

    /// Runs short code and asserts its success.
    async fn quick(&self, code: &str, session: &str) -> Reader {
        let reader = self.run(code, session, 60).await;
        self.finish(reader).await
    }

    async fn finish(&self, mut reader: Reader) -> Reader {
        let end = Instant::now() + PATIENCE.max(self.budget * 20);
        while reader.end.is_none() {
            assert!(Instant::now() < end, "{} of output", reader.text.len());
            reader.read_page(self, None).await;
        }
        reader
    }
}

/// The output of a job that a client has read so far, page by page.
struct Reader {
    job: String,
    next: u64,
    text: String,
    /// The facts of the last page.
    end: Option<Value>,
}

impl Reader {
    fn of(job: &str) -> Self {
        Self {
            job: job.to_owned(),
            next: 0,
            text: String::new(),
            end: None,
        }
    }

    /// Reads one more page, waiting up to `wait_sec`, or as long as a call may take.
    async fn read_page(&mut self, caller: &Caller, wait_sec: Option<u64>) {
        let mut arguments = json!({"job_id": self.job, "after": self.next});
        if let Some(wait_sec) = wait_sec {
            arguments["wait_sec"] = json!(wait_sec);
        }
        let answer = caller.call("get_output", arguments).await;
        let (left_out, state) = (&answer.facts["left_out_characters"], &answer.facts["state"]);
        let is_over = state.is_string() && state != "running" && state != "queued";
        if left_out.is_u64() && is_over {
            return self.read_log(caller, answer.facts).await;
        }
        self.take(answer);
    }

    /// Reads the rest of a finished job, which does not fit in one answer.
    async fn read_log(&mut self, caller: &Caller, end: Value) {
        loop {
            let part = json!({"job_id": self.job, "from_byte": self.text.len()});
            let part = caller.call("get_output", part).await;
            if !part.facts["log_bytes"].is_u64() {
                return;
            }
            self.text += &part.text;
            if part.facts["next_byte"].is_null() {
                self.end = Some(end);
                return;
            }
        }
    }

    fn take(&mut self, answer: Answer) {
        let facts = &answer.facts;
        // Read from the log, once it is whole.
        if facts["left_out_characters"].is_u64() {
            return;
        }
        self.text += &answer.text;
        if let Some(next) = facts["next"].as_u64() {
            assert!(next >= self.next, "the cursor goes back: {facts}");
            self.next = next;
        } else if facts["state"].is_string() {
            self.end = Some(answer.facts);
        } else {
            let code = facts["code"].as_str().unwrap_or_default();
            // `busy`: the way to the executor is being made again.
            let codes = ["connection_failed", "timed_out", "busy"];
            assert!(codes.contains(&code), "{facts}");
            assert_eq!(answer.text, "", "{facts}");
        }
    }

    #[track_caller]
    fn assert_read(&self, expected: &str) {
        assert_same_lines(&self.text, expected);
        assert_eq!(self.end.as_ref().unwrap()["state"], "succeeded");
    }
}

/// Asserts each line once and in order, and shows the first difference.
#[track_caller]
fn assert_same_lines(text: &str, expected: &str) {
    if text == expected {
        return;
    }
    let mut pairs = text.lines().zip(expected.lines()).enumerate();
    let fault = pairs.find(|(_, (is, should))| is != should);
    panic!(
        "{} lines instead of {}; first difference: {fault:?}",
        text.lines().count(),
        expected.lines().count(),
    );
}

/// Waits until `holds`, however slow the machine.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "timed out waiting for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
