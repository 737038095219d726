//! Files with unusual names are listed, read and fetched like any other.
#![cfg(unix)]

use serde_json::json;

use crate::support::executor::Executor;
use crate::support::home::Home;

#[test]
fn names_with_control_characters_survive_upload_and_download() {
    let executor = Executor::shared();
    let home = Home::new();
    let mut bridge = executor.bridge(&home, &[]);
    let local = home.folder("results").join("odd");
    std::fs::create_dir_all(&local).unwrap();
    let names = [
        ("a\nb.txt", "a_b.txt"),
        ("t\tb.txt", "t_b.txt"),
        ("\u{1b}[31mred.txt", "_[31mred.txt"),
        ("end\n", "end_"),
        ("del\u{7f}", "del_"),
    ];
    for (name, _) in names {
        std::fs::write(local.join(name), "x").unwrap();
        let arguments = json!({"local_path": local.join(name), "remote_path": "odd-names/"});
        let answer = bridge.call("upload_to_colab", arguments);
        assert!(!answer.is_error, "{}", answer.whole);
        let message = answer.fact("message");
        assert!(
            message.starts_with("1 byte is in odd-names/"),
            "{message:?}"
        );
        assert!(!message.contains(char::is_control), "{message:?}");
    }
    let list = bridge.call("list_colab_files", json!({"path": "odd-names"}));
    for (name, expected) in names {
        let is_listed = list.rows().iter().any(|row| row["name"] == name);
        assert!(is_listed, "{name:?}: {}", list.text);
        let path = format!("{}/{name}", list.fact("path"));
        assert_eq!(
            bridge.call("read_colab_file", json!({"path": path})).text,
            "x"
        );
        let answer = bridge.call("download_from_colab", json!({"remote_path": path}));
        assert!(!answer.is_error, "{}", answer.whole);
        let saved = home.folder("results").join(expected);
        assert_eq!(answer.fact("local_path"), saved.to_str().unwrap());
        assert_eq!(std::fs::read(saved).unwrap(), b"x");
    }
    let arguments = json!({"local_path": "./odd/.", "remote_path": "odd-folder"});
    let answer = bridge.call("upload_to_colab", arguments);
    assert_eq!(answer.fact("local_path"), local.to_str().unwrap());
    let message = bridge.call("download_from_colab", json!({"remote_path": "odd-folder"}));
    assert!(
        message.fact("message").contains("5 entries were skipped"),
        "{}",
        message.facts
    );
    let arguments = json!({"local_path": "odd/t\tb.txt", "remote_path": "odd-one/"});
    bridge.call("upload_to_colab", arguments);
    let message = bridge.call("download_from_colab", json!({"remote_path": "odd-one"}));
    assert!(
        message.fact("message").contains("1 entry was skipped"),
        "{}",
        message.facts
    );
}
