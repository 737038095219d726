//! Starting over: what was kept before, and when it is gone.

use std::fs;

use smart_colab::base::fault::Fault as _;

use super::{Bench, secs};

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

#[tokio::test(start_paused = true)]
async fn a_restart_that_the_policy_refuses_changes_nothing() {
    let bench = Bench::new(4, 2);
    let kept = || {
        let read = FILES.map(|file| fs::read(bench.file(file)).ok());
        (read, bench.file("replaced").exists())
    };
    bench.call().await;
    let before = kept();
    bench.world().forbids_code = true;
    for _ in 0..2 {
        assert_eq!(bench.refused(true).await.code(), "forbidden_by_policy");
        assert_eq!(kept(), before);
    }
    bench.world().forbids_code = false;
    bench.assert_complete(&bench.restart().await);
    let twice: Vec<_> = (0..4).map(|i| (i, 2)).collect();
    bench.assert_begun_again(&twice);
    assert!(!kept().1, "what was replaced is gone");
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
        // Without the one before it, a checkpoint is as good.
        assert_eq!(aside.exists(), moved < 2);
        let _ = fs::remove_dir_all(&aside);
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
