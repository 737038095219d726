//! Exporting from a machine that fails or has dropped jobs, on the test's own clock.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use smart_colab::base::fault::Fault as _;
use smart_colab::base::ids::JobId;
use smart_colab::caller::Caller;
use smart_colab::notebook::{NotebookError, Notebooks, Report, Wanted};
use smart_colab::runtime::arrival::Arrival;
use smart_colab::runtime::{Code, Hold};
use smart_colab::wire::job::{Iterations, JobRequest, OnError};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::check;
use crate::support::fake_runtime::FakeRuntime;
use crate::support::hint::Hint as _;
use crate::support::provisioners::connect_to;
use crate::support::world::{BODY, Mishap, SETUP, TALK};

struct Bench {
    runtime: Arc<FakeRuntime>,
    disk: TempDir,
}

impl Bench {
    fn new() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let runtime = FakeRuntime::new();
        runtime.world().pace = Duration::from_millis(1);
        Self { runtime, disk }
    }

    /// Runs code to its end.
    async fn run(&self, code: &str, iterations: Option<(u64, u64)>) -> JobId {
        let (id, hold) = (JobId::fresh(), Hold::none(1));
        let request = JobRequest {
            code: code.to_owned(),
            session: "main".to_owned(),
            timeout_sec: 600,
            iterations: iterations.map(|(start, stop)| Iterations {
                start,
                stop,
                total: 30,
                on_error: OnError::Stop,
                batch_size: None,
                cluster: None,
                worker_setup: None,
                setup: None,
                numbers: None,
            }),
            kernel_id: None,
            folder: None,
            answers: false,
        };
        self.runtime
            .put_job(id, &request, hold, &Arrival::default())
            .await
            .unwrap();
        sleep(Duration::from_secs(1)).await;
        id
    }

    async fn export(&self) -> Result<Report, NotebookError> {
        let connection = Arc::new(connect_to(self.runtime.clone(), self.disk.path()));
        let notebooks = Notebooks::new(connection, self.disk.path().join("results"));
        let wanted = Wanted {
            session: "main".to_owned(),
            filename: None,
            last: None,
            loop_title: "loop".to_owned(),
        };
        let deadline = Instant::now() + Duration::from_secs(45);
        let exported = notebooks.export(&wanted, &Caller::until(deadline)).await;
        assert!(Instant::now() <= deadline);
        exported
    }

    /// Applies `mishaps` to the next requests and refuses the `lost` that follow.
    fn set_mishaps(&self, mishaps: &[Option<Mishap>], lost: usize) {
        let lost = vec![Some(Mishap::Refused); lost];
        self.runtime.world().mishaps = [mishaps, &lost].concat().into();
    }

    /// Lists everything in the save folder, including hidden files.
    fn files(&self) -> usize {
        fs::read_dir(self.disk.path().join("results")).map_or(0, Iterator::count)
    }
}

/// Returns the sources of the code cells.
fn sources(report: &Report) -> Vec<String> {
    let (notebook, _) = check(report.path.as_ref(), None);
    let cells = super::code_cells(&notebook).into_iter();
    cells
        .map(|cell| cell["source"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn batches_of_one_loop_share_a_cell_and_another_loop_has_its_own() {
    let bench = Bench::new();
    bench.run(SETUP, None).await;
    for (start, stop) in [(0, 10), (10, 20), (15, 25), (25, 30), (0, 10), (10, 20)] {
        bench.run(BODY, Some((start, stop))).await;
    }
    bench.run(TALK, None).await;
    bench.run(BODY, Some((20, 30))).await;
    let report = bench.export().await.unwrap();
    let ranges: Vec<String> = (sources(&report).iter())
        .map(|source| {
            source
                .lines()
                .rfind(|line| line.starts_with("for"))
                .unwrap_or(source)
                .to_owned()
        })
        .collect();
    assert_eq!(
        ranges,
        [
            SETUP,
            "for i in range(0, 30):",
            "for i in range(0, 20):",
            TALK,
            "for i in range(20, 30):"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn lost_replies_are_requested_again() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.run(TALK, None).await;
    }
    let lost = Some(Mishap::ReplyLost);
    bench.set_mishaps(&[lost, None, lost, None, lost, lost, None, lost], 0);
    let report = bench.export().await.unwrap();
    assert_eq!(sources(&report), [TALK; 3]);
    assert_eq!(report.jobs_left_out, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_the_machine_is_unreachable() {
    let bench = Bench::new();
    bench.run(TALK, None).await;
    bench.runtime.world().is_down = true;
    let error = bench.export().await.unwrap_err();
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("connection_failed", true)
    );
    assert!(
        error.hint().starts_with("Nothing was written."),
        "{error:?}"
    );
    assert_eq!(bench.files(), 0);
    bench.runtime.world().is_down = false;
    // The list and the probe arrive, then nothing more.
    bench.set_mishaps(&[None; 2], 200);
    assert_eq!(
        bench.export().await.unwrap_err().code(),
        "connection_failed"
    );
    assert_eq!(bench.files(), 0);
}

#[tokio::test(start_paused = true)]
async fn jobs_fetched_before_the_machine_was_lost_are_written_and_the_rest_counted() {
    let bench = Bench::new();
    for n in 0..40 {
        bench.run(&format!("{n}"), None).await;
    }
    bench.set_mishaps(&[None; 30], 1_000);
    let report = bench.export().await.unwrap();
    let written = sources(&report);
    let missing = 40 - written.len() as u64;
    assert!((5..20).contains(&written.len()), "{written:?}");
    assert_eq!(written[4], "4");
    assert_eq!(report.jobs_left_out, missing);
    assert!(
        report.message.contains(&format!("last: {missing}")),
        "{report:?}"
    );
    assert!(report.message.contains("cannot be reached"), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn jobs_that_the_machine_no_longer_has_are_counted() {
    let bench = Bench::new();
    let gone = bench.run("gone", None).await;
    bench.runtime.world().forgotten.insert(gone);
    let error = bench.export().await.unwrap_err();
    assert_eq!((error.code(), bench.files()), ("not_found", 0));
    bench.run(TALK, None).await;
    let report = bench.export().await.unwrap();
    assert_eq!(
        (sources(&report), report.jobs_left_out),
        (vec![TALK.to_owned()], 1)
    );
    assert!(report.message.contains("no longer has them"), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_written_is_an_error() {
    let bench = Bench::new();
    bench.run(TALK, None).await;
    // A file in its place, which stops even root.
    fs::write(bench.disk.path().join("results"), "").unwrap();
    let error = bench.export().await.unwrap_err();
    assert_eq!(error.code(), "disk_failed");
    assert!(error.hint().contains("LOCAL_SAVE_DIR"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_session_is_exported_as_its_last_thousand_jobs() {
    let bench = Bench::new();
    for n in 0..1_003 {
        bench.run(&format!("{n}"), None).await;
    }
    let report = bench.export().await.unwrap();
    let written = sources(&report);
    assert_eq!((written.len(), written[0].as_str()), (1_000, "3"));
    assert!(
        report.message.contains("older ones are not included"),
        "{report:?}"
    );
    let ids: Value = serde_json::from_slice(&fs::read(&report.path).unwrap()).unwrap();
    assert_eq!(ids["cells"].as_array().unwrap().len(), 1_001);
}
