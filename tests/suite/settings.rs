//! Errors in settings are reported at the start, all at once, each with the setting's name and a valid value.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use crate::support::executor::{Executor, TOKEN};
use crate::support::home::Home;
use crate::support::stdio::Bridge;

/// Starts with `variables`, asserts that it fails, and returns stderr.
fn faults(home: &Home, variables: &[(&str, &str)]) -> String {
    let mut command = home.program(variables);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{variables:?}: {said}");
    assert!(output.stdout.is_empty(), "stdout is the protocol's");
    said
}

#[test]
fn each_error_names_its_setting_and_the_expected_value() {
    let home = Home::new();
    let file = home.folder("file");
    fs::write(&file, "").unwrap();
    let (file, folder) = (file.to_str().unwrap(), home.path().to_str().unwrap());
    let user = home.folder("home");
    fs::create_dir(&user).unwrap();
    let (root, user) = (
        home.path().ancestors().last().unwrap(),
        user.to_str().unwrap(),
    );
    let root = root.to_str().unwrap();
    let nowhere = home.folder("nowhere/python").display().to_string();
    let fails = |faults: &str, words: &[&str]| {
        for word in words {
            assert!(faults.contains(word), "{word}: {faults}");
        }
        assert_eq!(faults.matches("\n  - ").count(), 1, "{faults}");
        assert!(!faults.contains("s3cret"), "{faults}");
    };
    for (name, value, words) in [
        (
            "SMART_COLAB_PYTHON",
            &*nowhere,
            &["no such program", "3.11", "remove it"][..],
        ),
        ("SMART_COLAB_PYTHON", folder, &["it is a folder", "3.11"]),
        ("SMART_COLAB_PYTHON", "no-such-python", &["on PATH", "3.11"]),
        ("SMART_COLAB_PYTHON", "venv/bin/python", &["absolute path"]),
        ("LOCAL_SAVE_DIR", file, &["is a file", "name a folder"]),
        ("LOCAL_SAVE_DIR", "results", &["absolute path", "~"]),
        ("CHECKPOINT_DIR", "./results", &["absolute path"]),
        ("SMART_COLAB_DATA_DIR", "data", &["absolute path"]),
        ("UPLOAD_DIRS", "data", &["absolute path"]),
        ("UPLOAD_DIRS", file, &["is a file", "name the folder"]),
        ("COLAB_TOKEN", "your-token-here", &["still an example"]),
        ("COLAB_TOKEN", "s3cret s3cret", &["a space"]),
        ("COLAB_TOKEN", "\"s3cret", &["a quote"]),
        ("COLAB_TOKEN", "s3cr\u{e9}t", &["ASCII"]),
        (
            "COLAB_URL",
            "https://a.example#<token>",
            &["COLAB_URL", "give only the"],
        ),
        (
            "COLAB_URL",
            "https://a.example#TOKEN",
            &["still an example"],
        ),
        (
            "COLAB_URL",
            "https://a.example#s3cret s3cret",
            &["give only the"],
        ),
        ("COLAB_URL", "ftp://a.example#s3cret", &["https://"]),
        ("COLAB_URL", "https://a.example:99999#s3cret", &["port"]),
        ("COLAB_URL", "https://me:s3cret@a.example", &["user name"]),
        (
            "SMART_COLAB_LOG",
            "loud==",
            &["a level", "warn,smart_colab=debug"],
        ),
        ("SMART_COLAB_LOG", "loud", &["not a level", "debug"]),
        ("SMART_COLAB_LOG", "smart-colab=debug", &["underscore"]),
        ("SMART_COLAB_CALL_BUDGET_SEC", "4", &["5 to 3600"]),
        ("SMART_COLAB_CALL_BUDGET_SEC", "1e9", &["5 to 3600"]),
        ("SMART_COLAB_PYTON", "x", &["SMART_COLAB_PYTHON is"]),
        ("SMART_COLAB_URL", "x", &[": COLAB_URL is"]),
        ("LOCAL_SAVE_DIRS", "/x", &["LOCAL_SAVE_DIR is"]),
        ("LOCAL_SAVEDIR", "/x", &["LOCAL_SAVE_DIR is"]),
        ("CHECKPOINTS_DIR", "/x", &["CHECKPOINT_DIR is"]),
        (
            "LOCAL_SAVE_DIR",
            root,
            &["root of the disk", "folder of its own"],
        ),
        ("LOCAL_SAVE_DIR", "~", &["home folder itself"]),
        ("CHECKPOINT_DIR", user, &["home folder itself"]),
        ("SMART_COLAB_DATA_DIR", "~/", &["home folder itself"]),
    ] {
        let said = faults(&home, &[(name, value)]);
        fails(&said, words);
        assert!(said.contains(&format!("  - {name} ")), "{said}");
    }
    let differing = [
        ("COLAB_URL", "https://a.example#s3cret"),
        ("COLAB_TOKEN", "0ther"),
    ];
    fails(
        &faults(&home, &differing),
        &["different token", "remove the old one"],
    );
}

