//! Iterations that finish ahead of an earlier one, on a cluster.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use smart_colab::caller::Caller;
use smart_colab::chunked::Facts;
use smart_colab::chunked::order::Order;
use smart_colab::wire::job::OnError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::crashes::kept_ahead;
use super::{Bench, CALL_TIMEOUT, secs};
use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::world::{Fails, Strike, When};

/// Twelve iterations on a cluster, of which 0, 3, 6 and 9 finish last.
fn on_cluster() -> Bench {
    let mut bench = Bench::new(12, 12);
    bench.plan.cluster = Some("made_by_setup".to_owned());
    bench
}

/// Stops the operation when 1, 2, 4, 5 and 7 are done.
async fn stopped(bench: &Bench) -> Facts {
    let token = CancellationToken::new();
    let call = bench.try_call(false, CALL_TIMEOUT, &token);
    let stop = async {
        while bench.world().ended.len() < 5 {
            tokio::time::sleep(secs(1)).await;
        }
        token.cancel();
    };
    tokio::join!(call, stop).0.unwrap().facts
}

#[tokio::test(start_paused = true)]
async fn a_stopped_operation_runs_only_what_is_missing() {
    let bench = on_cluster();
    let facts = stopped(&bench).await;
    assert_eq!(
        (facts.state, facts.completed, facts.ahead),
        ("interrupted", 0, Some(5))
    );
    assert_eq!(facts.remaining, 7);
    let report = bench.report("op").await.unwrap();
    assert_eq!((report.ahead, report.remaining), (Some(5), Some(7)));
    assert!(report.last_results.is_empty());
    bench.assert_complete(&bench.call().await);
    let cut_off: Vec<(u64, u32)> = (bench.world().cut_off.keys()).map(|i| (*i, 2)).collect();
    bench.assert_begun_again(&cut_off);
    let sent = bench.world().accepted[1].iterations.clone().unwrap();
    assert_eq!(sent.numbers.unwrap(), [0, 3, 6, 8, 9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn an_iteration_that_may_not_have_begun_is_only_said_to_be_next() {
    let bench = on_cluster();
    let error = stopped(&bench).await.error.unwrap();
    assert!(error.starts_with("the work on the cluster "), "{error}");
    assert!(error.ends_with("; iteration 0 is next"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn those_that_failed_ahead_are_counted_and_run_again_with_the_other_skipped_ones() {
    let mut bench = on_cluster();
    bench.plan.on_error = OnError::Skip;
    for i in [1, 4] {
        bench.world().failing.insert(i, Fails::Once);
    }
    let facts = stopped(&bench).await;
    assert_eq!((facts.ahead, facts.skipped_count), (Some(5), 2));
    bench.plan.loop_code = "x * {i}".to_owned();
    let order = Order {
        keep_done: true,
        retry_skipped: true,
        ..bench.order()
    };
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
    let facts = bench.bridge().run(&order, &caller).await.unwrap().facts;
    assert_eq!(facts.skipped_count, 0);
    bench.assert_complete(&facts);
    let sent = bench.world().accepted[1].iterations.clone().unwrap();
    assert_eq!(sent.numbers.unwrap(), [0, 1, 3, 4, 6, 8, 9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_may_run_in_the_session() {
    let mut bench = on_cluster();
    stopped(&bench).await;
    bench.plan.cluster = Some("none".to_owned());
    bench.plan.batch_size = 3;
    bench.assert_complete(&bench.call().await);
    let log = bench.world().log.clone();
    assert_eq!(log[log.len() - 7..], [0, 3, 6, 8, 9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_them() {
    let bench = on_cluster();
    stopped(&bench).await;
    bench.assert_complete(&bench.restart().await);
    assert_eq!(bench.world().begun[&1], 2);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_dies_and_a_machine_that_goes_lose_none_that_is_kept() {
    let bench = on_cluster();
    bench
        .world()
        .strikes
        .push((When::Within(9), Strike::MachineReplaced));
    // It saves what it knows every five seconds.
    bench.call_and_die_after(secs(8)).await;
    let kept: BTreeSet<u64> = kept_ahead(&bench.file("ahead.jsonl")).into_iter().collect();
    assert!(!kept.is_empty());
    bench.assert_complete(&bench.call_to_the_end().await);
    assert!(kept.iter().all(|i| bench.world().begun[i] == 1));
    bench.assert_begun_again(&[(9, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_iteration_keeps_those_beyond_it() {
    let bench = on_cluster();
    bench.world().failing.insert(3, Fails::Once);
    let facts = bench.call().await;
    assert_eq!(
        (facts.state, facts.completed, facts.ahead),
        ("failed", 3, Some(6))
    );
    let error = facts.error.unwrap();
    assert!(error.starts_with("iteration 3 failed"), "{error}");
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[(3, 2)]);
}

#[test]
fn a_slow_iteration_is_all_that_runs_again_after_bridge_and_executor_were_killed() {
    let (mut executor, home) = (Executor::start(), Home::new());
    let root = executor.root();
    let body = "with open(f'ran-{i}', 'a') as file:\n    print(i, file=file)\n\
        while i == 0 and not os.path.exists('go'):\n    time.sleep(0.02)\ni / 10";
    let plan = json!({
        "setup_code": "import os, time", "loop_code": body, "n_iterations": 12, "checkpoint_name": "slow",
        "cluster": "local:2", "wait_sec": 0,
    });
    let mut bridge = executor.bridge(&home, &[]);
    bridge.call("run_chunked_operation", plan).succeeded();
    until_there(&root.join("ran-11"));
    drop(bridge);
    let mut bridge = executor.bridge(&home, &[]);
    let look = json!({"job_id": "slow", "wait_sec": 1});
    loop {
        let answer = bridge.call("get_output", look.clone());
        answer.succeeded();
        assert_eq!(answer.facts["completed"], 0);
        if answer.facts["ahead"] == 11 {
            break;
        }
    }
    executor.kill();
    executor.restart();
    fs::write(root.join("go"), "").unwrap();
    let here = json!({"checkpoint_name": "slow", "cluster": "none"});
    let answer = loop {
        let answer = bridge.call("run_chunked_operation", here.clone());
        if answer.facts["can_continue"] == false {
            break answer;
        }
    };
    assert_eq!(answer.facts["completed"], 12, "{}", answer.facts);
    let ran = |i: u64| {
        fs::read_to_string(root.join(format!("ran-{i}")))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(
        (0..12).map(ran).collect::<Vec<_>>(),
        [[2].as_slice(), &[1; 11]].concat()
    );
    let results = fs::read_to_string(answer.fact("results")).unwrap();
    let results: Vec<Value> = results
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let wanted: Vec<Value> = (0..12)
        .map(|i| json!({"i": i, "result": f64::from(i) / 10.0}))
        .collect();
    assert_eq!(results, wanted);
}
