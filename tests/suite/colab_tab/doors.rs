//! Who may connect, and how the browser is led to the notebook.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::json;

use super::waiting;
use crate::support::colab_tab::{ColabTab, ORIGIN};
use crate::support::home::Home;
use crate::support::stdio::Bridge;

/// Sends a request as it stands, and returns the answer's head.
fn ask(port: &str, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let request = format!(
        "{}\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        lines.join("\r\n")
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<String> = answer
        .by_ref()
        .take_while(|line| !line.is_empty())
        .collect();
    head.join("\n").to_lowercase()
}

#[test]
fn only_pages_of_colab_with_the_token_may_connect() {
    let home = Home::new();
    let (bridge, pair) = waiting(&home, &[]);
    let (token, port) = pair.split_once('&').unwrap();
    let right = format!("GET /?access_token={token} HTTP/1.1");
    let origin = format!("Origin: {ORIGIN}");
    let socket = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let guessed = format!("GET /?access_token={}x HTTP/1.1", &token[1..]);
    let bearer = format!("Authorization: Bearer {token}");
    let with = |first: &str, more: &[&str]| {
        let mut lines = vec![first];
        lines.extend(more);
        lines.extend(socket);
        ask(port, &lines)
    };
    let protocol = "Sec-WebSocket-Protocol: mcp";
    for (status, answer) in [
        ("403", with(&right, &[protocol])),
        (
            "403",
            with(&right, &[protocol, "Origin: https://colab.google.com.evil"]),
        ),
        (
            "403",
            with(
                &right,
                &[protocol, "Origin: http://colab.research.google.com"],
            ),
        ),
        ("401", with("GET / HTTP/1.1", &[protocol, &origin])),
        (
            "400",
            with(
                "GET / HTTP/1.1",
                &[protocol, &origin, "Authorization: Basic eDp5"],
            ),
        ),
        ("403", with(&guessed, &[protocol, &origin])),
        ("400", with(&right, &[&origin])),
        ("404", with("GET /x HTTP/1.1", &[protocol, &origin])),
        ("426", ask(port, &[&right, protocol, &origin])),
        ("410", ask(port, &["GET /open/guess HTTP/1.1"])),
        ("403", ask(port, &["OPTIONS / HTTP/1.1"])),
    ] {
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{status}: {answer}"
        );
    }
    let preflight = ask(port, &["OPTIONS / HTTP/1.1", &origin]);
    for line in [
        "http/1.1 204",
        "access-control-allow-private-network: true",
        &format!("access-control-allow-origin: {ORIGIN}"),
        "access-control-allow-methods: get, options",
    ] {
        assert!(preflight.contains(line), "{line}: {preflight}");
    }
    // None of them took the place of a tab.
    let answer = with("GET / HTTP/1.1", &[protocol, &origin, &bearer]);
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    let left = bridge.leave();
    let logged = left.stderr + &home.everything();
    let found = logged.lines().find(|line| line.contains(token));
    assert_eq!(found, None);
}

/// The program that opens addresses writes them into a file, as its only argument.
#[cfg(unix)]
#[test]
fn the_browser_is_opened_once_at_a_page_without_a_secret_that_leads_to_the_notebook() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let browser = home.folder("browser");
    let opened = home.folder("opened");
    let script = format!("#!/bin/sh\necho \"$1\" >> '{}'\n", opened.display());
    std::fs::write(&browser, script).unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o700)).unwrap();
    let variables = [
        ("BROWSER", browser.to_str().unwrap()),
        ("SMART_COLAB_CALL_BUDGET_SEC", "5"),
    ];
    let (mut bridge, pair) = waiting(&home, &variables);
    let (token, port) = pair.split_once('&').unwrap();
    // The call goes on waiting for the page that is open.
    bridge
        .call("open_colab_browser_connection", json!({}))
        .succeeded();
    let addresses = std::fs::read_to_string(&opened).unwrap();
    assert_eq!(addresses.lines().count(), 1, "{addresses}");
    assert!(!addresses.contains(token), "{addresses}");
    let path = addresses
        .trim()
        .strip_prefix(&format!("http://127.0.0.1:{port}"));
    let path = path.unwrap();
    let led = ask(port, &[&format!("GET {path} HTTP/1.1")]);
    let wanted = format!(
        "location: https://colab.research.google.com/notebooks/empty.ipynb?p={port}#mcpproxytoken={}&mcpproxyport={port}",
        token.to_lowercase()
    );
    assert!(led.starts_with("http/1.1 302 "), "{led}");
    assert!(led.contains(&wanted), "{led}");
    assert!(
        ask(port, &[&format!("GET {path} HTTP/1.1")]).starts_with("http/1.1 410 "),
        "once"
    );
    // A browser that keeps pages from the local network connects and sends nothing.
    drop(TcpStream::connect(format!("127.0.0.1:{port}")).unwrap());
    let blocked = bridge.call("open_colab_browser_connection", json!({}));
    assert!(
        blocked.fact("hint").contains("Local network access"),
        "{}",
        blocked.facts
    );
    // Another notebook is another page.
    let other = json!({"notebook_url": "https://colab.research.google.com/drive/1abc"});
    let asked = bridge.call("open_colab_browser_connection", other);
    assert!(
        asked.fact("address").contains("/drive/1abc?p="),
        "{}",
        asked.facts
    );
    let addresses = std::fs::read_to_string(&opened).unwrap();
    assert_eq!(addresses.lines().count(), 2, "{addresses}");
}

#[test]
fn a_port_that_was_asked_for_is_listened_on_from_the_start() {
    let home = Home::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let mut taken = home.program(&[]);
    taken.args(["--port", &port.to_string()]);
    let mut bridge = Bridge::greeted(taken);
    bridge
        .call("open_colab_browser_connection", json!({}))
        .refused("connection_failed");
    drop(free);
    let asked = bridge.call("open_colab_browser_connection", json!({}));
    let pair = asked.fact("token_and_port").to_owned();
    assert!(pair.ends_with(&format!("&{port}")), "{pair}");
    let _tab = ColabTab::open_from_google(&pair);
}
