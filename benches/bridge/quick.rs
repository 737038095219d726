//! A quick call: through the bridge, by a bare HTTP client, by `jupyter_client` without an executor, and through peers.

use crate::http::Bare;
use crate::kernel::Kernel;
use crate::peers::Peer;
use crate::server::Server;
use crate::support::executor::Executor;
use crate::table::{Row, in_turn, timed};

const WARM_UPS: usize = 20;
const TURNS: usize = 200;
const PEER_TURNS: usize = 50;
const CODE: &str = "x = 1";

pub(crate) fn rows(executor: &Executor, peers: &[Peer]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Server::bridge(executor, folder.path());
    let (mut bare, mut kernel) = (Bare::connect(executor.address()), Kernel::start());
    for _ in 0..WARM_UPS {
        bridge.quick(CODE);
        bare.run(CODE);
        kernel.run(CODE);
    }
    let [through, http, direct] = in_turn(
        TURNS,
        [
            &mut || 1000.0 * timed(|| bridge.quick(CODE)),
            &mut || 1000.0 * timed(|| bare.run(CODE)),
            &mut || 1000.0 * kernel.run(CODE),
        ],
    );
    kernel.leave();
    let mut rows = vec![
        Row::ratio(
            "x = 1 through the bridge / bare PUT /jobs",
            "ms",
            ("bridge", &through),
            ("HTTP", &http),
        )
        .at_most(1.15),
        Row::ratio(
            "x = 1 by bare PUT /jobs / jupyter_client",
            "ms",
            ("HTTP", &http),
            ("jupyter_client", &direct),
        )
        .at_most(1.4),
    ];
    for peer in peers {
        let mut server = peer.start();
        peer.run(&mut server, CODE);
        let [ours, theirs] = in_turn(
            PEER_TURNS,
            [&mut || 1000.0 * timed(|| bridge.quick(CODE)), &mut || {
                1000.0 * timed(|| drop(peer.run(&mut server, CODE)))
            }],
        );
        let what = format!("x = 1 through the bridge / {}", peer.name);
        rows.push(Row::ratio(what, "ms", ("bridge", &ours), ("peer", &theirs)));
        if let (Some(ours), Some(theirs)) = (bridge.resident(), server.resident()) {
            let what = format!("memory / {}", peer.name);
            rows.push(Row::ratio(
                what,
                "MB",
                ("bridge", &[ours]),
                ("peer", &[theirs]),
            ));
        }
        server.leave();
    }
    bridge.leave();
    rows
}
