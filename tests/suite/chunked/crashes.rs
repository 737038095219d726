//! Random failures in any order: the guarantees hold, and repeated calls complete the operation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use smart_colab::base::ids::JobId;
use smart_colab::wire::job::{JobRequest, OnError};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Bench, CALL_TIMEOUT, secs};
use crate::support::world::{BODY, Fails, Mishap, Strike, When, World};

const MAX_ITERATIONS: u64 = 12;
/// More calls than any script needs.
const MAX_CALLS: usize = 60;

/// The failures during one operation.
#[derive(Debug, Clone)]
struct Script {
    iterations: u64,
    batch_size: u64,
    /// Half of an iteration's time.
    pace_ms: u64,
    skips: bool,
    on_cluster: bool,
    break_at: Option<u64>,
    failing: BTreeSet<u64>,
    setup_fails: bool,
    /// One for each request, in order.
    mishaps: Vec<Option<Mishap>>,
    /// Each strikes before the machine's step of this number.
    strikes: Vec<(u64, Strike)>,
    callers: Vec<Caller>,
}

/// A call and the time until the next one.
#[derive(Debug, Clone)]
struct Caller {
    ending: Ending,
    then_ms: u64,
}

#[derive(Debug, Clone)]
enum Ending {
    /// The call has this many seconds.
    AtDeadline(u64),
    /// The bridge is killed after this many milliseconds.
    DiesAfter(u64),
    CancelsAfter(u64),
}

fn scripts() -> impl Strategy<Value = Script> {
    let strike = prop_oneof![
        Just(Strike::KernelDies),
        Just(Strike::ExecutorRestarts),
        Just(Strike::MachineReplaced),
        Just(Strike::SessionRestarted),
    ];
    let mishap = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Mishap::Refused)),
        2 => Just(Some(Mishap::ReplyLost)),
    ];
    let ending = prop_oneof![
        (3u64..60).prop_map(Ending::AtDeadline),
        (0u64..15_000).prop_map(Ending::DiesAfter),
        (0u64..15_000).prop_map(Ending::CancelsAfter),
    ];
    let caller = (ending, 0u64..8_000).prop_map(|(ending, then_ms)| Caller { ending, then_ms });
    let places = (any::<bool>(), any::<bool>());
    let shape = (1..=MAX_ITERATIONS, 1u64..=6, 100u64..2_500, places);
    let ends = (
        option::weighted(0.2, 0..MAX_ITERATIONS),
        btree_set(0..MAX_ITERATIONS, 0..3),
        any::<bool>(),
    );
    let troubles = (
        vec(mishap, 0..40),
        // Half of all operations suffer no loss.
        prop_oneof![Just(Vec::new()), vec((0u64..60, strike), 0..5)],
        vec(caller, 0..6),
    );
    (shape, ends, troubles).prop_map(
        |(
            (iterations, batch_size, pace_ms, places),
            (break_at, failing, setup_fails),
            troubles,
        )| {
            Script {
                iterations,
                batch_size,
                pace_ms,
                skips: places.0,
                on_cluster: places.1,
                break_at,
                failing,
                setup_fails,
                mishaps: troubles.0,
                strikes: troubles.1,
                callers: troubles.2,
            }
        },
    )
}

/// For each job sent: how many iterations had begun, and which ones the checkpoint or the file beside it had as done.
type Sent = Arc<Mutex<Vec<(usize, BTreeSet<u64>)>>>;

impl Script {
    fn bench(&self) -> (Bench, Sent) {
        let mut bench = Bench::new(self.iterations, self.batch_size);
        if self.skips {
            bench.plan.on_error = OnError::Skip;
        }
        if self.on_cluster {
            bench.plan.cluster = Some("made_by_setup".to_owned());
        }
        let all = Sent::default();
        let (checkpoint, known) = (bench.file("checkpoint.json"), all.clone());
        let ahead = bench.file("ahead.jsonl");
        let watcher = Arc::new(move |world: &World, sent: Option<(JobId, &JobRequest)>| {
            // The checkpoint must be readable at each request, because the bridge may die during it.
            let bytes = fs::read(&checkpoint).unwrap();
            let checkpoint: Value = serde_json::from_slice(&bytes).unwrap();
            let completed = checkpoint["completed"].as_u64().unwrap();
            assert_completed_ended(world, completed);
            if let Some((id, request)) = sent {
                let named = &checkpoint["in_flight"]["job_id"];
                assert_eq!(
                    named,
                    &id.to_string(),
                    "the batch is recorded before it is sent"
                );
                if request.code == BODY {
                    let done = (0..completed).chain(kept_ahead(&ahead)).collect();
                    known.lock().unwrap().push((world.log.len(), done));
                }
            }
        });
        let mut world = bench.world();
        world.pace = Duration::from_millis(self.pace_ms);
        world.watcher = Some(watcher);
        world.mishaps = self.mishaps.iter().copied().collect();
        world.strikes = self
            .strikes
            .iter()
            .map(|(step, strike)| (When::Step(*step), *strike))
            .collect();
        world.failing = self.failing.iter().map(|i| (*i, Fails::Once)).collect();
        world.failing_setup = self.setup_fails.then_some(Fails::Once);
        world.break_at = self.break_at;
        drop(world);
        (bench, all)
    }

