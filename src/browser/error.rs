//! What can go wrong with a tab.

use thiserror::Error;

use super::page::NotColab;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;

/// Characters of a tab's own words.
const MAX_SAID_CHARS: usize = 2_000;

/// A failed call, or a tab that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TabError {
    #[error(transparent)]
    NotColab(#[from] NotColab),
    /// 0 stands for any port.
    #[error("no tab can connect: listening on {} failed ({error})", named(*port))]
    NoPort { port: u16, error: String },
    #[error("no tab of Colab is connected")]
    NotConnected,
    /// The tab was sent a call, and has gone. What it did of it is not known.
    #[error("the tab of Colab went away during {tool}")]
    Gone { tool: String },
    /// The tab was sent a call, and may still be at it.
    #[error("the tab of Colab has not answered {tool} in time")]
    Silent { tool: String },
    #[error("the call of {tool} was cancelled")]
    Cancelled { tool: String },
    /// The tab's own words.
    #[error("Colab refused {tool}: {said}")]
    Refused { tool: String, said: String },
    #[error("the tab of Colab has no tool {tool:?}")]
    NoTool { tool: String, known: Vec<String> },
    #[error("the tab of Colab answered {tool} in an unknown form: {said}")]
    Odd { tool: String, said: String },
    /// A cell whose run goes on.
    #[error("this cell is still running in the tab of Colab")]
    Running,
}

impl TabError {
    /// An answer that cannot be read, with what it says.
    pub(crate) fn odd(tool: &str, said: &str) -> Self {
        let said = said.chars().take(MAX_SAID_CHARS).collect();
        let tool = tool.to_owned();
        Self::Odd { tool, said }
    }

    /// A call that the tab refuses, in its own words.
    pub(super) fn refused(tool: &str, said: &str) -> Self {
        let said = said.chars().take(MAX_SAID_CHARS).collect();
        let tool = tool.to_owned();
        Self::Refused { tool, said }
    }
}

impl Fault for TabError {
    fn code(&self) -> &str {
        match self {
            Self::NotColab(_) => "invalid_argument",
            Self::NoTool { .. } => "unsupported",
            Self::NoPort { .. } => "connection_failed",
            Self::NotConnected => "not_connected",
            Self::Gone { .. } => "connection_lost",
            Self::Silent { .. } => "timed_out",
            Self::Cancelled { .. } => "cancelled",
            Self::Refused { .. } => "refused",
            Self::Odd { .. } => "unexpected_reply",
            Self::Running => "busy",
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::NotConnected | Self::Running => true,
            // What was sent may have been done.
            Self::Gone { .. }
            | Self::Silent { .. }
            | Self::Cancelled { .. }
            | Self::NotColab(_)
            | Self::NoPort { .. }
            | Self::Refused { .. }
            | Self::NoTool { .. }
            | Self::Odd { .. } => false,
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::NotColab(_) => "Give the address of a notebook as the browser shows it (https://colab.research.google.com/…), or none for an empty one. Nothing was opened.".into(),
            Self::NoPort { port: 0, .. } => "Restart the client. If that does not help, a firewall keeps programs from listening on this computer.".into(),
            Self::NoPort { .. } => "Another process has this port: end it, or ask the user to start this server with another --port or without one.".into(),
            Self::NotConnected => Advice::from("Call ") + Step::OpenTab + ", which opens Colab in the browser, and ask the user to confirm its dialog. To work on a notebook file on the runtime, name it as `notebook`, or open it: " + Step::OpenNotebook + ".",
            Self::Gone { .. } => Advice::from("Whether it was done is not known, and it is not repeated by itself. Call ") + Step::OpenTab + ", then look with " + Step::GetCells + " before you repeat anything.",
            Self::Silent { .. } => Advice::from("It may be done later: Colab does one thing after the other, and a browser puts tabs in the background to sleep. Ask the user to bring the tab to the front, then look with ") + Step::GetCells + " before you repeat anything.",
            Self::Cancelled { .. } => Advice::from("The tab may have done it before, and a cell that runs may go on there: look with ") + Step::GetCells + ", and ask the user to press Stop in Colab.",
            Self::Refused { .. } => Advice::from("Correct the call by what Colab says; ") + Step::GetCells + " shows the cells as they are now.",
            Self::NoTool { known, .. } => format!("It has {}. Another kind of page may be open in it: reload the notebook in the browser, or use what it has.", known.join(", ")).into(),
            Self::Odd { .. } => Advice::from("Colab may have changed. Look with ") + Step::GetCells + " whether it was done before you repeat it.",
            Self::Running => Advice::from("Wait for its end: ") + Step::GetCells + " shows its outputs then. Running it again would queue it a second time.",
        }
    }
}

fn named(port: u16) -> String {
    match port {
        0 => "any port".to_owned(),
        port => format!("port {port}"),
    }
}
