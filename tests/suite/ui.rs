//! `smart-colab ui`: the way to the executor's page.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;

use serde_json::json;

use crate::support::executor::{Executor, TOKEN};
use crate::support::home::Home;
use crate::support::python::python;
use crate::support::stdio::Bridge;

fn ui(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = home.program(variables);
    command.arg("ui").args(arguments).output().unwrap()
}

/// What it says when it fails.
fn refusal(home: &Home, variables: &[(&str, &str)]) -> String {
    let output = ui(home, variables, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_address_of_the_page_is_printed_where_no_browser_opens() {
    let (executor, home) = (Executor::shared(), Home::new());
    let line = executor.line();
    let wanted = format!("{}/#{TOKEN}\n", executor.url);
    for arguments in [&[] as &[_], &["--print"]] {
        let output = ui(&home, &[("COLAB_URL", &line)], arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
        assert!(!String::from_utf8_lossy(&output.stderr).contains(TOKEN));
    }
}

#[cfg(unix)]
#[test]
fn a_browser_is_opened_at_the_page_with_the_token_on_no_command_line() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use crate::support::stdio::PATIENCE;

    let (executor, home) = (Executor::shared(), Home::new());
    let (browser, opened) = (home.folder("browser"), home.folder("opened"));
    let script = format!(
        "#!/bin/sh\necho \"$@\" > '{0}.new' && mv '{0}.new' '{0}'\n",
        opened.display()
    );
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, Permissions::from_mode(0o700)).unwrap();
    let variables = [
        ("COLAB_URL", &*executor.line()),
        ("BROWSER", browser.to_str().unwrap()),
    ];
    let output = ui(&home, &variables, &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(!format!("{output:?}").contains(TOKEN), "{output:?}");
    let end = Instant::now() + PATIENCE;
    while !opened.exists() {
        assert!(Instant::now() < end, "no browser was opened");
        sleep(Duration::from_millis(20));
    }
    let address = fs::read_to_string(&opened).unwrap();
    let path = address.trim().strip_prefix("file://").unwrap();
    let page = format!("url={}/#{TOKEN}\"", executor.url);
    assert!(fs::read_to_string(path).unwrap().contains(&page));
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o77, 0);
}

#[test]
fn the_page_of_a_local_executor_is_that_of_a_running_client() {
    let home = Home::new();
    let python = python();
    let local = [
        ("COLAB_URL", "local"),
        ("SMART_COLAB_PYTHON", python.to_str().unwrap()),
    ];
    let said = refusal(&home, &local);
    assert!(said.contains("while a client uses it"), "{said}");
    let mut bridge = Bridge::greeted(home.program(&local));
    let answer = bridge.call("list_colab_variables", json!({}));
    assert!(!answer.is_error, "{answer:?}");
    let output = ui(&home, &[], &["--local", "--print"]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.starts_with("http://127.0.0.1:"), "{page}");
    let (address, token) = page.trim().split_once("/#").unwrap();
    assert!(token.len() > 20, "{page}");
    let mut stream = TcpStream::connect(&address["http://".len()..]).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.contains("<title>smart-colab</title>"), "{reply}");
    drop(bridge);
}

#[test]
fn without_a_page_it_says_what_to_do() {
    let home = Home::new();
    let said = refusal(&home, &[]);
    assert!(said.contains("smart-colab connect"), "{said}");
    let said = refusal(
        &home,
        &[("COLAB_URL", "jupyter+http://127.0.0.1:9/?token=t0ken")],
    );
    assert!(
        said.contains("no address that a browser could open"),
        "{said}"
    );
    let said = refusal(&home, &[("COLAB_URL", "http://127.0.0.1:9/#t0ken")]);
    assert!(said.contains("run this again"), "{said}");
    assert!(!said.contains("t0ken"), "{said}");
}
