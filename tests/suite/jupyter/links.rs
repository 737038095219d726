//! Connections to the server that end in the middle of a message.

use std::fs;
use std::time::Duration;

use serde_json::json;
use smart_colab::mcp::client::Client;
use tokio::process::Command;

use super::MARK;
use crate::support::cable::{Break, Cable, Fault, Way};
use crate::support::jupyter::{Jupyter, TOKEN};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_connection_that_is_cut_within_a_request_or_a_reply_repeats_and_loses_nothing() {
    let starting = tokio::task::spawn_blocking(|| Jupyter::server("/", &[]));
    let (server, folder) = (starting.await.unwrap(), tempfile::tempdir().unwrap());
    let mut cable = Cable::to(server.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_smart-colab"));
    command
        .env(
            "COLAB_URL",
            format!("jupyter+http://{}/?token={TOKEN}", cable.address()),
        )
        .env("LOCAL_SAVE_DIR", folder.path().join("results"))
        .env("SMART_COLAB_DATA_DIR", folder.path().join("data"));
    let bridge = Client::start(command).await.unwrap();
    let run = |code: String| bridge.call("run_code_quick", json!({"code": code}));
    let warm = run("pass".to_owned()).await.unwrap();
    assert_eq!(warm.facts["state"], "succeeded", "{warm:?}");

    // The code is much longer than whatever else is said, and so is the output.
    let long = format!("{MARK}print('ran')\n#{}", "x".repeat(200_000));
    let wordy = format!("{MARK}for i in range(2_000): print(f'{{i:099}}')");
    for (way, code, length, what) in [
        (Way::ToExecutor, &long, 4, Break::Cut),
        (Way::ToBridge, &wordy, 200_000, Break::Reset),
    ] {
        let (answer, ()) = tokio::join!(
            run(code.clone()),
            cable.strike(Fault::At(way, 100_000, what), PATIENCE)
        );
        let answer = answer.unwrap();
        assert_eq!(answer.facts["state"], "succeeded", "{answer:?}");
        let log = answer.facts["log"].as_str();
        let text = log.map_or(answer.text.clone(), |log| fs::read_to_string(log).unwrap());
        assert_eq!(text.len(), length, "{answer:?}");
        let ran = server.root().join("ran");
        assert_eq!(fs::read_to_string(&ran).unwrap(), "x");
        fs::remove_file(ran).unwrap();
    }
    bridge.leave().await;
}
