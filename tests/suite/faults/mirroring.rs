//! Mirrors: what settles on the machine comes home while code runs, whole, through cuts and deaths.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smart_colab::mcp::client::Client;

use super::{PATIENCE, Rig, call, failed, finish, succeeded, until};

/// Writes, waits for the file `go`, writes again and ends.
const CODE: &str = "
import os, pathlib, time
out = pathlib.Path('out')
(out / 'deep').mkdir(parents=True)
(out / 'a.txt').write_text('first')
(out / 'gone.txt').write_text('gone')
(out / 'deep' / 'large.bin').write_bytes(bytes(range(256)) * 8192)
os.symlink('/etc', out / 'link')
while not os.path.exists('go'):
    time.sleep(0.05)
(out / 'gone.txt').unlink()
(out / 'a.txt').write_text('second')
(out / 'last.txt').write_text('words')
";

fn here(rig: &Rig, name: &str) -> PathBuf {
    rig.folder("results").join(name)
}

fn text(rig: &Rig, name: &str) -> String {
    std::fs::read_to_string(here(rig, name)).unwrap_or_default()
}

/// The only mirror of a reply.
fn mirror(facts: &Value) -> Value {
    let mirrors = facts["mirrors"].as_array();
    let [mirror] = &mirrors.unwrap_or_else(|| panic!("{facts}"))[..] else {
        panic!("{facts}");
    };
    mirror.clone()
}

/// Waits until this holds for the only mirror.
async fn until_it_is(bridge: &Client, holds: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = mirror(&call(bridge, "mirror_folder", json!({})).await.facts);
        if holds(&now) {
            return now;
        }
        assert!(Instant::now() < end, "{now}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn results_come_home_while_their_code_runs_and_the_last_pass_follows_its_end() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let arguments = json!({"code": CODE, "mirror": "out", "wait_sec": 0});
    let begun = call(&bridge, "run_code_long", arguments).await;
    assert!(begun.facts["mirror"].is_string(), "{begun:?}");
    rig.proxy.cut();
    until(|| text(&rig, "out/a.txt") == "first").await;
    rig.proxy.cut();
    until(|| here(&rig, "out/deep/large.bin").exists()).await;
    let large = std::fs::read(here(&rig, "out/deep/large.bin")).unwrap();
    assert_eq!(large.len(), 256 * 8192);
    let link = json!([{"name": "link", "reason": "it is a link"}]);
    until_it_is(&bridge, |now| {
        now["status"] == "following" && now["skipped"] == link
    })
    .await;

    std::fs::write(rig.executor.root().join("go"), "").unwrap();
    let ended = finish(&bridge, begun).await;
    succeeded(&ended);
    assert!(ended.facts["mirror"].is_string(), "{ended:?}");
    until(|| text(&rig, "out/last.txt") == "words").await;
    assert_eq!(
        (text(&rig, "out/a.txt"), text(&rig, "out/gone.txt")),
        ("second".into(), "gone".into())
    );
    let now = until_it_is(&bridge, |now| now["status"] == "ended").await;
    assert!(now["last_pass_at"].is_string(), "{now}");
    let names = std::fs::read_dir(rig.folder("results")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains("partial")),
        "{names:?}"
    );

    // Code that ends within the call: its reply follows the last pass.
    let code = "pathlib.Path('quick').mkdir(); pathlib.Path('quick/q.txt').write_text('q')";
    let arguments = json!({"code": code, "mirror": "quick", "checkpoint_name": "quick"});
    let quick = call(&bridge, "run_code_long", arguments).await;
    succeeded(&quick);
    let said = quick.facts["mirror"].as_str().unwrap();
    assert!(said.contains("last pass is complete"), "{said}");
    assert_eq!(text(&rig, "quick/q.txt"), "q");
}