    async fn play(&self) {
        let (bench, sent) = self.bench();
        let last = Caller {
            ending: Ending::AtDeadline(CALL_TIMEOUT.as_secs()),
            then_ms: 0,
        };
        let callers = self.callers.iter().chain(std::iter::repeat(&last));
        let mut is_done = false;
        for caller in callers.take(MAX_CALLS) {
            is_done = caller.call(&bench).await;
            assert_completed_ended(&bench.world(), bench.completed());
            if is_done {
                break;
            }
            sleep(Duration::from_millis(caller.then_ms)).await;
        }
        assert!(is_done, "the operation never completes");
        self.check(&bench, &sent.lock().unwrap());
    }

    fn check(&self, bench: &Bench, sent: &[(usize, BTreeSet<u64>)]) {
        let all = match self.break_at {
            Some(at) if at < self.iterations => at + 1,
            _ => self.iterations,
        };
        assert_eq!(bench.completed(), all);
        let world = bench.world();
        for (begun, done) in sent {
            let again = world.log[*begun..].iter().find(|i| done.contains(i));
            assert_eq!(again, None, "an iteration that was done began again");
        }
        if world.losses == 0 {
            for (iteration, times) in &world.begun {
                let cut_off = world.cut_off.get(iteration).copied().unwrap_or(0);
                assert_eq!(*times, 1 + cut_off, "{iteration} ran again without a loss");
            }
        }
        assert_eq!(world.without_setup, 0, "an iteration ran without the setup");
        let text = fs::read_to_string(bench.file("results.jsonl")).unwrap();
        let kept: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["i"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(kept, (0..all).collect::<Vec<_>>());
        assert!(!bench.file("ahead.jsonl").exists());
    }
}

impl Caller {
    /// Returns whether the operation is complete.
    async fn call(&self, bench: &Bench) -> bool {
        let token = CancellationToken::new();
        let (budget, ends) = match self.ending {
            Ending::AtDeadline(seconds) => (secs(seconds), None),
            Ending::DiesAfter(ms) | Ending::CancelsAfter(ms) => (CALL_TIMEOUT, Some(ms)),
        };
        let call = bench.try_call(false, budget, &token);
        let outcome = match (&self.ending, ends) {
            (Ending::DiesAfter(_), Some(ms)) => timeout(Duration::from_millis(ms), call).await.ok(),
            (_, Some(ms)) => {
                let cancel = async {
                    sleep(Duration::from_millis(ms)).await;
                    token.cancel();
                };
                tokio::pin!(call);
                Some(tokio::select! {
                    biased;
                    outcome = &mut call => outcome,
                    () = cancel => call.await,
                })
            }
            (_, None) => Some(call.await),
        };
        let Some(outcome) = outcome else { return false };
        let facts = outcome.unwrap().facts;
        assert_eq!(facts.completed, bench.completed(), "{facts:?}");
        assert!(facts.can_continue || facts.success, "{facts:?}");
        !facts.can_continue
    }
}

/// The iterations that wait in a file for their turn.
pub(super) fn kept_ahead(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().skip(1);
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|kept| kept["report"]["iteration"].as_u64().unwrap())
        .collect()
}

/// Asserts that the iterations that a checkpoint counts as completed have ended.
fn assert_completed_ended(world: &World, completed: u64) {
    let missing = (0..completed).find(|i| !world.ended.contains_key(i));
    assert_eq!(missing, None, "completed: {completed}");
}

#[test]
fn every_iteration_finishes_and_none_runs_again_whatever_breaks() {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let play = |script: Script| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(script.play());
        Ok::<_, TestCaseError>(())
    };
    if let Err(error) = TestRunner::new(config).run(&scripts(), play) {
        panic!("{error}");
    }
}
