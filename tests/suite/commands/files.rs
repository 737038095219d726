//! Files that commands copy and write.

use std::fs;
use std::path::Path;

use super::{DEAD_URL, ended, facts, said, wait_for};
#[cfg(unix)]
use super::{press, started};
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::proxy::Proxy;
#[cfg(unix)]
use crate::support::{proxy::Fault, stdio::PATIENCE};

#[test]
fn a_notebook_runs_up_to_the_cell_that_fails_and_comes_back() {
    let (executor, home) = (Executor::shared(), Home::new());
    let cell = |id: &str, source: &str| serde_json::json!({"cell_type": "code", "execution_count": null, "id": id, "metadata": {}, "outputs": [], "source": source});
    let cells = [
        cell("one", "x = 1\nprint('one')"),
        cell("two", "x + 1"),
        cell("three", "x / 0"),
        cell("four", "print('never')"),
    ];
    let notebook =
        serde_json::json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
    let before = notebook.to_string();
    fs::write(home.folder("a.ipynb"), &before).unwrap();
    let output = ended(&home, &executor.line(), &["run", "a.ipynb"], 1);
    assert_eq!(said(&output.stdout), "one\n2\n");
    let stderr = said(&output.stderr);
    let summary = "a.ipynb: 2 of 4 code cells succeeded; number 3 failed: ZeroDivisionError";
    assert!(
        stderr.contains("line 1") && stderr.contains(summary),
        "{stderr}"
    );
    assert_eq!(fs::read_to_string(home.folder("a.ipynb")).unwrap(), before);
    let copy = fs::read_to_string(home.folder("results/a.run.ipynb")).unwrap();
    assert!(
        copy.contains("one\\n") && copy.contains("ZeroDivisionError"),
        "{copy}"
    );
}

#[test]
fn two_notebooks_of_one_name_run_side_by_side_each_cell_once() {
    let (executor, home) = (Executor::shared(), Home::new());
    let root = executor.root();
    let marks = root.join("pair-marks");
    let (first, second) = (root.join("pair-first"), root.join("pair-second"));
    let mark = |name: &str, number: usize, more: &str| {
        let path = marks.to_str().unwrap();
        let code = format!(
            "print('{name}{number}')\n_ = open({path:?}, 'a').write('{name}{number}\\n')\n{more}"
        );
        serde_json::json!({"cell_type": "code", "execution_count": null, "id": format!("cell-{number}"), "metadata": {}, "outputs": [], "source": code})
    };
    let touch = |path: &Path| format!("open({:?}, 'w').close()\n", path.to_str().unwrap());
    let write = |folder: &str, cells: [serde_json::Value; 3]| {
        let notebook =
            serde_json::json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
        fs::create_dir(home.folder(folder)).unwrap();
        fs::write(
            home.folder(folder).join("train.ipynb"),
            notebook.to_string(),
        )
        .unwrap();
    };
    // The first one waits in a cell until the second one is at its last cell.
    write(
        "pa",
        [
            mark("a", 1, "owner = 'a'"),
            mark("a", 2, &format!("{}{}", touch(&first), wait_for(&second))),
            mark("a", 3, "print(owner)"),
        ],
    );
    write(
        "pb",
        [
            mark("b", 1, "print('owner' in globals())"),
            mark("b", 2, ""),
            mark(
                "b",
                3,
                &format!("{}import sys; sys.exit(5)", touch(&second)),
            ),
        ],
    );
    let line = executor.line();
    std::thread::scope(|scope| {
        let run = || facts(&home, &line, &["run", "pa/train.ipynb"], 0);
        let one = scope.spawn(run);
        crate::support::executor::until_there(&first);
        let other = ended(&home, &line, &["run", "pb/train.ipynb"], 5);
        assert_eq!(said(&other.stdout), "b1\nFalse\nb2\nb3\n");
        let stderr = said(&other.stderr);
        let summary = "train.ipynb: 2 of 3 code cells succeeded; number 3 failed: SystemExit: 5";
        assert!(stderr.contains(summary), "{stderr}");

        let one = one.join().unwrap();
        let copy = fs::read_to_string(one["executed_notebook"].as_str().unwrap()).unwrap();
        assert!(copy.contains("a3\\n") && !copy.contains("b1"), "{copy}");
        // Its session has ended with it: no variable is left, whoever names it.
        let session = one["session"].as_str().unwrap();
        let code = "print('owner' in globals())";
        let output = ended(&home, &line, &["run", "--session", session, "-c", code], 0);
        assert_eq!(said(&output.stdout), "False\n");
    });
    let marks = fs::read_to_string(&marks).unwrap();
    let mut marks: Vec<_> = marks.lines().collect();
    marks.sort_unstable();
    assert_eq!(marks, ["a1", "a2", "a3", "b1", "b2", "b3"]);
    for name in ["train.run.ipynb", "train.run (2).ipynb"] {
        assert!(home.folder("results").join(name).exists(), "{name}");
    }
}