#[tokio::test]
async fn a_lost_machine_has_left_its_results_here_and_the_next_bridge_goes_on() {
    let mut rig = Rig::start().await;
    let out = rig.executor.root().join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("before"), "1").unwrap();
    let bridge = rig.bridge(&[]).await;
    let arguments = json!({"remote_path": "out", "to": "kept/out"});
    let begun = call(&bridge, "mirror_folder", arguments.clone()).await;
    assert!(!begun.is_error, "{begun:?}");
    until(|| text(&rig, "kept/out/before") == "1").await;
    until_it_is(&bridge, |now| now["status"] == "following").await;

    let again = json!({"remote_path": "other", "to": "kept/out/deep"});
    failed(
        &call(&bridge, "mirror_folder", again).await,
        "already_exists",
    );
    std::fs::create_dir_all(here(&rig, "mine")).unwrap();
    std::fs::write(here(&rig, "mine/own"), "").unwrap();
    let occupied = json!({"remote_path": "other", "to": "mine"});
    failed(
        &call(&bridge, "mirror_folder", occupied).await,
        "already_exists",
    );
    let outside = json!({"remote_path": "other", "to": "../away"});
    let refused = call(&bridge, "mirror_folder", outside).await;
    failed(&refused, "outside_save_dir");
    assert!(format!("{refused:?}").contains("`to`"), "{refused:?}");
    let names = std::fs::read_dir(here(&rig, "kept/out")).unwrap();
    assert_eq!(names.count(), 1, "refused calls make no folders");

    rig.executor.kill();
    std::fs::write(out.join("after"), "2").unwrap();
    let now = mirror(&call(&bridge, "mirror_folder", json!({})).await.facts);
    assert!(now["last_pass_at"].is_string(), "{now}");
    let said = now["message"].as_str().unwrap();
    assert!(said.contains("what had settled by"), "{now}");
    bridge.leave().await;
    rig.executor.restart();
    let bridge = rig.bridge(&[]).await;
    until(|| text(&rig, "kept/out/after") == "2").await;
    let stopped = call(
        &bridge,
        "mirror_folder",
        json!({"to": "kept/out", "stop": true}),
    )
    .await;
    assert_eq!(mirror(&stopped.facts)["status"], "stopped", "{stopped:?}");
    assert_eq!(mirror(&stopped.facts)["files"], 1, "{stopped:?}");

    // Here and there are one folder, or one is inside the other.
    let root = rig.executor.root().to_string_lossy().into_owned();
    let bridge = rig.bridge(&[("LOCAL_SAVE_DIR", &root)]).await;
    for arguments in [
        json!({"remote_path": "same"}),
        json!({"remote_path": "outer", "to": "outer/deep"}),
        json!({"remote_path": "inner/deep", "to": "inner"}),
    ] {
        let answer = call(&bridge, "mirror_folder", arguments).await;
        failed(&answer, "invalid_argument");
    }
}

