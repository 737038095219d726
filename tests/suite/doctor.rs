//! `smart-colab doctor` names the right fault: a table of faults that are staged on this computer alone.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smart_colab::cli::words::word;
use smart_colab::doctor::{State, examine};
use smart_colab::edge::env::Env;
use smart_colab::edge::settings::{Flags, Settings};

use crate::colab_machines::{REFRESH_TOKEN, colab, said, sign_in};
use crate::support::executor::{Executor, TOKEN};
use crate::support::fake_colab::FakeColab;
use crate::support::fake_executor::{FakeExecutor, WELL, answer, serve};
use crate::support::home::Home;
use crate::support::strangers::Stranger;
use crate::support::tls::Tls;

/// No output may show it.
const T0KEN: &str = WELL.token;
const PLAIN: &str = "Content-Type: application/json";

fn at(address: SocketAddr) -> String {
    format!("http://{address}/#{T0KEN}")
}

fn answering(stranger: Stranger) -> String {
    at(serve(move |_| stranger.reply()))
}

fn doctor(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command: Command = home.program(&[]);
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.arg("doctor").args(arguments).output().unwrap()
}

/// The checks of `doctor --json`.
fn checks(
    home: &Home,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> (Vec<Value>, Option<i32>) {
    let output = doctor(home, variables, &[arguments, &["--json"]].concat());
    let whole = format!("{output:?}");
    assert!(!whole.contains(T0KEN) && !whole.contains(TOKEN), "{whole}");
    assert!(output.stderr.is_empty(), "{whole}");
    (
        serde_json::from_slice(&output.stdout).unwrap(),
        output.status.code(),
    )
}

fn named<'c>(checks: &'c [Value], state: &str) -> Vec<&'c str> {
    let checks = checks.iter().filter(|check| check["state"] == state);
    checks
        .map(|check| check["check"].as_str().unwrap())
        .collect()
}

/// Checks that this is the one fault that is named: `state | check | words of what was seen | words of the remedy`.
#[track_caller]
fn assert_names(home: &Home, variables: &[(&str, &str)], wanted: &str) {
    let wanted: Vec<&str> = wanted.split(" | ").collect();
    let [state, check, seen, remedy] = *wanted.as_slice() else {
        panic!("{wanted:?}")
    };
    let (checks, code) = checks(home, variables, &[]);
    let whole = format!("{wanted:?}: {checks:#?}");
    let is_it = |found: &&Value| found["check"] == check && found["state"] == state;
    let found = checks
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("{whole}"));
    assert!(found["seen"].as_str().unwrap().contains(seen), "{whole}");
    let given = found["remedy"].as_str().unwrap_or_default();
    assert!(given.contains(remedy), "{whole}");
    let failed: &[&str] = if state == "failed" { &[check] } else { &[] };
    assert_eq!(named(&checks, "failed"), failed, "{whole}");
    assert_eq!(code, Some(i32::from(state == "failed")), "{whole}");
}

