//! Files where no executor can run: by the server's Contents API, which knows no state of a file and appends what is sent twice.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{bridge, content};
use crate::support::cable::{Break, Cable, Fault, Way};
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::proxy::{Fault as Lost, Proxy};
use crate::support::stdio::{Answer, Bridge, PATIENCE};

/// Follows a transfer to its end.
fn wait(bridge: &mut Bridge, mut answer: Answer) -> Answer {
    let end = Instant::now() + PATIENCE;
    while answer.facts["status"] == "running" || answer.facts["state"] == "running" {
        assert!(Instant::now() < end, "{answer:?}");
        let job = json!({"job_id": answer.facts["job_id"], "wait_sec": 30});
        answer = bridge.call("get_output", job);
    }
    answer
}

fn upload(bridge: &mut Bridge, from: &str, to: &str) -> Answer {
    let paths = json!({"local_path": from, "remote_path": to});
    let answer = bridge.call("upload_to_colab", paths);
    wait(bridge, answer)
}

fn download(bridge: &mut Bridge, from: &str, to: &str) -> Answer {
    let paths = json!({"remote_path": from, "local_filename": to});
    let answer = bridge.call("download_from_colab", paths);
    wait(bridge, answer)
}

#[track_caller]
fn complete(answer: &Answer) {
    assert_eq!(answer.facts["status"], "complete", "{answer:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_whole_through_cuts() {
    let (server, home) = (
        Jupyter::server("/user/bob/", &[]).without_psutil(),
        Home::new(),
    );
    let mut cable = Cable::to(server.address());
    let setting = format!("jupyter+http://{}/user/bob/?token={TOKEN}", cable.address());
    let mut bridge = bridge(&home, &setting);
    complete(&{
        fs::write(home.folder("results/small"), "x").unwrap();
        upload(&mut bridge, "small", "./")
    });
    let (root, bytes) = (server.root(), content(11_000_000));
    fs::write(home.folder("results/up.bin"), &bytes).unwrap();

    let id = bridge.begin_call(
        "upload_to_colab",
        json!({"local_path": "up.bin", "remote_path": "runs/deep/there.bin"}),
    );
    for (way, at, what) in [
        (Way::ToExecutor, 2_000_000, Break::Reset),
        (Way::ToExecutor, 7_000_000, Break::Cut),
        (Way::ToBridge, 0, Break::Cut),
    ] {
        cable
            .strike(Fault::At(way, at, what), Duration::from_secs(60))
            .await;
    }
    let answer = Answer::of(&bridge.answer(id));
    complete(&wait(&mut bridge, answer));
    assert!(fs::read(root.join("runs/deep/there.bin")).unwrap() == bytes);
    assert_eq!(names(&root.join("runs/deep")), ["there.bin"]);

    fs::write(root.join("down.bin"), &bytes).unwrap();
    let id = bridge.begin_call(
        "download_from_colab",
        json!({"remote_path": "/content/down.bin"}),
    );
    for (at, what) in [(3_000_000, Break::Cut), (4_000_000, Break::Reset)] {
        cable
            .strike(Fault::At(Way::ToBridge, at, what), Duration::from_secs(60))
            .await;
    }
    let answer = Answer::of(&bridge.answer(id));
    complete(&wait(&mut bridge, answer));
    assert!(fs::read(home.folder("results/down.bin")).unwrap() == bytes);

    // Written to meanwhile: what arrives is one state of it.
    let later: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    let id = bridge.begin_call(
        "download_from_colab",
        json!({"remote_path": "down.bin", "local_filename": "changed.bin"}),
    );
    let carried = *cable.carried().borrow();
    let mut watch = cable.carried();
    watch
        .wait_for(|now| *now > carried + 1_000_000)
        .await
        .unwrap();
    fs::write(root.join("down.bin"), &later).unwrap();
    let answer = Answer::of(&bridge.answer(id));
    complete(&wait(&mut bridge, answer));
    let arrived = fs::read(home.folder("results/changed.bin")).unwrap();
    assert!(arrived == later || arrived == bytes);
    assert!(!home.everything().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_done_and_not_answered_is_not_done_again() {
    let (server, home) = (
        Jupyter::server("/", &["--debug"]).without_psutil(),
        Home::new(),
    );
    let proxy = Proxy::to(server.address());
    let setting = format!("jupyter+http://{}/?token={TOKEN}", proxy.address());
    let mut bridge = bridge(&home, &setting);
    let (root, bytes) = (server.root(), content(9_000_000));
    fs::write(home.folder("results/up.bin"), &bytes).unwrap();
    let saved = || server.log().matches("Saving chunk").count();
    proxy.on("PUT /api/contents/a/b/there", 3, Lost::LoseReply);
    proxy.on("PATCH /api/contents/a/b/there", 1, Lost::LoseReply);
    complete(&upload(&mut bridge, "up.bin", "a/b/there.bin"));
    assert!(fs::read(root.join("a/b/there.bin")).unwrap() == bytes);
    assert_eq!(names(&root.join("a/b")), ["there.bin"]);
    assert_eq!(saved(), 3);

    // What is there already is not sent.
    complete(&upload(&mut bridge, "up.bin", "a/b/there.bin"));
    assert_eq!(saved(), 3);

    // Another is replaced, and the old one is not left beside it.
    fs::write(home.folder("results/up.bin"), "another").unwrap();
    proxy.on("PATCH /api/contents/a/b/there", 3, Lost::LoseReply);
    complete(&upload(&mut bridge, "up.bin", "a/b/there.bin"));
    let there = fs::read(root.join("a/b/there.bin"));
    assert_eq!(there.unwrap(), b"another");
    assert_eq!(names(&root.join("a/b")), ["there.bin"]);
    assert_eq!(saved(), 4);
}

#[test]
fn folders_lists_and_texts_are_those_of_the_server_and_the_rest_is_named() {
    let (server, home) = (Jupyter::server("/", &[]).without_psutil(), Home::new());
    let mut bridge = bridge(&home, &server.setting());
    let (root, here) = (server.root(), home.folder("results"));
    fs::create_dir_all(here.join("set/données/deep")).unwrap();
    for (name, text) in [
        ("empty", ""),
        ("page.html", "<html></html>"),
        ("a.ipynb", "{}"),
        ("données/deep/%41 #?.txt", "percent"),
        ("cdtab.txt", "none"),
    ] {
        fs::write(here.join("set").join(name), text).unwrap();
    }
    let long = "é".repeat(120);
    fs::write(here.join("set").join(&long), "long").unwrap();
    let sent = upload(&mut bridge, "set", "copied");
    complete(&sent);
    assert_eq!(sent.facts["files"], 6, "{sent:?}");
    complete(&download(&mut bridge, "copied", "back"));
    let rest = ["empty", "page.html", "a.ipynb", "données/deep/%41 #?.txt"];
    for name in rest.into_iter().chain(["cdtab.txt", &long]) {
        let read = |folder: &str| fs::read(here.join(folder).join(name)).unwrap();
        assert_eq!(read("set"), read("back"), "{name}");
    }

    // Names that Windows does not have.
    #[cfg(unix)]
    {
        for (name, text) in [("c\tdtab.txt", "tab"), ("cd\r\ntab.txt", "lines")] {
            fs::write(here.join("sent"), text).unwrap();
            complete(&upload(&mut bridge, "sent", &format!("copied/{name}")));
            assert_eq!(
                fs::read(root.join("copied").join(name)).unwrap(),
                text.as_bytes()
            );
            let read = bridge.call("read_colab_file", json!({"path": format!("copied/{name}")}));
            assert!(read.text.contains(text), "{read:?}");
        }
        complete(&download(&mut bridge, "copied/c\tdtab.txt", "tab.txt"));
        assert_eq!(fs::read(here.join("tab.txt")).unwrap(), b"tab");
        assert_eq!(fs::read(root.join("copied/cdtab.txt")).unwrap(), b"none");
    }

    let text: String = (1..=2000).map(|line| format!("line {line}\n")).collect();
    fs::write(root.join("log.txt"), text).unwrap();
    fs::write(root.join("table.csv"), "a,b\n1,2\n").unwrap();
    fs::write(root.join("a.ts"), "let a: number;\n").unwrap();
    fs::write(root.join("data.parquet"), b"PAR1\0\0PAR1").unwrap();
    fs::write(root.join("half.smart-colab-0123456789ab.partial"), "h").unwrap();
    let first = bridge.call("list_colab_files", json!({"top": 2}));
    assert_eq!(first.facts["total"], 5, "{first:?}");
    assert_eq!(first.rows()[1]["name"], "copied/");
    let next = json!({"cursor": first.facts["next_cursor"]});
    let next = bridge.call("list_colab_files", next);
    assert_eq!(next.rows()[0]["name"], "data.parquet", "{next:?}");
    let matching = bridge.call("list_colab_files", json!({"name": "*.c[rs]v"}));
    assert_eq!(matching.rows()[0]["name"], "table.csv", "{matching:?}");

    let mut read = |arguments| bridge.call("read_colab_file", arguments);
    let end = read(json!({"path": "log.txt", "line": -2}));
    assert!(end.text.contains("line 1999\nline 2000"), "{end:?}");
    assert_eq!(end.facts["total_lines"], 2000, "{end:?}");
    let middle = read(json!({"path": "/content/log.txt", "line": 1000, "lines": 1}));
    assert!(middle.text.contains("line 1000\n"), "{middle:?}");
    let source = read(json!({"path": "a.ts"}));
    assert!(source.text.contains("number"), "{source:?}");
    let table = read(json!({"path": "table.csv"}));
    assert!(!table.is_error, "{table:?}");
    let binary = read(json!({"path": "data.parquet"}));
    assert!(
        binary.whole.to_string().contains("read_parquet"),
        "{binary:?}"
    );

    fs::create_dir(root.join("folder")).unwrap();
    fs::write(here.join("one"), "1").unwrap();
    for (tool, arguments, code, words) in [
        (
            "list_colab_files",
            json!({"path": "no"}),
            "not_found",
            "no file or folder no",
        ),
        (
            "list_colab_files",
            json!({"path": "../x"}),
            "outside_root",
            "outside the root",
        ),
        (
            "list_colab_files",
            json!({"path": "log.txt"}),
            "invalid_argument",
            "is a file",
        ),
        (
            "read_colab_file",
            json!({"path": "log\0.txt"}),
            "invalid_argument",
            "NUL",
        ),
        (
            "list_colab_files",
            json!({"path": ".ipython"}),
            "not_found",
            "begins with a dot",
        ),
        (
            "read_colab_file",
            json!({"path": "folder"}),
            "is_a_directory",
            "is a folder",
        ),
        (
            "download_from_colab",
            json!({"remote_path": "/etc/passwd"}),
            "outside_root",
            "absolute",
        ),
        (
            "upload_to_colab",
            json!({"local_path": "one", "remote_path": "a/.b"}),
            "not_found",
            "begins with a dot",
        ),
        (
            "upload_to_colab",
            json!({"local_path": "one", "remote_path": "log.txt/x"}),
            "invalid_argument",
            "log.txt/x",
        ),
    ] {
        let refused = bridge.call(tool, arguments.clone());
        let refused = wait(&mut bridge, refused);
        refused.refused(code);
        assert!(
            refused.whole.to_string().contains(words),
            "{arguments}: {refused:?}"
        );
    }
    assert_eq!(fs::read_dir(root.join("folder")).unwrap().count(), 0);

    let gateway = Jupyter::kernel_gateway().without_psutil();
    let mut bridge = super::bridge(&home, &gateway.setting());
    let local = json!({"local_path": "one"});
    for (tool, arguments) in [
        ("list_colab_files", json!({})),
        ("upload_to_colab", local),
        ("download_from_colab", json!({"remote_path": "x"})),
        ("read_colab_file", json!({"path": "x"})),
    ] {
        let refused = bridge.call(tool, arguments);
        let refused = wait(&mut bridge, refused);
        refused.refused("unsupported");
        assert!(
            refused.whole.to_string().contains("Kernel Gateway"),
            "{refused:?}"
        );
    }
}
