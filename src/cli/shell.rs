//! `smart-colab completions` and `man`: for the shell and for `man`, from the same descriptions as `--help`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  smart-colab completions bash > ~/.local/share/bash-completion/completions/smart-colab
  smart-colab completions zsh > ~/.zfunc/_smart-colab          (a folder of $fpath)
  smart-colab completions fish > ~/.config/fish/completions/smart-colab.fish
  smart-colab completions powershell >> $PROFILE")]
pub(super) struct CompletionsArgs {
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  smart-colab man | man -l -                                   read it
  smart-colab man --out ~/.local/share/man/man1                install it, with a page for each command")]
pub(super) struct ManArgs {
    /// Write a page for each command into this folder instead.
    #[arg(short, long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "smart-colab", &mut script);
    ended(io::stdout().write_all(&script))
}

/// Prints the man page, or writes all of them.
pub(super) fn man(args: &ManArgs, command: Command) -> ExitCode {
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(command).render(&mut page);
        return ended(written.and_then(|()| io::stdout().write_all(&page)));
    };
    let made = std::fs::create_dir_all(folder);
    match made.and_then(|()| clap_mangen::generate_to(command, folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let folder = folder.display();
            eprintln!(
                "smart-colab: the pages were not written to {folder}: {error}\nGive a folder that can be written."
            );
            ExitCode::FAILURE
        }
    }
}

fn ended(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
