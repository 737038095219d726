//! Downloads arrive whole or report why not, whatever the network and the file do meanwhile.

#[path = "../support/files_server/mod.rs"]
pub(crate) mod files_server;

mod bundles;
mod faults;
mod folders;
mod following;
mod names;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use smart_colab::base::fault::Fault as _;
use smart_colab::caller::Caller;
use smart_colab::connection::Connection;
use smart_colab::edge::env::{COLAB_URL, Env};
use smart_colab::edge::settings::{Flags, Settings};
use smart_colab::transfer::download::{
    DownloadReport, DownloadRequest, Downloads, Limits, PaceLimits,
};
use smart_colab::transfer::{MAX_BYTES, Status, TransferError};
use tempfile::TempDir;
use tokio::time::Instant;

use files_server::{FilesServer, TOKEN, sha256};

/// Call timeout, long enough on any machine; no test waits for it to pass.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
const BLOCK: u64 = 16 * 1024;
const PIECE: u64 = 8 * BLOCK;
const STREAMS: usize = 4;
/// Files up to this size are fetched in bundles.
const SMALL: u64 = 1000;

/// Creates a bridge's downloads from `server` into `folder`, in small pieces.
fn bridge(server: &FilesServer, folder: &Path) -> Downloads {
    bridge_to(server.port, folder, CALL_TIMEOUT)
}

fn bridge_to(port: u16, folder: &Path, patience: Duration) -> Downloads {
    let env = Env::from([(COLAB_URL, line(port).as_str())]);
    let settings = Settings::read(&env, &Flags::default()).unwrap();
    bridge_by(Arc::new(Connection::new(&settings)), folder, patience)
}

fn line(port: u16) -> String {
    format!("http://127.0.0.1:{port}#{TOKEN}")
}

fn bridge_by(connection: Arc<Connection>, folder: &Path, patience: Duration) -> Downloads {
    let limits = Limits {
        pace: PaceLimits {
            first_piece: PIECE,
            smallest_piece: PIECE,
            largest_piece: PIECE,
            first_streams: STREAMS,
            most_streams: STREAMS,
        },
        block_bytes: BLOCK,
        small_bytes: SMALL,
        bundle_bytes: 4 * SMALL,
        bundle_files: 5,
        patience,
    };
    let notes = folder.with_extension("notes");
    Downloads::with_limits(connection, folder.to_owned(), notes, limits)
}

fn wish(remote: &str, local: Option<&str>) -> DownloadRequest {
    DownloadRequest {
        remote_path: remote.to_owned(),
        local_filename: local.map(str::to_owned),
        max_bytes: MAX_BYTES,
    }
}

/// Makes a call that waits for the end.
async fn get(
    downloads: &Downloads,
    remote: &str,
    local: Option<&str>,
) -> Result<DownloadReport, TransferError> {
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
    downloads.download(&wish(remote, local), &caller).await
}

