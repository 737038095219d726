//! What `get_checkpoint` answers, and under which names.

use serde_json::json;
use smart_colab::base::ids::JobId;
use smart_colab::chunked::ChunkedError;
use smart_colab::chunked::report::Kind;
use smart_colab::jobs::follow::Watch as JobWatch;
use smart_colab::wire::job::JobRequest;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Bench, secs};

/// Runs code of a second for so long, as `run_code_long` does, and keeps what it showed.
async fn run_long(bench: &Bench, name: &str, seconds: u64) -> Result<(), ChunkedError> {
    let id = JobId::fresh();
    let bridge = bench.bridge();
    let keeping = bridge.begin_result(name, id, "main", "train()")?;
    let request = JobRequest {
        code: "train()".to_owned(),
        session: "main".to_owned(),
        timeout_sec: 600,
        iterations: None,
        kernel_id: None,
    };
    let token = CancellationToken::new();
    let watch = JobWatch::until(Instant::now() + secs(seconds), &token, &|_, _| {});
    let view = bench.jobs().run(id, &request, &watch).await.unwrap();
    let notes = bridge.keep_result(keeping, &view, watch.deadline).await?;
    assert_eq!(notes, [""; 0]);
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
    assert!(report.next_step.contains("get_output"));
    sleep(secs(60)).await;
    assert_eq!(bench.report("run").await.unwrap().state, "succeeded");
    bench.world().is_down = true;
    let report = bench.report("run").await.unwrap();
    assert_eq!(report.state, "succeeded", "the end was kept");
    assert_eq!(report.facts.unwrap()["success"], true);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_found_though_its_call_never_ended() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    let call = tokio::time::timeout(secs(5), run_long(&bench, "run", 600));
    assert!(call.await.is_err(), "it was done before");
    assert_eq!(bench.report("run").await.unwrap().state, "running");
    sleep(secs(60)).await;
    assert_eq!(bench.report("run").await.unwrap().state, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_name_whose_code_never_arrived_is_free_again() {
    let bench = Bench::new(1, 1);
    let begun = (bench.bridge()).begin_result("run", JobId::fresh(), "main", "train()");
    drop(begun.unwrap());
    let error = bench.report("run").await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert_eq!(error.hint(), "There are no checkpoints yet.");
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
    assert_eq!(error.hint(), "There are no checkpoints yet.");
    bench.call().await;
    run_long(&bench, "run", 5).await.unwrap();
    let error = bench.report("nothing").await.unwrap_err();
    assert_eq!(
        (error.code(), &*error.hint()),
        ("not_found", "Known are: op, run.")
    );
    for name in ["..", "a/b", "", "nul"] {
        let error = bench.report(name).await.unwrap_err();
        assert_eq!(error.code(), "invalid_argument", "{name:?}");
    }
}
