//! Files that commands copy and write.

use std::fs;
use std::path::Path;

use super::{DEAD_URL, ended, facts, said};
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
    for words in [
        "ZeroDivisionError",
        "2 of 4 cells ran",
        "cell 2: ZeroDivisionError",
    ] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    assert_eq!(fs::read_to_string(home.folder("a.ipynb")).unwrap(), before);
    let copy = fs::read_to_string(home.folder("results/a.run.ipynb")).unwrap();
    assert!(
        copy.contains("one\\n") && copy.contains("ZeroDivisionError"),
        "{copy}"
    );
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
