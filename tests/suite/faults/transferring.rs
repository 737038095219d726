//! What stands between, in the way of files: each call says so in time, the transfer goes on when it is gone, and files are whole or not there.

use std::path::PathBuf;

use serde_json::{Value, json};
use smart_colab::mcp::client::{Answer, Client};

use super::standing_between::{HTML, OURS, PAGES};
use super::{PATIENCE, Rig, call, failed};
use crate::support::proxy::{Fault, Stranger};

/// More than one piece.
const LARGE: usize = 6 << 20;
/// The shortest call that can be configured.
const SHORT: (&str, &str) = ("SMART_COLAB_CALL_BUDGET_SEC", "5");

/// No two stretches of it are the same.
fn content(length: usize) -> Vec<u8> {
    (0..length as u32 / 4).flat_map(u32::to_le_bytes).collect()
}

fn there(rig: &Rig, name: &str) -> PathBuf {
    rig.executor.root().join(name)
}

fn here(rig: &Rig, name: &str) -> PathBuf {
    rig.folder("results").join(name)
}

/// A file there, one here, and a folder on each side with small files and a large one.
fn lay_out(rig: &Rig) {
    std::fs::create_dir_all(rig.folder("results")).unwrap();
    for (place, name) in [(there(rig, ""), "down"), (here(rig, ""), "up")] {
        std::fs::write(place.join(format!("{name}.bin")), content(LARGE)).unwrap();
        let folder = place.join(format!("{name}.d"));
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        for number in 0..20 {
            let file = folder.join(format!("deep/{number}.txt"));
            std::fs::write(file, number.to_string()).unwrap();
        }
        std::fs::write(folder.join("large.bin"), content(LARGE)).unwrap();
    }
}

/// The four kinds of transfers.
fn transfers() -> [(&'static str, Value); 4] {
    let down = |path| ("download_from_colab", json!({"remote_path": path}));
    let up = |path| {
        let arguments = json!({"local_path": path, "remote_path": path});
        ("upload_to_colab", arguments)
    };
    [down("down.bin"), down("down.d"), up("up.bin"), up("up.d")]
}

/// Waits for the end of a transfer, by its id.
async fn ended(bridge: &Client, id: &Value) -> Answer {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = call(bridge, "get_output", json!({"job_id": id})).await;
        if answer.facts["state"] != "running" {
            return answer;
        }
        assert!(std::time::Instant::now() < end, "{answer:?}");
    }
}

/// All arrived whole, once, under their names, with nothing half beside them.
fn arrived(rig: &Rig) {
    for (place, name) in [(here(rig, ""), "down"), (there(rig, ""), "up")] {
        assert_eq!(
            std::fs::read(place.join(format!("{name}.bin"))).unwrap(),
            content(LARGE)
        );
        let folder = place.join(format!("{name}.d"));
        assert_eq!(
            std::fs::read(folder.join("large.bin")).unwrap(),
            content(LARGE)
        );
        for number in 0..20 {
            let text = std::fs::read_to_string(folder.join(format!("deep/{number}.txt")));
            assert_eq!(text.unwrap(), number.to_string());
        }
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
        let names = std::fs::read_dir(place).unwrap();
        let names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let odd = names
            .iter()
            .filter(|name| name.contains("partial") || name.contains("(2)"));
        assert_eq!(odd.count(), 0, "{names:?}");
    }
}

/// What a report says while nothing moves: what stands between, what to do, and that it goes on. Never the page itself.
fn stands_still(answer: &Answer, words: &str) {
    let said = |name: &str| answer.facts[name].as_str().unwrap_or_default().to_owned();
    assert!(!answer.is_error, "{answer:?}");
    assert!(said("problem").contains(words), "{words}: {answer:?}");
    assert!(said("message").contains(words), "{words}: {answer:?}");
    assert!(said("hint").contains("goes on by itself"), "{answer:?}");
    assert!(!format!("{answer:?}").contains("<html>"), "{answer:?}");
}

/// Begins all transfers behind `fault`, looks at each, takes the fault away, and waits for them.
async fn behind(fault: Fault, words: &str) {
    let rig = Rig::start().await;
    lay_out(&rig);
    let bridge = rig.bridge(&[SHORT]).await;
    call(&bridge, "list_colab_files", json!({})).await;
    rig.proxy.always(fault);
    let begun = transfers().map(async |(tool, arguments)| {
        let answer = call(&bridge, tool, arguments).await;
        assert_eq!(answer.facts["status"], "running", "{answer:?}");
        stands_still(&answer, words);
        answer.facts["job_id"].clone()
    });
    let ids = futures_util::future::join_all(begun).await;
    for id in &ids {
        let look = json!({"job_id": id, "wait_sec": 0});
        let answer = call(&bridge, "get_output", look).await;
        assert_eq!(answer.facts["state"], "running", "{answer:?}");
        stands_still(&answer, words);
        assert!(answer.text.contains(words), "{answer:?}");
    }
    rig.proxy.heal();
    for id in &ids {
        let answer = ended(&bridge, id).await;
        assert_eq!(answer.facts["state"], "succeeded", "{answer:?}");
        assert_eq!(answer.facts["problem"], Value::Null, "{answer:?}");
        assert_eq!(answer.facts["hint"], Value::Null, "{answer:?}");
    }
    arrived(&rig);
}

#[tokio::test]
async fn a_transfer_behind_a_web_page_says_so_and_goes_on_after_it() {
    behind(Fault::Answer(PAGES[0]), "a web page is there instead").await;
}

