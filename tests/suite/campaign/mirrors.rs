//! A mirror of files that change at random, through a link with cuts, until the executor is killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::{Caller, MIN_BUDGET, PATIENCE, executor, scaled};
use crate::support::cable::{Break, Cable, Fault, Way};
use crate::support::chance::Chance;
use crate::support::home::Home;

/// What changed before is here: a file rests for a second or two until it is downloaded.
const MAX_MISSING: Duration = Duration::from_secs(10);
/// Bytes of the larger files.
const LARGE: u64 = 100_000;

/// Writes a version of a file, which shows whether it is whole.
fn write(folder: &Path, name: &str, version: u64, size: u64) {
    let body = version.to_string().repeat(size as usize / 8);
    fs::write(folder.join(name), format!("{version}\n{body}\n{version}")).unwrap();
}

/// The version of a file, which must be whole.
fn version(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let (body, last) = rest.rsplit_once('\n').unwrap();
    assert_eq!(first, last, "{} is half", path.display());
    assert!(body.len() % first.len() == 0 && body.replace(first, "").is_empty());
    first.parse().unwrap()
}

#[tokio::test]
async fn a_killed_executor_has_left_whole_files_and_misses_at_most_ten_seconds() {
    let (files, secs, cuts) = (scaled(20, 200), scaled(12, 120), scaled(2, 20));
    let mut chance = Chance::of("mirrors", 0);
    let (mut executor, home) = (executor().await, Home::new());
    let there = executor.root().join("out");
    fs::create_dir(&there).unwrap();
    let mut cable = Cable::to(executor.address());
    let caller = Caller::start(&home, cable.address(), MIN_BUDGET).await;
    let began = caller
        .call("mirror_folder", json!({"remote_path": "out"}))
        .await;
    assert!(!began.is_error, "{began:?}");

    let mut cut_chance = chance.branch();
    let cutting = async {
        for _ in 0..cuts {
            let what = [Break::Cut, Break::Reset][usize::from(cut_chance.within(0..4) == 0)];
            let at = Fault::At(Way::ToBridge, cut_chance.within(0..20_000), what);
            cable.strike(at, PATIENCE).await;
            sleep(Duration::from_secs(secs / cuts)).await;
        }
        std::future::pending::<()>().await;
    };
    // Of each file: its versions, with the times when they were written.
    let mut written: BTreeMap<String, Vec<(u64, Instant)>> = BTreeMap::new();
    let end =
        Instant::now() + Duration::from_secs(secs) + Duration::from_millis(chance.within(0..3000));
    let writing = async {
        let mut number = 0;
        while Instant::now() < end {
            number += 1;
            let name = format!("{}.txt", chance.within(0..files));
            let size = [80, LARGE][usize::from(chance.within(0..5) == 0)];
            write(&there, &name, number, size);
            written
                .entry(name)
                .or_default()
                .push((number, Instant::now()));
            sleep(Duration::from_millis(chance.within(20..scaled(500, 180)))).await;
        }
    };
    tokio::select! {
        () = writing => {}
        () = cutting => unreachable!(),
    }
    let state = caller.call("mirror_folder", json!({})).await;
    executor.kill();
    let killed = Instant::now();
    caller.client.kill().await;

    let here = home.folder("results").join("out");
    let mut latest = Duration::ZERO;
    for (name, versions) in written {
        let path = here.join(&name);
        let kept = if path.exists() { version(&path) } else { 0 };
        // A file that changed again within a second had not settled.
        let missed = versions
            .windows(2)
            .filter(|two| two[1].1 - two[0].1 > Duration::from_secs(2));
        let missed = missed.map(|two| two[0]).chain(versions.last().copied());
        for (_, at) in missed.filter(|(number, _)| *number > kept) {
            latest = latest.max(killed - at);
            assert!(
                killed - at < MAX_MISSING,
                "{name} lacks {:?}: {state:?}",
                killed - at
            );
        }
    }
    eprintln!("at most what changed in the last {latest:?} is missing");
}
