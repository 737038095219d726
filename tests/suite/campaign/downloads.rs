//! Downloading a large file while connections are cut and bridges are killed.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Caller, MIN_BUDGET, PATIENCE, executor, scaled};
use crate::support::cable::{Break, Cable, Fault, Way};
use crate::support::chance::Chance;
use crate::support::home::Home;

/// Upper limit on the share of bytes sent twice. A killed bridge loses what lies in socket buffers, some MB for each stream.
const MAX_SENT_TWICE: f64 = 0.3;

#[tokio::test]
async fn a_large_download_survives_cuts_and_kills_and_refetches_little() {
    let (size, cuts, kills) = (scaled(96 << 20, 256 << 20), scaled(12, 50), scaled(2, 5));
    let mut chance = Chance::of("downloads", 0);
    let (executor, home) = (executor().await, Home::new());
    let bytes = content(size, &mut chance);
    fs::write(executor.root().join("model.bin"), &bytes).unwrap();
    let mut cable = Cable::to(executor.address());
    let (address, mut carried) = (cable.address(), cable.carried());

    let mut cut_chance = chance.branch();
    let cutting = async {
        for _ in 0..cuts {
            let what = [Break::Cut, Break::Reset][usize::from(cut_chance.within(0..4) == 0)];
            let at = Fault::At(Way::ToBridge, cut_chance.within(0..2 * size / cuts), what);
            cable.strike(at, PATIENCE).await;
        }
        std::future::pending::<()>().await;
    };
    let downloading = async {
        let mut job = None;
        for number in 1..=kills {
            let caller = Caller::start(&home, address, MIN_BUDGET).await;
            let mark = number * size / (kills + 1);
            tokio::select! {
                () = until(&mut carried, mark) => {}
                path = finish_download(&caller, &mut job) => panic!("complete before {mark} bytes were carried: {path}"),
            }
            caller.client.kill().await;
        }
        let caller = Caller::start(&home, address, MIN_BUDGET).await;
        finish_download(&caller, &mut job).await
    };
    let path = tokio::select! {
        path = downloading => path,
        () = cutting => unreachable!(),
    };
    let here = fs::read(&path).unwrap();
    assert_eq!(Sha256::digest(&here), Sha256::digest(&bytes));
    let results: Vec<_> = fs::read_dir(home.folder("results")).unwrap().collect();
    assert_eq!(results.len(), 1, "{results:?}");
    let share = *carried.borrow() as f64 / size as f64;
    eprintln!("{cuts} cuts, {kills} kills: the file was sent {share:.2} times");
    assert!(
        share <= 1.0 + MAX_SENT_TWICE,
        "the file was sent {share:.2} times"
    );
}

/// Waits until the cable has carried `bytes`.
async fn until(carried: &mut watch::Receiver<u64>, bytes: u64) {
    carried.wait_for(|carried| *carried >= bytes).await.unwrap();
}

/// Resumes the download by its id until it is complete; returns the local path.
async fn finish_download(caller: &Caller, job: &mut Option<String>) -> String {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let answer = match job.as_ref() {
            Some(id) => caller.call("get_output", json!({"job_id": id})).await,
            None => {
                let arguments = json!({"remote_path": "model.bin"});
                caller.call("download_from_colab", arguments).await
            }
        };
        *job = answer.facts["job_id"].as_str().map(str::to_owned);
        if answer.is_error {
            // The bridge died before it recorded the download, or the network was down for too long.
            *job = None;
            tokio::time::sleep(Duration::from_millis(100)).await;
        } else if let Some(path) = answer.facts["local_path"].as_str() {
            return path.to_owned();
        }
    }
    panic!("the download did not complete in time");
}

fn content(size: u64, chance: &mut Chance) -> Vec<u8> {
    let size = usize::try_from(size).unwrap();
    // An odd length, so that no two pieces are equal.
    let pattern: Vec<u8> = (0..125_003)
        .flat_map(|_| chance.next().to_le_bytes())
        .collect();
    let mut bytes = pattern.repeat(size / pattern.len() + 1);
    bytes.truncate(size);
    bytes
}
