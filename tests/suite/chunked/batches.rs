//! A healthy machine: batches, deadlines, failing iterations and repeated calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use smart_colab::base::fault::Fault as _;
use smart_colab::caller::{Caller, Progress};
use smart_colab::checkpoints::CheckpointError;
use smart_colab::wire::job::OnError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Bench, CALL_TIMEOUT, failed, secs};
use crate::support::hint::worded;
use crate::support::world::Fails;

#[tokio::test(start_paused = true)]
async fn batches_that_fit_run_in_one_call() {
    let bench = Bench::new(10, 4);
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
    assert_eq!(bench.world().batches, [(0, 4), (4, 8), (8, 10)]);
    assert_eq!(bench.world().setups, 1);
}

#[tokio::test(start_paused = true)]
async fn progress_is_reported_after_every_iteration() {
    let bench = Bench::new(5, 2);
    let reported = AtomicU64::new(0);
    let report = |progress: Progress<'_>| {
        let Progress::Count { done, total } = progress else {
            panic!("{progress:?}");
        };
        assert_eq!(
            (reported.fetch_add(1, Ordering::Relaxed) + 1, 5),
            (done, total)
        );
    };
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT).with_report(&report);
    bench.bridge().run(&bench.order(), &caller).await.unwrap();
    assert_eq!(reported.into_inner(), 5);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_a_batch_keeps_running_and_the_next_call_follows_it() {
    let bench = Bench::new(30, 30);
    let began = Instant::now();
    let facts = bench.call_within(secs(20)).await;
    assert!(began.elapsed() < secs(20));
    assert!(facts.success);
    assert_eq!((facts.state, facts.can_continue), ("running", true));
    assert!((10..20).contains(&facts.completed), "{facts:?}");
    assert_eq!(facts.remaining, 30 - facts.completed);
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
    assert_eq!(bench.world().batches, [(0, 30)]);
}

