//! A notebook in a tab of Colab: through the bridge, through peers, and over a bare WebSocket, each with a tab of its own.

use std::cell::RefCell;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};

use crate::peers::Peer;
use crate::server::{Server, bridge, call};
use crate::start::{ready, started};
use crate::support::colab_tab::ColabTab;
use crate::support::executor::Executor;
use crate::table::{Row, in_turn, median, timed};

const OPEN: &str = "open_colab_browser_connection";
/// A tool of the tab that does nothing.
const NOTHING: &str = "get_session_info";
const STARTS: usize = 5;
const WARM_UPS: usize = 20;
const TURNS: usize = 300;
/// For a page to be opened, and for the answer to a call whose tab has closed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn rows(_: &Executor, peers: &[Peer]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = bridge("", folder.path());
        // The reply says what a page would be told.
        command.env("BROWSER", "no-such-browser");
        Server::start(command)
    };
    // The first start reads the program from the disk.
    start().leave();
    let (ours, tab) = connected(start());
    let idle = ours.resident();
    let (ours, bare) = (RefCell::new(ours), RefCell::new(Bare::new()));
    let mut rows = Vec::new();
    for peer in peers {
        let browser = Browser::at(folder.path());
        let start_peer = || peer.start_with(&[("{browser}", browser.program.to_str().unwrap())]);
        // Installs it, and reads it from the disk.
        start_peer().end();
        let [soon, late] = in_turn(
            STARTS,
            [&mut || started(start)[1], &mut || {
                let ([_, listed], server) = ready(start_peer);
                server.end();
                listed
            }],
        );
        let mut beside = |what: &str, unit, ours: &[f64], theirs: &[f64], bound| {
            let what = format!("{what} / {}", peer.name);
            let row = Row::ratio(what, unit, ("bridge", ours), ("peer", theirs));
            rows.push(row.at_most(bound));
        };
        let what = "spawn to the answer to tools/list";
        beside(what, "ms", &soon, &late, 1.0 / 100.0);

        let (mut theirs, their_tab) = browser.connect(start_peer());
        if let Some((ours, theirs)) = idle.zip(theirs.resident()) {
            beside("memory with a tab", "MB", &[ours], &[theirs], 1.0 / 6.0);
        }
        let arguments = json!({"detail": 1});
        let through = json!({"name": NOTHING, "arguments": arguments});
        let ask = || drop(ours.borrow_mut().call("call_colab_tool", &through));
        let ask_bare = || bare.borrow_mut().call(NOTHING, &arguments);
        let mut ask_theirs = || drop(theirs.call(NOTHING, &arguments));
        for _ in 0..WARM_UPS {
            ask();
            ask_theirs();
            ask_bare();
        }
        let [through, beside_it, alone] = in_turn(
            TURNS,
            [
                &mut || 1000.0 * timed(ask),
                &mut || 1000.0 * timed(&mut ask_theirs),
                &mut || 1000.0 * timed(ask_bare),
            ],
        );
        let alone = median(&alone);
        let own = |times: Vec<f64>| times.iter().map(|time| time - alone).collect::<Vec<_>>();
        let what = "a call of a tab's tool, beyond a bare WebSocket";
        beside(what, "ms", &own(through), &own(beside_it), 1.0 / 4.0);

        let silent = after_closing(theirs, their_tab, "cellId");
        let what = format!("from the tab's end to the answer of {}", peer.name);
        rows.push(Row::median(what, "s", vec![silent]));
    }
    let soon = after_closing(ours.into_inner(), tab, "cell_id");
    let what = "from the tab's end in mid-call to the answer";
    rows.push(Row::median(what, "s", vec![soon]).at_most(1.0));
    rows
}

/// Connects a tab to the bridge.
fn connected(mut server: Server) -> (Server, ColabTab) {
    let waiting = server.call(OPEN, &json!({}));
    let pair = &waiting["structuredContent"]["token_and_port"];
    let tab = ColabTab::open_from_google(pair.as_str().unwrap());
    // Until the tab has said what it has.
    while server.call(OPEN, &json!({}))["structuredContent"]["result"] != true {}
    (server, tab)
}

/// Closes the tab while a cell runs; returns the seconds to the answer, or all that it was waited for.
fn after_closing(mut server: Server, tab: ColabTab, cell_id: &str) -> f64 {
    let cell = json!({"cell_type": "code", "id": "c", "source": ["wait"]});
    tab.page().cells.push(cell);
    let running = server.begin("tools/call", call("run_code_cell", &json!({cell_id: "c"})));
    while tab.count("run_code_cell") == 0 {
        sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    tab.close();
    server.end_after_answer(running, PATIENCE);
    began.elapsed().as_secs_f64()
}

/// A program that notes which page it is to open.
struct Browser {
    program: PathBuf,
    opened: PathBuf,
}

impl Browser {
    fn at(folder: &Path) -> Self {
        let (program, opened) = (folder.join("browser"), folder.join("opened"));
        let script = format!("#!/bin/sh\necho \"$1\" > '{}'\n", opened.display());
        fs::write(&program, script).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { program, opened }
    }

    /// Connects a tab to a peer, which waits for it in its call.
    fn connect(&self, mut server: Server) -> (Server, ColabTab) {
        let asking = server.begin("tools/call", call(OPEN, &json!({})));
        let end = Instant::now() + PATIENCE;
        let pair = loop {
            let page = fs::read_to_string(&self.opened).unwrap_or_default();
            let given = page.trim().split_once("#mcpProxyToken=");
            if let Some((token, port)) =
                given.and_then(|(_, pair)| pair.split_once("&mcpProxyPort="))
            {
                break format!("{token}&{port}");
            }
            assert!(Instant::now() < end, "no page was opened");
            sleep(Duration::from_millis(20));
        };
        let tab = ColabTab::open_from_google(&pair);
        let answer = server.answer(asking);
        assert_eq!(answer["structuredContent"]["result"], true, "{answer}");
        (server, tab)
    }
}

/// A WebSocket to a tab, and nothing else.
struct Bare {
    socket: WebSocket<TcpStream>,
    _tab: ColabTab,
}

impl Bare {
    #[allow(clippy::result_large_err)]
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let opening = std::thread::spawn(move || ColabTab::open_from_google(&format!("t&{port}")));
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let echo = |_: &Request, mut response: Response| {
            let protocol = HeaderValue::from_static("mcp");
            response
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", protocol);
            Ok(response)
        };
        let mut socket = accept_hdr(stream, echo).unwrap();
        let _tab = opening.join().unwrap();
        // It speaks first.
        socket.read().unwrap();
        Self { socket, _tab }
    }

    fn call(&mut self, tool: &str, arguments: &Value) {
        let params = call(tool, arguments);
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.socket
            .send(Message::text(request.to_string()))
            .unwrap();
        let answer = self.socket.read().unwrap().into_text().unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["result"].is_object(), "{answer}");
    }
}
