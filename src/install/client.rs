//! The clients: where their configs are, and in what form they name servers.

use std::fs;
use std::path::{Path, PathBuf};

use directories::BaseDirs;

use crate::edge::env::{self, Env};

/// A client that reads its servers from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    ClaudeDesktop,
    ClaudeCode,
    Cursor,
    VsCode,
    Codex,
    Gemini,
    Cline,
    Zed,
}

/// How a config is written.
pub(super) enum Syntax {
    Json,
    JsonWithComments,
    Toml,
}

/// A client's own time limit, as a field of an entry.
pub(super) struct Limit {
    pub(super) field: &'static str,
    /// What the client waits by itself, in seconds.
    default_sec: u64,
    /// How many of the field's units a second has.
    pub(super) unit: u64,
    /// Whether it limits calls, and so has to be longer than ours.
    is_for_calls: bool,
}

/// What a reply needs beyond the time that a call may take, in seconds.
const MARGIN_SEC: u64 = 15;

impl Limit {
    /// The limit in seconds, for calls that may take this long.
    pub(super) fn seconds(&self, call_budget_sec: Option<u64>) -> u64 {
        match call_budget_sec {
            Some(budget) if self.is_for_calls => self.default_sec.max(budget + MARGIN_SEC),
            Some(_) | None => self.default_sec,
        }
    }
}

/// The system that the clients run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Linux,
    MacOs,
    Windows,
}

/// Where programs keep their files.
#[derive(Debug, Clone)]
pub struct Folders {
    pub system: System,
    pub home: PathBuf,
    /// `~/.config`, `~/Library/Application Support` or `%APPDATA%`.
    pub config: PathBuf,
    /// `%LOCALAPPDATA%`; elsewhere without a meaning.
    pub local: PathBuf,
    /// Folders that clients are told to use in place of their own.
    pub claude_code: Option<PathBuf>,
    pub codex: Option<PathBuf>,
}

impl Folders {
    /// Those of the user; none without a home.
    #[must_use]
    pub fn of_user(env: &Env) -> Option<Self> {
        let dirs = BaseDirs::new()?;
        Some(Self {
            system: match () {
                () if cfg!(windows) => System::Windows,
                () if cfg!(target_os = "macos") => System::MacOs,
                () => System::Linux,
            },
            home: dirs.home_dir().to_owned(),
            config: dirs.config_dir().to_owned(),
            local: dirs.data_local_dir().to_owned(),
            claude_code: env.get(env::CLAUDE_CONFIG_DIR).map(PathBuf::from),
            codex: env.get(env::CODEX_HOME).map(PathBuf::from),
        })
    }

    /// `~/.config`, also on macOS, where some programs use it.
    fn dot_config(&self) -> PathBuf {
        match self.system {
            System::MacOs => self.home.join(".config"),
            System::Linux | System::Windows => self.config.clone(),
        }
    }
}

/// Editors that keep their files as VS Code does, by their folders.
const VS_CODE: [&str; 3] = ["Code", "Code - Insiders", "VSCodium"];
const CLINE: &str = "saoudrizwan.claude-dev";

