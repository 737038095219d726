//! Words the advice of the floors below with commands.

use std::borrow::Cow;

use crate::base::advice::Step;
use crate::mcp::words;

/// Words a step for a person in a terminal. Steps without a command are done in the client.
#[must_use]
pub fn word(step: &Step) -> Cow<'static, str> {
    match step {
        Step::Configure => "Run `smart-colab connect` with the line that the Colab notebook prints (https://…#TOKEN), or with `jupyter+` and the address of a \
             Jupyter Server with its token; or set COLAB_URL to it, or to `local` to compute on this machine.",
        Step::AwaitEnvironment => "The first use creates a Python environment, which takes about a minute. Then run this again.",
        Step::CheckExecutor => "Check that the notebook's start cell (or the executor, if you run one yourself) is still running; then run this again. If it \
             prints another line now, run `smart-colab connect` with that.",
        Step::CheckLoad => "The machine may be overloaded or the connection stuck. Run this again; if that fails too, look whether it still runs.",
        Step::ChangeTunnel { sign } => return format!(
            "See https://ngrok.com/docs/errors/{} for when it is available again, or choose the Cloudflare tunnel in the notebook's form, run the start \
             cell, and run `smart-colab connect` with the new line.",
            sign.to_ascii_lowercase()
        )
        .into(),
        Step::RestartExecutor => "Open the Colab notebook and run its start cell again. If it prints a new line, run `smart-colab connect` with that.",
        Step::RenewToken => "Run `smart-colab connect` with the whole line that the notebook prints now, with the part after #: each start creates a new \
             token.",
        Step::CheckJupyter => "Check that the Jupyter Server is running and that its address is still this one; then run this again. If its address is new, \
             run `smart-colab connect` with it (`jupyter+`, the address, ?token=TOKEN).",
        Step::StartJupyter => "Start a Jupyter Server on this computer (`jupyter lab`), then run this again: it is found by itself.",
        Step::GiveJupyterToken => "Run `smart-colab connect` with jupyter+ and the address with ?token=TOKEN (`jupyter server list` prints it), or set JUPYTER_TOKEN and \
             restart the client. A server that has only a password needs a token too: start it with --IdentityProvider.token=TOKEN.",
        Step::RenewJupyterToken => "Run `smart-colab connect` with jupyter+ and the address that the Jupyter Server prints now, with its token (`jupyter server list` \
             prints it too). If COLAB_URL is set to the old one, the user has to change it there.",
        Step::UpdateExecutor => "Open this version's colab/smart_colab_executor.ipynb in Colab and run it, then run `smart-colab connect` with its line.",
        Step::CheckAddressOrUpdate => "Check the address. If it is right, open this version's colab/smart_colab_executor.ipynb in Colab and run it, then run \
             `smart-colab connect` with its line.",
        Step::CheckAddress => "Open the address in a browser: a sign-in page of the network, a proxy or a VPN may be in between. Check that it is the one that \
             the notebook prints now, and run `smart-colab connect` with that; if it is, run the notebook's start cell again.",
        Step::ConnectBack { place } if place == "local" => "Run this with --local to read it.",
        Step::ConnectBack { place } => return format!("Run `smart-colab connect` with the line of {place} to go back there.").into(),
        Step::AssignMachine => "Run `smart-colab colab up`, which has a new one assigned and connects to it.",
        Step::ListMachines => "`smart-colab colab list` shows the machines that are assigned, and `smart-colab colab down NAME` gives one back.",
        Step::SignIn => "Sign in once: with Google's own tool, `gcloud auth application-default login --scopes=openid,\
             https://www.googleapis.com/auth/cloud-platform,https://www.googleapis.com/auth/userinfo.email,https://www.googleapis.com/auth/colaboratory`, or \
             with a client of your own, `smart-colab colab login --client FILE`.",
        Step::Install { client: None } => "Run `smart-colab install`, then restart the client.",
        Step::Install { client: Some(id) } => return format!("Run `smart-colab install {id}`, then restart the client.").into(),
        Step::Retry { after_sec } => return format!("Run this again in {after_sec} s.").into(),
        Step::Connect => "`smart-colab connect`",
        Step::CheckConnection => "`smart-colab doctor`",
        Step::RunQuick | Step::RunLong => "`smart-colab run`",
        Step::ListJobs => "`smart-colab jobs`",
        Step::Output { job: None } => "`smart-colab logs`",
        Step::Output { job: Some(id) } => return format!("`smart-colab logs {id}`").into(),
        Step::Interrupt { job: None } => "`smart-colab stop`",
        Step::Interrupt { job: Some(id) } => return format!("`smart-colab stop {id}`").into(),
        Step::Upload => "`smart-colab put`",
        Step::Download => "`smart-colab get`",
        Step::Probe => "`smart-colab run -c '!free -h'`",
        Step::RestartSession => "`smart-colab run -c 'exit()'`",
        Step::ListVariables => "`smart-colab run -c '%whos'`",
        Step::ListFiles => "`smart-colab run -c '!ls -l'`",
        Step::LongerRun => "`smart-colab run` a larger --timeout",
        Step::RemotePath => "REMOTE",
        Step::LocalName => "LOCAL",
        Step::SaveDir => "the folder",
        Step::RunChunked
        | Step::Mirror
        | Step::ListCheckpoints
        | Step::GetCheckpoint
        | Step::DeleteCheckpoint
        | Step::OpenNotebook
        | Step::GetCells
        | Step::OpenTab => return format!("`{}` in the client", words::word(step)).into(),
    }
    .into()
}

/// Rewords a hint of a server on this computer, which is worded for a model.
pub(super) fn reworded(hint: &str) -> String {
    let sentences = [Step::CheckExecutor, Step::CheckLoad, Step::AwaitEnvironment];
    sentences.iter().fold(hint.to_owned(), |hint, step| {
        hint.replace(&*words::word(step), &word(step))
    })
}

/// Quotes a path so that it can be pasted into a POSIX shell or PowerShell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:\\=+@".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::{reworded, word};
    use crate::base::advice::Step;
    use crate::mcp::words;

    #[test]
    fn a_servers_hint_is_worded_in_commands() {
        let hint = format!("{} Its output is kept.", words::word(&Step::CheckExecutor));
        let wanted = format!("{} Its output is kept.", word(&Step::CheckExecutor));
        assert_eq!(reworded(&hint), wanted);
        assert!(wanted.contains("smart-colab connect"), "{wanted}");
    }
}
