//! `colab selftest`: what needs a real account, here against the fake.

use std::fs;

use serde_json::json;

use super::{REFRESH_TOKEN, colab, failed, recorded, said, sign_in};
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};

/// As Colab's own package asks the page for a secret.
const USERDATA: &str = include_str!("../../support/fake_colab/in_kernel.py");

#[test]
fn all_steps_pass_and_the_report_has_no_secret() {
    let server = Jupyter::server("/", &[]);
    let package = server.root().join("google/colab");
    fs::create_dir_all(&package).unwrap();
    let get = "\ndef get(name):\n    return ask_front_end('GetSecret')\n";
    fs::write(package.join("userdata.py"), format!("{USERDATA}{get}")).unwrap();
    let (home, fake) = (Home::new(), FakeColab::over(&[server.url()], TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    let unasked = colab(&home, &fake, &["selftest"]);
    failed(&unasked, &["nobody was asked", "--yes"]);
    assert!(!String::from_utf8_lossy(&unasked.stderr).contains("report it"));
    let signed_out = colab(&Home::new(), &fake, &["selftest"]);
    failed(&signed_out, &["sign-in", "gcloud auth"]);
    assert_eq!(fake.count("POST", "/tun/m/assign"), 0);
    let report = said(&colab(&home, &fake, &["selftest", "--gpu", "--yes"]));
    for line in [
        "sign-in: that of Google's own tool",
        "quota: 0.00 compute units",
        "with T4",
        "boot: its Jupyter Server answers",
        "executor: version",
        "code: x = 1",
        "SHA-256 equal",
        "proxy token: a new one opens the machine for 3600 s",
        "colab_request: answered with",
        "unassign:",
        "nothing left:",
        "All steps passed.",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    for secret in [REFRESH_TOKEN, "s3cret", "ya29.", TOKEN, "somebody@"] {
        assert!(!report.contains(secret), "{report}");
    }
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    assert_eq!(fake.state()["faults"], json!([]));
}

#[test]
fn a_step_that_fails_is_named_and_the_machine_is_given_back() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = (Home::new(), FakeColab::over(&[server.url()], TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    // Its proxy accepts no token.
    fake.set(&json!({"proxy_token_sec": 0, "expired_status": 401}));
    let output = colab(&home, &fake, &["selftest", "--yes"]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        report.contains("FAILED") && report.contains("nothing left:"),
        "{report}"
    );
    failed(&output, &["did not pass: executor"]);
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}

#[cfg(unix)]
#[test]
fn an_interrupted_selftest_gives_its_machine_back() {
    // The latter when its terminal is closed.
    for signal in ["-INT", "-HUP"] {
        interrupted_by(signal);
    }
}

#[cfg(unix)]
fn interrupted_by(signal: &str) {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    // It boots for ever.
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let mut program = super::program(&home, &fake, &[("COLAB_MAX_HOURS", "0.5")]);
    program.args(["colab", "selftest", "--yes"]);
    let mut running = program.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("assign:") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0);
    }
    assert_eq!(fake.machines().len(), 1);
    super::change_record(&home, |kept| assert_eq!(kept["limits"]["hours"], 0.5));
    let kill = Command::new("kill")
        .args([signal, &running.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(!running.wait().unwrap().success());
    assert!(
        rest.contains("boot: interrupted") && rest.contains("nothing left:"),
        "{rest}"
    );
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}
