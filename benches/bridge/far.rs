//! Calls over TLS and 80 ms, as through a tunnel, in round trips.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::http::Bare;
use crate::link::{Link, Way};
use crate::peers::Peer;
use crate::server::{Server, bridge, call};
use crate::support::executor::Executor;
use crate::table::{Row, in_turn, millis, timed};

const FIRST_CALLS: usize = 5;
const CALLS: usize = 50;
const LINES: usize = 10;
/// Prints one line, with its time, between two pauses.
const CODE: &str = "import time\ntime.sleep(0.7)\nprint(f'<{time.time():.6f}>')\ntime.sleep(0.7)";

pub(crate) fn rows(executor: &Executor, _: &[Peer]) -> Vec<Row> {
    let link = Link::tls_to(executor.address(), Way::FAR);
    let round_trip = Way::FAR.round_trip.as_secs_f64();
    let folder = tempfile::tempdir().unwrap();
    // Starts the session's kernel.
    let mut near = Server::bridge(executor, folder.path());
    near.quick("x = 1");
    let [first] = in_turn(
        FIRST_CALLS,
        [&mut || {
            let mut bridge = over(&link, folder.path());
            let took = timed(|| bridge.quick("x = 1"));
            bridge.leave();
            took / round_trip
        }],
    );
    let mut far = over(&link, folder.path());
    far.quick("x = 1");
    // Without TLS, for the cheapest request.
    let plain = Link::to(executor.address(), Way::FAR);
    let mut bare = Bare::connect(plain.address);
    bare.health();
    let [warm, least] = in_turn(
        CALLS,
        [
            &mut || timed(|| far.quick("x = 1")) / round_trip,
            &mut || timed(|| bare.health()) / round_trip,
        ],
    );
    let [seen_far, seen_near] = in_turn(
        LINES,
        [&mut || until_seen(&mut far), &mut || until_seen(&mut near)],
    );
    far.leave();
    near.leave();
    let late: Vec<f64> = seen_far
        .iter()
        .map(|seen| seen - millis(Way::FAR.round_trip))
        .collect();
    vec![
        Row::median("first call of a process", "trips", first).at_most(4.0),
        Row::median("x = 1, warm", "trips", warm).at_most(1.1),
        Row::median("a bare GET /health, warm", "trips", least),
        Row::median(
            "line printed to notification, beyond a round trip",
            "ms",
            late,
        )
        .at_most(60.0),
        Row::median(
            "line printed to notification, over loopback",
            "ms",
            seen_near,
        )
        .at_most(60.0),
    ]
}

fn over(link: &Link, folder: &Path) -> Server {
    let mut command = bridge(&link.line(), folder);
    command.env("SSL_CERT_FILE", link.certificate());
    Server::start(command)
}

/// Returns the milliseconds from printing a line to the notification that shows it.
fn until_seen(bridge: &mut Server) -> f64 {
    let mut params = call("run_code_long", &json!({"code": CODE}));
    params["_meta"] = json!({"progressToken": "line"});
    let id = bridge.begin("tools/call", params);
    let mut seen = None;
    loop {
        let message = bridge.next();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        if message["id"] == id {
            return seen.expect("a notification that shows the line");
        }
        let shown = message["params"]["message"].as_str().unwrap_or_default();
        let printed = shown
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        if let Some((time, _)) = printed {
            let printed: f64 = time.parse().unwrap();
            seen.get_or_insert((now.as_secs_f64() - printed) * 1000.0);
        }
    }
}
