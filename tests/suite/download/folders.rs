//! Downloading folders.

use super::*;
use crate::support::provisioners::{Switchable, executor};

#[tokio::test]
async fn a_folder_arrives_with_everything_in_it() {
    let (server, folder) = setting();
    let files = [
        ("a.txt", 3),
        ("deep/er/b.bin", 3 * PIECE),
        ("deep/empty", 0),
        ("z", 1),
    ];
    server.set(|state| {
        for (name, length) in files {
            state.put(&format!("/content/out/{name}"), content(length, 7));
        }
        state.others = vec![
            ("/content/out/deep".to_owned(), "directory"),
            ("/content/out/hollow".to_owned(), "directory"),
            ("/content/out/link".to_owned(), "link"),
            ("/content/out/pipe".to_owned(), "other"),
        ];
        state.set_page(3);
    });
    let report = get(
        &bridge(&server, &folder.path()),
        "/content/out/",
        Some("runs/7"),
    )
    .await
    .unwrap();
    assert!(report.is_folder);
    assert_eq!(report.files, 4);
    assert_eq!(report.size_bytes, Some(3 * PIECE + 4));
    let skipped: Vec<&str> = report
        .skipped
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(skipped, ["link", "pipe"]);
    let here = folder.path().join("runs/7");
    assert_eq!(
        tree(&here),
        [
            "a.txt",
            "deep/",
            "deep/empty",
            "deep/er/",
            "deep/er/b.bin",
            "hollow/",
            "z"
        ]
    );
    for (name, length) in files {
        assert!(
            std::fs::read(here.join(name)).unwrap() == content(length, 7),
            "{name}"
        );
    }
    assert_eq!(
        tree(&folder.path().join("runs"))
            .iter()
            .filter(|name| name.contains("partial"))
            .count(),
        0
    );
}

#[tokio::test]
async fn an_empty_folder_arrives_and_an_existing_one_is_kept() {
    let (server, folder) = setting();
    server.state().others = vec![("/content/out".to_owned(), "directory")];
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("out/mine"), "mine").unwrap();
    let report = get(&bridge(&server, &folder.path()), "/content/out", None)
        .await
        .unwrap();
    assert!(report.renamed);
    assert_eq!(tree(&folder.path()), ["out (2)/", "out/", "out/mine"]);
}

#[tokio::test]
async fn a_hostile_name_in_a_folder_is_skipped_and_escapes_nothing() {
    let (server, folder) = setting();
    server.set(|state| {
        for name in [
            "../../up",
            "a/../../../up",
            "C:\\up",
            "/etc/up",
            "CON",
            "x.partial",
            "good",
        ] {
            state.put(&format!("/content/out/{name}"), b"up".to_vec());
        }
    });
    let report = get(&bridge(&server, &folder.path()), "/content/out", None)
        .await
        .unwrap();
    assert_eq!((report.files, report.skipped_count), (1, 6));
    assert_eq!(tree(&folder.path()), ["out.sha256", "out/", "out/good"]);
    let above = tree(folder.path().parent().unwrap());
    let others = |name: &&String| !name.starts_with("saved");
    assert_eq!(above.iter().filter(others).count(), 0, "{above:?}");
}

#[test]
fn an_interrupted_folder_is_resumed_file_by_file() {
    let (server, folder) = setting();
    server.set(|state| {
        for number in 0..6 {
            state.put(
                &format!("/content/out/{number}"),
                content(2 * PIECE, number),
            );
        }
        state.faults.hold_after = Some(5 * PIECE);
    });
    let runtime = || tokio::runtime::Runtime::new().unwrap();

    let first = runtime();
    let downloads = bridge(&server, &folder.path());
    first.block_on(async {
        loop {
            let report = glance(&downloads, "/content/out").await;
            if report.files >= 1 && report.received_bytes >= 4 * PIECE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    drop(first);
    assert_eq!(
        tree(&folder.path())
            .iter()
            .filter(|name| *name == "out/")
            .count(),
        0
    );

    // A complete file changes: its old content must not survive.
    let complete = (0..6).find(|number| {
        let path = folder.path().join(format!("out.partial/{number}"));
        path.exists()
    });
    let complete = complete.unwrap();
    let new = content(2 * PIECE, 99);
    server
        .state()
        .put(&format!("/content/out/{complete}"), new.clone());
    server.state().served.clear();
    server.release();
    let report = runtime()
        .block_on(get(&bridge(&server, &folder.path()), "/content/out", None))
        .unwrap();
    assert_eq!(report.files, 6);
    assert!(report.resumed_bytes > 0);
    // How much the first bridge had recorded depends on timing; only the changed file must be fetched again.
    let served = server.state().total_served();
    assert!(
        served + report.resumed_bytes <= (12 + 2) * PIECE,
        "{served} {}",
        report.resumed_bytes
    );
    let here = folder.path().join("out");
    for number in 0..6 {
        let bytes = std::fs::read(here.join(number.to_string())).unwrap();
        let seed = if number == complete { 99 } else { number };
        assert!(bytes == content(2 * PIECE, seed), "{number}");
    }
    assert_eq!(tree(&here).len(), 6);
}

#[tokio::test]
async fn an_error_in_one_file_ends_the_folder_and_the_next_call_resumes_it() {
    let (server, folder) = setting();
    server.set(|state| {
        state.put("/content/out/damaged", content(10, 1));
        state.put("/content/out/slow", content(3 * PIECE, 2));
        state.faults.wrong_digests = 100;
        state.faults.stuck = Some("/content/out/slow".to_owned());
    });
    let downloads = bridge(&server, &folder.path());
    let error = get(&downloads, "/content/out", None).await.unwrap_err();
    assert!(matches!(error, TransferError::Damaged { .. }), "{error:?}");
    server.set(|state| {
        state.faults.wrong_digests = 0;
        state.faults.stuck = None;
    });
    let report = get(&downloads, "/content/out", None).await.unwrap();
    assert_eq!(report.files, 2);
    assert_eq!(
        tree(&folder.path()),
        ["out.sha256", "out/", "out/damaged", "out/slow"]
    );
}

#[tokio::test]
async fn a_folder_mixed_from_two_machines_is_not_called_complete() {
    let (old, folder) = setting();
    let new = FilesServer::start();
    for (server, seed) in [(&old, 1), (&new, 2)] {
        server.set(|state| {
            for name in ["a", "b", "c", "d"] {
                state.put(&format!("/content/out/{name}"), content(SMALL, seed));
            }
            state.set_page(2);
        });
    }
    old.set(|state| state.faults.hold_after = Some(0));
    let way = Switchable::to(executor(&line(old.port)));
    let connection = Arc::new(Connection::through(way.clone(), &folder.path()));
    let downloads = bridge_by(connection, &folder.path(), CALL_TIMEOUT);
    while old.state().requests_for("bundle") == 0 {
        glance(&downloads, "/content/out").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    way.switch_to(executor(&line(new.port)));
    old.release();
    let error = get(&downloads, "/content/out", None).await.unwrap_err();
    assert_eq!(error.code(), "runtime_replaced");
    assert!(error.is_retryable(), "{error}");
    let report = get(&downloads, "/content/out", None).await.unwrap();
    assert_eq!((report.status, report.files), (Status::Complete, 4));
}
