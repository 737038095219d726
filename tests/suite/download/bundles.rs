//! Many small files are fetched in few requests, and each is verified.

use std::collections::BTreeSet;
use std::process::Command;

use smart_colab::base::fault::Fault as _;
use smart_colab::caller::Caller;

use super::*;
use crate::support::hint::Hint as _;

/// Creates `count` small files in two folders.
fn create_small_files(server: &FilesServer, count: u32) {
    server.set(|state| {
        for number in 0..count {
            let path = format!("/content/out/{}/{number}", number % 2);
            state.put(&path, content(u64::from(number % 90), number));
        }
    });
}

#[track_caller]
fn assert_all_there(folder: &Folder, count: u32) {
    for number in 0..count {
        let path = folder.path().join(format!("out/{}/{number}", number % 2));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(
            bytes == content(u64::from(number % 90), number),
            "{number}: {bytes:?}"
        );
    }
}

#[tokio::test]
async fn many_small_files_are_fetched_in_one_request() {
    let (server, folder) = setting();
    create_small_files(&server, 100);
    let downloads = bridge(&server, &folder.path());
    let report = get(&downloads, "/content/out", None).await.unwrap();
    assert_eq!((report.files, report.skipped_count), (100, 0));
    assert_all_there(&folder, 100);
    assert_eq!(
        server.state().requests_for("bundle"),
        20,
        "five files in each request"
    );
    assert_eq!(server.state().requests_for("download"), 0);
}

#[tokio::test]
async fn a_cut_bundle_keeps_the_files_before_the_cut() {
    let (server, folder) = setting();
    server.set(|state| {
        for number in 0..5 {
            state.put(&format!("/content/out/{number}"), content(100, number));
        }
        // Each file has a line of some 130 bytes before its 100.
        state.faults.cuts = vec![600, 300, 10, 0];
    });
    let report = get(&bridge(&server, &folder.path()), "/content/out", None).await;
    assert_eq!(report.unwrap().files, 5);
    for number in 0..5 {
        let bytes = std::fs::read(folder.path().join(format!("out/{number}"))).unwrap();
        assert!(bytes == content(100, number));
    }
    let asked: u64 = server.state().total_served();
    assert!(
        asked < 600 + 300 + 10 + 3 * 260,
        "{asked} bytes were served"
    );
}

#[tokio::test]
async fn a_damaged_small_file_is_refetched_and_one_that_stays_damaged_is_reported() {
    let (server, folder) = setting();
    create_small_files(&server, 3);
    server.state().faults.wrong_digests = 2;
    let downloads = bridge(&server, &folder.path());
    let report = get(&downloads, "/content/out", None).await.unwrap();
    assert_eq!(report.files, 3);
    assert_all_there(&folder, 3);
    server.state().faults.wrong_digests = 100;
    let error = get(&downloads, "/content/out", None).await.unwrap_err();
    assert!(matches!(error, TransferError::Damaged { .. }), "{error:?}");
    assert!(!folder.path().join("out (2)").exists());
}

#[tokio::test]
async fn unreadable_files_are_skipped_and_reported_and_leave_nothing() {
    let (server, folder) = setting();
    let path = |name: &str| format!("/content/out/{name}");
    server.set(|state| {
        for (name, length) in [
            ("closed", 10),
            ("closed.large", 3 * PIECE),
            ("gone", 10),
            ("gone.large", 3 * PIECE),
            ("here", 10),
        ] {
            state.put(&path(name), content(length, 1));
        }
        state.faults.unreadable = BTreeSet::from([path("closed"), path("closed.large")]);
        state.faults.vanished = BTreeSet::from([path("gone"), path("gone.large")]);
    });
    let report = get(&bridge(&server, &folder.path()), "/content/out", None)
        .await
        .unwrap();
    let mut skipped: Vec<&str> = report.skipped.iter().map(|one| one.name.as_str()).collect();
    skipped.sort_unstable();
    assert_eq!(skipped, ["closed", "closed.large", "gone", "gone.large"]);
    assert!(report.skipped.iter().all(|one| !one.reason.is_empty()));
    assert_eq!(tree(&folder.path()), ["out.sha256", "out/", "out/here"]);
}

#[tokio::test]
async fn a_small_file_that_has_grown_large_is_fetched_on_its_own() {
    let (server, folder) = setting();
    let large = content(1_200_000, 2);
    server.set(|state| {
        state.put("/content/out/a", content(10, 1));
        state.put("/content/out/b", content(10, 1));
        state.grow_after_listing("/content/out/a", large.clone());
    });
    let report = get(&bridge(&server, &folder.path()), "/content/out", None).await;
    assert_eq!(report.unwrap().files, 2);
    assert!(std::fs::read(folder.path().join("out/a")).unwrap() == large);
}

