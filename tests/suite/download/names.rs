//! Files keep their names in any script, if every system allows them.

use smart_colab::caller::Caller;

use super::*;
use crate::support::hint::Hint as _;
use smart_colab::base::fault::Fault as _;

/// Returns names that are kept as they are.
fn good() -> Vec<String> {
    let mut names: Vec<String> = [
        "Zürich – Übersicht.csv",
        "数据 模型.pt",
        "данные.txt",
        "بيانات.txt",
        "नमूना.txt",
        "👩🏽‍🔬 results 🎉.json",
        ".hidden",
        "..two",
        " leading space",
        "a'b\"c$d&e;f#g%20.txt",
        "e\u{301}cole.txt",
    ]
    .map(str::to_owned)
    .to_vec();
    if cfg!(target_os = "linux") {
        // Equal to the eye, and on macOS.
        names.push("\u{e9}cole.txt".to_owned());
    }
    names.push("x".repeat(255));
    names.push(format!("{}.tar.gz", "数".repeat(82)));
    names
}

#[tokio::test]
async fn names_in_any_script_and_of_any_length_are_kept() {
    if cfg!(windows) {
        return; // This file system allows fewer bytes.
    }
    let (server, folder) = setting();
    for name in good() {
        server
            .state()
            .put(&format!("/content/one/{name}"), content(SMALL, 1));
        server
            .state()
            .put(&format!("/content/one/large/{name}"), content(3 * PIECE, 2));
    }
    let downloads = bridge(&server, &folder.path());
    let report = get(&downloads, "/content/one", None).await.unwrap();
    assert_eq!(report.files, 2 * good().len() as u64, "{report:?}");
    for name in good() {
        let path = folder.path().join("one").join(&name);
        assert!(std::fs::read(path).unwrap() == content(SMALL, 1), "{name}");
        let path = folder.path().join("one/large").join(&name);
        assert!(
            std::fs::read(path).unwrap() == content(3 * PIECE, 2),
            "{name}"
        );
        let report = get(&downloads, &format!("/content/one/large/{name}"), None).await;
        let path = report.unwrap().local_path.unwrap();
        assert_eq!(Path::new(&path), folder.path().join(&name));
    }
    let entries = tree(&folder.path());
    assert!(entries.iter().all(|name| !name.contains("partial")));
}

#[tokio::test]
async fn numbered_and_partial_names_stay_within_255_bytes() {
    let (server, folder) = setting();
    let name = format!("{}.bin", "y".repeat(251));
    let bytes = content(8 * PIECE, 1);
    server.set(|state| {
        state.put(&format!("/content/{name}"), bytes.clone());
        state.faults.hold_after = Some(3 * PIECE);
    });
    let downloads = bridge(&server, &folder.path());
    let remote = format!("/content/{name}");
    while glance(&downloads, &remote).await.received_bytes < PIECE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let caller = Caller::until(Instant::now() + CALL_TIMEOUT);
    caller.cancelled.cancel();
    let stopped = downloads.download(&wish(&remote, None), &caller).await;
    assert_eq!(stopped.unwrap_err().code(), "cancelled");
    server.release();
    let report = get(&downloads, &remote, None).await.unwrap();
    assert!(report.resumed_bytes >= PIECE && !report.renamed);
    server.state().put(&remote, content(8 * PIECE, 2));
    let again = get(&downloads, &remote, None).await.unwrap();
    assert!(again.renamed);
    let entries = tree(&folder.path());
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries.iter().all(|name| name.len() == 255));
}

#[tokio::test]
async fn names_that_some_system_forbids_are_refused_or_skipped_and_reported() {
    let (server, folder) = setting();
    let bad = ["CON", "nul.txt", "a.", "b ", "tab\tin", "x.partial"];
    for name in bad {
        let path = format!("/content/one/{name}");
        server.state().put(&path, content(10, 1));
    }
    server.state().put("/content/one/good", content(10, 1));
    let downloads = bridge(&server, &folder.path());
    let report = get(&downloads, "/content/one", None).await.unwrap();
    assert_eq!((report.files, report.skipped_count), (1, bad.len() as u64));
    for (skipped, name) in report.skipped.iter().zip(["CON", "a.", "b "]) {
        assert_eq!(skipped.name, name);
        assert!(!skipped.reason.is_empty());
    }
    let report = get(&downloads, "/content/one/tab\tin", None).await.unwrap();
    assert!(report.local_path.unwrap().ends_with("tab_in"));
    for name in bad.into_iter().filter(|name| *name != "tab\tin") {
        let error = get(&downloads, &format!("/content/one/{name}"), None)
            .await
            .unwrap_err();
        assert_eq!(error.code(), "invalid_argument", "{name}");
        assert!(error.hint().contains("local_filename"));
    }
    let error = get(&downloads, " ", None).await.unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
    assert!(!error.hint().contains("local_filename"), "{error}");
    let path = "/content/one/CON";
    let report = get(&downloads, path, Some("console")).await.unwrap();
    assert_eq!(report.size_bytes, Some(10));
}
