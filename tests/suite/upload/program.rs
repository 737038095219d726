//! Uploads through the real program, as a client uses it.

use serde_json::json;

use super::*;
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::Bridge;

/// The program's piece size in bytes.
const REAL_PIECE: u64 = 4 << 20;

fn start(server: &UploadServer, home: &Home, variables: &[(&str, &str)]) -> Bridge {
    let line = server.line();
    let mut command = home.program(&[("COLAB_URL", &line)]);
    command.envs(variables.iter().copied());
    Bridge::greeted(command)
}

#[test]
fn files_are_uploaded_from_the_save_folder_and_upload_dirs() {
    let (server, home) = (UploadServer::start(), Home::new());
    for (name, text) in [
        ("results/a.txt", "saved"),
        ("one/a.txt", "one"),
        ("one/b.txt", "b"),
        ("home/c.txt", "c"),
    ] {
        write(home.path(), name, text.as_bytes());
    }
    let (one, own) = (home.folder("one"), home.folder("home"));
    let dirs = std::env::join_paths([&one, &own]).unwrap();
    let mut bridge = start(&server, &home, &[("UPLOAD_DIRS", dirs.to_str().unwrap())]);
    let absolute = one.join("a.txt");
    for (local, expected) in [
        ("a.txt", "saved"),
        ("b.txt", "b"),
        ("~/c.txt", "c"),
        (absolute.to_str().unwrap(), "one"),
    ] {
        let arguments = json!({"local_path": local, "remote_path": "x/"});
        let answer = bridge.call("upload_to_colab", arguments);
        assert!(!answer.is_error, "{}", answer.whole);
        assert_eq!(answer.fact("status"), "complete");
        let path = format!("/content/{}", answer.fact("remote_path"));
        assert_eq!(
            server.state().content(&path),
            Some(expected.as_bytes()),
            "{local}"
        );
    }
    assert_eq!(bridge.leave().status.code(), Some(0));
}

#[test]
fn no_spelling_of_a_path_escapes_the_allowed_folders() {
    let (server, home) = (UploadServer::start(), Home::new());
    write(home.path(), "results/a.txt", b"a");
    write(home.path(), "home/.ssh/id_rsa", b"key");
    write(home.path(), "data/connection.json", b"t0ken");
    let mut bridge = start(&server, &home, &[]);
    let key = home.folder("home/.ssh/id_rsa");
    let up = home.folder("results/../home/.ssh/id_rsa");
    let data = home.folder("data/connection.json");
    for local in [
        key.to_str().unwrap(),
        up.to_str().unwrap(),
        data.to_str().unwrap(),
        "~/.ssh/id_rsa",
        "~",
        "../home/.ssh/id_rsa",
        "a/../../home/.ssh/id_rsa",
        "/",
        "/etc/passwd",
        "/proc/self/environ",
    ] {
        let arguments = json!({"local_path": local, "remote_path": "x"});
        let answer = bridge.call("upload_to_colab", arguments);
        answer.refused("outside_upload_dirs");
        let results = home.folder("results");
        assert!(
            answer.fact("error").contains(results.to_str().unwrap()),
            "{}",
            answer.facts
        );
        assert!(
            answer.fact("hint").contains("UPLOAD_DIRS"),
            "{}",
            answer.facts
        );
    }
    let arguments = json!({"local_path": "a.txt", "remote_path": "x", "max_bytes": -1});
    bridge
        .call("upload_to_colab", arguments)
        .refused("invalid_argument");
    assert!(server.state().requests.is_empty());
}

#[test]
fn a_missing_upload_dir_is_named_by_the_upload_it_would_have_allowed() {
    let (server, home) = (UploadServer::start(), Home::new());
    let missing = home.path().join("unplugged");
    let mut bridge = start(
        &server,
        &home,
        &[("UPLOAD_DIRS", missing.to_str().unwrap())],
    );
    let arguments = json!({"local_path": missing.join("a.txt"), "remote_path": "x"});
    let answer = bridge.call("upload_to_colab", arguments);
    answer.refused("outside_upload_dirs");
    let expected = format!("{} (missing)", missing.display());
    assert!(answer.fact("error").contains(&expected), "{}", answer.whole);
}

#[test]
fn the_users_stop_ends_the_upload_and_another_cancellation_does_not() {
    let (server, home) = (UploadServer::start(), Home::new());
    let bytes = content(3 * REAL_PIECE, 1);
    write(home.path(), "results/big", &bytes);
    server.state().faults.hold_at = Some(REAL_PIECE);
    let mut bridge = start(&server, &home, &[]);
    let arguments = json!({"local_path": "big", "remote_path": "big"});
    let id = bridge.begin_call("upload_to_colab", arguments.clone());
    server.until(|state| state.arrived >= REAL_PIECE);
    bridge.notify("notifications/cancelled", json!({"requestId": id}));
    let before = server.state().count("GET /files/upload");
    let looking =
        json!({"name": "upload_to_colab", "arguments": arguments, "_meta": {"progressToken": "p"}});
    let id = bridge.begin("tools/call", looking);
    bridge.until_heard(|heard| heard["params"]["progressToken"] == "p");
    assert_eq!(
        server.state().count("GET /files/upload"),
        before,
        "it is the same upload"
    );
    let reason = "AbortError: remote-cancel";
    bridge.notify(
        "notifications/cancelled",
        json!({"requestId": id, "reason": reason}),
    );
    server.set(|state| state.faults.hold_at = None);
    // The next call finds no running upload and asks the executor what it has.
    let answer = bridge.call("upload_to_colab", arguments);
    assert_eq!(answer.fact("status"), "complete", "{}", answer.whole);
    assert_eq!(server.state().count("GET /files/upload"), before + 1);
    assert!(server.state().content("/content/big") == Some(&bytes));
}

