//! Servers that cannot be used: each says why, and what to do.

use std::net::TcpListener;
use std::time::Instant;

use serde_json::json;

use super::{run, succeeded};
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::{Bridge, PATIENCE};
use crate::support::tls::Tls;

#[test]
fn a_server_that_cannot_be_used_says_why() {
    let server = Jupyter::server(
        "/base/",
        &[
            "--KernelSpecManager.ensure_native_kernel=False",
            "--KernelSpecManager.allowed_kernelspecs=none",
        ],
    );
    let wrong = format!(
        "jupyter+{}/?token=wr0ng-t0ken-of-the-jupyter-server",
        server.url()
    );
    let none = format!("jupyter+{}/", server.url());
    let outside = format!("jupyter+http://{}/?token={TOKEN}", server.address());
    for (setting, code, words) in [
        (&wrong, "unauthorized", ["refused the token", "jupyter+"]),
        (&none, "unauthorized", ["none was given", "password"]),
        (&outside, "connection_failed", ["no /api below", "/api"]),
        (
            &server.setting(),
            "connection_failed",
            ["offers no kernels", "ipykernel"],
        ),
    ] {
        let home = Home::new();
        let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", setting)]));
        let answer = bridge.call("run_code_quick", json!({"code": "x = 1"}));
        answer.refused(code);
        assert!(answer.fact("error").contains(words[0]), "{answer:?}");
        assert!(answer.fact("hint").contains(words[1]), "{answer:?}");
        assert!(!answer.whole.to_string().contains("t0ken"), "{answer:?}");
    }
}

#[test]
fn a_running_server_is_found_and_other_settings_lead_there_with_a_token_or_none() {
    let (mut server, home) = (Jupyter::server("/", &[]), Home::new());
    let runtime = server.runtime_dir().display().to_string();
    let found = [("COLAB_URL", "jupyter"), ("JUPYTER_RUNTIME_DIR", &*runtime)];
    let url = server.url();
    let named = [("JUPYTER_URL", &*url), ("JUPYTER_TOKEN", TOKEN)];
    for variables in [found, named] {
        let mut bridge = Bridge::greeted(home.program(&variables));
        succeeded(&run(&mut bridge, "x = 1"));
        assert!(bridge.leave().status.success());
    }
    // It has a certificate of its own.
    let tls = Tls::to(server.address());
    let setting = format!("jupyter+https://{}/?token={TOKEN}", tls.address);
    let own = tls.certificate().display().to_string();
    let missing = home.folder("none.pem").display().to_string();
    for (file, words) in [
        (None, "not trusted"),
        (Some(&missing), "none.pem"),
        (Some(&own), ""),
    ] {
        let file = file.map(|file| ("SSL_CERT_FILE", &**file));
        let variables: Vec<_> = file.into_iter().chain([("COLAB_URL", &*setting)]).collect();
        let mut bridge = Bridge::greeted(home.program(&variables));
        let answer = run(&mut bridge, "x = 1");
        if words.is_empty() {
            succeeded(&answer);
        } else {
            answer.refused("connection_failed");
            assert!(answer.fact("error").contains(words), "{answer:?}");
            assert!(answer.fact("hint").contains("SSL_CERT_FILE"), "{answer:?}");
        }
        assert!(bridge.leave().status.success());
    }
    // Started without a token, it ignores any.
    server.kill();
    server.restart("");
    for query in ["", "/lab?token=other"] {
        let setting = format!("jupyter+{url}{query}");
        let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", &*setting)]));
        succeeded(&run(&mut bridge, "x = 1"));
        assert!(bridge.leave().status.success());
        assert_eq!(server.kernels(), [""; 0]);
    }
    let home = Home::new();
    let nowhere = home.folder("none").display().to_string();
    let none = [("COLAB_URL", "jupyter"), ("JUPYTER_RUNTIME_DIR", &*nowhere)];
    let mut bridge = Bridge::greeted(home.program(&none));
    let answer = bridge.call("run_code_quick", json!({"code": "x = 1"}));
    answer.refused("connection_failed");
    assert!(answer.fact("hint").contains("`jupyter lab`"), "{answer:?}");
}

#[test]
fn a_server_that_accepts_and_never_answers_is_named() {
    let (silent, home) = (TcpListener::bind("127.0.0.1:0").unwrap(), Home::new());
    let setting = format!(
        "jupyter+http://{}/?token={TOKEN}",
        silent.local_addr().unwrap()
    );
    let variables = [
        ("COLAB_URL", &*setting),
        ("SMART_COLAB_CALL_BUDGET_SEC", "5"),
    ];
    let mut bridge = Bridge::greeted(home.program(&variables));
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = bridge.call("run_code_quick", json!({"code": "x = 1"}));
        let hint = answer.fact("hint");
        for word in ["in seconds", "tunnel", "notebook"] {
            assert!(!hint.contains(word), "{answer:?}");
        }
        if answer.fact("error").contains("did not answer in time") {
            return;
        }
        assert!(hint.contains("not answered"), "{answer:?}");
        assert!(Instant::now() < end, "{answer:?}");
    }
}
