//! Uploads over failing networks, tunnels and executors.

use super::*;
use crate::support::hint::Hint as _;
use smart_colab::base::fault::Fault as _;

#[tokio::test]
async fn a_cut_body_resends_only_the_missing_bytes() {
    let (server, folder) = setting();
    let bytes = content(6 * PIECE, 1);
    write(folder.path(), "a", &bytes);
    let cuts = vec![1, 20_000, 60_000, 0, 30_000, 5];
    let lost: usize = cuts.iter().sum();
    server.set(|state| state.faults.cuts = cuts);
    let report = put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap();
    assert_eq!(report.sent_bytes, bytes.len() as u64);
    assert!(server.state().content("/content/a") == Some(&bytes));
    assert_eq!(server.state().arrived, (bytes.len() + lost) as u64);
}

#[tokio::test]
async fn lost_replies_do_no_harm() {
    let (server, folder) = setting();
    let bytes = content(3 * PIECE, 1);
    write(folder.path(), "a", &bytes);
    // Every piece and the request that finishes the upload.
    server.state().faults.lost_replies = 4;
    put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap();
    assert!(server.state().content("/content/a") == Some(&bytes));
    server.state().faults.lost_replies = 1;
    write(folder.path(), "empty", b"");
    let report = put(&bridge(&server, folder.path()), "empty", "empty")
        .await
        .unwrap();
    assert_eq!(report.status, Status::Complete);
}

#[tokio::test]
async fn a_busy_executor_is_asked_again() {
    let (server, folder) = setting();
    write(folder.path(), "a", &content(PIECE, 1));
    server.state().faults.busy = 2;
    put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap();
    assert_eq!(server.state().count("PUT /files/upload"), 3);
}

#[tokio::test]
async fn a_slow_digest_check_is_waited_for() {
    let (server, folder) = setting();
    write(folder.path(), "a", &content(PIECE, 1));
    server.state().faults.checking = 3;
    put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap();
    assert_eq!(server.state().count("POST /files/upload"), 4);
}

#[tokio::test]
async fn a_damaged_upload_is_sent_once_more() {
    let (server, folder) = setting();
    let bytes = content(2 * PIECE, 1);
    write(folder.path(), "a", &bytes);
    server.state().faults.damaged = 1;
    let report = put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap();
    assert_eq!(report.sent_bytes, bytes.len() as u64);
    assert_eq!(server.state().arrived, 2 * bytes.len() as u64);
}

#[tokio::test]
async fn an_upload_that_stays_damaged_fails_and_gets_no_name() {
    let (server, folder) = setting();
    write(folder.path(), "a", &content(2 * PIECE, 1));
    server.state().faults.damaged = 99;
    let error = put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap_err();
    assert!(matches!(error, UploadError::Damaged { .. }), "{error}");
    assert!(error.is_retryable());
    assert!(server.state().content("/content/a").is_none());
    assert_eq!(server.state().count("POST /files/upload"), 2);
}

#[tokio::test]
async fn an_executor_that_lost_pieces_is_sent_them_again() {
    let (server, folder) = setting();
    let bytes = content(8 * PIECE, 1);
    write(folder.path(), "a", &bytes);
    server.state().faults.losses = vec![5 * PIECE, 9 * PIECE];
    let report = put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap();
    assert!(server.state().content("/content/a") == Some(&bytes));
    assert_eq!(
        report.sent_bytes + report.already_there_bytes,
        bytes.len() as u64
    );
}

#[tokio::test]
async fn an_executor_that_keeps_losing_pieces_fails_the_upload() {
    let (server, folder) = setting();
    write(folder.path(), "a", &content(2 * PIECE, 1));
    server.state().faults.losses = (0..100).map(|time| time * PIECE).collect();
    let error = put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap_err();
    assert!(matches!(error, UploadError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn a_full_remote_disk_is_reported_with_its_free_space() {
    let (server, folder) = setting();
    write(folder.path(), "a", &content(2 * PIECE, 1));
    write(folder.path(), "many/a", b"a");
    server.state().faults.full = true;
    for local in ["a", "many"] {
        let error = put(&bridge(&server, folder.path()), local, "x")
            .await
            .unwrap_err();
        assert_eq!(error.code(), "disk_full");
        assert!(
            !error.is_retryable() && error.to_string().contains("1.5 GB"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn pieces_too_large_for_a_slow_link_are_made_smaller() {
    let (server, folder) = setting();
    let bytes = content(2 * PIECE, 1);
    write(folder.path(), "a", &bytes);
    for name in 0..10 {
        write(folder.path(), &format!("many/{name}"), &content(1000, name));
    }
    server.state().faults.longest = Some(PIECE as usize / 10);
    let uploads = bridge_to(
        &server.line(),
        folder.path(),
        limits(Duration::from_secs(2)),
    );
    put(&uploads, "a", "a").await.unwrap();
    assert!(server.state().content("/content/a") == Some(&bytes));
    let report = put(&uploads, "many", "many").await.unwrap();
    assert_eq!(report.files, 10);
}

#[tokio::test]
async fn an_unreachable_runtime_is_reported_early_and_fails_when_patience_ends() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a", b"a");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("http://{}#t", free.local_addr().unwrap());
    drop(free);
    for patience in [Duration::from_millis(50), 2 * CALL_TIMEOUT] {
        let uploads = bridge_to(&line, folder.path(), limits(patience));
        let error = put(&uploads, "a", "a").await.unwrap_err();
        assert_eq!(error.code(), "connection_failed");
        assert!(
            error.is_retryable() && error.hint().contains("kept"),
            "{error}"
        );
    }
}
