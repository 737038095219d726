//! File transfers beside curl: over loopback, over a long link with capped connections, and many small files.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::http::curl;
use crate::link::{Link, Way};
use crate::peers::Peer;
use crate::server::{Server, bridge};
use crate::support::executor::Executor;
use crate::table::{Row, timed};

const LARGE: u64 = 1 << 30;
const TURNS: usize = 5;
const FAR: u64 = 256 << 20;
/// As much as four connections carry.
const FAR_WAY: Way = Way {
    round_trip: Duration::from_millis(80),
    each: Some(20e6),
    all: Some(80e6),
};
const SMALL_FILES: usize = 10_000;

pub(crate) fn rows(executor: &Executor, _: &[Peer]) -> Vec<Row> {
    let groups = [large(executor), far(executor), small(executor)];
    groups.into_iter().flatten().collect()
}

fn large(executor: &Executor) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let large = executor.root().join("large");
    fill(&large, LARGE);
    let mut bridge = Server::bridge(executor, folder.path());
    let saved = folder.path().join("results");
    let (mut through, mut beside, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    // The first turn is not counted: both sides warm up.
    for turn in 0..=TURNS {
        // Another state of the file, so that its digest is computed each time.
        let touched = File::options().write(true).open(&large).unwrap();
        touched.set_modified(SystemTime::now()).unwrap();
        // Each goes first in half of the turns.
        for is_bridge in [turn % 2 == 0, turn % 2 == 1] {
            let began = Instant::now();
            let path = if is_bridge {
                download(&mut bridge, "large")
            } else {
                let path = saved.join("by-curl");
                curl(&executor.url, "large", &path);
                path
            };
            let took = began.elapsed().as_secs_f64();
            // A no-op for the bridge, which syncs a file before it names it.
            File::open(&path).unwrap().sync_all().unwrap();
            let took_synced = began.elapsed().as_secs_f64();
            assert_eq!(fs::metadata(&path).unwrap().len(), LARGE);
            if is_bridge && turn > 0 {
                through.push(took);
            } else if turn > 0 {
                beside.push(took);
                synced.push(took_synced);
            }
            fs::remove_file(path).unwrap();
        }
    }
    let peak = |bridge: &Server, what: &str| {
        let peak = bridge.peak();
        peak.map(|peak| Row::median(what, "MB", vec![peak]).at_most(32.0))
    };
    let peak_down = peak(&bridge, "the bridge's peak memory");
    let path = download(&mut bridge, "large");
    let back = (0..TURNS).map(|turn| timed(|| upload(&mut bridge, &path, &format!("back-{turn}"))));
    let back: Vec<f64> = back.collect();
    let peak_up = peak(&bridge, "the same after uploads");
    let row = |what, ours: &[f64], theirs: &[f64]| {
        Row::ratio(what, "s", ("bridge", ours), ("curl", theirs))
    };
    let mut rows = vec![
        row("1 GiB down over loopback / curl", &through, &beside).at_most(1.1),
        row("the same / curl and a sync", &through, &synced).at_most(1.0),
        row("1 GiB up over loopback / curl down", &back, &beside),
        row("the same / curl down and a sync", &back, &synced).at_most(1.5),
    ];
    rows.extend(peak_down.into_iter().chain(peak_up));
    bridge.leave();
    rows
}

fn far(executor: &Executor) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    fill(&executor.root().join("far"), FAR);
    let link = Link::to(executor.address(), FAR_WAY);
    let beside = timed(|| curl(&link.url(), "far", &folder.path().join("by-curl")));
    let mut bridge = Server::start(bridge(&link.line(), folder.path()));
    let mut path = PathBuf::new();
    let down = timed(|| path = download(&mut bridge, "far"));
    let up = timed(|| upload(&mut bridge, &path, "far-back"));
    bridge.leave();
    let row = |what, ours| Row::ratio(what, "s", ("bridge", &[ours]), ("curl", &[beside]));
    vec![
        row("256 MiB down, 20 MB/s each, 80 all, 80 ms / curl", down).at_most(0.33),
        row("256 MiB up over the same link / curl down", up),
    ]
}

fn small(executor: &Executor) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let root = executor.root().join("many");
    for number in 0..SMALL_FILES {
        let folder = root.join((number / 500).to_string());
        fs::create_dir_all(&folder).unwrap();
        fill(&folder.join(number.to_string()), 1000);
    }
    let link = Link::to(executor.address(), FAR_WAY);
    let mut bridge = Server::start(bridge(&link.line(), folder.path()));
    let mut path = PathBuf::new();
    let down = timed(|| path = download(&mut bridge, "many"));
    let up = timed(|| upload(&mut bridge, &path, "many-back"));
    bridge.leave();
    vec![
        Row::median("10,000 files of 1 kB down over 80 ms", "s", vec![down]).at_most(60.0),
        Row::median("10,000 files of 1 kB up over 80 ms", "s", vec![up]),
    ]
}

fn download(bridge: &mut Server, remote: &str) -> PathBuf {
    let report = bridge.transfer("download_from_colab", &json!({"remote_path": remote}));
    report["local_path"].as_str().unwrap().into()
}

fn upload(bridge: &mut Server, local: &Path, remote: &str) {
    let arguments = json!({"local_path": local, "remote_path": remote});
    bridge.transfer("upload_to_colab", &arguments);
}

/// Returns incompressible bytes.
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