#[test]
fn what_is_in_the_executors_place_is_named_with_its_remedy() {
    let page = |status, headers| answering(Stranger::Page(status, headers, ""));
    let plain = serve(|_| WELL.reply("GET /health "));
    let tls = Tls::to(plain);
    let fake = |fake: FakeExecutor| at(serve(move |request| fake.reply(request)));
    let jupyter = serve(|request| match request.contains(" /api ") {
        true => answer("200 OK", PLAIN, r#"{"version": "2.21"}"#),
        false => answer("403 Forbidden", PLAIN, "{}"),
    });
    let https = |address: SocketAddr| format!("https://localhost:{}/#{T0KEN}", address.port());
    let (html, moved) = ("Content-Type: text/html", "Location: /sign-in");
    for (url, wanted) in [
        (
            String::new(),
            "failed | address | nowhere to run code | un `smart-colab connect`",
        ),
        (
            "jupyter".to_owned(),
            "failed | address | no Jupyter Server | jupyter lab",
        ),
        (
            format!("https://no-such-host.invalid/#{T0KEN}"),
            "failed | dns | no-such-host.invalid | online",
        ),
        (
            format!("http://127.0.0.1:9/#{T0KEN}"),
            "failed | tcp | port 9 of 127.0.0.1 | Nothing listens",
        ),
        (
            https(tls.address),
            "failed | tls | certificate | SSL_CERT_FILE",
        ),
        (
            https(plain),
            "failed | tls | localhost | http://, not https://",
        ),
        (
            answering(Stranger::NgrokOffline),
            "failed | http | ngrok has no agent | start cell",
        ),
        (
            answering(Stranger::NgrokLimited),
            "failed | http | limit of its plan | Cloudflare",
        ),
        (
            answering(Stranger::NgrokInterstitial),
            "failed | http | warning page | browser",
        ),
        (
            answering(Stranger::Cloudflare(530)),
            "failed | http | Cloudflare has no tunnel | start cell",
        ),
        (
            page("502 Bad Gateway", html),
            "failed | http | (502) | start cell",
        ),
        (
            page("302 Found", moved),
            "failed | http | sign-in page | proxy or a VPN",
        ),
        (
            answering(Stranger::Service),
            "failed | http | did not identify itself | Open the address",
        ),
        (
            answering(Stranger::Executor("1")),
            "failed | version | older than this bridge | this version's",
        ),
        (
            answering(Stranger::Executor("3")),
            "failed | version | newer than this bridge | Update smart-colab",
        ),
        (
            fake(FakeExecutor { token: "x", ..WELL }),
            "failed | token | refused the token | un `smart-colab connect`",
        ),
        (
            format!("jupyter+http://{jupyter}/?token={T0KEN}"),
            "failed | token | refused the token | jupyter server list",
        ),
        (
            fake(FakeExecutor {
                hours_ahead: 3,
                ..WELL
            }),
            "warning | clock | behind | set its clock",
        ),
        (
            fake(FakeExecutor {
                disk_free_gb: 0.3,
                ..WELL
            }),
            "warning | disk | 0.3 of 100.0 GB free on / | Delete files",
        ),
        (
            fake(FakeExecutor {
                gpu_used_gb: 14.9,
                ..WELL
            }),
            "warning | gpu | 14.9 of 15.0 GB used | Restart the session",
        ),
    ] {
        assert_names(&Home::new(), &[("COLAB_URL", &url)], wanted);
    }
}

#[test]
fn faults_of_this_computer_are_named_with_their_remedies() {
    let url = at(serve(|request| WELL.reply(request)));
    let broken = "{\"mcpServers\": {".to_owned();
    let missing = "[mcp_servers.smart-colab]\ncommand = \"/nowhere/smart-colab\"\n".to_owned();
    let program = env!("CARGO_BIN_EXE_smart-colab");
    let entry = |entry: Value| json!({"mcpServers": {"smart-colab": entry}}).to_string();
    let placeholder = entry(json!({"command": program, "env": {"COLAB_URL": "${MY_URL}"}}));
    let copy = entry(json!({"command": std::env::current_exe().unwrap()}));
    let (none, cursor) = (("IGNORED", ""), "home/.cursor/mcp.json");
    let torn = || "{ torn".to_owned();
    for (setting, file, text, wanted) in [
        (
            ("SMART_COLAB_CALL_BUDGET_SEC", "2"),
            "a",
            torn(),
            "failed | settings | from 5 to 3600 | no server starts",
        ),
        (
            ("COLAB_TOKN", "x"),
            "a",
            torn(),
            "failed | settings | COLAB_TOKN | no server starts",
        ),
        (
            ("LOCAL_SAVE_DIR", ""),
            "home/colab_results",
            torn(),
            "failed | folders | colab_results cannot be written | LOCAL_SAVE_DIR",
        ),
        (
            none,
            cursor,
            broken,
            "failed | client:cursor | line 1 | in an editor",
        ),
        (
            none,
            "home/.codex/config.toml",
            missing,
            "failed | client:codex | /nowhere/ | `smart-colab install codex`",
        ),
        (
            none,
            "home/.gemini/settings.json",
            placeholder,
            "failed | client:gemini | COLAB_URL holds a placeholder | in an editor",
        ),
        (
            none,
            cursor,
            copy,
            "warning | client:cursor | another file | `smart-colab install cursor`",
        ),
        (
            ("COLAB_URL", ""),
            "data/connection.json",
            torn(),
            "failed | saved_connection | connection.json | `smart-colab connect`",
        ),
    ] {
        let home = Home::new();
        let path = home.folder(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        assert_names(&home, &[("COLAB_URL", &url), setting], wanted);
    }
    let elsewhere = format!("https://no-such-host.invalid/#{T0KEN}");
    let proxy = ("HTTPS_PROXY", "http://127.0.0.1:9");
    let wanted = "failed | http | cannot be reached | through a proxy";
    assert_names(&Home::new(), &[("COLAB_URL", &elsewhere), proxy], wanted);
}

#[test]
fn a_machine_of_colab_that_is_still_assigned_is_named() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    said(&colab(&home, &fake, &["up", "--no-start"]));
    let gcloud = home.folder("home/.config/gcloud");
    let url = at(serve(|request| WELL.reply(request)));
    let variables = [
        fake.setting(),
        ("CLOUDSDK_CONFIG", gcloud.to_str().unwrap()),
        ("COLAB_URL", &url),
    ];
    let wanted = "warning | colab_machines | costs compute units | `smart-colab colab list`";
    assert_names(&home, &variables, wanted);
    assert_eq!(fake.machines().len(), 1, "nothing was changed");
    said(&colab(&home, &fake, &["down"]));
    let (checks, _) = checks(&home, &variables, &[]);
    assert!(
        named(&checks, "ok").contains(&"colab_machines"),
        "{checks:#?}"
    );
}

#[tokio::test]
async fn a_computer_without_python_is_told_how_to_get_one() {
    let (home, data) = (Home::new(), Home::new());
    let folder = |name: &str| data.folder(name).to_str().unwrap().to_owned();
    let env = Env::from([
        ("SMART_COLAB_DATA_DIR", &*folder("data")),
        ("LOCAL_SAVE_DIR", &folder("results")),
    ]);
    let flags = Flags {
        local: true,
        port: None,
    };
    let (mut settings, faults) = Settings::survey(&env, &flags);
    settings.search_path = home.path().into();
    let before = data.everything();
    let checks = examine(&settings, &faults, &env).await;
    let python = checks.iter().find(|check| check.name == "python").unwrap();
    assert_eq!(python.state, State::Failed, "{python:?}");
    assert!(
        python.remedy.worded(word).contains("python.org"),
        "{python:?}"
    );
    assert_eq!(data.everything(), before, "nothing was made");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = at(listener.local_addr().unwrap());
    let started = Instant::now();
    let wanted = "failed | http | did not answer in time | overloaded";
    assert_names(&Home::new(), &[("COLAB_URL", &url)], wanted);
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn with_an_executor_and_a_client_all_is_well() {
    let (home, executor) = (Home::new(), Executor::shared());
    let line = executor.line();
    let variables = [
        ("COLAB_URL", line.as_str()),
        ("PATH", home.path().to_str().unwrap()),
    ];
    let mut install = home.program(&variables);
    install.args(["install", "--yes", "cursor"]);
    assert!(install.output().unwrap().status.success());
    let (found, code) = checks(&home, &variables, &[]);
    assert_eq!(
        (named(&found, "failed"), code),
        (vec![], Some(0)),
        "{found:#?}"
    );
    let ok = named(&found, "ok");
    for check in [
        "settings",
        "folders",
        "address",
        "tcp",
        "http",
        "version",
        "clock",
        "round_trip",
        "token",
        "kernel",
        "client:cursor",
    ] {
        assert!(ok.contains(&check), "{check}: {found:#?}");
    }
    for check in ["memory", "disk", "gpu"] {
        assert!(!named(&found, "skipped").contains(&check), "{found:#?}");
    }
    let output = doctor(&home, &variables, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        !text.contains('\u{1b}')
            && text
                .trim_end()
                .lines()
                .next_back()
                .unwrap()
                .starts_with("No problems"),
        "{text}"
    );

    let wrong = doctor(&home, &variables, &["--no-such-flag"]);
    assert_eq!(wrong.status.code(), Some(2));
}
