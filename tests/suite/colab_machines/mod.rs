//! Machines that Colab assigns to a Google account: Google's side is a fake, their Jupyter Servers are real.

mod account;
mod consent;
mod limits;
mod official;
mod runtime;
mod selftest;
mod tokens;

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

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

/// The program in a home that may be signed in.
fn program(home: &Home, fake: &FakeColab, settings: &[(&str, &str)]) -> Command {
    let mut command = home.program(settings);
    command.envs([fake.setting()]);
    command.env("CLOUDSDK_CONFIG", home.folder("home/.config/gcloud"));
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS");
    command
}

pub(crate) fn colab(home: &Home, fake: &FakeColab, arguments: &[&str]) -> Output {
    colab_with(home, fake, &[], arguments)
}

fn colab_with(
    home: &Home,
    fake: &FakeColab,
    settings: &[(&str, &str)],
    arguments: &[&str],
) -> Output {
    let mut command = program(home, fake, settings);
    command.arg("colab").args(arguments).output().unwrap()
}

/// Changes the only record of a machine.
fn change_record(home: &Home, change: impl Fn(&mut Value)) {
    let mut records = fs::read_dir(home.folder("data/colab/machines")).unwrap();
    let path = records.next().unwrap().unwrap().path();
    let mut kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut kept);
    let new = home.folder("record");
    fs::write(&new, kept.to_string()).unwrap();
    fs::rename(new, path).unwrap();
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
