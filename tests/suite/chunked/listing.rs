//! Listing and deleting checkpoints.

use std::fs;

use serde_json::{Value, json};
use smart_colab::base::fault::Fault as _;
use smart_colab::base::ids::JobId;
use smart_colab::checkpoints::CheckpointError;
use smart_colab::checkpoints::shelf::Deleted;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Bench, secs};
use crate::support::hint::{Hint as _, worded};
use crate::support::world::{Strike, TALK};

impl Bench {
    async fn delete(&self, name: &str) -> Result<Deleted, CheckpointError> {
        self.checkpoints()
            .delete(name, Instant::now() + secs(20))
            .await
    }

    /// A result's record, as a bridge leaves it.
    pub(super) fn put_result(&self, name: &str, saved_at: &str, state: &str) -> JobId {
        let id = JobId::fresh();
        let folder = self
            .disk
            .path()
            .join(format!("checkpoints/{name}/runs/{id}"));
        fs::create_dir_all(&folder).unwrap();
        let record = json!({
            "version": 1, "name": name, "job_id": id, "session": "gpu", "saved_at": saved_at, "text": "", "files": [],
            "facts": {"state": state}, "is_whole": true,
        });
        fs::write(folder.join("run.json"), record.to_string()).unwrap();
        fs::write(folder.join("output.log"), "0123456789").unwrap();
        id
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.disk.path().join("checkpoints"));
        let names = entries.into_iter().flatten().map(|entry| entry.unwrap());
        names
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn checkpoints_are_listed_newest_first_including_unreadable_ones() {
    let bench = Bench::new(4, 2);
    assert_eq!(bench.checkpoints().list(10).await.1, 0);
    bench.put_result("oldest", "2020-01-01T00:00:00Z", "failed");
    bench.put_result("middle", "2021-01-01T00:00:00Z", "succeeded");
    bench.call_within(secs(4)).await;
    for (file, text) in [
        ("torn/checkpoint.json", "{\"vers"),
        ("newer/checkpoint.json", "{\"version\": 9}"),
    ] {
        let path = bench.disk.path().join("checkpoints").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(bench.disk.path().join("checkpoints/stray.txt"), "").unwrap();
    bench.world().is_down = true;

    let (rows, total) = bench.checkpoints().list(10).await;
    let mut names: Vec<_> = rows.iter().map(|row| &*row.operation).collect();
    assert_eq!((total, names.split_off(3)), (5, vec!["middle", "oldest"]));
    names.sort_unstable();
    assert_eq!(names, ["newer", "op", "torn"]);
    for row in &rows {
        let state = match &*row.operation {
            "op" => "unfinished",
            "middle" => "succeeded",
            "oldest" => "failed",
            _ => "unreadable",
        };
        assert_eq!(row.state, state);
        assert_eq!(row.fault.is_some(), state == "unreadable", "{row:?}");
        assert!(row.size_bytes > 0, "{row:?}");
    }
    let op = rows.iter().find(|row| row.operation == "op").unwrap();
    assert_eq!(
        (op.completed, op.n_iterations),
        (Some(bench.completed()), Some(4))
    );
    assert_eq!(op.session.as_deref(), Some("main"));
    assert_eq!(rows[4].session.as_deref(), Some("gpu"));

    let (rows, total) = bench.checkpoints().list(1).await;
    assert_eq!((rows.len(), total), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn deleting_a_checkpoint_removes_nothing_else() {
    let bench = Bench::new(4, 4);
    bench.call().await;
    bench.put_result("other", "2020-01-01T00:00:00Z", "succeeded");
    let deleted = bench.delete("op").await.unwrap();
    assert!(deleted.files >= 2 && deleted.bytes > 100, "{deleted:?}");
    assert_eq!(bench.names(), ["other"]);
    let error = bench.delete("op").await.unwrap_err();
    assert_eq!(
        (error.code(), &*error.hint()),
        (
            "not_found",
            "The checkpoints are: other. A job_id is a UUID: list_jobs shows them."
        )
    );
    let facts = bench.call().await;
    assert_eq!(facts.completed, 4, "the name is free again");
}

#[tokio::test(start_paused = true)]
async fn unreadable_checkpoints_can_be_deleted() {
    let bench = Bench::new(4, 4);
    bench.call().await;
    fs::write(bench.file("checkpoint.json"), "torn").unwrap();
    fs::write(bench.file("checkpoint.prev.json"), "torn").unwrap();
    bench.delete("op").await.unwrap();
    let id = bench.put_result("run", "2020-01-01T00:00:00Z", "succeeded");
    let record = format!("checkpoints/run/runs/{id}/run.json");
    fs::write(bench.disk.path().join(record), [0xff, 0]).unwrap();
    bench.delete("run").await.unwrap();
    // Also files that a restart set aside, when nothing else is left.
    fs::create_dir(bench.file("")).unwrap();
    fs::write(bench.file("checkpoint.json.corrupt-1"), "torn").unwrap();
    bench.delete("op").await.unwrap();
    assert_eq!(bench.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_operation_in_use_by_a_call_is_not_deleted() {
    let bench = Bench::new(40, 10);
    let token = CancellationToken::new();
    let call = bench.try_call(false, secs(30), &token);
    let delete = async {
        sleep(secs(5)).await;
        bench.delete("op").await
    };
    let (_, refused) = tokio::join!(call, delete);
    assert_eq!(refused.unwrap_err().code(), "busy");
    // The call has returned; its batch keeps running.
    let error = bench.delete("op").await.unwrap_err();
    assert_eq!(error.code(), "busy");
    assert!(
        error.hint().contains("interrupt_execution with job_id"),
        "{error:?}"
    );
    assert!(bench.completed() > 0);
    sleep(secs(60)).await;
    bench.delete("op").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_code_still_runs_is_not_deleted_unless_its_machine_is_unreachable() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(3_000);
    super::results::run_long(&bench, "run", 5).await.unwrap();
    let error = bench.delete("run").await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("busy", true));
    bench.world().is_down = true;
    let deleted = bench.delete("run").await.unwrap();
    assert!(
        worded(&deleted.message).contains("interrupt_execution"),
        "{deleted:?}"
    );
    assert_eq!(bench.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_reports_a_job_that_may_still_run_on_another_machine() {
    let bench = Bench::new(1, 1);
    bench.world().pace = secs(3_000);
    super::results::run_long(&bench, "run", 5).await.unwrap();
    let id = bench.report("run").await.unwrap().job_id.unwrap();
    let record = bench.disk.path().join(format!("jobs/{id}.json"));
    let noted = fs::read_to_string(&record).unwrap();
    let mut sent: Value = serde_json::from_str(noted.lines().last().unwrap()).unwrap();
    sent["place"] = json!("https://other.example");
    fs::write(record, sent.to_string()).unwrap();
    bench.world().strike(Strike::MachineReplaced);
    let message = worded(&bench.delete("run").await.unwrap().message);
    assert!(
        message.contains("sent to https://other.example"),
        "{message}"
    );
    assert!(message.contains("interrupt_execution"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_cut_short_is_finished_by_the_next_list() {
    let bench = Bench::new(1, 1);
    let checkpoints = bench.disk.path().join("checkpoints");
    let left = checkpoints.join(format!(".deleted-{}", JobId::fresh()));
    fs::create_dir_all(checkpoints.join(".deleted-scenes")).unwrap();
    fs::create_dir_all(left.join("runs")).unwrap();
    fs::write(left.join("checkpoint.json"), "").unwrap();
    let begun = bench.checkpoints().begin_result("run", "main", TALK);
    drop(begun.unwrap());
    let (rows, _) = bench.checkpoints().list(10).await;
    let mut names = bench.names();
    names.sort_unstable();
    assert_eq!(rows.len(), 1);
    assert_eq!(names, [".deleted-scenes", "run"], "what is not ours stays");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_not_ours_is_neither_deleted_nor_written_to() {
    let bench = Bench::new(1, 1);
    let model = bench.disk.path().join("checkpoints/op");
    fs::create_dir_all(&model).unwrap();
    fs::write(model.join("model.bin"), "weights").unwrap();
    let error = bench.delete("op").await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    let error = super::results::run_long(&bench, "op", 5).await.unwrap_err();
    assert_eq!(error.code(), "checkpoint_mismatch");
    let error = bench.refused(true).await;
    assert!(error.hint().contains("CHECKPOINT_DIR"), "{error:?}");
    let files = fs::read_dir(&model).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["model.bin"]);
    assert_eq!(bench.world().requests, 0);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn deleting_a_checkpoint_never_follows_links() {
    let bench = Bench::new(1, 1);
    let elsewhere = bench.disk.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("data")).unwrap();
    fs::write(elsewhere.join("checkpoint.json"), "mine").unwrap();
    fs::create_dir(bench.disk.path().join("checkpoints")).unwrap();
    let link = |to: &std::path::Path, name: &str| {
        let at = bench.disk.path().join("checkpoints").join(name);
        std::os::unix::fs::symlink(to, at).unwrap();
    };
    link(&elsewhere, "linked");
    bench.delete("linked").await.unwrap();
    let id = bench.put_result("run", "2020-01-01T00:00:00Z", "succeeded");
    link(&elsewhere, &format!("run/runs/{id}/out"));
    bench.delete("run").await.unwrap();
    assert_eq!(bench.names(), [""; 0]);
    assert_eq!(
        fs::read_to_string(elsewhere.join("checkpoint.json")).unwrap(),
        "mine"
    );
    assert!(elsewhere.join("data").exists());
}
