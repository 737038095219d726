//! Uploads arrive whole or report why not, whatever the network and the file do meanwhile; nothing is sent without permission.

#[path = "../support/upload_routes.rs"]
mod upload_routes;
#[path = "../support/upload_server.rs"]
mod upload_server;

mod faults;
mod folders;
mod following;
mod local_files;
#[cfg(unix)]
mod modes;
mod program;
mod roots;
mod waiting;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use smart_colab::base::fault::Fault as _;
use smart_colab::caller::Caller;
use smart_colab::connection::Connection;
use smart_colab::edge::env::{COLAB_URL, Env};
use smart_colab::edge::settings::{Flags, Settings};
use smart_colab::transfer::Status;
use smart_colab::transfer::upload::{Allowed, Limits, Request, UploadError, UploadReport, Uploads};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::hint::Hint as _;
use upload_server::{UploadServer, sha256};

/// Call timeout, long enough on any machine; no test waits for it to pass.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
const PIECE: u64 = 64 * 1024;
const STREAMS: u64 = 2;
const SMALL: u64 = 4 * 1024;
const MAX_BYTES: u64 = 1 << 30;

fn limits(patience: Duration) -> Limits {
    Limits {
        piece_bytes: PIECE,
        least_piece_bytes: PIECE / 16,
        streams: STREAMS as usize,
        most_streams: 4,
        small_bytes: SMALL,
        bundle_bytes: 4 * SMALL,
        files_at_once: 2,
        patience,
    }
}

/// Creates a bridge's uploads from `folder` through `line`, with these `limits`.
fn bridge_to(line: &str, folder: &Path, limits: Limits) -> Uploads {
    let env = Env::from([(COLAB_URL, line)]);
    let settings = Settings::read(&env, &Flags::default()).unwrap();
    bridge_by(Arc::new(Connection::new(&settings)), folder, limits)
}

fn bridge_by(connection: Arc<Connection>, folder: &Path, limits: Limits) -> Uploads {
    let allowed = Allowed::new(vec![folder.to_owned()], folder.join("state"));
    let notes = folder.join("state/transfers");
    Uploads::with_limits(connection, allowed, notes, limits)
}

fn bridge(server: &UploadServer, folder: &Path) -> Uploads {
    bridge_to(&server.line(), folder, limits(CALL_TIMEOUT))
}

fn request(local: &str, remote: &str) -> Request {
    Request {
        local_path: local.to_owned(),
        remote_path: remote.to_owned(),
        max_bytes: MAX_BYTES,
    }
}

/// Makes a call that waits for the end.
async fn put(uploads: &Uploads, local: &str, remote: &str) -> Result<UploadReport, UploadError> {
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
    uploads.upload(&request(local, remote), &[], &caller).await
}

/// Makes a call whose deadline has passed.
async fn glance(uploads: &Uploads, local: &str, remote: &str) -> UploadReport {
    let caller = Caller::until(Instant::now());
    let report = uploads.upload(&request(local, remote), &[], &caller).await;
    report.unwrap()
}

