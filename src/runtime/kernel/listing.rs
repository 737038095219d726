//! Lists the server's folders, page by page.

use std::cmp::Ordering;

use super::Kernels;
use super::paths::{below_root, is_partial};
use super::refusals::refused;
use crate::base::text::Pattern;
use crate::jupyter::{Entry, EntryKind, JupyterError};
use crate::runtime::{ListQuery, RuntimeResult};
use crate::wire::files::{FileEntry, FileList, FileType};

/// Deeper folders are refused: the server follows a link to one of its own parents again and again.
const MAX_DEPTH: usize = 30;

impl Kernels {
    /// Lists a folder. A cursor is the last name of the page before. `total` counts what was seen: all of a single folder.
    pub(super) async fn list(&self, query: &ListQuery) -> RuntimeResult<FileList> {
        let root = below_root(&query.path)?;
        let looked = self.server.look(&root).await;
        match self.known(&root, looked).await? {
            Some(found) if found.kind != EntryKind::Directory => {
                let detail = format!("{root} is a file, not a folder.");
                let hint = "List the folder that it is in, or read the file.";
                return Err(refused(400, "invalid_argument", detail, hint));
            }
            Some(_) => {}
            None => return Err(self.missing(&root).await),
        }
        let pattern = query.name.as_deref().map(glob).transpose()?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let after = query.cursor.as_deref();
        let mut list = FileList {
            path: root.clone(),
            entries: Vec::new(),
            next_cursor: None,
            total: 0,
        };
        let mut rest = self.folder_reversed(&root).await?;
        while let Some(entry) = rest.pop() {
            let below = entry.path.strip_prefix(&root).unwrap_or(&entry.path);
            let name = below.trim_start_matches('/').to_owned();
            let own = name.rsplit('/').next().unwrap_or_default();
            let suits = |pattern: &Pattern| pattern.find(own, 0).is_some();
            let is_after = after.is_none_or(|after| order(&name, after) == Ordering::Greater);
            if !is_partial(own) && pattern.as_ref().is_none_or(suits) {
                list.total += 1;
                if is_after && list.entries.len() == limit {
                    list.next_cursor = list.entries.last().map(|last| last.name.clone());
                    if query.recursive {
                        break;
                    }
                } else if is_after && list.next_cursor.is_none() {
                    list.entries.push(listed(&entry, name.clone()));
                }
            }
            // What a folder holds follows it, and may be behind the cursor though the folder is not.
            let leads_on = after.is_none_or(|after| {
                let rest = after.strip_prefix(&name);
                is_after || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            if query.recursive && entry.kind == EntryKind::Directory && leads_on {
                if name.matches('/').count() >= MAX_DEPTH {
                    let detail = format!("{} is {MAX_DEPTH} folders deep.", entry.path);
                    let hint = "It may be a link to one of the folders above it. Remove the link, or pack what is wanted into one archive from code.";
                    return Err(refused(400, "invalid_argument", detail, hint));
                }
                rest.extend(self.folder_reversed(&entry.path).await?);
            }
        }
        Ok(list)
    }

    /// What is in a folder, the first by name at the end; nothing if it was removed meanwhile.
    async fn folder_reversed(&self, path: &str) -> RuntimeResult<Vec<Entry>> {
        let mut entries = match self.server.folder(path).await {
            Ok(entries) => entries,
            Err(JupyterError::NotFound) => Vec::new(),
            Err(error) => return Err(self.fault(path, error).await),
        };
        entries.sort_by(|one, other| other.path.cmp(&one.path));
        Ok(entries)
    }
}

/// The order in which folders are walked through: each before what it holds.
fn order(one: &str, other: &str) -> Ordering {
    one.split('/').cmp(other.split('/'))
}

fn listed(entry: &Entry, name: String) -> FileEntry {
    FileEntry {
        name,
        path: entry.path.clone(),
        kind: kind(entry),
        size: entry.size.unwrap_or_default(),
        modified_at: entry.last_modified.clone(),
        executable: None,
    }
}

pub(super) fn kind(entry: &Entry) -> FileType {
    match entry.kind {
        EntryKind::Directory => FileType::Directory,
        EntryKind::File | EntryKind::Notebook => FileType::File,
    }
}

/// A pattern of names with `*`, `?` and `[…]`.
fn glob(text: &str) -> RuntimeResult<Pattern> {
    let mut expression = String::from("(?s)^");
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' if rest
                .as_str()
                .get(1..)
                .is_some_and(|rest| rest.contains(']')) =>
            {
                let (class, after) = rest.as_str().split_once(']').unwrap_or_default();
                let (not, class) = match class.strip_prefix('!') {
                    Some(class) => ("^", class),
                    None => ("", class),
                };
                let class = class.replace(['\\', '[', '&', '~', '^'], "");
                expression.push_str(&format!("[{not}{class}]"));
                rest = after.chars();
            }
            other => expression.push_str(&format!("\\x{{{:x}}}", u32::from(other))),
        }
    }
    expression.push('$');
    Pattern::new(&expression).map_err(|error| {
        let detail = format!("{text:?} is no pattern for names: {error}.");
        refused(
            400,
            "invalid_argument",
            detail,
            "Use *, ? and […], as *.csv.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn names_are_matched_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?[0-9].t*t", "ab7.txt", true),
            ("a?[!0-9].txt", "ab7.txt", false),
            ("a[b", "a[b", true),
            ("données (1).*", "données (1).txt", true),
        ] {
            let found = glob(pattern).unwrap().find(name, 0).is_some();
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }
}
