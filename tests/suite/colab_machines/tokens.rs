//! Tokens of the machine's proxy that end in the middle of long work: nothing is lost, and nobody is asked.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::runtime::{bridge, up};
use crate::support::executor::until_there;
use crate::support::fake_colab::FakeColab;
use crate::support::jupyter::Jupyter;
use crate::support::stdio::{Answer, Bridge};

const MB: usize = 1_000_000;

/// Bytes of which no two pieces are equal, and which compress well.
fn content(size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..size / 64 + 1)
        .flat_map(|line| format!("{line:063}\n").into_bytes())
        .collect();
    bytes.truncate(size);
    bytes
}

fn assert_same(file: &Path, bytes: &[u8]) {
    let there = fs::read(file).unwrap();
    assert_eq!(there.len(), bytes.len());
    assert!(Sha256::digest(there) == Sha256::digest(bytes));
}

/// Calls a tool, and follows what it began to its end, as a model that sees no error.
fn to_the_end(bridge: &mut Bridge, tool: &str, arguments: Value) -> Answer {
    let mut answer = bridge.call(tool, arguments);
    loop {
        assert!(!answer.is_error, "{}", answer.facts);
        if answer.facts["status"] != "running" {
            return answer;
        }
        let job = json!({"job_id": answer.fact("job_id")});
        answer = bridge.call("get_output", job);
    }
}

/// Lets all tokens end after each of so many bytes.
fn expire_after(fake: &FakeColab, bytes: &[usize]) {
    fake.set(&json!({"expire_after": bytes}));
}

#[track_caller]
fn assert_all_ended(fake: &FakeColab) {
    let state = fake.state();
    assert_eq!(state["knobs"]["expire_after"], json!([]), "each was met");
    assert_eq!(state["faults"], json!([]));
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_transfer_or_an_operation_loses_nothing_and_nobody_is_asked()
 {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = up(&[&server]);
    let mut bridge = bridge(&home, &fake);
    // Files go through the executor: a part that is sent again to a server's Contents API would stand there twice.
    fake.set(&json!({"lose_contents": 1}));
    transfers(24 * MB, &server, &fake, &mut bridge);
    assert_eq!(fake.state()["knobs"]["lose_contents"], 1);
    operation(&server, &fake, &mut bridge);
    assert_eq!(fake.state()["faults"], json!([]));
}

#[test]
#[ignore = "takes a minute"]
fn a_token_that_expires_in_the_middle_of_256_mib_loses_nothing_and_nobody_is_asked() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = up(&[&server]);
    transfers(256 << 20, &server, &fake, &mut bridge(&home, &fake));
}

fn transfers(size: usize, server: &Jupyter, fake: &FakeColab, bridge: &mut Bridge) {
    bridge.warm("main");
    let bytes = content(size);
    fs::write(server.root().join("model.bin"), &bytes).unwrap();
    let there = json!({"remote_path": "model.bin"});
    expire_after(fake, &[size / 4, size / 4, size / 4, 1]);
    let down = to_the_end(bridge, "download_from_colab", there);
    assert_all_ended(fake);
    let here = Path::new(down.fact("local_path")).to_owned();
    assert_same(&here, &bytes);

    expire_after(fake, &[size / 4, size / 4, size / 4, 1]);
    let back = json!({"local_path": here, "remote_path": "back.bin"});
    to_the_end(bridge, "upload_to_colab", back);
    assert_all_ended(fake);
    assert_same(&server.root().join("back.bin"), &bytes);
}

fn operation(server: &Jupyter, fake: &FakeColab, bridge: &mut Bridge) {
    let root = server.root();
    // Some iterations wait until the tokens have ended.
    let body = "with open('ran', 'a') as file: print(i, file=file)\n\
                if i % 10 == 7:\n    open(f'at-{i}', 'w').close()\n    while not os.path.exists(f'go-{i}'): time.sleep(0.01)\n\
                i * i";
    let arguments = json!({
        "setup_code": "import os, time", "loop_code": body, "n_iterations": 30, "batch_size": 5, "checkpoint_name": "long",
    });
    let mut running = bridge.begin_call("run_chunked_operation", arguments.clone());
    for (at, knobs) in [
        (7, json!({"expire": true, "drop": true})),
        (17, json!({"expire": true})),
        (
            27,
            json!({"expire": true, "expire_access": true, "drop": true}),
        ),
    ] {
        until_there(&root.join(format!("at-{at}")));
        fake.set(&knobs);
        fs::write(root.join(format!("go-{at}")), "").unwrap();
    }
    let answer = loop {
        let answer = Answer::of(&bridge.answer(running));
        answer.succeeded();
        if answer.facts["can_continue"] == false {
            break answer;
        }
        running = bridge.begin_call("run_chunked_operation", arguments.clone());
    };
    assert_eq!(answer.facts["completed"], 30);
    let ran = fs::read_to_string(root.join("ran")).unwrap();
    let once: String = (0..30).map(|i| format!("{i}\n")).collect();
    assert_eq!(ran, once);
}