#[tokio::test(start_paused = true)]
async fn another_cluster_for_an_operation_that_runs_is_said_to_have_no_effect() {
    let (bench, began) = (Bench::new(30, 30), Instant::now());
    let (bridge, mut order) = (bench.bridge(), bench.order());
    let caller = Caller::until(began + secs(20));
    let first = bridge.run(&order, &caller).await.unwrap().facts;
    order.cluster = Some("local".to_owned());
    let caller = Caller::until(began + CALL_TIMEOUT);
    let second = bridge.run(&order, &caller).await.unwrap().facts;
    let notes = [first.notes, second.notes].map(|notes| format!("{notes:?}"));
    let has_note = notes.map(|notes| notes.contains("cluster has no effect while"));
    assert_eq!(has_note, [false, true]);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn printed_output_appears_in_exactly_one_answer() {
    let bench = Bench::new(30, 10);
    let mut text = String::new();
    while bench.completed_or_none() < Some(30) {
        text += &bench.read_within(secs(8)).await;
    }
    let printed: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(printed, (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_failing_iteration_stops_the_operation_and_the_next_call_retries_it() {
    let bench = Bench::new(10, 4);
    bench.world().failing.insert(5, Fails::Once);
    let facts = bench.call().await;
    failed(&facts, "failed", "python_error");
    assert_eq!(facts.completed, 5);
    assert_eq!(
        facts.error.as_deref(),
        Some("iteration 5 failed: ValueError: no 5")
    );
    let report = bench.report("op").await.unwrap();
    assert_eq!(report.state, "failed");
    assert_eq!(report.stop.unwrap().iteration, Some(5));
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[(5, 2)]);
    assert_eq!(bench.world().setups, 1, "the kernel is the same");
}

#[tokio::test(start_paused = true)]
async fn an_iteration_that_always_fails_can_be_skipped_later() {
    let mut bench = Bench::new(6, 4);
    bench.world().failing.insert(2, Fails::Always);
    for _ in 0..2 {
        let facts = bench.call().await;
        failed(&facts, "failed", "python_error");
        assert_eq!(facts.completed, 2);
        assert!(worded(&facts.hint.unwrap()).contains("on_error: \"skip\""));
    }
    bench.plan.on_error = OnError::Skip;
    let facts = bench.call().await;
    assert_eq!(
        (facts.state, facts.completed, facts.skipped_count),
        ("succeeded", 6, 1)
    );
    bench.assert_begun_again(&[(2, 3)]);
}

#[tokio::test(start_paused = true)]
async fn skipped_iterations_are_counted_and_named() {
    let mut bench = Bench::new(6, 4);
    bench.plan.on_error = OnError::Skip;
    bench
        .world()
        .failing
        .extend([(1, Fails::Always), (4, Fails::Once)]);
    let facts = bench.call().await;
    assert_eq!(
        (facts.success, facts.completed, facts.skipped_count),
        (true, 6, 2)
    );
    let report = bench.report("op").await.unwrap();
    let skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|one| (one.iteration, &*one.error))
        .collect();
    assert_eq!(skipped, [(1, "ValueError: no 1"), (4, "ValueError: no 4")]);
    assert_eq!(report.last_results[1]["error"], "ValueError: no 1");
    assert_eq!(report.last_results.len(), 6);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_break_completes_the_operation() {
    let bench = Bench::new(10, 4);
    bench.world().break_at = Some(5);
    for _ in 0..2 {
        let facts = bench.call().await;
        assert!(facts.success);
        assert_eq!(
            (facts.state, facts.can_continue, facts.completed),
            ("succeeded", false, 6)
        );
        assert_eq!(facts.remaining, 0);
        assert!(worded(&facts.hint.unwrap()).contains("break"));
    }
    bench.assert_results(6);
    assert_eq!(bench.world().begun.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_finished_operation_runs_nothing_when_called_again() {
    let bench = Bench::new(4, 4);
    bench.assert_complete(&bench.call().await);
    let requests = bench.world().requests;
    bench.world().is_down = true;
    bench.assert_complete(&bench.call().await);
    assert_eq!(bench.world().requests, requests);
}

#[tokio::test(start_paused = true)]
async fn a_call_returns_once_every_iteration_is_done() {
    let bench = Bench::new(4, 4);
    // The last iteration ends after five seconds, the job half a second later.
    bench.call_within(secs(3)).await;
    let facts = loop {
        let facts = bench.call_within(Duration::from_millis(1200)).await;
        if facts.completed == 4 {
            break facts;
        }
    };
    bench.assert_complete(&facts);
    bench.world().is_down = true;
    bench.assert_complete(&bench.call().await);
}

#[tokio::test(start_paused = true)]
async fn another_plan_under_the_same_name_is_refused_until_restart() {
    let mut bench = Bench::new(10, 4);
    bench.call_within(secs(9)).await;
    let done = bench.completed();
    let accepted = bench.world().accepted.len();
    bench.plan.n_iterations = 11;
    let error = bench.refused(false).await;
    assert_eq!(error.code(), "checkpoint_mismatch");
    assert!(
        matches!(&error, CheckpointError::Mismatch { completed, total: 10, .. } if *completed == done)
    );
    let says = |bench: &Bench, error: &CheckpointError, differing: &str| {
        let error = error.to_string();
        let end = format!("; what differs: {differing}");
        assert!(error.ends_with(&end), "{error}");
        assert_eq!(bench.completed(), done);
    };
    says(&bench, &error, "n_iterations (10 before, 11 now)");
    // As an older version left it.
    let path = bench.file("checkpoint.json");
    let mut old: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    old.as_object_mut().unwrap().remove("code_hashes").unwrap();
    std::fs::write(&path, old.to_string()).unwrap();
    let error = bench.refused(false).await;
    says(&bench, &error, "n_iterations (10 before, 11 now)");
    bench.plan.setup_code += "\n";
    let error = bench.refused(false).await;
    says(
        &bench,
        &error,
        "n_iterations (10 before, 11 now), setup_code or loop_code",
    );
    assert_eq!(bench.world().accepted.len(), accepted, "nothing was sent");
    assert_eq!(bench.completed(), done);
    bench.assert_complete(&bench.restart().await);
    assert_eq!(bench.world().interrupts, 1, "the batch in flight was ended");
}

#[tokio::test(start_paused = true)]
async fn the_batch_size_may_change_between_calls() {
    let mut bench = Bench::new(12, 8);
    bench.call_within(secs(7)).await;
    bench.plan.batch_size = 3;
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
    // What runs has the size that it was sent with.
    assert_eq!(bench.world().batches, [(0, 8), (8, 12)]);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_one_process_works_on_is_not_begun_anew_by_another() {
    let bench = Bench::new(10, 4);
    let second = async {
        sleep(secs(3)).await;
        let error = bench.refused(true).await;
        assert_eq!(error.code(), "busy");
        assert!(error.is_retryable());
        // `get_checkpoint` changes nothing.
        assert_eq!(bench.report("op").await.unwrap().state, "unfinished");
    };
    let (facts, ()) = tokio::join!(bench.call(), second);
    bench.assert_complete(&facts);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_interrupts_the_batch_and_reports_what_was_done() {
    let bench = Bench::new(10, 10);
    let token = CancellationToken::new();
    let cancel = async {
        sleep(Duration::from_millis(4_750)).await;
        token.cancel();
    };
    let (outcome, ()) = tokio::join!(bench.try_call(false, CALL_TIMEOUT, &token), cancel);
    let facts = outcome.unwrap().facts;
    failed(&facts, "interrupted", "cancelled");
    assert!(facts.can_continue);
    sleep(secs(1)).await;
    assert_eq!(bench.world().interrupts, 1);
    assert!(bench.checkpoint()["in_flight"].is_null());
    assert_eq!(bench.report("op").await.unwrap().state, "interrupted");
    let done = bench.world().ended.len() as u64;
    assert_eq!(bench.completed(), facts.completed);
    assert!(facts.completed <= done && done < 6);
    bench.assert_complete(&bench.call().await);
    // The interrupted iteration began twice.
    bench.assert_begun_again(&[(done, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_cancelled_before_it_begins_ends_the_previous_calls_batch() {
    let bench = Bench::new(30, 30);
    bench.call_within(secs(10)).await;
    let token = CancellationToken::new();
    token.cancel();
    let facts = bench
        .try_call(false, CALL_TIMEOUT, &token)
        .await
        .unwrap()
        .facts;
    failed(&facts, "interrupted", "cancelled");
    sleep(secs(1)).await;
    assert_eq!(bench.world().interrupts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_from_elsewhere_stops_the_call_that_waits_for_the_batch() {
    let bench = Bench::new(30, 30);
    let interrupt = async {
        sleep(secs(10)).await;
        let job = bench.report("op").await.unwrap().job_id.unwrap();
        bench.world().interrupt(job.parse().unwrap()).unwrap();
    };
    let (facts, ()) = tokio::join!(bench.call(), interrupt);
    failed(&facts, "interrupted", "cancelled");
    assert_eq!(bench.report("op").await.unwrap().state, "interrupted");
    bench.assert_complete(&bench.call().await);
}

#[tokio::test(start_paused = true)]
async fn a_batch_interrupted_between_two_calls_is_resumed() {
    let bench = Bench::new(30, 30);
    bench.call_within(secs(10)).await;
    let job = bench.report("op").await.unwrap().job_id.unwrap();
    bench.world().interrupt(job.parse().unwrap()).unwrap();
    let facts = bench.call().await;
    assert!(
        worded(&facts.notes[0]).contains("was interrupted before this call"),
        "{facts:?}"
    );
    bench.assert_complete(&facts);
}

#[tokio::test(start_paused = true)]
async fn a_failing_setup_stops_before_the_first_iteration() {
    let bench = Bench::new(4, 4);
    bench.world().failing_setup = Some(Fails::Once);
    let facts = bench.call().await;
    failed(&facts, "failed", "python_error");
    assert_eq!(
        facts.error.as_deref(),
        Some("the setup failed: ImportError: no such module")
    );
    assert!(bench.world().begun.is_empty());
    bench.assert_complete(&bench.call().await);
}
