//! Uploading folders.

use super::*;
use crate::support::provisioners::{Switchable, executor};

#[tokio::test]
async fn a_folder_is_uploaded_with_everything_in_it() {
    let (server, folder) = setting();
    let files = [
        ("a.txt", 3),
        ("deep/er/b.bin", 3 * PIECE),
        ("deep/empty", 0),
        ("deep/small", SMALL),
        ("z", SMALL + 1),
    ];
    for (name, length) in files {
        write(&folder.path().join("data"), name, &content(length, 7));
    }
    fs::create_dir_all(folder.path().join("data/hollow/er")).unwrap();
    let report = put(&bridge(&server, folder.path()), "data", "runs/7")
        .await
        .unwrap();
    assert!(report.is_folder && report.digests.sha256.is_none());
    assert_eq!(
        (report.files, report.empty_folders, report.skipped_count),
        (5, 1, 0)
    );
    assert_eq!(report.sent_bytes, 3 * PIECE + 2 * SMALL + 4);
    assert_eq!(report.size_bytes, Some(report.sent_bytes));
    let state = server.state();
    assert_eq!(state.files.len(), files.len());
    for (name, length) in files {
        let path = format!("/content/runs/7/{name}");
        assert!(state.content(&path) == Some(&content(length, 7)), "{name}");
    }
    assert_eq!(state.count("PUT /files/bundle"), 1);
}

#[tokio::test]
async fn many_small_files_are_sent_in_few_requests() {
    let (server, folder) = setting();
    for number in 0..2_500 {
        write(
            &folder.path().join("data"),
            &format!("{:02}/{number}", number % 50),
            b"",
        );
    }
    let limits = Limits {
        bundle_bytes: 4 << 20,
        ..limits(CALL_TIMEOUT)
    };
    let uploads = bridge_to(&server.line(), folder.path(), limits);
    let report = put(&uploads, "data", "data").await.unwrap();
    assert_eq!(report.files, 2_500);
    assert_eq!(server.state().count("PUT /files/bundle"), 3);
    assert_eq!(server.state().count("PUT /files/upload"), 0);
}

#[tokio::test]
async fn uploading_a_folder_again_sends_only_new_files() {
    let (server, folder) = setting();
    let data = folder.path().join("data");
    for (name, length) in [("a", 10), ("b", 20), ("large", 2 * PIECE)] {
        write(&data, name, &content(length, 1));
    }
    let uploads = bridge(&server, folder.path());
    put(&uploads, "data", "/content/renamed").await.unwrap();
    let again = put(&uploads, "data", "/content/renamed").await.unwrap();
    assert_eq!((again.files, again.sent_bytes), (3, 0));
    assert_eq!(again.already_there_bytes, 30 + 2 * PIECE);
    let bundles = bundle_bytes(&server);
    assert_eq!(server.state().arrived, 2 * PIECE + bundles);

    write(&data, "b", b"changed");
    write(&data, "c", b"new");
    server.state().put("/content/renamed/other", b"mine");
    let third = put(&uploads, "data", "/content/renamed").await.unwrap();
    assert_eq!((third.files, third.sent_bytes, third.replaced), (4, 10, 1));
    let state = server.state();
    assert_eq!(state.content("/content/renamed/b"), Some(&b"changed"[..]));
    assert_eq!(state.content("/content/renamed/other"), Some(&b"mine"[..]));
    assert_eq!(state.files.len(), 5);
}