#[test]
fn a_file_that_cannot_run_as_a_notebook_is_refused_before_anything_is_sent() {
    let home = Home::new();
    let r = r#"{"cells": [], "metadata": {"kernelspec": {"language": "R", "name": "ir", "display_name": "R"}}, "nbformat": 4, "nbformat_minor": 5}"#;
    let empty = r#"{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"#;
    for (text, code, words) in [
        ("", "not_a_notebook", "it is empty"),
        ("{", "not_a_notebook", "not valid JSON"),
        (r, "not_runnable", "a notebook in R"),
        (empty, "invalid_argument", "there is no code to run"),
    ] {
        fs::write(home.folder("a b.ipynb"), text).unwrap();
        let refused = facts(&home, DEAD_URL, &["run", "a b.ipynb"], 2);
        assert_eq!(refused["code"], code, "{refused}");
        let error = refused["error"].as_str().unwrap();
        assert!(
            error.starts_with("a b.ipynb") && error.contains(words),
            "{error}"
        );
        let hint = refused["hint"].as_str().unwrap();
        assert!(hint.starts_with("Nothing was sent. Give"), "{hint}");
    }
}

/// Waits until the journal of a download lists bytes that are here.
#[cfg(unix)]
fn until_received(journal: &Path) {
    let end = std::time::Instant::now() + PATIENCE;
    while !fs::read_to_string(journal).is_ok_and(|text| text.contains("\"received\"")) {
        assert!(std::time::Instant::now() < end, "nothing was received");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_both_ways_byte_for_byte_and_resume() {
    let (executor, home) = (Executor::shared(), Home::new());
    let proxy = Proxy::to(executor.address());
    let line = executor
        .line()
        .replace(&executor.url, &format!("http://{}", proxy.address()));
    let content: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::create_dir_all(home.folder("in/deep")).unwrap();
    fs::write(home.folder("in/deep/copy.bin"), &content).unwrap();
    fs::write(home.folder("in/small.txt"), "small").unwrap();
    let there = executor.root().join("commands");
    tokio::task::spawn_blocking(move || {
        let put = facts(&home, &line, &["put", "in", "commands/"], 0);
        assert_eq!(
            (&put["status"], &put["files"]),
            (&"complete".into(), &2.into())
        );
        assert!(fs::read(there.join("in/deep/copy.bin")).unwrap() == content);

        // The first half arrives, the rest never comes, and the person gives up.
        #[cfg(unix)]
        {
            proxy.on("GET /files/download", 1, Fault::CutReply(0.5));
            proxy.on("GET /files/download", usize::MAX, Fault::Silence);
            let (mut child, _stdout) = started(
                &home,
                &line,
                &["get", "commands/in/deep/copy.bin", "out.bin"],
            );
            until_received(&home.folder("out.bin.partial.jsonl"));
            press(&child);
            assert_eq!(child.wait().unwrap().code(), Some(130));
            assert!(!home.folder("out.bin").exists());
            proxy.heal();
        }
        let got = facts(
            &home,
            &line,
            &["get", "commands/in/deep/copy.bin", "out.bin"],
            0,
        );
        assert!(fs::read(home.folder("out.bin")).unwrap() == content);
        assert!(
            !cfg!(unix) || got["resumed_bytes"].as_u64().unwrap_or(0) > 0,
            "{got}"
        );

        fs::create_dir(home.folder("into")).unwrap();
        ended(&home, &line, &["get", "commands/in", "into"], 0);
        assert_eq!(
            fs::read_to_string(home.folder("into/in/small.txt")).unwrap(),
            "small"
        );
        // A named file is replaced; one that was not named is kept.
        fs::write(home.folder("small.txt"), "old").unwrap();
        for (arguments, expected) in [
            (&["get", "commands/in/small.txt"][..], "old"),
            (&["get", "commands/in/small.txt", "small.txt"], "small"),
        ] {
            ended(&home, &line, arguments, 0);
            let content = fs::read_to_string(home.folder("small.txt")).unwrap();
            assert_eq!(content, expected);
        }
        #[cfg(unix)]
        ended(
            &home,
            &line,
            &["get", "commands/in/small.txt", "/dev/null"],
            2,
        );
        let gone = ended(&home, &line, &["get", "commands/none"], 1);
        assert!(said(&gone.stderr).contains("commands/none"), "{gone:?}");
    })
    .await
    .unwrap();
}

#[test]
fn the_notebook_the_completions_and_the_man_pages_are_of_this_version() {
    let home = Home::new();
    let ours =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("colab/smart_colab_executor.ipynb"))
            .unwrap();
    let path = home.folder("smart_colab_executor.ipynb");
    for is_new in [true, false] {
        let said = facts(&home, DEAD_URL, &["notebook"], 0);
        assert_eq!(said["is_new"], is_new);
        assert!(fs::read(&path).unwrap() == ours);
    }
    fs::write(&path, "mine").unwrap();
    let output = ended(&home, DEAD_URL, &["notebook"], 1);
    assert!(said(&output.stderr).contains("--force"), "{output:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let steps = said(&ended(&home, DEAD_URL, &["notebook", "--force"], 0).stdout);
    assert!(
        steps.contains("Upload notebook") && steps.contains("smart-colab connect"),
        "{steps}"
    );

    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = said(&ended(&home, DEAD_URL, &["completions", shell], 0).stdout);
        assert!(script.contains("detach"), "{shell}");
    }
    let page = said(&ended(&home, DEAD_URL, &["man"], 0).stdout);
    assert!(page.contains(".TH smart-colab 1"), "{page}");
    ended(&home, DEAD_URL, &["man", "--out", "pages"], 0);
    assert!(
        fs::read_to_string(home.folder("pages/smart-colab-run.1"))
            .unwrap()
            .contains("sys.argv")
    );
}
