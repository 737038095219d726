//! `smart-colab doctor`: one table of what works and what does not, each with what was seen and the remedy.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::words;
use crate::doctor::{Check, State, examine};
use crate::edge::env::Env;
use crate::edge::settings::Settings;

/// Columns of the table.
const MAX_WIDTH: usize = 110;
/// Before a check's name.
const MARK_WIDTH: usize = 9;

#[derive(Debug, Args)]
#[command(after_help = "\
It starts nothing, sends no code and makes nothing but the folders that the settings name. It ends within 30 seconds, also if nothing answers.

Exit codes: 0 if nothing has failed, 1 if a check has failed, 2 for wrong arguments.")]
pub(super) struct DoctorArgs {
    /// Check what computing on this machine needs, whatever COLAB_URL says.
    #[arg(long)]
    pub(super) local: bool,
    /// Print a JSON array of objects with `check`, `state` (ok, warning, failed, skipped), `seen` and `remedy`.
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs all checks and prints them.
pub(super) async fn run(
    args: &DoctorArgs,
    settings: &Settings,
    faults: &[String],
    env: &Env,
) -> ExitCode {
    let checks = examine(settings, faults, env).await;
    let text = if args.json {
        let rows: Vec<_> = checks.iter().map(facts).collect();
        format!("{:#}\n", Value::from(rows))
    } else {
        table(&checks)
    };
    // Colours only for a terminal, and not with NO_COLOR.
    let written = anstream::stdout().write_all(text.as_bytes());
    let has_failed = checks.iter().any(|check| check.state == State::Failed);
    match written.is_ok() && !has_failed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn remedy(check: &Check) -> Option<String> {
    let remedy = check.remedy.worded(words::word);
    Some(remedy).filter(|remedy| !remedy.is_empty())
}

fn facts(check: &Check) -> Value {
    json!({
        "check": check.name,
        "state": check.state.name(),
        "seen": check.seen,
        "remedy": remedy(check),
    })
}

/// The checks in columns, each remedy under its check, and the verdict; in colours.
fn table(checks: &[Check]) -> String {
    let rows: Vec<_> = checks.chunk_by(is_one_row).map(row).collect();
    let name_width = rows.iter().map(|(name, _)| name.width()).max();
    let indent = MARK_WIDTH + name_width.unwrap_or_default() + 2;
    let mut text = String::new();
    for (name, check) in rows {
        let (mark, style) = marked(check.state);
        let mark = format!("{style}{mark}{style:#}{}", pad(mark, MARK_WIDTH));
        let name = format!("{name}{}", pad(&name, indent - MARK_WIDTH));
        text += &format!("{mark}{name}{}\n", wrapped(&check.seen, indent));
        if let Some(remedy) = remedy(check) {
            let arrow = " ".repeat(indent);
            text += &format!("{arrow}> {}\n", wrapped(&remedy, indent + 2));
        }
    }
    text + &format!("\n{}\n", verdict(checks))
}

/// Whether both are skipped for one reason.
fn is_one_row(a: &Check, b: &Check) -> bool {
    a.state == State::Skipped && b.state == State::Skipped && a.seen == b.seen
}

/// The name of a row, and the first of its checks.
fn row(checks: &[Check]) -> (String, &Check) {
    let first = &checks[0];
    match checks {
        [.., last] if checks.len() > 1 => (format!("{} … {}", first.name, last.name), first),
        _ => (first.name.clone(), first),
    }
}

fn marked(state: State) -> (&'static str, Style) {
    match state {
        State::Ok => ("ok", AnsiColor::Green.on_default()),
        State::Warning => ("warning", AnsiColor::Yellow.on_default()),
        State::Failed => ("FAILED", AnsiColor::Red.on_default().bold()),
        State::Skipped => ("skipped", Style::new().dimmed()),
    }
}

fn pad(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(text.width()))
}

/// Breaks a text between words into lines of the table; all but the first are indented. A longer word has a line of its own.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word.to_owned(),
            Some(line) if indent + line.width() + 1 + word.width() <= MAX_WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

fn verdict(checks: &[Check]) -> String {
    let are = |state| checks.iter().filter(move |check| check.state == state);
    let counted = |count: usize, noun: &str| match count {
        0 => format!("No {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    };
    let problems = counted(are(State::Failed).count(), "problem");
    let warnings = match are(State::Warning).count() {
        0 => String::new(),
        count => format!(", {}", counted(count, "warning")),
    };
    match are(State::Failed).next() {
        Some(first) => format!("{problems}{warnings}; start with {}.", first.name),
        None => format!("{problems}{warnings}."),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::{MAX_WIDTH, table, wrapped};
    use crate::base::advice::Step;
    use crate::doctor::{Check, State};

    fn check(name: &str, state: State, seen: &str) -> Check {
        Check {
            name: name.to_owned(),
            state,
            seen: seen.to_owned(),
            remedy: match state {
                State::Failed => Step::Install { client: None }.into(),
                State::Ok | State::Warning | State::Skipped => "".into(),
            },
        }
    }

    #[test]
    fn a_table_is_aligned_and_ends_with_the_verdict() {
        let checks = [
            check("dns", State::Ok, "known"),
            check("round_trip", State::Failed, "lost"),
            check("token", State::Skipped, "needs round_trip"),
            check("kernel", State::Skipped, "needs round_trip"),
            check("gpu", State::Skipped, "needs round_trip"),
        ];
        let wanted = "\
ok       dns          known
FAILED   round_trip   lost
                      > Run `smart-colab install`, then restart the client.
skipped  token … gpu  needs round_trip

1 problem; start with round_trip.
";
        assert_eq!(strip_str(&table(&checks)).to_string(), wanted);
        assert!(table(&checks[..1]).ends_with("\nNo problems.\n"));
    }

    #[test]
    fn long_lines_break_between_words() {
        let text = wrapped(&"word ".repeat(100), 20);
        let mut lines = text.lines();
        assert!(
            lines
                .next()
                .is_some_and(|line| line.len() <= MAX_WIDTH - 20)
        );
        assert!(lines.all(|line| line.starts_with(&" ".repeat(20)) && line.len() <= MAX_WIDTH));
    }
}