/// Neither is code sent nor a folder made here.
#[tokio::test]
async fn a_run_whose_mirror_is_refused_does_not_begin() {
    let rig = Rig::start().await;
    let root = rig.executor.root().to_owned();
    std::fs::write(root.join("notdir"), "").unwrap();
    let bridge = rig.bridge(&[]).await;
    for (mirror, code) in [
        ("../..", "outside_root"),
        ("notdir", "invalid_argument"),
        ("", "invalid_argument"),
    ] {
        let arguments = json!({"code": "open('ran', 'w')", "mirror": mirror});
        let refused = call(&bridge, "run_code_long", arguments).await;
        failed(&refused, code);
        assert!(
            format!("{refused:?}").contains("did not run"),
            "{refused:?}"
        );
    }
    assert!(!root.join("ran").exists());
    let made = std::fs::read_dir(rig.folder("results"));
    assert_eq!(made.map_or(0, Iterator::count), 0);
    let listed = call(&bridge, "mirror_folder", json!({})).await;
    assert_eq!(listed.facts["mirrors"], json!([]), "{listed:?}");

    let mistyped = call(&bridge, "mirror_folder", json!({"remote_path": "reslts"})).await;
    let mistyped = mirror(&mistyped.facts);
    assert_eq!(mistyped["is_missing"], true, "{mistyped}");
    let said = mistyped["message"].as_str().unwrap();
    assert!(said.contains("reslts does not exist"), "{said}");

    // What goes wrong later is said once.
    let code = "import pathlib; pathlib.Path('later').write_text('a file')";
    let arguments = json!({"code": code, "mirror": "later"});
    let ran = call(&bridge, "run_code_long", arguments).await;
    succeeded(&ran);
    let problem = ran.facts["mirror_problem"].as_str().unwrap();
    assert!(problem.contains("is a file"), "{ran:?}");
    assert!(ran.facts["mirrors"].is_null(), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_cannot_be_here_is_named_and_new_bounds_and_stops_hold_for_what_they_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let rig = Rig::start().await;
    let out = rig.executor.root().join("out");
    std::fs::create_dir_all(out.join("tree")).unwrap();
    for name in [
        &b"bad\xfe"[..],
        b"bad\xff",
        "bad\u{fffd}".as_bytes(),
        b"turns",
        b"tree/leaf",
    ] {
        std::fs::write(out.join(OsStr::from_bytes(name)), name).unwrap();
    }
    std::fs::write(out.join("big"), [7; 1000]).unwrap();
    let bridge = rig.bridge(&[]).await;
    let names = |now: &Value| {
        let skipped = now["skipped"].as_array().into_iter().flatten();
        let names = skipped.map(|one| one["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let arguments = json!({"remote_path": "out", "to": "a", "max_bytes": 100});
    call(&bridge, "mirror_folder", arguments).await;
    until_it_is(&bridge, |now| names(now) == ["bad\\xfe", "bad\\xff", "big"]).await;
    assert_eq!(text(&rig, "a/bad\u{fffd}"), "bad\u{fffd}");

    let arguments = json!({"remote_path": "out", "to": "a", "max_bytes": 10_000});
    call(&bridge, "mirror_folder", arguments).await;
    until_it_is(&bridge, |now| names(now) == ["bad\\xfe", "bad\\xff"]).await;
    assert!(here(&rig, "a/big").exists());

    std::fs::remove_file(out.join("turns")).unwrap();
    std::fs::create_dir(out.join("turns")).unwrap();
    std::fs::write(out.join("turns/inner"), "new").unwrap();
    std::fs::remove_dir_all(out.join("tree")).unwrap();
    std::fs::write(out.join("tree"), "now a file").unwrap();
    until_it_is(&bridge, |now| names(now).contains(&"tree".to_owned())).await;
    until(|| text(&rig, "a/turns/inner") == "new").await;
    assert_eq!(text(&rig, "a/tree/leaf"), "tree/leaf");

    let arguments = json!({"remote_path": "out", "to": "b"});
    call(&bridge, "mirror_folder", arguments).await;
    let arguments = json!({"remote_path": "out", "stop": true});
    let stopped = call(&bridge, "mirror_folder", arguments).await;
    let mirrors = stopped.facts["mirrors"].as_array().unwrap();
    assert_eq!(mirrors.len(), 2, "{stopped:?}");
    assert!(mirrors.iter().all(|one| one["status"] == "stopped"));
    let listed = call(&bridge, "mirror_folder", json!({})).await;
    assert_eq!(listed.facts["mirrors"], json!([]), "{listed:?}");
    let left = std::fs::read_dir(rig.folder("results")).unwrap();
    assert_eq!(left.count(), 2, "no partial folder stays");
}

#[tokio::test]
async fn a_resumed_operation_is_mirrored_as_before() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let operation = |mirror: Option<&str>| {
        json!({
            "setup_code": "import pathlib\npathlib.Path('op').mkdir(exist_ok=True)",
            "loop_code": "assert pathlib.Path(f'go{i}').exists()\npathlib.Path(f'op/{i}').write_text('x')",
            "n_iterations": 3, "batch_size": 1, "checkpoint_name": "mirrored", "mirror": mirror,
        })
    };
    let go = |number: u8| {
        std::fs::write(rig.executor.root().join(format!("go{number}")), "").unwrap();
    };
    let run = async |mirror| call(&bridge, "run_chunked_operation", operation(mirror)).await;
    go(0);
    let first = run(Some("op")).await;
    assert!(first.facts["mirror"].is_string(), "{first:?}");
    until(|| text(&rig, "op/0") == "x").await;
    until_it_is(&bridge, |now| now["status"] == "ended").await;

    go(1);
    let second = run(None).await;
    assert!(second.facts["mirror"].is_string(), "{second:?}");
    until(|| text(&rig, "op/1") == "x").await;
    until_it_is(&bridge, |now| now["status"] == "ended").await;
}

#[tokio::test]
async fn what_changed_between_two_mirrors_comes_home_though_its_size_and_time_stayed() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let file = rig.executor.root().join("op/1");
    let change = |text: &str| {
        let then = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(&file, text).unwrap();
        let changed = std::fs::File::options().write(true).open(&file).unwrap();
        changed.set_modified(then).unwrap();
    };
    let operation = json!({
        "setup_code": "import pathlib\npathlib.Path('op').mkdir()",
        "loop_code": "pathlib.Path(f'op/{i}').write_text('a')",
        "n_iterations": 2, "checkpoint_name": "whole", "mirror": "op",
    });
    let first = call(&bridge, "run_chunked_operation", operation).await;
    let said = first.facts["mirror"].as_str().unwrap();
    assert!(said.contains("last pass is complete"), "{said}");
    assert_eq!(text(&rig, "op/1"), "a");

    // The operation has ended before.
    change("b");
    std::fs::remove_file(here(&rig, "op/0")).unwrap();
    let arguments = json!({"checkpoint_name": "whole"});
    let again = call(&bridge, "run_chunked_operation", arguments).await;
    let said = again.facts["mirror"].as_str().unwrap();
    assert!(said.contains("last pass is complete"), "{said}");
    let texts = || (text(&rig, "op/0"), text(&rig, "op/1"));
    assert_eq!(texts(), ("a".into(), "b".into()), "{said}");

    // Stopped, and started again.
    let arguments = json!({"remote_path": "op"});
    call(&bridge, "mirror_folder", arguments.clone()).await;
    let stop = json!({"remote_path": "op", "stop": true});
    call(&bridge, "mirror_folder", stop).await;
    change("c");
    call(&bridge, "mirror_folder", arguments).await;
    until(|| text(&rig, "op/1") == "c").await;
}

#[tokio::test]
async fn what_changed_while_no_bridge_ran_comes_home_though_its_size_and_time_stayed() {
    let rig = Rig::start().await;
    let out = rig.executor.root().join("out");
    std::fs::create_dir(&out).unwrap();
    let file = out.join("restored");
    std::fs::write(&file, "1").unwrap();
    let bridge = rig.bridge(&[]).await;
    call(&bridge, "mirror_folder", json!({"remote_path": "out"})).await;
    until(|| text(&rig, "out/restored") == "1").await;
    until_it_is(&bridge, |now| now["status"] == "following").await;
    bridge.leave().await;

    let then = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "2").unwrap();
    let changed = std::fs::File::options().write(true).open(&file).unwrap();
    changed.set_modified(then).unwrap();
    let _bridge = rig.bridge(&[]).await;
    until(|| text(&rig, "out/restored") == "2").await;
}
