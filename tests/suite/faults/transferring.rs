//! Intermediaries that block transfers: each call reports it in time, the transfer resumes afterwards, and files are whole or absent.

use std::path::PathBuf;

use serde_json::{Value, json};
use smart_colab::mcp::client::{Answer, Client};

use super::intermediaries::{HTML, OURS, PAGES};
use super::{MIN_BUDGET, PATIENCE, Rig, call, failed};
use crate::support::proxy::{Fault, Stranger};

/// More than one piece.
const LARGE: usize = 6 << 20;

/// Returns bytes without repetition.
fn content(length: usize) -> Vec<u8> {
    (0..length as u32 / 4).flat_map(u32::to_le_bytes).collect()
}

fn there(rig: &Rig, name: &str) -> PathBuf {
    rig.executor.root().join(name)
}

fn here(rig: &Rig, name: &str) -> PathBuf {
    rig.folder("results").join(name)
}

/// Creates a file and a folder with small files and a large one, on the machine and on this side.
fn create_files(rig: &Rig) {
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

/// Lists the four kinds of transfers.
fn transfers() -> [(&'static str, Value); 4] {
    let down = |path| ("download_from_colab", json!({"remote_path": path}));
    let up = |path| {
        let arguments = json!({"local_path": path, "remote_path": path});
        ("upload_to_colab", arguments)
    };
    [down("down.bin"), down("down.d"), up("up.bin"), up("up.d")]
}

/// Waits for the end of a transfer.
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

/// Asserts that all files arrived whole and once, under their names, without partial files.
fn assert_arrived(rig: &Rig) {
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

fn remove_arrived(rig: &Rig) {
    for (place, name) in [(here(rig, ""), "down"), (there(rig, ""), "up")] {
        std::fs::remove_file(place.join(format!("{name}.bin"))).unwrap();
        std::fs::remove_dir_all(place.join(format!("{name}.d"))).unwrap();
        let _ = std::fs::remove_file(place.join(format!("{name}.d.sha256")));
    }
}

/// Asserts that the report of a stalled transfer names the cause, says that it resumes by itself, and does not contain the page.
fn assert_stalled(answer: &Answer, words: &str) {
    let said = |name: &str| answer.facts[name].as_str().unwrap_or_default().to_owned();
    assert!(!answer.is_error, "{answer:?}");
    assert!(said("problem").contains(words), "{words}: {answer:?}");
    assert!(said("message").contains(words), "{words}: {answer:?}");
    assert!(said("hint").contains("continues by itself"), "{answer:?}");
    assert!(!format!("{answer:?}").contains("<html>"), "{answer:?}");
}

/// Begins all transfers behind `fault`, checks each report, removes the fault, and waits for their end.
async fn check_transfers_behind(fault: Fault, words: &str) {
    let rig = Rig::start().await;
    create_files(&rig);
    let bridge = rig.bridge(&[MIN_BUDGET]).await;
    call(&bridge, "list_colab_files", json!({})).await;
    rig.proxy.always(fault);
    let begun = transfers().map(async |(tool, arguments)| {
        let answer = call(&bridge, tool, arguments).await;
        assert_eq!(answer.facts["status"], "running", "{answer:?}");
        assert_stalled(&answer, words);
        answer.facts["job_id"].clone()
    });
    let ids = futures_util::future::join_all(begun).await;
    for id in &ids {
        let look = json!({"job_id": id, "wait_sec": 0});
        let answer = call(&bridge, "get_output", look).await;
        assert_eq!(answer.facts["state"], "running", "{answer:?}");
        assert_stalled(&answer, words);
        assert!(answer.text.contains(words), "{answer:?}");
    }
    rig.proxy.heal();
    for id in &ids {
        let answer = ended(&bridge, id).await;
        assert_eq!(answer.facts["state"], "succeeded", "{answer:?}");
        assert_eq!(answer.facts["problem"], Value::Null, "{answer:?}");
        assert_eq!(answer.facts["hint"], Value::Null, "{answer:?}");
    }
    assert_arrived(&rig);
}

#[tokio::test]
async fn a_transfer_behind_a_web_page_says_so_and_resumes() {
    check_transfers_behind(Fault::Answer(PAGES[0]), "it serves a web page").await;
}

#[tokio::test]
async fn a_transfer_behind_a_redirect_says_so_and_resumes() {
    check_transfers_behind(Fault::Answer(PAGES[3]), "redirects to another address").await;
}

#[tokio::test]
async fn a_transfer_behind_a_tunnel_error_says_so_and_resumes() {
    check_transfers_behind(
        Fault::Answer(Stranger::Page(
            "502 Bad Gateway",
            HTML,
            "<html>nginx</html>",
        )),
        "no response from the executor (502)",
    )
    .await;
}

#[tokio::test]
async fn a_transfer_behind_an_empty_answer_says_so_and_resumes() {
    let empty = Stranger::Page("200 OK", "Content-Type: text/plain", "");
    check_transfers_behind(Fault::Answer(empty), "did not identify itself").await;
}

#[tokio::test]
async fn a_transfer_to_a_silent_server_says_so_and_resumes() {
    check_transfers_behind(Fault::Silence, "has not answered for").await;
}

/// The requests of transfers; the reply to each is replaced in turn.
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
async fn files_arrive_whole_whichever_reply_is_replaced_or_cut() {
    let kept_headers = [
        Stranger::Page("200 OK", OURS, "<html>maintenance</html>"),
        Stranger::Page("200 OK", OURS, ""),
        Stranger::Page("503 Service Unavailable", OURS, "<html>maintenance</html>"),
    ];
    let mut faults: Vec<_> = [PAGES[0], PAGES[3]]
        .into_iter()
        .chain(kept_headers)
        .map(Fault::ReplaceReply)
        .collect();
    faults.push(Fault::CutReply(0.6));
    let rig = Rig::start().await;
    create_files(&rig);
    let bridge = rig.bridge(&[]).await;
    call(&bridge, "list_colab_files", json!({})).await;
    for fault in faults {
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
        assert_arrived(&rig);
        rig.proxy.heal();
        remove_arrived(&rig);
    }
}

#[tokio::test]
async fn a_transfer_that_reaches_another_executor_leaves_no_half_file() {
    let (rig, other) = (Rig::start().await, Rig::start().await);
    create_files(&rig);
    let bridge = rig.bridge(&[MIN_BUDGET]).await;
    call(&bridge, "list_colab_files", json!({})).await;
    // The first pieces pass, the others get a page; then another machine answers.
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
            // The pieces sent first are lost; as the hint says, the next call sends them again.
            failed(&answer, "runtime_replaced");
            let again = call(&bridge, tool, arguments).await;
            answer = ended(&bridge, &again.facts["job_id"]).await;
        }
        if tool == "upload_to_colab" {
            assert_eq!(answer.facts["state"], "succeeded", "{answer:?}");
        } else {
            // The path lies outside the other executor's content root.
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
async fn a_bridge_exits_in_time_while_the_server_sends_only_pages_or_nothing() {
    let rig = Rig::start().await;
    create_files(&rig);
    for fault in [Fault::Answer(PAGES[0]), Fault::Silence] {
        let bridge = rig.bridge(&[MIN_BUDGET]).await;
        call(&bridge, "list_colab_files", json!({})).await;
        rig.proxy.always(fault);
        let begun = transfers().map(|(tool, arguments)| call(&bridge, tool, arguments));
        futures_util::future::join_all(begun).await;
        bridge.leave().await;
        // The next bridge resumes the transfers.
        rig.proxy.heal();
        let bridge = rig.bridge(&[]).await;
        for (tool, arguments) in transfers() {
            let answer = call(&bridge, tool, arguments).await;
            assert_eq!(answer.facts["status"], "complete", "{answer:?}");
        }
        assert_arrived(&rig);
        bridge.leave().await;
        remove_arrived(&rig);
    }
}
