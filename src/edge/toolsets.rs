//! Which groups of tools are offered.

use super::env::{self, Env};

macro_rules! toolsets {
    ($($toolset:ident = $name:literal),+ $(,)?) => {
        /// A group of tools, by its name in [`env::TOOLSETS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Toolset { $($toolset),+ }

        impl Toolset {
            pub const ALL: &[Self] = &[$(Self::$toolset),+];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$toolset => $name),+ }
            }
        }
    };
}

toolsets! {
    Connection = "connection",
    Pairing = "pairing",
    Code = "code",
    Jobs = "jobs",
    Chunked = "chunked",
    Checkpoints = "checkpoints",
    Notebook = "notebook",
    Cells = "cells",
    CellRuns = "cell_runs",
    Browser = "browser",
    Machines = "machines",
    NotebookRuns = "notebook_runs",
    Files = "files",
    Reading = "reading",
    Uploads = "uploads",
    Sessions = "sessions",
    Variables = "variables",
}

/// The toolsets that are switched on; all by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolsets(Vec<Toolset>);

impl Default for Toolsets {
    fn default() -> Self {
        Self(Toolset::ALL.to_vec())
    }
}

impl Toolsets {
    #[must_use]
    pub fn has(&self, toolset: Toolset) -> bool {
        self.0.contains(&toolset)
    }

    /// Reads names of toolsets to offer, or each with a `-` those to leave out.
    pub(super) fn read(env: &Env) -> Result<Self, String> {
        let Some(text) = env.get(env::TOOLSETS) else {
            return Ok(Self::default());
        };
        let parts: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let leaves_out = parts.iter().any(|part| part.starts_with('-'));
        let mut named = Vec::new();
        for part in parts {
            let name = match part.strip_prefix('-') {
                Some(name) => name.trim_start(),
                None if leaves_out => {
                    return Err(format!(
                        "{} is {text:?}: either name the toolsets to offer, or put a - before each one to leave out",
                        env::TOOLSETS
                    ));
                }
                None => part,
            };
            if name.is_empty() {
                return Err(format!(
                    "{} is {text:?}: a - must be followed by the name of the toolset to leave out, such as -browser",
                    env::TOOLSETS
                ));
            }
            named.push(find(name)?);
        }
        let mut offered = Toolset::ALL.to_vec();
        offered.retain(|toolset| named.contains(toolset) != leaves_out);
        Ok(Self(offered))
    }
}

fn find(name: &str) -> Result<Toolset, String> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let mut all = Toolset::ALL.iter().copied();
    if let Some(found) = all.find(|toolset| toolset.name() == plain) {
        return Ok(found);
    }
    let names: Vec<&str> = Toolset::ALL.iter().map(|toolset| toolset.name()).collect();
    let distance = |known: &&&str| strsim::osa_distance(&plain, known);
    let near = names.iter().min_by_key(distance);
    let near = near.filter(|known| distance(known) <= (known.len() / 3).max(1));
    let meant = near.map_or_else(String::new, |known| format!(" (did you mean {known}?)"));
    Err(format!(
        "{} names {name:?}, which is not a toolset{meant}: the toolsets are {}",
        env::TOOLSETS,
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::{Env, Toolset, Toolsets};

    fn read(text: &str) -> Result<Vec<Toolset>, String> {
        Toolsets::read(&Env::from([("SMART_COLAB_TOOLSETS", text)])).map(|toolsets| toolsets.0)
    }

    #[test]
    fn toolsets_are_named_or_left_out_and_a_misspelt_name_is_a_fault() {
        assert_eq!(read("").unwrap(), Toolset::ALL);
        let some = [Toolset::Code, Toolset::CellRuns];
        assert_eq!(read("cell-runs, Code,").unwrap(), some);
        let rest = read("-browser,-machines").unwrap();
        assert_eq!(rest.len(), Toolset::ALL.len() - 2);
        assert!(!rest.contains(&Toolset::Browser) && rest.contains(&Toolset::Code));
        let fault = read("-machine").unwrap_err();
        assert!(fault.contains("did you mean machines?"), "{fault}");
        assert!(!read("everything").unwrap_err().contains("did you mean"));
        assert!(read("-").unwrap_err().contains("such as -browser"));
        assert!(read("code,-files").unwrap_err().contains("either name"));
    }
}
