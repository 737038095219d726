//! Downloads over failing networks and tunnels, of files that programs change.

use std::time::Duration;

use smart_colab::base::fault::Fault as _;

use super::*;
use crate::support::hint::Hint as _;

#[tokio::test]
async fn a_cut_connection_refetches_no_byte() {
    let (server, folder) = setting();
    let bytes = content(5 * PIECE, 1);
    server.set(|state| {
        state.put("/content/a", bytes.clone());
        state.faults.cuts = vec![1, 20_000, 70_000, 0, 100_000, 5];
    });
    let report = get(&bridge(&server, &folder.path()), "/content/a", None)
        .await
        .unwrap();
    assert!(std::fs::read(report.local_path.unwrap()).unwrap() == bytes);
    assert_eq!(server.state().total_served(), bytes.len() as u64);
}

#[tokio::test]
async fn a_busy_executor_is_asked_again() {
    let (server, folder) = setting();
    server.state().put("/content/a", content(PIECE, 1));
    server.state().faults.busy = 2;
    let report = get(&bridge(&server, &folder.path()), "/content/a", None).await;
    assert_eq!(report.unwrap().status, Status::Complete);
    assert_eq!(server.state().requests_for("download"), 3);
}

#[tokio::test]
async fn a_digest_that_is_not_ready_is_requested_again() {
    let (server, folder) = setting();
    let bytes = content(PIECE, 1);
    server.state().put("/content/a", bytes.clone());
    server.state().faults.pending = 2;
    let report = get(&bridge(&server, &folder.path()), "/content/a", None).await;
    assert_eq!(report.unwrap().digests.sha256, Some(sha256(&bytes)));
}

#[tokio::test]
async fn a_file_that_changes_during_its_transfer_starts_over() {
    let (server, folder) = setting();
    let (old, new) = (content(6 * PIECE, 1), content(5 * PIECE + 1, 2));
    server.set(|state| {
        state.put("/content/a", old);
        state.faults.changes = vec![(PIECE, "/content/a".to_owned(), new.clone())];
    });
    let report = get(&bridge(&server, &folder.path()), "/content/a", None)
        .await
        .unwrap();
    assert_eq!(report.received_bytes, new.len() as u64);
    assert_eq!(report.size_bytes, Some(new.len() as u64));
    assert!(std::fs::read(report.local_path.unwrap()).unwrap() == new);
}

#[tokio::test]
async fn a_file_that_keeps_changing_fails_and_gets_no_name() {
    let (server, folder) = setting();
    server.state().put("/content/log", content(2 * PIECE, 0));
    server.state().faults.keeps_changing = true;
    let error = get(&bridge(&server, &folder.path()), "/content/log", None)
        .await
        .unwrap_err();
    assert!(
        error.is_retryable() && error.hint().contains("Wait"),
        "{error:?}"
    );
    assert!(!folder.path().join("log").exists());
}

#[tokio::test]
async fn damaged_bytes_are_fetched_once_more() {
    let (server, folder) = setting();
    let bytes = content(2 * PIECE, 1);
    server.state().put("/content/a", bytes.clone());
    server.state().faults.wrong_digests = 1;
    let report = get(&bridge(&server, &folder.path()), "/content/a", None)
        .await
        .unwrap();
    assert_eq!(report.received_bytes, bytes.len() as u64);
    assert_eq!(server.state().total_served(), 2 * bytes.len() as u64);
}

#[tokio::test]
async fn bytes_that_stay_damaged_are_discarded_and_reported() {
    let (server, folder) = setting();
    server.state().put("/content/a", content(2 * PIECE, 1));
    server.state().faults.wrong_digests = 9;
    let error = get(&bridge(&server, &folder.path()), "/content/a", None)
        .await
        .unwrap_err();
    assert!(matches!(error, TransferError::Damaged { .. }), "{error:?}");
    assert!(tree(&folder.path()).is_empty());
}

#[tokio::test]
async fn another_range_than_was_asked_for_is_refused() {
    let (server, folder) = setting();
    server.state().put("/content/a", content(2 * PIECE, 1));
    server.state().faults.shifted = true;
    let error = get(&bridge(&server, &folder.path()), "/content/a", None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "incompatible_executor");
    assert!(tree(&folder.path()).is_empty());
}

#[tokio::test]
async fn more_bytes_than_were_asked_for_are_refused() {
    let (server, folder) = setting();
    server.state().put("/content/a", content(2 * PIECE, 1));
    server.state().faults.too_much = true;
    let error = get(&bridge(&server, &folder.path()), "/content/a", None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "incompatible_executor");
    assert!(!folder.path().join("a").exists());
}

#[tokio::test]
async fn a_missing_file_is_not_found_and_leaves_nothing() {
    let (server, folder) = setting();
    let error = get(&bridge(&server, &folder.path()), "/content/none", None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(tree(&folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_without_read_permission_is_reported_and_leaves_nothing() {
    let (server, folder) = setting();
    server.set(|state| {
        state.put("/content/closed", content(3 * PIECE, 1));
        state.faults.unreadable.insert("/content/closed".to_owned());
    });
    let error = get(&bridge(&server, &folder.path()), "/content/closed", None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
    assert!(!error.is_retryable() && error.to_string().contains("/content/closed"));
    assert!(tree(&folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_that_vanishes_during_its_download_is_not_found_and_gets_no_name() {
    let (server, folder) = setting();
    server.set(|state| {
        state.put("/content/a", content(9 * PIECE, 1));
        state.faults.hold_after = Some(3 * PIECE);
    });
    let downloads = bridge(&server, &folder.path());
    while glance(&downloads, "/content/a").await.received_bytes < PIECE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.set(|state| {
        state.remove("/content/a");
        state.faults.hold_after = None;
    });
    let error = get(&downloads, "/content/a", None).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(!folder.path().join("a").exists());
}

#[tokio::test]
async fn an_unreachable_runtime_is_reported_early_and_fails_when_patience_ends() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for patience in [Duration::from_millis(50), 2 * CALL_TIMEOUT] {
        let downloads = bridge_to(port, folder.path(), patience);
        let error = get(&downloads, "/content/a", None).await.unwrap_err();
        assert_eq!(error.code(), "connection_failed");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn bytes_are_requested_without_compression() {
    let (server, folder) = setting();
    server.state().put("/content/a.csv", content(PIECE, 1));
    get(&bridge(&server, &folder.path()), "/content/a.csv", None)
        .await
        .unwrap();
    let state = server.state();
    let head = state
        .requests
        .iter()
        .find(|head| head.starts_with("GET /files/download"));
    let head = head.unwrap().to_lowercase();
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
}
