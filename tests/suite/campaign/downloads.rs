//! A large file through a network that is cut again and again, to bridges that are killed.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Caller, PATIENCE, SHORT, executor, so_many};
use crate::support::cable::{Break, Cable, Fault, Way};
use crate::support::chance::Chance;
use crate::support::home::Home;

/// Of what the executor sends, so much at most is sent twice: what lies in the system's buffers when a bridge is killed, some MB for each stream.
const MOST_TWICE: f64 = 0.3;

#[tokio::test]
async fn a_large_file_comes_whole_through_cuts_and_deaths_and_little_of_it_twice() {
    let (size, cuts, deaths) = (so_many(96 << 20, 256 << 20), so_many(12, 50), so_many(2, 5));
    let mut chance = Chance::of("downloads", 0);
    let (executor, home) = (executor().await, Home::new());
    let bytes = content(size, &mut chance);
    fs::write(executor.root().join("model.bin"), &bytes).unwrap();
    let mut cable = Cable::to(executor.address());
    let (address, mut carried) = (cable.address(), cable.carried());

    let mut blades = chance.branch();
    let cutting = async {
        for _ in 0..cuts {
            let what = [Break::Cut, Break::Reset][usize::from(blades.within(0..4) == 0)];
            let at = Fault::At(Way::ToBridge, blades.within(0..2 * size / cuts), what);
            cable.strike(at, PATIENCE).await;
        }
        std::future::pending::<()>().await;
    };
    let downloading = async {
        let mut job = None;
        for number in 1..=deaths {
            let caller = Caller::start(&home, address, SHORT).await;
            let mark = number * size / (deaths + 1);
            tokio::select! {
                () = until(&mut carried, mark) => {}
                path = whole(&caller, &mut job) => panic!("it was whole before {mark} bytes had come: {path}"),
            }
            caller.client.kill().await;
        }
        let caller = Caller::start(&home, address, SHORT).await;
        whole(&caller, &mut job).await
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
    eprintln!("{cuts} cuts, {deaths} deaths: {share:.2} times the file came");
    assert!(share <= 1.0 + MOST_TWICE, "{share:.2} times the file came");
}

/// Waits until so many bytes have come through the cable.
async fn until(carried: &mut watch::Receiver<u64>, bytes: u64) {
    carried.wait_for(|carried| *carried >= bytes).await.unwrap();
}

/// Goes on with the download under its id until it is complete; where it is.
async fn whole(caller: &Caller, job: &mut Option<String>) -> String {
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
            // The bridge died before it had noted the download, or a pause of the network was too long.
            *job = None;
            tokio::time::sleep(Duration::from_millis(100)).await;
        } else if let Some(path) = answer.facts["local_path"].as_str() {
            return path.to_owned();
        }
    }
    panic!("it did not come in time");
}

fn content(size: u64, chance: &mut Chance) -> Vec<u8> {
    let size = usize::try_from(size).unwrap();
    // Of a length that no power of two divides, so that no two pieces are alike.
    let pattern: Vec<u8> = (0..125_003)
        .flat_map(|_| chance.next().to_le_bytes())
        .collect();
    let mut bytes = pattern.repeat(size / pattern.len() + 1);
    bytes.truncate(size);
    bytes
}
