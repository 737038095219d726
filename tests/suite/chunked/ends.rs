//! Which of several runs under one name are kept, and that an end is saved whatever happens in between.

use std::fs;
use std::path::PathBuf;

use smart_colab::caller::Caller;
use smart_colab::edge::lock::FileLock;
use tokio::time::{Instant, sleep};

use super::results::run_long;
use super::{Bench, secs};
use crate::support::world::Strike;

fn runs(bench: &Bench) -> PathBuf {
    bench.disk.path().join("checkpoints/run/runs")
}

#[tokio::test(start_paused = true)]
async fn a_lost_run_keeps_the_previous_result() {
    let bench = Bench::new(1, 1);
    run_long(&bench, "run", 60).await.unwrap();
    let first = bench.report("run").await.unwrap().job_id.unwrap();
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    bench.world().strike(Strike::MachineReplaced);
    for _ in 0..2 {
        let report = bench.report("run").await.unwrap();
        let previous = report.previous.unwrap();
        assert_eq!((&*report.state, &*previous.state), ("lost", "succeeded"));
        assert_eq!(previous.job_id, first);
        assert!(fs::exists(previous.output_file.unwrap()).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_run_is_not_removed_when_a_later_one_ends() {
    let bench = Bench::new(1, 1);
    let ended = bench.put_result("run", "2020-01-01T00:00:00Z", "lost");
    let running = bench.put_result("run", "2020-01-01T00:00:00Z", "running");
    run_long(&bench, "run", 60).await.unwrap();
    assert_eq!(bench.report("run").await.unwrap().state, "succeeded");
    assert!(runs(&bench).join(running.to_string()).exists());
    assert!(!runs(&bench).join(ended.to_string()).exists());
}

#[tokio::test(start_paused = true)]
async fn the_newest_run_is_found_after_the_clock_was_set_back() {
    let bench = Bench::new(1, 1);
    let id = bench.put_result("run", "2020-01-01T00:00:00Z", "failed");
    let future = "7fffffff-ffff-7fff-bfff-ffffffffffff";
    fs::rename(runs(&bench).join(id.to_string()), runs(&bench).join(future)).unwrap();
    for _ in 0..2 {
        run_long(&bench, "run", 60).await.unwrap();
        let report = bench.report("run").await.unwrap();
        assert_eq!(report.state, "succeeded");
        assert_eq!(fs::read_dir(runs(&bench)).unwrap().count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_is_kept_while_a_newer_one_runs() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    let first = bench.report("run").await.unwrap().job_id.unwrap();
    run_long(&bench, "run", 5).await.unwrap();
    sleep(secs(30)).await;
    let caller = Caller::until(Instant::now() + secs(9));
    (bench.checkpoints())
        .note_end(first.parse().unwrap(), &caller)
        .await;
    bench.world().strike(Strike::MachineReplaced);
    let previous = bench.report("run").await.unwrap().previous.unwrap();
    assert_eq!((previous.job_id, &*previous.state), (first, "succeeded"));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_could_not_be_saved_is_saved_later() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(30);
    run_long(&bench, "run", 5).await.unwrap();
    let id = bench.report("run").await.unwrap().job_id.unwrap();
    let lock = bench.disk.path().join("checkpoints/run/lock");
    let held = FileLock::try_take(&lock).unwrap().unwrap();
    bench.checkpoints().note_end_later(id.parse().unwrap());
    sleep(secs(200)).await;
    drop(held);
    sleep(secs(200)).await;
    bench.world().strike(Strike::MachineReplaced);
    assert_eq!(bench.report("run").await.unwrap().state, "succeeded");
}