#[tokio::test]
async fn a_download_above_max_bytes_is_refused_before_any_byte_is_served() {
    let (server, folder) = setting();
    create_small_files(&server, 10);
    server
        .state()
        .put("/content/out/large", content(3 * PIECE, 1));
    let downloads = bridge(&server, &folder.path());
    for (remote, size) in [
        ("/content/out", 3 * PIECE + 45),
        ("/content/out/large", 3 * PIECE),
    ] {
        let most = |max_bytes| DownloadRequest {
            max_bytes,
            ..wish(remote, None)
        };
        let fetch = async |max_bytes| {
            let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
            downloads.download(&most(max_bytes), &caller).await
        };
        let error = fetch(size - 1).await.unwrap_err();
        assert_eq!(error.code(), "too_large");
        assert!(!error.is_retryable());
        assert!(error.hint().contains(&size.to_string()), "{}", error.hint());
        let sentence = error.to_string();
        assert_eq!(sentence.contains("11 files"), remote == "/content/out");
        assert!(sentence.contains("384.0 KiB"), "{sentence}");
        assert!(tree(&folder.path()).is_empty());
        assert_eq!(server.state().total_served(), 0);
        fetch(size).await.unwrap();
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
        server.state().served.clear();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_manifest_beside_the_folder_passes_sha256sum() {
    let (server, folder) = setting();
    create_small_files(&server, 7);
    server.set(|state| {
        state.put("/content/out/large", content(3 * PIECE, 1));
        state.put(
            "/content/out/\u{1f600} d\u{e9}j\u{e0} 'vu'.txt",
            content(5, 2),
        );
        state.others = vec![("/content/out/hollow".to_owned(), "directory")];
    });
    let downloads = bridge(&server, &folder.path());
    for (local, manifest) in [(Some("runs/7"), "runs/7.sha256"), (None, "out.sha256")] {
        let report = get(&downloads, "/content/out", local).await.unwrap();
        let path = folder.path().join(manifest);
        assert_eq!(report.manifest.as_deref(), path.to_str());
        let lines = std::fs::read_to_string(path).unwrap();
        assert_eq!(lines.lines().count(), 9, "{lines}");
        if cfg!(target_os = "linux") {
            let checked = Command::new("sha256sum")
                .args(["--check", "--strict", manifest])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
    }
}

#[test]
fn the_manifest_of_a_resumed_folder_lists_its_first_part_and_no_vanished_file() {
    let (server, folder) = setting();
    create_small_files(&server, 20);
    server.set(|state| {
        state.put("/content/out/zz", content(9 * PIECE, 1));
        state.faults.stuck = Some("/content/out/zz".to_owned());
    });
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let downloads = bridge(&server, &folder.path());
    first.block_on(async {
        while glance(&downloads, "/content/out").await.files < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    drop(downloads);
    drop(first);
    server.set(|state| {
        state.remove("/content/out/1/1");
        state.faults.stuck = None;
        state.requests.clear();
    });
    let downloads = bridge(&server, &folder.path());
    let report = runtime()
        .block_on(get(&downloads, "/content/out", None))
        .unwrap();
    assert_eq!(report.files, 20);
    assert_eq!(server.state().requests_for("bundle"), 0);
    assert!(!folder.path().join("out/1/1").exists());
    let lines = std::fs::read_to_string(report.manifest.unwrap()).unwrap();
    assert_eq!(lines.lines().count(), 20);
    assert!(lines.contains(&format!("{}  out/0/2\n", sha256(&content(2, 2)))));
}

#[cfg(unix)]
#[test]
fn a_link_that_took_a_files_place_is_not_written_through() {
    let (server, folder) = setting();
    server.set(|state| {
        state.put("/content/out/a/one", content(10, 1));
        state.put("/content/out/zz", content(9 * PIECE, 1));
        state.faults.stuck = Some("/content/out/zz".to_owned());
    });
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let downloads = bridge(&server, &folder.path());
    first.block_on(async {
        while glance(&downloads, "/content/out").await.files < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    drop(downloads);
    drop(first);
    server.set(|state| state.faults.stuck = None);
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("mine"), "mine").unwrap();
    let here = folder.path().join("out.partial");
    let link = |to: &Path, at: &Path| std::os::unix::fs::symlink(to, at).unwrap();

    std::fs::remove_file(here.join("a/one")).unwrap();
    link(&outside.path().join("mine"), &here.join("a/one"));
    let downloads = bridge(&server, &folder.path());
    let report = runtime().block_on(get(&downloads, "/content/out", None));
    assert_eq!(report.unwrap().files, 2);
    let one = folder.path().join("out/a/one");
    assert!(std::fs::read(one).unwrap() == content(10, 1));

    std::fs::create_dir_all(folder.path().join("out2")).unwrap();
    link(outside.path(), &folder.path().join("out2/deep"));
    let error = runtime()
        .block_on(get(&downloads, "/content/out", Some("out2/deep/out")))
        .unwrap_err();
    assert_eq!(error.code(), "outside_save_dir");
    assert_eq!(tree(outside.path()), ["mine"]);
    assert_eq!(std::fs::read(outside.path().join("mine")).unwrap(), b"mine");
}