impl Client {
    pub const ALL: [Self; 8] = [
        Self::ClaudeDesktop,
        Self::ClaudeCode,
        Self::Cursor,
        Self::VsCode,
        Self::Codex,
        Self::Gemini,
        Self::Cline,
        Self::Zed,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "claude-desktop",
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Cline => "cline",
            Self::Zed => "zed",
        }
    }

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::Codex => "Codex",
            Self::Gemini => "Gemini CLI",
            Self::Cline => "Cline",
            Self::Zed => "Zed",
        }
    }

    /// The configs of the installed copies of this client: their folders are there.
    #[must_use]
    pub fn found(self, folders: &Folders) -> Vec<PathBuf> {
        let places = self.places(folders);
        places
            .into_iter()
            .filter(|(sign, _)| sign.exists())
            .map(|(_, config)| config)
            .collect()
    }

    /// The config that the client would read once it is installed.
    #[must_use]
    pub fn usual(self, folders: &Folders) -> Option<PathBuf> {
        self.places(folders)
            .into_iter()
            .next()
            .map(|(_, path)| path)
    }

    /// What shows that the client is installed, and its config; the usual place first.
    fn places(self, folders: &Folders) -> Vec<(PathBuf, PathBuf)> {
        let beside = |folder: PathBuf, name: &str| {
            let config = folder.join(name);
            vec![(folder, config)]
        };
        let Folders { home, config, .. } = folders;
        match self {
            Self::ClaudeDesktop => {
                let name = "claude_desktop_config.json";
                // A package of Windows' store reads only its own copy of the usual folder.
                let packaged = packaged(folders).into_iter().map(|roaming| {
                    let config = roaming.join("Claude").join(name);
                    (roaming, config)
                });
                packaged
                    .chain(beside(config.join("Claude"), name))
                    .collect()
            }
            Self::ClaudeCode => match &folders.claude_code {
                Some(folder) => beside(folder.clone(), ".claude.json"),
                None => vec![(home.join(".claude"), home.join(".claude.json"))],
            },
            Self::Cursor => beside(home.join(".cursor"), "mcp.json"),
            Self::VsCode => VS_CODE
                .iter()
                .flat_map(|name| beside(config.join(name).join("User"), "mcp.json"))
                .collect(),
            Self::Codex => {
                let folder = folders.codex.clone();
                beside(folder.unwrap_or_else(|| home.join(".codex")), "config.toml")
            }
            Self::Gemini => beside(home.join(".gemini"), "settings.json"),
            Self::Cline => {
                let name = "cline_mcp_settings.json";
                let in_editor = VS_CODE.iter().map(|editor| {
                    let storage = config.join(editor).join("User/globalStorage").join(CLINE);
                    (storage.clone(), storage.join("settings").join(name))
                });
                let alone = home.join(".cline");
                let alone = (alone.clone(), alone.join("data/settings").join(name));
                in_editor.chain([alone]).collect()
            }
            Self::Zed => {
                let folder = match folders.system {
                    System::Windows => config.join("Zed"),
                    System::Linux | System::MacOs => folders.dot_config().join("zed"),
                };
                beside(folder, "settings.json")
            }
        }
    }

    /// The key of the servers' table.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::VsCode => "servers",
            Self::Codex => "mcp_servers",
            Self::Zed => "context_servers",
            Self::ClaudeDesktop | Self::ClaudeCode | Self::Cursor | Self::Gemini | Self::Cline => {
                "mcpServers"
            }
        }
    }

    pub(super) fn syntax(self) -> Syntax {
        match self {
            Self::Codex => Syntax::Toml,
            Self::VsCode | Self::Gemini | Self::Zed | Self::Cursor => Syntax::JsonWithComments,
            Self::ClaudeDesktop | Self::ClaudeCode | Self::Cline => Syntax::Json,
        }
    }

    /// The entry's `type`, where a client wants one.
    pub(super) fn transport(self) -> Option<&'static str> {
        matches!(self, Self::VsCode | Self::ClaudeCode).then_some("stdio")
    }

    /// The limits that a client lets an entry set.
    pub(super) fn limits(self) -> &'static [Limit] {
        const CODEX: [Limit; 2] = [
            Limit {
                field: "startup_timeout_sec",
                default_sec: 30,
                unit: 1,
                is_for_calls: false,
            },
            Limit {
                field: "tool_timeout_sec",
                default_sec: 300,
                unit: 1,
                is_for_calls: true,
            },
        ];
        const GEMINI: [Limit; 1] = [Limit {
            field: "timeout",
            default_sec: 600,
            unit: 1000,
            is_for_calls: true,
        }];
        const CLINE: [Limit; 1] = [Limit {
            field: "timeout",
            default_sec: 60,
            unit: 1,
            is_for_calls: true,
        }];
        match self {
            Self::Codex => &CODEX,
            Self::Gemini => &GEMINI,
            Self::Cline => &CLINE,
            Self::ClaudeDesktop | Self::ClaudeCode | Self::Cursor | Self::VsCode | Self::Zed => &[],
        }
    }
}

/// What `%APPDATA%` is for Claude Desktop as a package of Windows' store, whose name ends in its publisher's.
fn packaged(folders: &Folders) -> Vec<PathBuf> {
    if folders.system != System::Windows {
        return Vec::new();
    }
    let packages = folders.local.join("Packages");
    let entries = fs::read_dir(&packages).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("Claude_"))
        .map(|entry| entry.path().join(Path::new("LocalCache/Roaming")))
        .filter(|folder| folder.is_dir())
        .collect();
    found.sort();
    found
}
