//! Chunked operations on a fake machine that fails in every way, on the test's own clock.

mod ahead;
mod batches;
mod by_itself;
mod checkpoint_file;
mod crashes;
mod ends;
mod listing;
mod losses;
mod real;
mod restarts;
mod results;
mod retries;
mod saved_results;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use smart_colab::caller::Caller;
use smart_colab::checkpoints::plan::Plan;
use smart_colab::checkpoints::report::CheckpointReport;
use smart_colab::checkpoints::{CheckpointError, Checkpoints, Name};
use smart_colab::chunked::order::Order;
use smart_colab::chunked::{Chunked, Facts, Outcome};
use smart_colab::jobs::Jobs;
use smart_colab::jobs::body::text_of;
use smart_colab::wire::job::OnError;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::fake_runtime::FakeRuntime;
use crate::support::hint::worded;
use crate::support::provisioners::connect_to;
use crate::support::world::{BODY, SETUP, World};

const CALL_TIMEOUT: Duration = Duration::from_secs(45);

/// A machine, a user's disk and one operation.
struct Bench {
    runtime: Arc<FakeRuntime>,
    disk: TempDir,
    plan: Plan,
}

impl Bench {
    /// Creates an operation of `n` iterations of a second each.
    fn new(n: u64, batch_size: u64) -> Self {
        Self {
            runtime: FakeRuntime::new(),
            // In memory if possible, because every batch syncs its files several times.
            disk: tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
            plan: Plan {
                name: Name::new("op").unwrap(),
                setup_code: SETUP.to_owned(),
                loop_code: BODY.to_owned(),
                n_iterations: n,
                batch_size,
                on_error: OnError::Stop,
                session: "main".to_owned(),
                cluster: None,
            },
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.runtime.world()
    }

    fn jobs(&self) -> Arc<Jobs> {
        let connection = Arc::new(connect_to(self.runtime.clone(), self.disk.path()));
        Arc::new(Jobs::new(
            connection,
            self.disk.path().join("results"),
            self.disk.path().join("jobs"),
        ))
    }

    /// Returns the operations of a bridge that has just started.
    fn bridge(&self) -> Chunked {
        Chunked::new(self.jobs(), self.checkpoints())
    }

    /// Returns the checkpoints of a bridge that has just started.
    fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.jobs(), self.disk.path().join("checkpoints"))
    }

    /// All of the plan, said again.
    fn order(&self) -> Order {
        let plan = self.plan.clone();
        Order {
            name: plan.name,
            setup_code: Some(plan.setup_code),
            loop_code: Some(plan.loop_code),
            n_iterations: Some(plan.n_iterations),
            batch_size: Some(plan.batch_size),
            on_error: Some(plan.on_error),
            session: Some(plan.session),
            cluster: plan.cluster,
            restart: false,
            keep_done: false,
            retry_skipped: false,
        }
    }

    async fn try_call(
        &self,
        restart: bool,
        budget: Duration,
        cancelled: &CancellationToken,
    ) -> Result<Outcome, CheckpointError> {
        let caller = Caller::until(Instant::now() + budget).cancelled_by(cancelled);
        let order = Order {
            restart,
            ..self.order()
        };
        self.bridge().run(&order, &caller).await
    }

    /// Calls from a new bridge; returns its facts, which must agree with the disk.
    async fn call_within(&self, budget: Duration) -> Facts {
        let token = CancellationToken::new();
        let facts = self.try_call(false, budget, &token).await.unwrap().facts;
        assert_eq!(facts.completed, self.completed());
        assert_eq!(facts.remaining == 0, !facts.can_continue);
        let leads_on = facts.can_continue && facts.retryable != Some(false);
        assert_eq!(leads_on, facts.next_command.is_some());
        facts
    }

    /// Calls from a new bridge; returns its text.
    async fn read_within(&self, budget: Duration) -> String {
        let token = CancellationToken::new();
        let outcome = self.try_call(false, budget, &token).await.unwrap();
        text_of(&outcome.body)
    }

    async fn call(&self) -> Facts {
        self.call_within(CALL_TIMEOUT).await
    }

    /// Calls while the operation can continue, up to a limit.
    async fn call_to_the_end(&self) -> Facts {
        for _ in 0..20 {
            let facts = self.call().await;
            if !facts.can_continue {
                return facts;
            }
        }
        panic!("the operation never completes");
    }

    async fn refused(&self, restart: bool) -> CheckpointError {
        let token = CancellationToken::new();
        let result = self.try_call(restart, CALL_TIMEOUT, &token).await;
        result.expect_err("the call is refused")
    }

    async fn restart(&self) -> Facts {
        let token = CancellationToken::new();
        let outcome = self.try_call(true, CALL_TIMEOUT, &token).await;
        outcome.unwrap().facts
    }

    /// Calls from a bridge that dies after `time`, without an answer.
    async fn call_and_die_after(&self, time: Duration) {
        let token = CancellationToken::new();
        let call = self.try_call(false, CALL_TIMEOUT, &token);
        let ended = tokio::time::timeout(time, call).await;
        assert!(ended.is_err(), "the call returned first: {ended:?}");
    }

    async fn report(&self, name: &str) -> Result<CheckpointReport, CheckpointError> {
        let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
        let caller = caller.at_most(Duration::ZERO);
        self.checkpoints().get(name, &caller).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.disk.path().join("checkpoints/op").join(name)
    }

    /// Reads the checkpoint.
    fn checkpoint(&self) -> Value {
        let bytes = fs::read(self.file("checkpoint.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn completed(&self) -> u64 {
        self.checkpoint()["completed"].as_u64().unwrap()
    }

    /// Returns the completed iterations, or `None` before the first call.
    fn completed_or_none(&self) -> Option<u64> {
        let there = self.file("checkpoint.json").exists();
        there.then(|| self.completed())
    }

    /// Asserts that the results file holds each of the first `n` iterations once, in order.
    #[track_caller]
    fn assert_results(&self, n: u64) {
        let text = fs::read_to_string(self.file("results.jsonl")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let wanted: Vec<Value> = (0..n).map(|i| json!({"i": i, "result": i + 1})).collect();
        assert_eq!(lines, wanted);
    }

    /// Asserts that all iterations are done, each result is saved once, and none ran without the setup.
    #[track_caller]
    fn assert_complete(&self, facts: &Facts) {
        assert!(facts.success, "{facts:?}");
        assert_eq!((facts.state, facts.can_continue), ("succeeded", false));
        assert_eq!(facts.completed, self.plan.n_iterations);
        assert!((facts.progress_pct - 100.0).abs() < f64::EPSILON);
        self.assert_results(self.plan.n_iterations);
        let world = self.world();
        assert!((0..self.plan.n_iterations).all(|i| world.ended[&i] >= 1));
        assert_eq!(world.without_setup, 0);
    }

    /// Asserts how often the iterations in `again` began; all others began once.
    #[track_caller]
    fn assert_begun_again(&self, again: &[(u64, u32)]) {
        let world = self.world();
        let more: Vec<_> = world
            .begun
            .iter()
            .filter(|(_, times)| **times != 1)
            .map(|(i, times)| (*i, *times))
            .collect();
        assert_eq!(more, again);
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn failed(facts: &Facts, state: &str, code: &str) {
    assert!(!facts.success, "{facts:?}");
    assert_eq!((facts.state, facts.code.as_deref()), (state, Some(code)));
    assert!(facts.error.is_some() && facts.retryable.is_some());
    assert!(
        facts
            .hint
            .as_ref()
            .is_some_and(|hint| !worded(hint).is_empty())
    );
}