#[tokio::test]
async fn a_transfer_behind_a_redirect_says_so_and_goes_on_after_it() {
    behind(Fault::Answer(PAGES[3]), "sends to another address").await;
}

#[tokio::test]
async fn a_transfer_behind_a_tunnels_own_error_says_so_and_goes_on_after_it() {
    behind(
        Fault::Answer(Stranger::Page(
            "502 Bad Gateway",
            HTML,
            "<html>nginx</html>",
        )),
        "no answer from the executor (502)",
    )
    .await;
}

#[tokio::test]
async fn a_transfer_behind_an_empty_answer_says_so_and_goes_on_after_it() {
    let empty = Stranger::Page("200 OK", "Content-Type: text/plain", "");
    behind(Fault::Answer(empty), "did not name itself").await;
}

#[tokio::test]
async fn a_transfer_in_silence_says_so_and_goes_on_after_it() {
    behind(Fault::Silence, "has not answered for").await;
}

/// The requests of transfers, each of which is covered in turn.
const REQUESTS: [&str; 7] = [
    "GET /files/stat",
    "GET /files/list",
    "GET /files/download",
    "POST /files/bundle",
    "PUT /files/bundle",
    "PUT /files/upload",
    "POST /files/upload",
];

#[tokio::test]
async fn files_arrive_whole_whichever_request_is_covered_or_cut() {
    let kept_headers = [
        Stranger::Page("200 OK", OURS, "<html>maintenance</html>"),
        Stranger::Page("200 OK", OURS, ""),
        Stranger::Page("503 Service Unavailable", OURS, "<html>maintenance</html>"),
    ];
    let mut faults: Vec<_> = [PAGES[0], PAGES[3]]
        .into_iter()
        .chain(kept_headers)
        .map(Fault::Cover)
        .collect();
    faults.push(Fault::CutReply(0.6));
    for fault in faults {
        let rig = Rig::start().await;
        lay_out(&rig);
        let bridge = rig.bridge(&[]).await;
        call(&bridge, "list_colab_files", json!({})).await;
        for request in REQUESTS {
            rig.proxy.on(request, 2, fault.clone());
        }
        let begun = transfers().map(async |(tool, arguments)| {
            let answer = call(&bridge, tool, arguments).await;
            assert!(!answer.is_error, "{fault:?}: {answer:?}");
            if answer.facts["status"] == "running" {
                let answer = ended(&bridge, &answer.facts["job_id"]).await;
                assert_eq!(answer.facts["state"], "succeeded", "{fault:?}: {answer:?}");
            }
        });
        futures_util::future::join_all(begun).await;
        arrived(&rig);
    }
}

#[tokio::test]
async fn a_transfer_that_comes_to_another_executor_brings_nothing_half() {
    let (rig, other) = (Rig::start().await, Rig::start().await);
    lay_out(&rig);
    let bridge = rig.bridge(&[SHORT]).await;
    call(&bridge, "list_colab_files", json!({})).await;
    // The first pieces pass, the others wait behind a page; then another machine is there.
    rig.proxy.on("/files/download", 1, Fault::CutReply(0.5));
    rig.proxy.on("/files/upload", 2, Fault::LoseReply);
    for request in ["/files/download", "/files/bundle", "/files/upload"] {
        rig.proxy.on(request, usize::MAX, Fault::Answer(PAGES[0]));
    }
    let begun = transfers().map(async |(tool, arguments)| {
        let answer = call(&bridge, tool, arguments.clone()).await;
        (tool, arguments, answer.facts["job_id"].clone())
    });
    let begun = futures_util::future::join_all(begun).await;
    rig.proxy.lead_to(other.executor.address());
    rig.proxy.heal();
    for (tool, arguments, id) in begun {
        let mut answer = ended(&bridge, &id).await;
        if arguments["local_path"] == "up.d" {
            // What was sent first is not there: as the hint says, the next call sends that too.
            failed(&answer, "runtime_replaced");
            let again = call(&bridge, tool, arguments).await;
            answer = ended(&bridge, &again.facts["job_id"]).await;
        }
        if tool == "upload_to_colab" {
            assert_eq!(answer.facts["state"], "succeeded", "{answer:?}");
        } else {
            // Where the files were is no place of the other one.
            failed(&answer, "outside_root");
        }
    }
    for half in [
        here(&rig, "down.bin"),
        here(&rig, "down.d"),
        there(&rig, "up.bin"),
    ] {
        assert!(!half.exists(), "{half:?}");
    }
    for whole in ["up.bin", "up.d/large.bin"] {
        assert_eq!(std::fs::read(there(&other, whole)).unwrap(), content(LARGE));
    }
    let small = std::fs::read_dir(there(&other, "up.d/deep")).unwrap();
    assert_eq!(small.count(), 20);
}

#[tokio::test]
async fn a_bridge_ends_in_time_while_only_pages_or_silence_come() {
    for fault in [Fault::Answer(PAGES[0]), Fault::Silence] {
        let rig = Rig::start().await;
        lay_out(&rig);
        let bridge = rig.bridge(&[SHORT]).await;
        call(&bridge, "list_colab_files", json!({})).await;
        rig.proxy.always(fault);
        for (tool, arguments) in transfers() {
            call(&bridge, tool, arguments).await;
        }
        bridge.leave().await;
        // What was under way goes on with the next one.
        rig.proxy.heal();
        let bridge = rig.bridge(&[]).await;
        for (tool, arguments) in transfers() {
            let answer = call(&bridge, tool, arguments).await;
            assert_eq!(answer.facts["status"], "complete", "{answer:?}");
        }
        arrived(&rig);
    }
}
