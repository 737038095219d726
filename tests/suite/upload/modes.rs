//! File properties beyond the bytes, there and back: executable bits, holes and hard links.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::json;

use super::*;
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Too large for a bundle.
const LARGE: u64 = 300_000;

fn program(folder: &Path, name: &str, size: u64, mode: u32) {
    let path = write(folder, name, &content(size, 7));
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn call(bridge: &mut Bridge, tool: &str, arguments: serde_json::Value) -> Answer {
    let answer = bridge.call(tool, arguments);
    assert!(!answer.is_error, "{}", answer.whole);
    assert_eq!(answer.fact("status"), "complete");
    answer
}

#[test]
fn programs_stay_executable_through_upload_and_download() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let there = executor.root().join("modes");
    let results = home.folder("results");
    for (name, size, mode) in [
        ("p/run.sh", 10, 0o755),
        ("p/tool", LARGE, 0o700),
        ("p/a.txt", 10, 0o644),
        ("p/a.bin", LARGE, 0o600),
        ("alone", 10, 0o755),
    ] {
        program(&results, name, size, mode);
    }
    for name in ["p", "alone"] {
        let arguments = json!({"local_path": name, "remote_path": format!("modes/{name}")});
        let answer = call(&mut bridge, "upload_to_colab", arguments);
        assert!(
            !answer.fact("message").contains("executable"),
            "{}",
            answer.facts
        );
    }
    let is_program = |path: &Path| mode(path) & 0o111 != 0;
    let files = [
        ("p/run.sh", true),
        ("p/tool", true),
        ("p/a.txt", false),
        ("p/a.bin", false),
        ("alone", true),
    ];
    for (name, expected) in files {
        assert_eq!(is_program(&there.join(name)), expected, "{name}");
    }
    for name in ["p", "alone"] {
        let arguments = json!({"remote_path": format!("modes/{name}"), "local_filename": format!("back/{name}")});
        call(&mut bridge, "download_from_colab", arguments);
    }
    for (name, expected) in files {
        assert_eq!(
            is_program(&results.join("back").join(name)),
            expected,
            "{name}"
        );
    }
}

#[test]
fn an_unchanged_file_that_became_executable_is_updated() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let there = executor.root().join("modes-later");
    let results = home.folder("results");
    for again in [false, true] {
        for name in ["p/run.sh", "p/tool", "alone"] {
            let size = if name == "p/run.sh" { 10 } else { LARGE };
            if again {
                let path = results.join(name);
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            } else {
                program(&results, name, size, 0o644);
            }
        }
        for name in ["p", "alone"] {
            let arguments =
                json!({"local_path": name, "remote_path": format!("modes-later/{name}")});
            let answer = call(&mut bridge, "upload_to_colab", arguments);
            let sent = answer.facts["sent_bytes"].as_u64().unwrap();
            assert!(!again || sent < 1_000, "{}", answer.facts);
        }
        for name in ["p/run.sh", "p/tool", "alone"] {
            assert_eq!(mode(&there.join(name)) & 0o100 != 0, again, "{name}");
        }
    }
}

/// The server behaves like an executor that does not support the bit.
#[test]
fn an_executor_that_drops_the_executable_bit_is_reported() {
    let (server, home) = (UploadServer::start(), Home::new());
    let line = server.line();
    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", &line)]));
    let results = home.folder("results");
    program(&results, "p/run.sh", 10, 0o755);
    program(&results, "p/tool", LARGE, 0o755);
    program(&results, "p/a.txt", 10, 0o644);
    program(&results, "alone", 10, 0o755);
    let answer = call(
        &mut bridge,
        "upload_to_colab",
        json!({"local_path": "p", "remote_path": "p"}),
    );
    assert_eq!(answer.facts["not_executable"], 2);
    assert!(
        answer
            .fact("message")
            .contains("2 of them are not executable"),
        "{}",
        answer.facts
    );
    for _ in 0..2 {
        let answer = call(
            &mut bridge,
            "upload_to_colab",
            json!({"local_path": "alone", "remote_path": "alone"}),
        );
        assert!(
            answer.fact("message").contains("not executable there"),
            "{}",
            answer.facts
        );
    }
}

#[test]
fn hard_links_are_counted() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let results = home.folder("results");
    let path = write(&results, "p/a.bin", &content(1_000, 1));
    fs::hard_link(&path, results.join("p/b.bin")).unwrap();
    fs::hard_link(&path, results.join("elsewhere.bin")).unwrap();
    write(&results, "p/c.bin", &content(1_000, 1));
    let arguments = json!({"local_path": "p", "remote_path": "modes-links"});
    let answer = call(&mut bridge, "upload_to_colab", arguments);
    assert_eq!(
        (&answer.facts["hard_links"], &answer.facts["files"]),
        (&json!(1), &json!(3))
    );
    assert!(
        answer.fact("message").contains("hard link"),
        "{}",
        answer.facts
    );
}

#[test]
fn sparse_files_stay_sparse_through_upload_and_download() {
    const SIZE: u64 = 32 << 20;
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let results = home.folder("results");
    let path = write(&results, "sparse.bin", b"begin");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(SIZE).unwrap();
    let arguments = json!({"local_path": "sparse.bin", "remote_path": "modes-holes/a.bin"});
    call(&mut bridge, "upload_to_colab", arguments);
    let arguments = json!({"remote_path": "modes-holes/a.bin", "local_filename": "back.bin"});
    call(&mut bridge, "download_from_colab", arguments);
    for path in [
        executor.root().join("modes-holes/a.bin"),
        results.join("back.bin"),
    ] {
        let about = fs::metadata(&path).unwrap();
        assert_eq!(about.len(), SIZE);
        assert!(
            about.blocks() * 512 < SIZE / 8,
            "{}: {} blocks",
            path.display(),
            about.blocks()
        );
        assert!(fs::read(&path).unwrap().starts_with(b"begin\0"));
    }
}
