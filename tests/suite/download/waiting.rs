//! Calls end in time while downloads keep running; bridges end and downloads are resumed.

use std::sync::Mutex;

use smart_colab::base::fault::Fault as _;
use smart_colab::caller::{Caller, Progress};

use super::*;

/// Creates a server that stops in the middle of a file, after sending `after` bytes.
fn held(bytes: &[u8], after: u64) -> (FilesServer, Folder) {
    let (server, folder) = setting();
    server.state().put("/content/big", bytes.to_vec());
    server.state().faults.hold_after = Some(after);
    (server, folder)
}

/// Waits, by calls whose deadline has passed, until so much has been received.
async fn until_received(downloads: &Downloads, bytes: u64) -> DownloadReport {
    loop {
        let report = glance(downloads, "/content/big").await;
        if report.received_bytes >= bytes {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn at_its_deadline_a_call_reports_running_and_the_next_one_keeps_waiting() {
    let bytes = content(8 * PIECE, 1);
    let (server, folder) = held(&bytes, 3 * PIECE);
    let downloads = bridge(&server, &folder.path());
    let report = until_received(&downloads, PIECE).await;
    assert_eq!(report.status, Status::Running);
    assert_eq!(report.size_bytes, Some(bytes.len() as u64));
    assert!(report.local_path.is_none() && report.next_step.is_some());
    server.release();
    let report = get(&downloads, "/content/big", None).await.unwrap();
    assert_eq!(report.status, Status::Complete);
    assert!(std::fs::read(report.local_path.unwrap()).unwrap() == bytes);
    assert_eq!(server.state().total_served(), bytes.len() as u64);
}

#[tokio::test]
async fn bytes_received_between_calls_are_not_fetched_again() {
    let bytes = content(2 * PIECE, 1);
    let (server, folder) = held(&bytes, PIECE);
    let downloads = bridge(&server, &folder.path());
    glance(&downloads, "/content/big").await;
    server.release();
    while tree(&folder.path()) != ["big"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Lets the download record its end; if this is too short, the call waits for it and reports the same.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = get(&downloads, "/content/big", None).await.unwrap();
    assert_eq!(report.status, Status::Complete);
    assert_eq!(server.state().total_served(), bytes.len() as u64);
    // The result was reported: another call checks the file again.
    let again = get(&downloads, "/content/big", None).await.unwrap();
    assert!(again.verified);
    server.state().put("/content/big", content(2 * PIECE, 2));
    let other = get(&downloads, "/content/big", None).await.unwrap();
    assert!(other.renamed);
}

#[tokio::test]
async fn calls_for_the_same_file_share_one_download() {
    let (server, folder) = setting();
    server.state().put("/content/a", content(4 * PIECE, 1));
    let downloads = bridge(&server, &folder.path());
    let (one, other) = tokio::join!(
        get(&downloads, "/content/a", None),
        get(&downloads, "/content/a", None)
    );
    assert_eq!(one.unwrap().local_path, other.unwrap().local_path);
    assert_eq!(server.state().total_served(), 4 * PIECE);
}

#[tokio::test]
async fn a_cancelled_download_stops_and_is_resumed_by_the_next_call() {
    let bytes = content(8 * PIECE, 1);
    let (server, folder) = held(&bytes, 3 * PIECE);
    let downloads = bridge(&server, &folder.path());
    until_received(&downloads, PIECE).await;
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
    caller.cancelled.cancel();
    let error = downloads
        .download(&wish("/content/big", None), &caller)
        .await;
    assert_eq!(error.unwrap_err().code(), "cancelled");
    assert_eq!(tree(&folder.path()), ["big.partial", "big.partial.jsonl"]);
    server.release();
    let report = get(&downloads, "/content/big", None).await.unwrap();
    assert!(report.resumed_bytes >= PIECE, "{report:?}");
    assert!(std::fs::read(report.local_path.unwrap()).unwrap() == bytes);
    assert_eq!(tree(&folder.path()), ["big"]);
}

#[tokio::test]
async fn a_cancelled_call_does_not_end_another_calls_download() {
    let bytes = content(8 * PIECE, 1);
    let (server, folder) = held(&bytes, 3 * PIECE);
    let downloads = bridge(&server, &folder.path());
    let cancelling = async {
        until_received(&downloads, PIECE).await;
        let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
        caller.cancelled.cancel();
        let cancelled = downloads
            .download(&wish("/content/big", None), &caller)
            .await;
        server.release();
        cancelled
    };
    let waiting = get(&downloads, "/content/big", None);
    let (other, cancelled) = tokio::join!(waiting, cancelling);
    assert_eq!(cancelled.unwrap_err().code(), "cancelled");
    let report = other.unwrap();
    assert!(std::fs::read(report.local_path.unwrap()).unwrap() == bytes);
}

#[test]
fn after_a_kill_the_next_bridge_fetches_only_the_rest() {
    let bytes = content(20 * PIECE, 1);
    let (server, folder) = held(&bytes, 10 * PIECE);
    let runtime = || tokio::runtime::Runtime::new().unwrap();

    let first = runtime();
    let downloads = bridge(&server, &folder.path());
    let here = first
        .block_on(until_received(&downloads, 8 * PIECE))
        .received_bytes;
    drop(first);
    assert!(!folder.path().join("big").exists());

    let before = server.state().total_served();
    server.release();
    let downloads = bridge(&server, &folder.path());
    let report = runtime()
        .block_on(get(&downloads, "/content/big", None))
        .unwrap();
    assert!(std::fs::read(report.local_path.unwrap()).unwrap() == bytes);
    assert!(
        report.resumed_bytes >= here,
        "{} < {here}",
        report.resumed_bytes
    );
    // The server may have sent some last blocks to the first bridge after its death.
    let fetched = server.state().total_served() - before;
    let lost = STREAMS as u64 * 2 * BLOCK;
    assert!(
        fetched <= bytes.len() as u64 - here + lost,
        "{fetched} bytes were fetched"
    );
    assert_eq!(tree(&folder.path()), ["big"]);
}

#[tokio::test]
async fn a_partial_download_of_an_older_file_is_not_used() {
    let (old, new) = (content(8 * PIECE, 1), content(8 * PIECE, 2));
    let (server, folder) = held(&old, 3 * PIECE);
    let downloads = bridge(&server, &folder.path());
    until_received(&downloads, PIECE).await;
    server.set(|state| {
        state.put("/content/big", new.clone());
    });
    server.release();
    let report = get(&downloads, "/content/big", None).await.unwrap();
    assert!(std::fs::read(report.local_path.unwrap()).unwrap() == new);
}

#[tokio::test]
async fn progress_grows_to_the_total() {
    let (server, folder) = setting();
    server.state().put("/content/a", content(6 * PIECE, 1));
    let seen = Mutex::new(Vec::new());
    let report = |progress: Progress<'_>| {
        if let Progress::Transfer(progress) = progress {
            seen.lock().unwrap().push(progress.clone());
        }
    };
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT).with_report(&report);
    let downloads = bridge(&server, &folder.path());
    downloads
        .download(&wish("/content/a", None), &caller)
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
