//! Local files that change during their upload.

use std::fs::OpenOptions;
use std::io::Write;

use smart_colab::base::fault::Fault as _;

use super::*;
use crate::support::hint::Hint as _;

#[tokio::test]
async fn a_file_that_grows_during_its_upload_starts_over() {
    let (server, folder) = setting();
    let old = content(4 * PIECE, 1);
    let path = write(folder.path(), "log", &old);
    let grown = path.clone();
    let grow = move || {
        let mut file = OpenOptions::new().append(true).open(grown).unwrap();
        file.write_all(b"one more line").unwrap();
    };
    server.state().actions.push((PIECE, Box::new(grow)));
    let report = put(&bridge(&server, folder.path()), "log", "log")
        .await
        .unwrap();
    let new = [old.as_slice(), b"one more line"].concat();
    assert!(server.state().content("/content/log") == Some(&new));
    assert_eq!(report.size_bytes, Some(new.len() as u64));
    assert_eq!(report.digests.sha256, Some(sha256(&new)));
}

#[tokio::test]
async fn what_had_arrived_of_a_file_that_changed_is_removed() {
    let (server, folder) = setting();
    let path = write(folder.path(), "a", &content(PIECE, 1));
    let new = content(PIECE + 1, 2);
    let expected = new.clone();
    let change = move || fs::write(path, new).unwrap();
    server.state().actions.push((PIECE, Box::new(change)));
    put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap();
    assert!(server.state().content("/content/a") == Some(&expected));
    assert!(server.state().uploads.is_empty());
}

#[tokio::test]
async fn a_file_replaced_or_truncated_during_its_upload_starts_over() {
    for new in [content(4 * PIECE, 2), content(PIECE, 3), Vec::new()] {
        let (server, folder) = setting();
        let path = write(folder.path(), "a", &content(4 * PIECE, 1));
        let expected = new.clone();
        let beside = folder.path().join("beside");
        let replace = move || {
            fs::write(&beside, new).unwrap();
            fs::rename(beside, path).unwrap();
        };
        server.state().actions.push((2 * PIECE, Box::new(replace)));
        put(&bridge(&server, folder.path()), "a", "a")
            .await
            .unwrap();
        assert!(server.state().content("/content/a") == Some(&expected));
    }
}

#[tokio::test]
async fn a_file_that_keeps_changing_fails_and_replaces_nothing() {
    let (server, folder) = setting();
    let path = write(folder.path(), "log", &content(2 * PIECE, 1));
    server.state().put("/content/log", b"old");
    for time in 0..100 {
        let path = path.clone();
        let grow = move || {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        };
        server.state().actions.push((time * PIECE, Box::new(grow)));
    }
    let error = put(&bridge(&server, folder.path()), "log", "log")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "file_changed");
    assert!(
        error.is_retryable() && error.hint().contains("Wait"),
        "{error}"
    );
    assert_eq!(server.state().content("/content/log"), Some(&b"old"[..]));
}

#[tokio::test]
async fn a_file_that_vanishes_during_its_upload_is_reported() {
    let (server, folder) = setting();
    let path = write(folder.path(), "a", &content(4 * PIECE, 1));
    let remove = move || fs::remove_file(path).unwrap();
    server.state().actions.push((PIECE, Box::new(remove)));
    let error = put(&bridge(&server, folder.path()), "a", "a")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(error.to_string().contains("on this computer"), "{error}");
    assert!(server.state().content("/content/a").is_none());
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_replaces_the_file_during_its_upload_leaks_nothing() {
    let (server, folder) = setting();
    let outside = tempfile::tempdir().unwrap();
    let secret = write(outside.path(), "secret", b"secret");
    let inside = folder.path().join("inside");
    let path = write(&inside, "a", &content(4 * PIECE, 1));
    let swap = move || {
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(secret, path).unwrap();
    };
    server.state().actions.push((PIECE, Box::new(swap)));
    let error = put(&bridge(&server, &inside), "a", "a").await.unwrap_err();
    assert_eq!(error.code(), "unreadable", "{error}");
    assert!(server.state().files.is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_refused_without_waiting_for_a_writer() {
    let (server, folder) = setting();
    let pipe = folder.path().join("many/pipe");
    write(folder.path(), "many/a", b"a");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let uploads = bridge(&server, folder.path());
    let error = put(&uploads, "many/pipe", "pipe").await.unwrap_err();
    assert_eq!(error.code(), "invalid_argument", "{error}");
    let report = put(&uploads, "many", "many").await.unwrap();
    assert_eq!((report.files, report.skipped_count), (1, 1));
}

#[tokio::test]
async fn names_in_any_script_and_of_any_length_arrive_unchanged() {
    let (server, folder) = setting();
    let longest = "é".repeat(127) + "a";
    let names = [
        "Zürich – 数据.csv",
        "данные.txt",
        "بيانات.txt",
        "नमस्ते",
        "😀.png",
        "a b&c=d#e+f%20g;h",
        "'quoted' $(name)",
        "-rf",
        ".hidden",
        longest.as_str(),
    ];
    for name in names {
        write(folder.path(), &format!("many/{name}"), name.as_bytes());
    }
    let uploads = bridge(&server, folder.path());
    for name in names {
        let local = format!("many/{name}");
        let report = put(&uploads, &local, "one/").await.unwrap();
        assert_eq!(report.remote_path, format!("one/{name}"));
    }
    let report = put(&uploads, "many", "all").await.unwrap();
    assert_eq!(report.files, names.len() as u64);
    let state = server.state();
    for name in names {
        for place in ["one", "all"] {
            let path = format!("/content/{place}/{name}");
            assert_eq!(state.content(&path), Some(name.as_bytes()), "{path}");
        }
    }
}