#[test]
fn interrupt_execution_stops_an_upload_and_keeps_what_has_arrived() {
    let (server, home) = (UploadServer::start(), Home::new());
    let bytes = content(3 * REAL_PIECE, 1);
    write(home.path(), "results/big", &bytes);
    server.state().faults.hold_at = Some(REAL_PIECE);
    let mut bridge = start(&server, &home, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    let arguments = json!({"local_path": "big", "remote_path": "big"});
    let answer = bridge.call("upload_to_colab", arguments.clone());
    let job = answer.fact("job_id").to_owned();
    let stopped = bridge.call("interrupt_execution", json!({"job_id": job}));
    stopped.succeeded();
    assert_eq!(stopped.fact("state"), "interrupted", "{}", stopped.whole);
    assert!(
        stopped.fact("hint").contains("is kept"),
        "{}",
        stopped.whole
    );
    server.set(|state| state.faults.hold_at = None);
    let answer = bridge.call("upload_to_colab", arguments);
    assert_eq!(answer.fact("status"), "complete", "{}", answer.whole);
    assert!(server.state().content("/content/big") == Some(&bytes));
}

#[test]
fn an_upload_survives_five_bridge_kills_and_resends_little() {
    let (server, home) = (UploadServer::start(), Home::new());
    let bytes = content(20 * REAL_PIECE, 1);
    write(home.path(), "results/big", &bytes);
    let arguments = json!({"local_path": "big", "remote_path": "/content/big"});
    for death in 1..=5 {
        let at = death * 4 * REAL_PIECE - 1;
        server.set(|state| state.faults.hold_at = Some(at));
        let mut bridge = start(&server, &home, &[]);
        bridge.begin_call("upload_to_colab", arguments.clone());
        server.until(|state| state.arrived >= at);
        drop(bridge);
    }
    server.set(|state| state.faults.hold_at = None);
    let answer = start(&server, &home, &[]).call("upload_to_colab", arguments);
    assert_eq!(answer.fact("status"), "complete", "{}", answer.whole);
    assert_eq!(answer.fact("sha256"), sha256(&bytes));
    assert!(server.state().content("/content/big") == Some(&bytes));
    let (arrived, most) = (server.state().arrived, bytes.len() as u64 * 13 / 10);
    assert!(
        arrived <= most,
        "{arrived} bytes arrived of {}",
        bytes.len()
    );
}

#[test]
fn without_a_destination_a_file_is_put_into_the_content_root() {
    let (executor, home) = (Executor::shared(), Home::new());
    write(home.path(), "results/placeless.txt", b"a file");
    write(home.path(), "results/placeless/b.txt", b"in a folder");
    let mut bridge = executor.bridge(&home, &[]);
    for local in ["placeless.txt", "placeless"] {
        let answer = bridge.call("upload_to_colab", json!({"local_path": local}));
        assert_eq!(answer.fact("status"), "complete", "{}", answer.whole);
    }
    let there = |name: &str| fs::read_to_string(executor.root().join(name)).unwrap();
    assert_eq!(there("placeless.txt"), "a file");
    assert_eq!(there("placeless/b.txt"), "in a folder");
}

#[test]
fn the_real_executor_takes_files_and_folders_and_recognizes_them() {
    let (executor, home) = (Executor::shared(), Home::new());
    let bytes = content(REAL_PIECE + 17, 1);
    write(home.path(), "results/big", &bytes);
    write(home.path(), "results/many/large", &content(300_000, 2));
    for number in 0..20 {
        write(
            home.path(),
            &format!("results/many/é/{number}"),
            &content(number * 50, 3),
        );
    }
    write(home.path(), "results/empty", b"");
    let mut bridge = executor.bridge(&home, &[]);
    for (local, files) in [("big", 1), ("empty", 1), ("many", 21)] {
        let arguments = json!({"local_path": local, "remote_path": "uploads of a test/"});
        for sends in [true, false] {
            let answer = bridge.call("upload_to_colab", arguments.clone());
            assert_eq!(answer.fact("status"), "complete", "{}", answer.whole);
            assert_eq!(answer.facts["files"], files, "{}", answer.facts);
            let members = answer.facts.as_object().unwrap();
            for default in [json!(false), json!(0), json!([])] {
                let mut empty = members.iter().filter(|(_, value)| **value == default);
                let sizes = ["sent_bytes", "size_bytes"];
                assert!(
                    empty.all(|(name, _)| sizes.contains(&name.as_str())),
                    "{}",
                    answer.facts
                );
            }
            let sent = answer.facts["sent_bytes"].as_u64().unwrap();
            assert_eq!(sent > 0, sends && local != "empty", "{}", answer.facts);
        }
    }
    let whole = json!(blake3::hash(&bytes).to_string());
    let big = json!({"local_path": "big", "remote_path": "uploads of a test/"});
    let up = bridge.call("upload_to_colab", big);
    let from = json!({"remote_path": "uploads of a test/big", "local_filename": "back"});
    let down = bridge.call("download_from_colab", from);
    for answer in [up, down] {
        assert_eq!(answer.facts["blake3"], whole, "{}", answer.facts);
    }
    assert!(fs::read(home.folder("results").join("back")).unwrap() == bytes);
    let there = executor.root().join("uploads of a test");
    for name in ["big", "empty", "many/large", "many/é/0", "many/é/19"] {
        let here = home.folder("results").join(name);
        assert!(
            fs::read(there.join(name)).unwrap() == fs::read(here).unwrap(),
            "{name}"
        );
    }
}
