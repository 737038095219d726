//! `smart-colab ui`: opens the page of the executor in the browser.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use tokio::time::Instant;
use url::Url;

use super::words;
use crate::base::advice::Step;
use crate::base::fault::Fault;
use crate::connection::{check_endpoint, check_timeout};
use crate::edge::opener;
use crate::edge::pairing::Pairing;
use crate::edge::settings::{Endpoint, Kind, Settings, Target};
use crate::edge::store::write_atomic;
use crate::provision::local;

/// In the data folder, readable by its owner alone: it holds the token, which is on no command line that way.
const FILE: &str = "ui.html";

const NONE_RUNS: &str = "no executor runs on this computer: it runs while a client uses it. Have the client run some code, then run this again.";
const NO_PAGE: &str = "the executor there is reached through a kernel of the Jupyter Server and has no address that a browser could open. \
    What it runs is shown by the client.";

#[derive(Debug, Args)]
pub(super) struct UiArgs {
    /// Print the page's address, which contains the token, and open nothing.
    #[arg(long)]
    print: bool,
    /// The page of the executor on this machine, whatever COLAB_URL says.
    #[arg(long)]
    pub(super) local: bool,
}

/// Runs the command; the token is shown only where the address is asked for, or could not be opened.
pub(super) async fn run(args: UiArgs, settings: &Settings) -> ExitCode {
    let endpoint = match found(settings).await {
        Ok(endpoint) => endpoint,
        Err(text) => {
            eprintln!("smart-colab: {text}");
            return ExitCode::FAILURE;
        }
    };
    let page = format!("{}/#{}", endpoint.address(), endpoint.token.expose());
    if !args.print {
        match open(&page, settings) {
            Ok(()) => {
                eprintln!(
                    "Opening the page of {} in the browser. If it does not appear, `smart-colab ui --print` prints its address.",
                    endpoint.address()
                );
                return ExitCode::SUCCESS;
            }
            Err(error) => eprintln!(
                "smart-colab: no browser could be opened ({error}). Open this address in one; it contains the token:"
            ),
        }
    }
    match writeln!(io::stdout(), "{page}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The executor that answers, or the sentence that says what is wrong.
async fn found(settings: &Settings) -> Result<Endpoint, String> {
    let candidates = match &settings.target {
        Target::Local => local::running(&settings.data_dir),
        Target::Remote(endpoint) => vec![endpoint.clone()],
        Target::RunningJupyter(_) => return Err(NO_PAGE.to_owned()),
        Target::NotConfigured => match Pairing::new(&settings.data_dir).load() {
            Ok(Some(saved)) => vec![saved.endpoint],
            Ok(None) => {
                let advice = words::word(&Step::Configure);
                return Err(format!("no executor is known. {advice}"));
            }
            Err(error) => return Err(error.to_string()),
        },
    };
    let mut fault = NONE_RUNS.to_owned();
    for endpoint in candidates {
        if endpoint.kind != Kind::Executor {
            return Err(NO_PAGE.to_owned());
        }
        let deadline = Instant::now() + check_timeout(&endpoint);
        match check_endpoint(&endpoint, &settings.data_dir, deadline).await {
            Ok(_) => return Ok(endpoint),
            Err(_) if settings.target == Target::Local => {}
            Err(error) => fault = format!("{error}\n{}", error.remedy().worded(words::word)),
        }
    }
    Err(fault)
}

/// Opens a file that leads to the page.
fn open(page: &str, settings: &Settings) -> io::Result<()> {
    let path = settings.data_dir.join(FILE);
    write_atomic(&path, leading_to(page).as_bytes())?;
    let address = Url::from_file_path(fs::canonicalize(&path)?);
    let address = address.map_err(|()| io::Error::other("the data folder has no address"))?;
    opener::open(&address, settings.browser.as_deref())
}

fn leading_to(page: &str) -> String {
    let escaped = page
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;");
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>smart-colab</title>\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0; url={escaped}\">\n<p><a href=\"{escaped}\">Open the page</a></p>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::leading_to;

    #[test]
    fn a_token_cannot_break_out_of_the_file_that_leads_to_the_page() {
        let file = leading_to("https://there.example/#a\"><script>&amp;");
        assert!(file.contains("url=https://there.example/#a&quot;>&lt;script>&amp;amp;\">"));
        assert!(!file.contains("<script>"));
    }
}
