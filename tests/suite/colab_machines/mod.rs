//! Machines that Colab assigns to a Google account: Google's side is a fake, their Jupyter Servers are real.

mod account;
mod runtime;
mod tokens;

use std::fs;
use std::process::Output;

use serde_json::json;

use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;

pub(crate) const REFRESH_TOKEN: &str = "good-of-the-test-7f3a";

/// Leaves a sign-in as Google's own tool does.
pub(crate) fn sign_in(home: &Home, token: &str) {
    let folder = home.folder("home/.config/gcloud");
    fs::create_dir_all(&folder).unwrap();
    let content = json!({
        "type": "authorized_user", "client_id": "client", "client_secret": "s3cret-of-the-client", "refresh_token": token,
    });
    let file = folder.join("application_default_credentials.json");
    fs::write(file, content.to_string()).unwrap();
}

pub(crate) fn colab(home: &Home, fake: &FakeColab, arguments: &[&str]) -> Output {
    let mut command = home.program(&[fake.setting()]);
    command.env("CLOUDSDK_CONFIG", home.folder("home/.config/gcloud"));
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS");
    command.arg("colab").args(arguments).output().unwrap()
}

#[track_caller]
pub(crate) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn failed(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// How many machines are recorded here.
fn recorded(home: &Home) -> usize {
    let folder = fs::read_dir(home.folder("data/colab/machines"));
    folder.map_or(0, |entries| entries.count())
}