#[test]
fn all_errors_are_in_one_message() {
    let home = Home::new();
    let said = faults(
        &home,
        &[
            ("COLAB_URL", "ftp://a.example"),
            ("COLAB_TOKEN", "<token>"),
            ("LOCAL_SAVE_DIR", "rel"),
            ("UPLOAD_DIRS", "rel"),
            ("SMART_COLAB_PYTHON", "rel/python"),
            ("SMART_COLAB_LOG", "loud"),
            ("SMART_COLAB_LOGS", "loud"),
        ],
    );
    assert_eq!(said.matches("\n  - ").count(), 7, "{said}");
}

#[cfg(unix)]
#[test]
fn an_unusable_python_is_an_error_only_where_it_is_needed() {
    let home = Home::new();
    let python = home.folder("python");
    let path = python.to_str().unwrap();
    let local = [("COLAB_URL", "local"), ("SMART_COLAB_PYTHON", path)];
    fs::write(&python, "#!/bin/sh\necho 3.12\n").unwrap();
    let said = faults(&home, &local);
    assert!(said.contains("not executable"), "{said}");
    for (script, words) in [
        ("echo 3.8", "it is 3.8, but 3.11 is the oldest"),
        ("echo hello", "it is not a Python"),
        (
            "echo 'pyenv: no such version' >&2; exit 127",
            "pyenv: no such version",
        ),
    ] {
        crate::support::machine::program(&python, script);
        let said = faults(&home, &local);
        assert!(said.contains(words), "{words}: {said}");
        let elsewhere = [("COLAB_URL", "https://a.example#t"), local[1]];
        let left = Bridge::greeted(home.program(&elsewhere)).leave();
        assert!(left.status.success(), "{}", left.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_save_folder_that_cannot_be_written_is_an_error() {
    let home = Home::new();
    for name in ["LOCAL_SAVE_DIR", "CHECKPOINT_DIR", "SMART_COLAB_DATA_DIR"] {
        // A file in the folder's place, which stops even root.
        for folder in ["/proc", "/proc/x"] {
            let said = faults(&home, &[(name, folder)]);
            assert!(said.contains(&format!("{name} is {folder}: ")), "{said}");
            assert!(
                said.contains("name one that you can write to") || said.contains("name another"),
                "{said}"
            );
        }
    }
}

#[test]
fn suspicious_settings_are_warnings_and_the_server_starts() {
    let home = Home::new();
    let missing = home.folder("missing").display().to_string();
    for (name, value, words) in [
        ("UPLOAD_DIRS", &*missing, "which does not exist"),
        ("UPLOAD_DIR", &missing, "UPLOAD_DIRS is"),
        ("SMART_COLAB_COLOUR", "red", "has no effect"),
        ("COLAB_TOKEN", "s3cret", "has no effect without COLAB_URL"),
        (
            "COLAB_URL",
            "https://a.example#s3cret-21-characters-",
            "fewer than 22 characters",
        ),
    ] {
        let left = Bridge::greeted(home.program(&[(name, value)])).leave();
        assert!(!left.stderr.contains("s3cret"), "{}", left.stderr);
        assert!(left.status.success(), "{}", left.stderr);
        assert!(
            left.stderr.contains(words) && left.stderr.contains(name),
            "{}",
            left.stderr
        );
    }
}

#[test]
fn empty_values_are_unset_and_surrounding_quotes_are_ignored() {
    let home = Home::new();
    let quoted = format!("\"{}\"", home.folder("a b").display());
    let left = Bridge::greeted(home.program(&[
        ("COLAB_URL", ""),
        ("COLAB_TOKEN", " "),
        ("LOCAL_SAVE_DIR", &quoted),
        ("UPLOAD_DIRS", "\"\""),
        ("SMART_COLAB_LOG", "'debug'"),
        ("SMART_COLAB_CALL_BUDGET_SEC", "\" 60 \""),
        ("SMART_COLAB_PYTHON", ""),
    ]))
    .leave();
    assert!(left.status.success(), "{}", left.stderr);
    assert!(home.folder("a b").is_dir());
}

#[test]
fn a_pasted_line_connects_despite_surrounding_markup() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = Bridge::greeted(home.program(&[]));
    let line = executor.line();
    for pasted in [
        format!("`{line}`"),
        format!("```\n{line}\n```"),
        format!("\"{line}\""),
        format!("“{line}”"),
        format!("<{line}>"),
        format!("[{line}]({line})"),
        format!("[{}](<{line}>)", executor.url),
        format!("**{line}**"),
        format!("{line}."),
        format!("Connect smart-colab to {line}!"),
    ] {
        let report = bridge.call("connect_colab", json!({"url": pasted}));
        assert!(!report.is_error, "{pasted}: {}", report.whole);
        assert_eq!(report.fact("url"), executor.url);
    }
    let apart = json!({"url": format!("`{}`", executor.url), "token": format!("`{TOKEN}`")});
    let report = bridge.call("connect_colab", apart);
    assert!(!report.is_error, "{}", report.whole);
    for (url, token, words) in [
        (format!("{line} {line}x"), None, "several addresses"),
        (format!("{line} please"), None, "give only the"),
        (line.clone(), Some("0ther"), "different token"),
        (
            executor.url.clone(),
            Some("<your-token>"),
            "still an example",
        ),
    ] {
        let answer = bridge.call("connect_colab", json!({"url": url, "token": token}));
        answer.refused("invalid_argument");
        assert!(answer.fact("error").contains(words), "{}", answer.facts);
        assert!(!answer.whole.to_string().contains(TOKEN));
    }
}