/// Returns the bytes of all bundles.
fn bundle_bytes(server: &UploadServer) -> u64 {
    let length = |head: &String| {
        let lower = head.to_lowercase();
        let line = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let state = server.state();
    let bundles = state
        .requests
        .iter()
        .filter(|head| head.starts_with("PUT /files/bundle"));
    bundles.map(length).sum()
}

#[tokio::test]
async fn a_folder_is_put_into_an_existing_folder_or_one_named_with_a_slash() {
    let (server, folder) = setting();
    write(folder.path(), "data/a", b"a");
    for (remote, expected) in [
        ("/content/in/", "/content/in/data"),
        ("/content", "/content/data"),
        ("", "data"),
        ("new", "new"),
    ] {
        let report = put(&bridge(&server, folder.path()), "data/", remote)
            .await
            .unwrap();
        assert_eq!(report.remote_path, expected, "{remote:?}");
    }
}

#[tokio::test]
async fn an_empty_folder_is_reported_as_empty() {
    let (server, folder) = setting();
    fs::create_dir(folder.path().join("data")).unwrap();
    let report = put(&bridge(&server, folder.path()), "data", "data")
        .await
        .unwrap();
    assert_eq!((report.files, report.empty_folders), (0, 1));
    assert!(report.message.contains("empty"), "{report:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_and_the_bridges_own_folder_are_skipped_and_reported() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let (server, folder) = setting();
    let outside = tempfile::tempdir().unwrap();
    let secret = write(outside.path(), "secret", b"secret");
    let data = folder.path();
    write(data, "a", b"a");
    write(data, "state/connection.json", b"t0ken");
    symlink(&secret, data.join("file link")).unwrap();
    symlink(outside.path(), data.join("folder link")).unwrap();
    symlink("a", data.join("inner link")).unwrap();
    symlink(".", data.join("loop")).unwrap();
    fs::write(data.join(std::ffi::OsStr::from_bytes(b"bad\xff")), b"b").unwrap();
    let report = put(&bridge(&server, data), ".", "/content/all")
        .await
        .unwrap();
    let mut skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    skipped.sort_unstable();
    let expected = [
        "bad\u{fffd}",
        "file link",
        "folder link",
        "inner link",
        "loop",
        "state",
    ];
    assert_eq!(skipped, expected);
    let state = server.state();
    assert_eq!(state.files.keys().collect::<Vec<_>>(), ["/content/all/a"]);
}

#[tokio::test]
async fn vanished_and_refused_files_are_skipped_and_the_rest_arrives() {
    let (server, folder) = setting();
    let data = folder.path().join("data");
    write(&data, "a/large", &content(4 * PIECE, 1));
    let doomed = [
        write(&data, "b/large", &content(2 * PIECE, 2)),
        write(&data, "c", b"c"),
    ];
    write(&data, "d", b"d");
    write(&data, "refused", b"r");
    server.set(|state| {
        state
            .faults
            .refused
            .insert("refused".to_owned(), "is_a_directory");
        state.folders.insert("/content/x/taken".to_owned());
    });
    write(&data, "taken", &content(2 * PIECE, 3));
    let vanish = move || {
        doomed
            .iter()
            .for_each(|path| fs::remove_file(path).unwrap())
    };
    server.state().actions.push((1, Box::new(vanish)));
    let limits = Limits {
        files_at_once: 1,
        ..limits(CALL_TIMEOUT)
    };
    let uploads = bridge_to(&server.line(), folder.path(), limits);
    let report = put(&uploads, "data", "x").await.unwrap();
    let mut skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    skipped.sort_unstable();
    assert_eq!(skipped, ["b/large", "c", "refused", "taken"]);
    assert_eq!(report.files, 2);
    assert!(server.state().content("/content/x/a/large").is_some());
}

#[tokio::test]
async fn cuts_and_lost_replies_harm_no_folder() {
    let (server, folder) = setting();
    let data = folder.path().join("data");
    for number in 0..40 {
        write(
            &data,
            &format!("{number}"),
            &content(u64::from(number) * 300, number),
        );
    }
    server.set(|state| {
        state.faults.cuts = vec![1, 3000, 0, 5000];
        state.faults.lost_replies = 3;
        state.faults.busy = 2;
    });
    let report = put(&bridge(&server, folder.path()), "data", "data")
        .await
        .unwrap();
    assert_eq!((report.files, report.replaced), (40, 0));
    let state = server.state();
    for number in 0..40 {
        let path = format!("/content/data/{number}");
        assert!(
            state.content(&path) == Some(&content(u64::from(number) * 300, number)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_bundle_resent_in_halves_reports_each_file_once() {
    let (server, folder) = setting();
    let data = folder.path().join("data");
    write(&data, "a", &content(2 * PIECE, 1));
    let doomed = write(&data, "b", b"b");
    let grown = write(&data, "c", b"c");
    for name in ["d", "e", "f"] {
        write(&data, name, &content(2000, 2));
    }
    let longer = content(SMALL + 1, 3);
    let expected = longer.clone();
    let change = move || {
        fs::remove_file(doomed).unwrap();
        fs::write(grown, longer).unwrap();
    };
    server.state().actions.push((1, Box::new(change)));
    server.state().faults.longest = Some(PIECE as usize / 16);
    let limits = Limits {
        files_at_once: 1,
        ..limits(Duration::from_secs(2))
    };
    let uploads = bridge_to(&server.line(), folder.path(), limits);
    let report = put(&uploads, "data", "x").await.unwrap();
    assert_eq!((report.files, report.skipped_count), (5, 1));
    assert_eq!(report.sent_bytes, 2 * PIECE + SMALL + 1 + 6000);
    assert!(server.state().content("/content/x/c") == Some(&expected));
}

#[tokio::test]
async fn files_missing_from_a_reply_are_sent_again() {
    let (server, folder) = setting();
    for name in ["a", "b", "c"] {
        write(&folder.path().join("data"), name, name.as_bytes());
    }
    server.state().faults.unreported = 2;
    let report = put(&bridge(&server, folder.path()), "data", "x")
        .await
        .unwrap();
    assert_eq!((report.files, report.skipped_count), (3, 0));
    assert_eq!(server.state().files.len(), 3);
}

#[tokio::test]
async fn a_folder_spread_over_two_machines_is_not_called_complete() {
    let (old, folder) = setting();
    let new = UploadServer::start();
    old.state().boot_id = "old";
    new.state().boot_id = "new";
    for number in 0..16 {
        write(
            folder.path(),
            &format!("data/{number}"),
            &content(SMALL, number),
        );
    }
    let way = Switchable::to(executor(&old.line()));
    let connection = Arc::new(Connection::through(way.clone(), folder.path()));
    let there = executor(&new.line());
    let turn = move || way.switch_to(there);
    old.state().actions.push((1, Box::new(turn)));
    let uploads = bridge_by(connection, folder.path(), limits(CALL_TIMEOUT));
    let error = put(&uploads, "data", "data").await.unwrap_err();
    assert_eq!(error.code(), "runtime_replaced");
    assert!(error.is_retryable(), "{error}");
    let report = put(&uploads, "data", "data").await.unwrap();
    assert_eq!((report.status, report.files), (Status::Complete, 16));
    assert_eq!(new.state().files.len(), 16);
}
