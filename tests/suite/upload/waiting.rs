//! Calls end in time while uploads keep running; bridges end and uploads are resumed.

use std::sync::Mutex;

use smart_colab::base::fault::Fault as _;
use smart_colab::caller::{Caller, Progress};

use super::*;

/// Creates a server that stops in the middle of a file, after receiving `at` bytes.
fn held(bytes: &[u8], at: u64) -> (UploadServer, TempDir) {
    let (server, folder) = setting();
    write(folder.path(), "big", bytes);
    server.state().faults.hold_at = Some(at);
    (server, folder)
}

fn release(server: &UploadServer) {
    server.set(|state| state.faults.hold_at = None);
}

/// Waits, by calls whose deadline has passed, until so much has arrived.
async fn until_sent(uploads: &Uploads, bytes: u64) -> UploadReport {
    loop {
        let report = glance(uploads, "big", "big").await;
        if report.sent_bytes >= bytes {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn at_its_deadline_a_call_reports_running_and_the_next_one_keeps_waiting() {
    let bytes = content(8 * PIECE, 1);
    let (server, folder) = held(&bytes, 5 * PIECE);
    let uploads = bridge(&server, folder.path());
    let report = until_sent(&uploads, PIECE).await;
    assert_eq!(report.status, Status::Running);
    assert_eq!(report.size_bytes, Some(bytes.len() as u64));
    assert!(report.next_step.is_some() && report.digests.sha256.is_none());
    release(&server);
    let report = put(&uploads, "big", "big").await.unwrap();
    assert_eq!(report.status, Status::Complete);
    assert_eq!(server.state().arrived, bytes.len() as u64);
    assert_eq!(server.state().count("GET /files/upload"), 1);
}

#[tokio::test]
async fn calls_for_the_same_file_share_one_upload() {
    let (server, folder) = setting();
    write(folder.path(), "a", &content(4 * PIECE, 1));
    let uploads = bridge(&server, folder.path());
    let (one, other) = tokio::join!(put(&uploads, "a", "a"), put(&uploads, "a", "a"));
    assert_eq!(one.unwrap().digests, other.unwrap().digests);
    assert_eq!(server.state().arrived, 4 * PIECE);
}

#[tokio::test]
async fn a_file_changed_after_an_unseen_upload_is_sent_anew() {
    let (server, folder) = held(&content(2 * PIECE, 1), PIECE);
    let uploads = bridge(&server, folder.path());
    let old = glance(&uploads, "big", "big").await.job_id;
    release(&server);
    while server.state().content("/content/big").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let new = content(PIECE, 2);
    write(folder.path(), "big", &new);
    // Removing its lock is the last thing that the upload does.
    let lock = folder.path().join(format!("state/transfers/{old}.lock"));
    while lock.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let report = put(&uploads, "big", "big").await.unwrap();
    assert_eq!(report.digests.sha256, Some(sha256(&new)));
    assert!(server.state().content("/content/big") == Some(&new));
}

#[tokio::test]
async fn a_cancelled_upload_stops_and_is_resumed_by_the_next_call() {
    let bytes = content(8 * PIECE, 1);
    let (server, folder) = held(&bytes, 5 * PIECE);
    let uploads = bridge(&server, folder.path());
    let sent = until_sent(&uploads, 2 * PIECE).await.sent_bytes;
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
    caller.cancelled.cancel();
    let error = uploads.upload(&request("big", "big"), &[], &caller).await;
    assert_eq!(error.unwrap_err().code(), "cancelled");
    release(&server);
    let report = put(&uploads, "big", "big").await.unwrap();
    assert!(report.already_there_bytes >= sent, "{report:?}");
    assert_eq!(
        report.already_there_bytes + report.sent_bytes,
        bytes.len() as u64
    );
    assert!(server.state().content("/content/big") == Some(&bytes));
}

#[tokio::test]
async fn an_upload_stopped_by_another_call_begins_anew() {
    let bytes = content(8 * PIECE, 1);
    let (server, folder) = held(&bytes, 5 * PIECE);
    let uploads = bridge(&server, folder.path());
    until_sent(&uploads, PIECE).await;
    let stopping = Caller::until(Instant::now() + CALL_TIMEOUT);
    let cancel = stopping.cancelled.clone();
    let asked = request("big", "big");
    // Both wait for the same upload before one of them is cancelled.
    let (one, other, ()) = tokio::join!(
        biased;
        uploads.upload(&asked, &[], &stopping),
        put(&uploads, "big", "big"),
        async {
            cancel.cancel();
            release(&server);
        }
    );
    assert_eq!(one.unwrap_err().code(), "cancelled");
    assert_eq!(other.unwrap().status, Status::Complete);
    assert!(server.state().content("/content/big") == Some(&bytes));
}

#[test]
fn after_a_bridge_ends_the_next_one_sends_only_the_rest() {
    let bytes = content(20 * PIECE, 1);
    let (server, folder) = held(&bytes, 10 * PIECE);
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let uploads = bridge(&server, folder.path());
    let sent = first.block_on(until_sent(&uploads, 6 * PIECE)).sent_bytes;
    drop(uploads);
    drop(first);
    release(&server);
    let report = runtime().block_on(put(&bridge(&server, folder.path()), "big", "big"));
    let report = report.unwrap();
    assert!(report.already_there_bytes >= sent, "{report:?}");
    assert!(server.state().content("/content/big") == Some(&bytes));
}

#[tokio::test]
async fn progress_grows_to_the_total() {
    let (server, folder) = setting();
    write(folder.path(), "a", &content(6 * PIECE, 1));
    let seen = Mutex::new(Vec::new());
    let report = |progress: Progress<'_>| {
        if let Progress::Transfer(progress) = progress {
            seen.lock().unwrap().push(progress.clone());
        }
    };
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT).with_report(&report);
    let uploads = bridge(&server, folder.path());
    uploads
        .upload(&request("a", "a"), &[], &caller)
        .await
        .unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.done_bytes));
    let total = Some(6 * PIECE);
    assert!(
        seen.iter()
            .all(|progress| progress.total_bytes.is_none() || progress.total_bytes == total)
    );
    assert!(seen.iter().any(|progress| progress.done_bytes > 0));
}
