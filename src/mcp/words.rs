//! Words the advice of the floors below with the names of the tools.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::base::advice::{Advice, Step, in_words_of};

/// Words a step for a client's model.
#[must_use]
pub fn word(step: &Step) -> Cow<'static, str> {
    match step {
        Step::Configure => "Ask the user for the line that the Colab notebook prints (https://…#TOKEN), or for `jupyter+` and the address of a Jupyter Server with its \
             token, and call connect_colab with it; or call open_colab_browser_connection to work in a notebook in their browser; or they run `smart-colab connect` in a terminal, or set COLAB_URL to it, or to `local` to compute on this \
             machine, in the client's config and restart the client.",
        Step::AwaitEnvironment => "The first use creates a Python environment, which takes about a minute. Call again.",
        Step::CheckExecutor => "Check that the notebook's start cell (or the executor, if you run one yourself) is still running; then call again. If it \
             prints another line now, call connect_colab with that.",
        Step::CheckLoad => "The machine may be overloaded or the connection stuck. Call again; if that fails too, look whether it still runs.",
        Step::ChangeTunnel { sign } => return format!(
            "See https://ngrok.com/docs/errors/{} for when it is available again, or choose the Cloudflare tunnel in the notebook's form, run the start \
             cell, and call connect_colab with the new line.",
            sign.to_ascii_lowercase()
        )
        .into(),
        Step::RestartExecutor => "Open the Colab notebook and run its start cell again. If it prints a new line, call connect_colab with that, or run \
             `smart-colab connect` in a terminal.",
        Step::RenewToken => "Call connect_colab with the whole line that the notebook prints now, with the part after #, or run `smart-colab connect` in a \
             terminal: each start creates a new token.",
        Step::CheckJupyter => "Check that the Jupyter Server is running and that its address is still this one; then call again. If its address is new, \
             call connect_colab with it (`jupyter+`, the address, ?token=TOKEN).",
        Step::StartJupyter => "Start a Jupyter Server on this computer (`jupyter lab`), then call again: it is found by itself.",
        Step::GiveJupyterToken => "Call connect_colab with jupyter+ and the address with ?token=TOKEN (`jupyter server list` prints it), or set JUPYTER_TOKEN and \
             restart the client. A server that has only a password needs a token too: start it with --IdentityProvider.token=TOKEN.",
        Step::RenewJupyterToken => "Call connect_colab with jupyter+ and the address that the Jupyter Server prints now, with its token (`jupyter server list` \
             prints it too). If COLAB_URL is set to the old one, the user has to change it there.",
        Step::UpdateExecutor => "Open this version's colab/smart_colab_executor.ipynb in Colab and run it, then call connect_colab with its line.",
        Step::CheckAddressOrUpdate => "Check the address. If it is right, open this version's colab/smart_colab_executor.ipynb in Colab and run it, then call \
             connect_colab with its line.",
        Step::CheckAddress => "Open the address in a browser: a sign-in page of the network, a proxy or a VPN may be in between. Check that it is the one that \
             the notebook prints now, and call connect_colab with that; if it is, run the notebook's start cell again.",
        Step::ConnectBack { place } => return format!("Connect back to {place} with connect_colab to read it there.").into(),
        Step::AssignMachine => "Ask the user to run `smart-colab colab up` in a terminal, which has a new one assigned and connects to it.",
        Step::ListMachines => "list_colab_runtimes shows the machines that are assigned, and unassign_colab_runtime gives one back.",
        Step::SignIn => "The user signs in once, in a terminal: with Google's own tool, `gcloud auth application-default login --scopes=openid,\
             https://www.googleapis.com/auth/cloud-platform,https://www.googleapis.com/auth/userinfo.email,https://www.googleapis.com/auth/colaboratory`, or \
             with a client of their own, `smart-colab colab login --client FILE`.",
        Step::Install { client: None } => "Ask the user to run `smart-colab install` in a terminal, and to restart the client.",
        Step::Install { client: Some(id) } => return format!("Ask the user to run `smart-colab install {id}` in a terminal, and to restart the client.").into(),
        Step::Retry { after_sec } => return format!("Call again in {after_sec} s.").into(),
        Step::CheckConnection => "check_colab_connection",
        Step::Connect => "connect_colab",
        Step::Probe => "probe_colab_environment",
        Step::RunQuick => "run_code_quick",
        Step::RunLong => "run_code_long",
        Step::RunChunked => "run_chunked_operation",
        Step::ListJobs => "list_jobs",
        Step::Output { job: None } => "get_output",
        // A name may hold spaces.
        Step::Output { job: Some(id) } if id.contains(' ') => return format!("get_output with job_id {id:?}").into(),
        Step::Output { job: Some(id) } => return format!("get_output with job_id {id}").into(),
        Step::Interrupt { job: None } => "interrupt_execution",
        Step::Interrupt { job: Some(id) } => return format!("interrupt_execution with job_id {id}").into(),
        Step::RestartSession => "restart_session",
        Step::ListVariables => "list_colab_variables",
        Step::ListFiles => "list_colab_files",
        Step::Upload => "upload_to_colab",
        Step::Download => "download_from_colab",
        Step::Mirror => "mirror_folder",
        Step::ListCheckpoints => "list_checkpoints",
        Step::GetCheckpoint => "get_checkpoint",
        Step::DeleteCheckpoint => "delete_checkpoint",
        Step::OpenNotebook => "open_notebook",
        Step::GetCells => "get_cells",
        Step::OpenTab => "open_colab_browser_connection",
        Step::LongerRun => "run_code_long a larger timeout_sec",
        Step::RemotePath => "remote_path",
        Step::LocalName => "local_filename",
        Step::SaveDir => "LOCAL_SAVE_DIR",
    }
    .into()
}

/// Words advice with the names of the tools.
pub(super) fn say(advice: &Advice) -> String {
    advice.worded(word)
}

/// A report whose advice is worded when it is serialized.
pub(super) struct Worded<T>(pub(super) T);

impl<T: Serialize> Serialize for Worded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        in_words_of(word, || self.0.serialize(serializer))
    }
}
