//! Sending a job and reading its output over a network that breaks two hundred times.

use std::fs::{self, File};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Caller, MIN_BUDGET, PATIENCE, Reader, ask, assert_same_lines, executor, scaled};
use crate::support::cable::{Break, Cable, Fault, Way};
use crate::support::chance::Chance;
use crate::support::home::Home;

const FAULTS: usize = 200;
/// Faults that strike while the code is sent, before all others.
const SENDING_FAULTS: usize = 2;
const LINES: u64 = 20_000;
/// Concurrent readers of the job. A swallowed answer costs one of them a call.
const READERS: usize = 3;
/// A fault that sees no traffic for this long strikes at the next byte.
pub(super) const FAULT_PATIENCE: Duration = Duration::from_millis(700);

/// Prints its lines in pieces cut at arbitrary points, the last ones after most faults have struck. Each fault adds a byte to the file `struck`.
const CODE: &str = "
import hashlib, os, sys, time
with open('ran', 'a') as ran: ran.write('x')
text = ''.join(f'{i:05} {hashlib.sha256(str(i).encode()).hexdigest()[:i % 60 + 1]}\\n' for i in range(20_000))
pieces = 1_500
size = len(text) // pieces + 1
for piece in range(pieces):
    while os.path.getsize('struck') < piece * 160 // pieces - 8: time.sleep(0.02)
    print(text[piece * size:(piece + 1) * size], end='', flush=True)
    time.sleep(0.015)
";

fn expected() -> String {
    let line = |i: u64| {
        let digest = Sha256::digest(i.to_string());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let length = usize::try_from(i % 60 + 1).unwrap();
        format!("{i:05} {}\n", &hex[..length])
    };
    (0..LINES).map(line).collect()
}

/// Half of the faults end a connection; the others delay, swallow, refuse or fall silent.
fn faults(chance: &mut Chance) -> Vec<Fault> {
    let at = |chance: &mut Chance, what| {
        let way = [Way::ToExecutor, Way::ToBridge][usize::from(chance.within(0..3) > 0)];
        Fault::At(way, chance.bytes(), what)
    };
    let mut faults: Vec<_> = (0..FAULTS)
        .map(|number| match number {
            // First, while the code is sent and the bridge cannot know what arrived.
            0..SENDING_FAULTS => Fault::At(Way::ToBridge, chance.within(0..300), Break::Cut),
            SENDING_FAULTS..60 => at(chance, Break::Cut),
            60..100 => at(chance, Break::Reset),
            100..140 => {
                let time = chance.millis(20..1_500);
                at(chance, Break::Delay(time))
            }
            140..160 => at(chance, Break::Swallow),
            160..185 => Fault::Refuse(chance.millis(50..1_200)),
            _ => Fault::Silence(chance.millis(100..1_500)),
        })
        .collect();
    chance.shuffle(&mut faults[SENDING_FAULTS..]);
    faults
}

#[tokio::test]
async fn two_hundred_network_faults_lose_no_line_and_cause_no_second_run() {
    for round in 0..scaled(1, 3) {
        survive(Chance::of("network", round)).await;
    }
}

async fn survive(mut chance: Chance) {
    let (executor, home) = (executor().await, Home::new());
    let root = executor.root();
    fs::write(root.join("struck"), "").unwrap();
    let mut cable = Cable::to(executor.address());
    let caller = Caller::start(&home, cable.address(), MIN_BUDGET).await;

    let (faults, mut pauses) = (faults(&mut chance), chance.branch());
    let is_over = AtomicBool::new(false);
    let breaking = async {
        let mut struck = File::options()
            .append(true)
            .open(root.join("struck"))
            .unwrap();
        for fault in faults {
            let strike = cable.strike(fault, FAULT_PATIENCE);
            let met = tokio::time::timeout(PATIENCE, strike).await;
            met.unwrap_or_else(|_| panic!("no traffic met {fault:?}"));
            struck.write_all(b"x").unwrap();
            tokio::time::sleep(pauses.millis(0..150)).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let expected = expected();
    let reading = async {
        let first = caller.run(CODE, "main", 1_200).await;
        let job = first.job.clone();
        let others = (1..READERS).map(|_| Reader::of(&job));
        let followers = std::iter::once(first)
            .chain(others)
            .map(|reader| follow(&caller, reader, chance.branch(), &is_over, &expected));
        futures_util::future::join_all(followers).await;
        job
    };
    let (job, ()) = tokio::join!(reading, breaking);
    assert_eq!(
        fs::read_to_string(root.join("ran")).unwrap(),
        "x",
        "the code ran once"
    );
    let log = ask(&executor, &format!("jobs/{job}/log")).await;
    assert_same_lines(&log, &expected);
    // This file was copied piece by piece while faults struck.
    let whole = caller.call("get_output", json!({"job_id": job})).await;
    let kept = whole.facts["log"].as_str().unwrap();
    assert_same_lines(&fs::read_to_string(kept).unwrap(), &expected);
}

/// Reads the job to its end, and again from its beginning until all faults have struck.
pub(super) async fn follow(
    caller: &Caller,
    mut reader: Reader,
    mut chance: Chance,
    is_over: &AtomicBool,
    expected: &str,
) {
    let end = Instant::now() + PATIENCE;
    loop {
        while reader.end.is_none() {
            assert!(Instant::now() < end, "{} bytes in time", reader.text.len());
            let waits = [None, None, Some(0), Some(1), Some(3)];
            let wait = waits[usize::try_from(chance.within(0..5)).unwrap()];
            reader.read_page(caller, wait).await;
            if !expected.starts_with(&reader.text) {
                assert_same_lines(&reader.text, expected);
            }
        }
        reader.assert_read(expected);
        // A call without `after` shows head and tail and copies the log.
        let whole = json!({"job_id": reader.job});
        caller.call("get_output", whole).await;
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        reader = Reader::of(&reader.job);
    }
}
