//! `get_checkpoint`: its answers and the names it knows.

use std::fs;

use serde_json::json;
use smart_colab::base::advice::in_words_of;
use smart_colab::base::fault::Fault as _;
use smart_colab::caller::Caller;
use smart_colab::checkpoints::CheckpointError;
use smart_colab::checkpoints::report::{CheckpointReport, Kind};
use smart_colab::mcp::words;
use smart_colab::wire::job::JobRequest;
use tokio::time::{Instant, sleep};

use super::{Bench, secs};
use crate::support::hint::{Hint as _, worded};
use crate::support::world::{Mishap, Strike, TALK};

/// Runs code under `name` for up to `seconds`, as `run_code_long` does, and saves its result.
pub(super) async fn run_long(
    bench: &Bench,
    name: &str,
    seconds: u64,
) -> Result<(), CheckpointError> {
    let checkpoints = bench.checkpoints();
    let keeping = checkpoints.begin_result(name, "main", TALK)?;
    let id = keeping.job();
    let request = JobRequest {
        code: TALK.to_owned(),
        session: "main".to_owned(),
        timeout_sec: 600,
        iterations: None,
        kernel_id: None,
        folder: None,
        answers: false,
    };
    let caller = Caller::until(Instant::now() + secs(seconds));
    let view = bench.jobs().run(id, &request, &caller).await.unwrap();
    let notes = checkpoints
        .keep_result(keeping, &view, caller.deadline)
        .await?;
    assert_eq!(notes, []);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_reported_with_its_newest_results() {
    let bench = Bench::new(50, 10);
    while bench.completed_or_none() < Some(20) {
        bench.call_within(secs(10)).await;
    }
    let done = bench.completed();
    bench.world().is_down = true;
    let report = bench.report("op").await.unwrap();
    assert_eq!((report.kind, &*report.state), (Kind::Chunked, "unfinished"));
    assert_eq!(report.completed, Some(done));
    assert_eq!(report.remaining, Some(50 - done));
    assert!(report.can_continue && report.job_id.is_some());
    let newest: Vec<_> = (done - 20..done)
        .map(|i| json!({"i": i, "result": i + 1}))
        .collect();
    assert_eq!(report.last_results, newest);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_read_again_while_its_code_runs() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    let report = bench.report("run").await.unwrap();
    assert_eq!((report.kind, &*report.state), (Kind::Result, "running"));
    assert!(worded(&report.next_step).contains("get_output"));
    let shown = in_words_of(words::word, || json!(report));
    let hint = shown["facts"]["hint"].as_str().unwrap();
    assert!(hint.contains("Call get_output"), "{hint}");
    sleep(secs(60)).await;
    assert_eq!(bench.report("run").await.unwrap().state, "succeeded");
    bench.world().is_down = true;
    let report = bench.report("run").await.unwrap();
    assert_eq!(report.state, "succeeded", "the end was saved");
    assert_eq!(report.facts.unwrap().others["success"], true);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_found_after_its_call_was_dropped() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    let call = tokio::time::timeout(secs(5), run_long(&bench, "run", 600));
    assert!(call.await.is_err(), "the call returned first");
    assert_eq!(bench.report("run").await.unwrap().state, "running");
    sleep(secs(60)).await;
    assert_eq!(bench.report("run").await.unwrap().state, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_name_whose_code_never_arrived_is_free_again() {
    let bench = Bench::new(1, 1);
    let begun = (bench.checkpoints()).begin_result("run", "main", TALK);
    drop(begun.unwrap());
    let error = bench.report("run").await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(error.hint().starts_with("There are no checkpoints yet"));
}

#[tokio::test(start_paused = true)]
async fn a_result_does_not_take_the_name_of_an_operation() {
    let bench = Bench::new(4, 4);
    bench.call().await;
    let requests = bench.world().requests;
    let error = run_long(&bench, "op", 5).await.unwrap_err();
    assert_eq!(error.code(), "checkpoint_mismatch");
    assert_eq!(bench.world().requests, requests, "its code ran");
    assert_eq!(bench.report("op").await.unwrap().kind, Kind::Chunked);
}

#[tokio::test(start_paused = true)]
async fn an_operation_does_not_take_the_name_of_a_result() {
    let bench = Bench::new(4, 4);
    run_long(&bench, "op", 5).await.unwrap();
    let requests = bench.world().requests;
    let error = bench.refused(false).await;
    assert_eq!(error.code(), "checkpoint_mismatch");
    assert_eq!(bench.world().requests, requests, "a job was sent");
    assert_eq!(bench.report("op").await.unwrap().kind, Kind::Result);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_is_answered_with_the_known_ones() {
    let bench = Bench::new(4, 4);
    let error = bench.report("nothing").await.unwrap_err();
    assert!(error.hint().starts_with("There are no checkpoints yet"));
    bench.call().await;
    run_long(&bench, "run", 5).await.unwrap();
    let error = bench.report("nothing").await.unwrap_err();
    assert_eq!(
        (error.code(), &*error.hint()),
        (
            "not_found",
            "The checkpoints are: op, run. A job_id is a UUID: list_jobs shows them."
        )
    );
    for name in ["..", "a/b", "", "nul"] {
        let error = bench.report(name).await.unwrap_err();
        assert_eq!(error.code(), "invalid_argument", "{name:?}");
    }
}

fn folders(bench: &Bench) -> usize {
    let runs = bench.disk.path().join("checkpoints/run/runs");
    fs::read_dir(runs).map_or(0, Iterator::count)
}

fn output(report: &CheckpointReport) -> String {
    fs::read_to_string(report.output_file.as_ref().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_previous_result_is_kept_until_the_next_run_has_ended() {
    let bench = Bench::new(1, 1);
    run_long(&bench, "run", 60).await.unwrap();
    let first = bench.report("run").await.unwrap();
    assert_eq!((&*first.state, &*output(&first)), ("succeeded", "begun\n"));
    assert_eq!(first.code.as_deref(), Some(TALK));

    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    let second = bench.report("run").await.unwrap();
    assert_eq!(second.state, "running");
    let previous = second.previous.unwrap();
    assert_eq!(previous.job_id, first.job_id.unwrap());
    assert_eq!(previous.state, "succeeded");
    let kept = previous.output_file.unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "begun\n");

    sleep(secs(60)).await;
    let second = bench.report("run").await.unwrap();
    assert_eq!(second.state, "succeeded");
    assert!(second.previous.is_none());
    assert_eq!((folders(&bench), fs::exists(kept).unwrap()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_arrived_keeps_the_previous_result() {
    let bench = Bench::new(1, 1);
    run_long(&bench, "run", 60).await.unwrap();
    let first = bench.report("run").await.unwrap();
    let begun = (bench.checkpoints()).begin_result("run", "main", "lost()");
    drop(begun.unwrap());
    let again = bench.report("run").await.unwrap();
    assert_eq!((again.job_id, folders(&bench)), (first.job_id, 1));
}

#[tokio::test(start_paused = true)]
async fn the_output_printed_before_the_machine_was_lost_is_the_result() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    bench.world().strike(Strike::MachineReplaced);
    let report = bench.report("run").await.unwrap();
    assert_eq!((&*report.state, &*output(&report)), ("lost", "begun\n"));
    assert_eq!(report.text.as_deref(), Some("begun\n"));
    assert!(
        worded(&report.notes[0]).contains("how it ended is unknown"),
        "{report:?}"
    );
    let requests = bench.world().requests;
    bench.report("run").await.unwrap();
    assert_eq!(bench.world().requests, requests, "there is nothing to ask");
}

#[tokio::test(start_paused = true)]
async fn while_the_runtime_is_unreachable_the_last_known_state_is_reported() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    bench.world().is_down = true;
    let asked = Instant::now();
    let report = bench.report("run").await.unwrap();
    assert!(asked.elapsed() < secs(10), "{:?}", asked.elapsed());
    assert_eq!((&*report.state, &*output(&report)), ("running", "begun\n"));
    assert!(
        worded(&report.notes[0]).contains("could not be asked"),
        "{report:?}"
    );
    bench.world().is_down = false;
    sleep(secs(60)).await;
    let report = bench.report("run").await.unwrap();
    assert_eq!((&*report.state, report.notes.len()), ("succeeded", 0));
}

#[tokio::test(start_paused = true)]
async fn lost_answers_are_requested_again_while_a_result_is_saved() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    sleep(secs(60)).await;
    let lost = Some(Mishap::ReplyLost);
    bench.world().mishaps = [lost, None, lost].into();
    let report = bench.report("run").await.unwrap();
    assert_eq!(
        (&*report.state, &*output(&report)),
        ("succeeded", "begun\n")
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_seen_by_get_output_is_saved() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    let id = bench.report("run").await.unwrap().job_id.unwrap();
    sleep(secs(60)).await;
    let caller = Caller::until(Instant::now() + secs(9));
    bench
        .checkpoints()
        .note_end(id.parse().unwrap(), &caller)
        .await;
    bench.world().strike(Strike::MachineReplaced);
    let report = bench.report("run").await.unwrap();
    assert_eq!(
        (&*report.state, &*output(&report)),
        ("succeeded", "begun\n")
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_is_saved_before_the_machine_goes_without_any_call() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(300);
    run_long(&bench, "run", 5).await.unwrap();
    let id = bench.report("run").await.unwrap().job_id.unwrap();
    bench.checkpoints().note_end_later(id.parse().unwrap());
    sleep(secs(100)).await;
    bench.world().is_down = true;
    sleep(secs(100)).await;
    bench.world().is_down = false;
    sleep(secs(600)).await;
    bench.world().strike(Strike::MachineReplaced);
    let report = bench.report("run").await.unwrap();
    assert_eq!(
        (&*report.state, &*output(&report)),
        ("succeeded", "begun\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_has_one_call_at_a_time() {
    let bench = Bench::new(1, 1);
    let (one, other) = (bench.checkpoints(), bench.checkpoints());
    let begun = one.begin_result("run", "main", TALK);
    let error = other.begin_result("run", "main", TALK);
    assert_eq!(error.unwrap_err().code(), "busy");
    let report = bench.report("run").await.unwrap();
    assert_eq!((&*report.state, report.notes.len()), ("unknown", 1));
    drop(begun);
    run_long(&bench, "run", 60).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_reported_and_replaced_by_the_next_run() {
    let bench = Bench::new(1, 1);
    run_long(&bench, "run", 60).await.unwrap();
    let id = bench.report("run").await.unwrap().job_id.unwrap();
    let runs = bench.disk.path().join("checkpoints/run/runs");
    fs::write(runs.join(id).join("run.json"), "{\"versi").unwrap();
    let error = bench.report("run").await.unwrap_err();
    assert_eq!(error.code(), "checkpoint_corrupt");
    assert!(error.hint().contains("delete_checkpoint"));
    run_long(&bench, "run", 60).await.unwrap();
    assert_eq!(bench.report("run").await.unwrap().state, "succeeded");
    assert_eq!(folders(&bench), 1);
}
