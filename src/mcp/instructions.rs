//! What the server tells every model at its start.

use super::server::Server;
use crate::edge::toolsets::Toolsets;

/// What matters comes first: Codex shows no more than 250 characters.
const PARTS: [&str; 9] = [
    "Runs Python on Colab, Jupyter or this machine; variables stay.",
    " Over a minute: run_code_long.",
    " Loops: run_chunked_operation.",
    " Code runs on after a call: get_output(job_id) shows the rest. After an unclear answer look there, never send it again.",
    "\nAn error has a code and a hint with the next step: follow it. Before anything is deleted or restarted that took long to make, ask the user.",
    " Short code: run_code_quick.",
    " Loops of many steps survive lost connections and machines as a chunked operation, which run_chunked_operation resumes by its checkpoint_name alone.",
    " Files: upload_to_colab and download_from_colab.",
    " Notebooks: open_notebook and the cell tools, or run_notebook for a whole one.",
];

/// The instructions, without the parts that name a tool which is switched off.
pub(super) fn instructions(toolsets: &Toolsets) -> String {
    let offered = |part: &&str| Server::offers_what_it_names(toolsets, part);
    PARTS.into_iter().filter(offered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_paragraph_of_the_instructions_is_shown_by_every_client() {
        let all = instructions(&Toolsets::default());
        let first = all.lines().next().unwrap();
        assert!(first.len() <= 250, "{}", first.len());
    }
}
