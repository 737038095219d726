//! What downloads cost, measured beside curl in one run: `cargo bench --bench transfers`, or with `-- --check` to fail on a missed bound.
//!
//! - a large file over loopback, beside curl, turn by turn, and the bridge's peak memory (Linux);
//! - a file over connections that are capped and far away, beside one curl stream;
//! - a folder of many small files from far away.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod link;
mod peers;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code)]
mod support;
mod table;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use link::{Link, Way};
use peers::{Bridge, curl};
use support::executor::{Executor, TOKEN};
use table::{Row, median, spread};

const LARGE: u64 = 1 << 30;
const TURNS: usize = 5;
/// One connection brings it in some 20 s.
const FAR: u64 = 96 << 20;
const FAR_WAY: Way = Way {
    round_trip: Duration::from_millis(80),
    each: Some(5e6),
};
const SMALL_FILES: usize = 10_000;

fn main() -> ExitCode {
    let executor = Executor::start();
    let mut rows = large_file(&executor);
    rows.push(far_file(&executor));
    rows.push(small_files(&executor));
    table::show(&rows)
}

fn large_file(executor: &Executor) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    fill(&executor.root().join("large"), LARGE);
    let mut bridge = Bridge::start(executor, folder.path());
    let saved = folder.path().join("results");
    let (mut through, mut beside, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    // The first turn is not counted: the executor makes the digest, and both sides warm up.
    for turn in 0..=TURNS {
        // Each goes first in half of the turns.
        for is_bridge in [turn % 2 == 0, turn % 2 == 1] {
            let began = Instant::now();
            let path = if is_bridge {
                let report = bridge.download("large");
                report["local_path"].as_str().unwrap().into()
            } else {
                let path = saved.join("by-curl");
                curl(&executor.url, "large", &path);
                path
            };
            let took = began.elapsed().as_secs_f64();
            // Does nothing for the bridge: what it has named is on the disk.
            File::open(&path).unwrap().sync_all().unwrap();
            let took_synced = began.elapsed().as_secs_f64();
            assert_eq!(fs::metadata(&path).unwrap().len(), LARGE);
            fs::remove_file(path).unwrap();
            if turn > 0 && is_bridge {
                through.push(took);
            } else if turn > 0 {
                beside.push(took);
                synced.push(took_synced);
            }
        }
    }
    let detail = |beside| format!("{} s / {} s", spread(&through), spread(beside));
    let mut rows = vec![
        Row {
            what: "1 GiB over loopback / curl",
            measured: median(&through) / median(&beside),
            bound: 1.0 / 0.9,
            unit: "x",
            detail: detail(&beside),
        },
        Row {
            what: "the same / curl, and the file put on the disk",
            measured: median(&through) / median(&synced),
            bound: 1.0,
            unit: "x",
            detail: detail(&synced),
        },
    ];
    if let Some(megabytes) = bridge.peak() {
        rows.push(Row {
            what: "peak memory of the bridge",
            measured: megabytes,
            bound: 40.0,
            unit: "MB",
            detail: String::new(),
        });
    }
    bridge.leave();
    fs::remove_file(executor.root().join("large")).unwrap();
    rows
}

fn far_file(executor: &Executor) -> Row {
    let folder = tempfile::tempdir().unwrap();
    fill(&executor.root().join("far"), FAR);
    let link = Link::to(executor.address(), FAR_WAY);
    let url = format!("http://{}", link.address);
    let began = Instant::now();
    curl(&url, "far", &folder.path().join("by-curl"));
    let beside = began.elapsed().as_secs_f64();
    let mut bridge = Bridge::start_to(&format!("{url}#{TOKEN}"), folder.path());
    let began = Instant::now();
    bridge.download("far");
    let through = began.elapsed().as_secs_f64();
    bridge.leave();
    Row {
        what: "96 MiB at 5 MB/s each over 80 ms / curl",
        measured: through / beside,
        bound: 0.4,
        unit: "x",
        detail: format!("{through:.1} s / {beside:.1} s"),
    }
}

fn small_files(executor: &Executor) -> Row {
    let folder = tempfile::tempdir().unwrap();
    let root = executor.root().join("many");
    for number in 0..SMALL_FILES {
        let folder = root.join((number / 500).to_string());
        fs::create_dir_all(&folder).unwrap();
        fill(&folder.join(number.to_string()), 1000);
    }
    let link = Link::to(executor.address(), FAR_WAY);
    let line = format!("http://{}#{TOKEN}", link.address);
    let mut bridge = Bridge::start_to(&line, folder.path());
    let began = Instant::now();
    let report = bridge.download("many");
    let took = began.elapsed().as_secs_f64();
    assert_eq!(report["files"], SMALL_FILES);
    bridge.leave();
    Row {
        what: "10,000 files of 1 kB over 80 ms",
        measured: took,
        bound: 60.0,
        unit: "s",
        detail: String::new(),
    }
}

/// Bytes that no one can compress.
fn fill(path: &Path, length: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut state = length | 1;
    let mut written = 0;
    while written < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let most = bytes.len().min(usize::try_from(length - written).unwrap());
        file.write_all(&bytes[..most]).unwrap();
        written += most as u64;
    }
    file.into_inner().unwrap();
}