/// Returns bytes without repetition.
fn content(length: u64, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// Writes a file below a folder, creating its parents.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn setting() -> (UploadServer, TempDir) {
    (UploadServer::start(), tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_file_arrives_whole_with_its_modification_time() {
    let (server, folder) = setting();
    let bytes = content(5 * PIECE + 17, 1);
    let path = write(folder.path(), "model.pt", &bytes);
    let report = put(&bridge(&server, folder.path()), "model.pt", "/content/m.pt").await;
    let report = report.unwrap();
    assert_eq!(report.status, Status::Complete);
    assert_eq!(report.remote_path, "/content/m.pt");
    assert_eq!(Path::new(&report.local_path), path);
    assert_eq!(report.digests.sha256, Some(sha256(&bytes)));
    assert_eq!(report.size_bytes, Some(bytes.len() as u64));
    assert_eq!(
        (report.sent_bytes, report.already_there_bytes),
        (bytes.len() as u64, 0)
    );
    assert_eq!(
        (report.files, report.replaced, report.is_folder),
        (1, 0, false)
    );
    let state = server.state();
    let (arrived, at) = &state.files["/content/m.pt"];
    assert!(*arrived == bytes);
    let modified: jiff::Timestamp = at.parse().unwrap();
    let here = fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(
        modified.as_millisecond(),
        jiff::Timestamp::try_from(here).unwrap().as_millisecond()
    );
    assert_eq!(state.arrived, bytes.len() as u64);
    assert!(state.largest as u64 <= PIECE);
}

#[tokio::test]
async fn an_empty_file_arrives() {
    let (server, folder) = setting();
    write(folder.path(), "empty", b"");
    let uploads = bridge(&server, folder.path());
    let report = put(&uploads, "empty", "a/b/").await.unwrap();
    assert_eq!(report.digests.sha256, Some(sha256(b"")));
    assert_eq!(server.state().content("/content/a/b/empty"), Some(&b""[..]));
}

#[tokio::test]
async fn a_file_that_is_already_there_is_not_sent_again() {
    let (server, folder) = setting();
    let bytes = content(3 * PIECE, 1);
    write(folder.path(), "a", &bytes);
    let uploads = bridge(&server, folder.path());
    put(&uploads, "a", "/content/a").await.unwrap();
    let report = put(&uploads, "a", "/content/a").await.unwrap();
    assert_eq!(
        (report.sent_bytes, report.already_there_bytes),
        (0, 3 * PIECE)
    );
    assert_eq!(report.replaced, 0);
    assert!(report.message.contains("nothing was sent"), "{report:?}");
    assert_eq!(server.state().arrived, 3 * PIECE);
}

#[tokio::test]
async fn a_different_file_of_that_name_is_replaced_and_reported() {
    let (server, folder) = setting();
    write(folder.path(), "a.txt", b"new");
    server.state().put("/content/a.txt", b"old");
    let report = put(&bridge(&server, folder.path()), "a.txt", "a.txt")
        .await
        .unwrap();
    assert_eq!(report.replaced, 1);
    assert!(report.message.contains("replaced"), "{report:?}");
    assert_eq!(server.state().content("/content/a.txt"), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_file_is_put_into_a_folder_under_its_own_name() {
    let (server, folder) = setting();
    write(folder.path(), "deep/a.txt", b"a");
    server.state().folders.insert("/content/data".to_owned());
    for (remote, expected) in [
        ("/content/data", "/content/data/a.txt"),
        ("/content/data/", "/content/data/a.txt"),
        ("new/", "new/a.txt"),
        ("/content", "/content/a.txt"),
        ("", "a.txt"),
        (".", "a.txt"),
        ("other", "other"),
    ] {
        let report = put(&bridge(&server, folder.path()), "deep/a.txt", remote)
            .await
            .unwrap();
        assert_eq!(report.remote_path, expected, "{remote:?}");
    }
}

#[tokio::test]
async fn an_invalid_destination_is_refused_before_anything_is_sent() {
    let (server, folder) = setting();
    write(folder.path(), "a.txt", b"a");
    write(folder.path(), "many/a.txt", b"a");
    server.set(|state| {
        state.folders.insert("/content/data/a.txt".to_owned());
        state.put("/content/file", b"f");
    });
    let uploads = bridge(&server, folder.path());
    for (local, remote, code) in [
        ("a.txt", "/content/data", "is_a_directory"),
        ("a.txt", "/etc/passwd", "outside_root"),
        ("a.txt", "../a", "outside_root"),
        ("many", "/content/file", "invalid_argument"),
        ("many", "../", "outside_root"),
    ] {
        let error = put(&uploads, local, remote).await.unwrap_err();
        assert_eq!(error.code(), code, "{local} {remote}: {error}");
        assert!(!error.is_retryable() && !error.hint().is_empty());
    }
    assert_eq!(server.state().arrived, 0);
}

#[tokio::test]
async fn an_upload_above_max_bytes_is_refused_with_its_size() {
    let (server, folder) = setting();
    write(folder.path(), "data/a", &content(3000, 1));
    write(folder.path(), "data/b", &content(3000, 2));
    let uploads = bridge(&server, folder.path());
    for (local, said) in [
        ("data", "5.9 KiB in 2 file(s)"),
        ("data/a", "2.9 KiB in 1 file(s)"),
    ] {
        let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
        let request = Request {
            max_bytes: 2999,
            ..request(local, "/content/d")
        };
        let error = uploads.upload(&request, &[], &caller).await.unwrap_err();
        assert_eq!(error.code(), "too_large");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.hint().contains("max_bytes"), "{error}");
    }
    assert_eq!(server.state().arrived, 0);
}
