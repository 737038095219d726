//! Starting over: what was kept before is there again unless an iteration of the new was done.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use smart_colab::base::fault::Fault as _;
use smart_colab::chunked::Facts;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Bench, CALL_TIMEOUT, secs};
use crate::support::hint::worded;
use crate::support::world::Fails;

/// What is kept of an operation, in the order in which it makes room.
const FILES: [&str; 5] = [
    "checkpoint.prev.json",
    "checkpoint.json",
    "plan.json",
    "results.jsonl",
    "ahead.jsonl",
];

#[tokio::test(start_paused = true)]
async fn a_restart_begins_at_the_first_iteration() {
    let bench = Bench::new(4, 4);
    bench.call().await;
    bench.assert_complete(&bench.restart().await);
    let twice: Vec<_> = (0..4).map(|i| (i, 2)).collect();
    bench.assert_begun_again(&twice);
    assert_eq!(bench.world().setups, 2);
}

/// The content of all files that are kept, and whether others are put by for them.
fn kept(bench: &Bench) -> ([Option<Vec<u8>>; 5], bool) {
    let read = FILES.map(|file| fs::read(bench.file(file)).ok());
    (read, bench.file("replaced").exists())
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_the_policy_refuses_changes_nothing() {
    let bench = Bench::new(4, 2);
    bench.call().await;
    let before = kept(&bench);
    bench.world().forbids_code = true;
    for _ in 0..2 {
        assert_eq!(bench.refused(true).await.code(), "forbidden_by_policy");
        assert_eq!(kept(&bench), before);
    }
    bench.world().forbids_code = false;
    bench.assert_complete(&bench.restart().await);
    let twice: Vec<_> = (0..4).map(|i| (i, 2)).collect();
    bench.assert_begun_again(&twice);
    assert!(!kept(&bench).1, "what was replaced is gone");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_ends_before_an_iteration_is_done_changes_nothing_and_says_so() {
    let mut bench = Bench::new(4, 2);
    bench.call().await;
    let before = kept(&bench);
    bench.plan.n_iterations = 9;
    let is_back = |facts: &Facts| {
        let hint = facts.hint.as_ref().map(worded);
        hint.is_some_and(|hint| hint.contains("is there again"))
    };
    // In the setup, and in the first iteration.
    bench.world().failing_setup = Some(Fails::Once);
    assert!(is_back(&bench.restart().await));
    assert_eq!(kept(&bench), before);
    bench.world().failing = BTreeMap::from([(0, Fails::Once)]);
    assert!(is_back(&bench.restart().await));
    assert_eq!(kept(&bench), before);
    // The user's stop.
    let stop = CancellationToken::new();
    let call = bench.try_call(true, CALL_TIMEOUT, &stop);
    let (stopped, ()) = tokio::join!(call, async {
        sleep(Duration::from_millis(700)).await;
        stop.cancel();
    });
    assert!(is_back(&stopped.unwrap().facts));
    assert_eq!(kept(&bench), before);
    bench.world().failing = BTreeMap::from([(1, Fails::Once)]);
    assert!(!is_back(&bench.restart().await));
    assert_eq!((bench.completed(), kept(&bench).1), (1, false));
}

#[tokio::test(start_paused = true)]
async fn restarts_of_a_machine_that_is_away_keep_what_the_first_replaced() {
    let bench = Bench::new(4, 2);
    bench.call().await;
    let before = kept(&bench);
    bench.world().is_down = true;
    let stop = CancellationToken::new();
    let paused = bench.try_call(true, secs(5), &stop).await.unwrap().facts;
    assert_eq!((paused.completed, kept(&bench).1), (0, true));
    // The job that may have been sent has to be ended first.
    assert_eq!(bench.refused(true).await.code(), "connection_failed");
    bench.world().is_down = false;
    bench.world().forbids_code = true;
    assert_eq!(bench.refused(true).await.code(), "forbidden_by_policy");
    assert_eq!(kept(&bench), before);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_a_crash_ended_before_anything_was_sent_changes_nothing() {
    let bench = Bench::new(4, 2);
    bench.call().await;
    let (plan, results) = (
        fs::read(bench.file("plan.json")),
        fs::read(bench.file("results.jsonl")),
    );
    let (plan, results) = (plan.unwrap(), results.unwrap());
    let aside = bench.file("replaced");
    // The files move one by one, and a crash can come after each.
    for moved in 0..=FILES.len() {
        fs::create_dir(&aside).unwrap();
        for file in &FILES[..moved] {
            let _ = fs::rename(bench.file(file), aside.join(file));
        }
        bench.assert_complete(&bench.call().await);
        assert_eq!(fs::read(bench.file("plan.json")).unwrap(), plan);
        assert_eq!(fs::read(bench.file("results.jsonl")).unwrap(), results);
        assert!(!aside.exists());
    }
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_cannot_end_the_batch_in_flight_changes_nothing() {
    let bench = Bench::new(30, 30);
    bench.call_within(secs(10)).await;
    let before = bench.checkpoint();
    bench.world().is_down = true;
    assert_eq!(bench.refused(true).await.code(), "connection_failed");
    assert_eq!(bench.checkpoint(), before);
}
