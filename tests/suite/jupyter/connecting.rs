//! Connecting to a Jupyter Server by its address, as to an executor.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use super::{run, succeeded};
use crate::connect::connect;
use crate::support::executor::{Executor, TOKEN as EXECUTORS};
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::Bridge;
use crate::support::strangers::Stranger;

/// Serves a web page at every path; returns where.
fn page() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page = Stranger::Page("200 OK", "Content-Type: text/html", "<html>");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&page.reply());
        }
    });
    address
}

#[test]
fn connecting_starts_saves_and_replaces_and_no_reply_shows_the_token() {
    let (server, home) = (Jupyter::server("/user/bob/", &[]), Home::new());
    let executor = Executor::shared();
    let file = home.folder("data").join("connection.json");
    let mut bridge = Bridge::greeted(home.program(&[]));
    run(&mut bridge, "1").refused("not_configured");
    let report = bridge.call("connect_colab", json!({"url": server.setting()}));
    assert_eq!(report.fact("status"), "connected", "{report:?}");
    assert_eq!(report.fact("url"), server.url());
    assert_eq!(report.facts["saved"], true);
    succeeded(&run(&mut bridge, "x = 42"));

    // What cannot be used changes nothing.
    let wrong = format!("jupyter+{}/?token=wr0ng-t0ken", server.url());
    let outside = format!("jupyter+http://{}/?token={TOKEN}", server.address());
    let tls = format!("jupyter+https://{}/?token={TOKEN}", server.address());
    let stranger = format!("jupyter+http://{}/?token={TOKEN}", page());
    for (url, code, words) in [
        (&*wrong, "unauthorized", "refused the token"),
        (&outside, "connection_failed", "no /api below"),
        (&tls, "connection_failed", "http://"),
        (&stranger, "connection_failed", "is not a Jupyter Server"),
        (
            "jupyter+http://127.0.0.1:9/?token=wr0ng-t0ken",
            "connection_failed",
            "cannot be reached",
        ),
    ] {
        let answer = bridge.call("connect_colab", json!({"url": url}));
        answer.refused(code);
        let text = answer.whole.to_string();
        assert!(
            text.contains(words) && text.contains("not changed"),
            "{text}"
        );
        assert!(!text.contains("t0ken"), "{text}");
    }
    assert_eq!(run(&mut bridge, "print(x)").text, "42\n");
    let left = bridge.leave();
    assert!(left.status.success());
    assert_eq!(server.kernels(), [""; 0]);

    // The next start, where the terminal replaces it while the bridge runs.
    let mut later = Bridge::greeted(home.program(&[]));
    assert_eq!(run(&mut later, "print(x)").text, "42\n");
    assert!(fs::read_to_string(&file).unwrap().contains(TOKEN));
    let output = connect(&home, &[], &executor.line());
    assert!(output.status.success(), "{output:?}");
    let text = server.setting();
    drop(server);
    let code = json!({"code": "print(6 * 7)", "session": "connecting"});
    assert_eq!(later.call("run_code_quick", code).text, "42\n");
    let check = later.call("check_colab_connection", json!({}));
    assert_eq!(check.fact("url"), executor.url);
    let output = connect(&home, &[], &text);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(fs::read_to_string(&file).unwrap().contains(EXECUTORS));

    assert!(connect(&home, &["--forget"], "").status.success());
    assert!(!file.exists());
    let shown = left.stdout + &left.stderr + &later.leave().stderr + &home.everything();
    for token in [TOKEN, EXECUTORS, "wr0ng-t0ken"] {
        assert!(!shown.contains(token), "the token is in one file alone");
    }
}