/// Makes a call whose deadline has passed.
async fn glance(downloads: &Downloads, remote: &str) -> DownloadReport {
    let caller = Caller::until(Instant::now());
    let wish = wish(remote, None);
    downloads.download(&wish, &caller).await.unwrap()
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

/// Lists a folder's content by relative name; a folder ends with a slash.
fn tree(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            names.push(format!("{name}/"));
            names.extend(
                tree(&entry.path())
                    .iter()
                    .map(|below| format!("{name}/{below}")),
            );
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

/// The folder for downloads; the bridge keeps its records beside it.
struct Folder(TempDir);

impl Folder {
    fn path(&self) -> PathBuf {
        self.0.path().join("saved")
    }
}

fn setting() -> (FilesServer, Folder) {
    let folder = Folder(tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path()).unwrap();
    (FilesServer::start(), folder)
}

#[tokio::test]
async fn a_file_arrives_whole_under_its_own_name() {
    let (server, folder) = setting();
    let bytes = content(5 * PIECE + 17, 1);
    server.state().put("/content/model.pt", bytes.clone());
    let report = get(&bridge(&server, &folder.path()), "/content/model.pt", None)
        .await
        .unwrap();
    assert_eq!(report.status, Status::Complete);
    assert_eq!(report.digests.sha256, Some(sha256(&bytes)));
    assert_eq!(report.size_bytes, Some(bytes.len() as u64));
    assert_eq!(report.received_bytes, bytes.len() as u64);
    assert!(!report.renamed && !report.is_folder);
    let path = report.local_path.unwrap();
    assert_eq!(Path::new(&path), folder.path().join("model.pt"));
    assert!(std::fs::read(path).unwrap() == bytes);
    assert_eq!(tree(&folder.path()), ["model.pt"]);
}

#[tokio::test]
async fn an_empty_file_is_downloaded() {
    let (server, folder) = setting();
    server.state().put("/content/empty", Vec::new());
    let report = get(
        &bridge(&server, &folder.path()),
        "/content/empty",
        Some("a/b/none.txt"),
    )
    .await
    .unwrap();
    assert_eq!(report.digests.sha256, Some(sha256(b"")));
    assert_eq!(tree(&folder.path()), ["a/", "a/b/", "a/b/none.txt"]);
    assert_eq!(server.state().requests_for("download"), 0);
}

#[tokio::test]
async fn an_existing_file_is_kept_and_the_new_one_is_numbered() {
    let (server, folder) = setting();
    std::fs::write(folder.path().join("a.txt"), "old").unwrap();
    let downloads = bridge(&server, &folder.path());
    for (name, content) in [("a (2).txt", "new"), ("a (3).txt", "now")] {
        server.state().put("/content/a.txt", content.into());
        let report = get(&downloads, "/content/a.txt", None).await.unwrap();
        assert!(report.renamed && !report.verified);
        assert!(report.local_path.unwrap().ends_with(name));
    }
    assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"old");
    assert_eq!(tree(&folder.path()), ["a (2).txt", "a (3).txt", "a.txt"]);
}

#[tokio::test]
async fn the_same_file_keeps_its_name_and_is_not_fetched_again() {
    let (server, folder) = setting();
    let bytes = content(3 * PIECE, 1);
    server.state().put("/content/a.bin", bytes.clone());
    let downloads = bridge(&server, &folder.path());
    let first = get(&downloads, "/content/a.bin", None).await.unwrap();
    let again = get(&downloads, "/content/a.bin", None).await.unwrap();
    assert!(again.verified && !first.verified && !again.renamed);
    assert_eq!(
        (again.local_path, again.digests.sha256),
        (first.local_path, first.digests.sha256)
    );
    assert_eq!((again.received_bytes, again.files), (0, 1));
    assert!(
        again.message.contains("verified by its digest"),
        "{}",
        again.message
    );
    // Where another file has the name, the numbered one counts.
    std::fs::rename(folder.path().join("a.bin"), folder.path().join("a (2).bin")).unwrap();
    std::fs::write(folder.path().join("a.bin"), "mine").unwrap();
    let numbered = get(&downloads, "/content/a.bin", None).await.unwrap();
    assert!(numbered.verified && numbered.local_path.unwrap().ends_with("a (2).bin"));
    assert_eq!(server.state().total_served(), bytes.len() as u64);
    // One byte of another value is another file.
    std::fs::remove_file(folder.path().join("a.bin")).unwrap();
    std::fs::write(folder.path().join("a.bin"), content(3 * PIECE, 2)).unwrap();
    std::fs::remove_file(folder.path().join("a (2).bin")).unwrap();
    let other = get(&downloads, "/content/a.bin", None).await.unwrap();
    assert!(other.renamed && !other.verified);
    assert!(std::fs::read(other.local_path.unwrap()).unwrap() == bytes);
}

#[tokio::test]
async fn a_file_that_only_looks_like_a_partial_download_is_kept() {
    let (server, folder) = setting();
    server.state().put("/content/a.txt", b"new".to_vec());
    for name in ["a.txt.partial", "a (2).txt.partial.jsonl"] {
        std::fs::write(folder.path().join(name), "mine").unwrap();
    }
    get(&bridge(&server, &folder.path()), "/content/a.txt", None)
        .await
        .unwrap();
    for name in ["a.txt.partial", "a (2).txt.partial.jsonl"] {
        assert_eq!(
            std::fs::read(folder.path().join(name)).unwrap(),
            b"mine",
            "{name}"
        );
    }
    assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"new");
}

#[tokio::test]
async fn a_name_outside_the_folder_is_refused_before_any_request() {
    let (server, folder) = setting();
    let downloads = bridge(&server, &folder.path());
    for name in ["../a", "/a", "C:\\a", "x/../../a"] {
        let error = get(&downloads, "/content/a", Some(name)).await.unwrap_err();
        assert_eq!(error.code(), "outside_save_dir", "{name}");
    }
    assert!(server.state().requests.is_empty());
}

#[tokio::test]
async fn two_files_with_one_name_both_arrive_whole() {
    let (server, folder) = setting();
    let (one, other) = (content(3 * PIECE, 1), content(4 * PIECE, 2));
    server.state().put("/content/run1/model.pt", one.clone());
    server.state().put("/content/run02/model.pt", other.clone());
    let downloads = bridge(&server, &folder.path());
    let (first, second) = tokio::join!(
        get(&downloads, "/content/run1/model.pt", None),
        get(&downloads, "/content/run02/model.pt", None),
    );
    assert!(std::fs::read(first.unwrap().local_path.unwrap()).unwrap() == one);
    assert!(std::fs::read(second.unwrap().local_path.unwrap()).unwrap() == other);
    assert_eq!(tree(&folder.path()), ["model (2).pt", "model.pt"]);
}

#[tokio::test]
async fn two_bridges_that_fetch_one_file_do_not_share_a_partial_file() {
    let (server, folder) = setting();
    let bytes = content(3 * PIECE, 1);
    server.state().put("/content/model.pt", bytes.clone());
    let bridges = [
        bridge(&server, &folder.path()),
        bridge(&server, &folder.path()),
    ];
    let (first, second) = tokio::join!(
        get(&bridges[0], "/content/model.pt", None),
        get(&bridges[1], "/content/model.pt", None),
    );
    for report in [first.unwrap(), second.unwrap()] {
        assert!(std::fs::read(report.local_path.unwrap()).unwrap() == bytes);
    }
    assert_eq!(tree(&folder.path()), ["model (2).pt", "model.pt"]);
}
