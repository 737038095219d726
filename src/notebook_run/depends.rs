//! Which cells cannot run because of others that failed: a pure function of the names that cells define and use.

use std::collections::HashMap;

use crate::wire::job::CellNames;

/// Marks the tags that name cells on which one depends, by their ids or tags.
pub(super) const DEPENDS_ON: &str = "depends_on:";

/// The cells that these tags name.
pub(super) fn needs(tags: &[String]) -> impl Iterator<Item = &str> {
    let named = tags.iter().filter_map(|tag| tag.strip_prefix(DEPENDS_ON));
    named.map(str::trim)
}

/// What is known of one cell, in the order of the notebook.
#[derive(Debug, Clone)]
pub(super) struct Link<'a> {
    pub(super) names: &'a CellNames,
    /// The cells before it that a tag names.
    pub(super) needs: Vec<usize>,
    /// It runs whatever failed.
    pub(super) is_forced: bool,
    pub(super) fate: Fate,
}

/// What became of a cell, for those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has run.
    Done,
    /// It failed, or was skipped because of this cell.
    Failed(usize),
    /// It has not run, and nothing is missing for that.
    Unknown,
}

/// The cell whose failure keeps the one at `at` from running; none if it may run.
///
/// A name is tainted once a cell that defines it failed, until a cell that succeeded sets it without reading it. What the text of a cell does not
/// tell, it may define and use.
pub(super) fn because(cells: &[Link<'_>], at: usize) -> Option<usize> {
    let cell = &cells[at];
    if cell.is_forced {
        return None;
    }
    let mut tainted: HashMap<&str, usize> = HashMap::new();
    let (mut all, mut first) = (None, None);
    for earlier in &cells[..at] {
        match earlier.fate {
            Fate::Failed(root) => {
                first = first.or(Some(root));
                if earlier.names.opaque {
                    all = all.or(Some(root));
                }
                for name in &earlier.names.defines {
                    tainted.entry(name).or_insert(root);
                }
            }
            Fate::Done => {
                let names = earlier.names;
                let is_set = |name: &&String| !names.uses.contains(name);
                for name in names.defines.iter().filter(is_set) {
                    tainted.remove(name.as_str());
                }
            }
            Fate::Unknown => {}
        }
    }
    let failed = |needed: &usize| match cells.get(*needed)?.fate {
        Fate::Failed(root) => Some(root),
        Fate::Done | Fate::Unknown => None,
    };
    let by_tag = cell.needs.iter().find_map(failed);
    let by_name = cell
        .names
        .uses
        .iter()
        .filter_map(|name| tainted.get(name.as_str()));
    let by_text = first.filter(|_| cell.names.opaque);
    by_tag.or(all).or(by_name.min().copied()).or(by_text)
}

#[cfg(test)]
mod tests {
    use super::{Fate, Link, because};
    use crate::wire::job::CellNames;

    fn names(defines: &[&str], uses: &[&str]) -> CellNames {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        CellNames {
            defines: owned(defines),
            uses: owned(uses),
            opaque: false,
        }
    }

    fn opaque() -> CellNames {
        CellNames {
            opaque: true,
            ..names(&[], &[])
        }
    }

    fn link(names: &CellNames, fate: Fate) -> Link<'_> {
        Link {
            names,
            needs: Vec::new(),
            is_forced: false,
            fate,
        }
    }

    /// Why the last of these cells is skipped.
    fn last(cells: &[(CellNames, Fate)]) -> Option<usize> {
        let links: Vec<_> = cells
            .iter()
            .map(|(names, fate)| link(names, *fate))
            .collect();
        because(&links, links.len() - 1)
    }

    #[test]
    fn a_cell_that_reads_what_a_failed_one_defines_is_skipped() {
        let failed = (names(&["x"], &[]), Fate::Failed(0));
        let user = (names(&["y"], &["x"]), Fate::Unknown);
        assert_eq!(last(&[failed.clone(), user.clone()]), Some(0));
        let other = (names(&["z"], &["w"]), Fate::Unknown);
        assert_eq!(last(&[failed.clone(), other]), None);
        // What is skipped taints in turn, and the cell that failed first is named.
        let skipped = (user.0, Fate::Failed(0));
        let third = (names(&[], &["y"]), Fate::Unknown);
        assert_eq!(last(&[failed, skipped, third]), Some(0));
    }

    #[test]
    fn a_plain_redefinition_clears_a_name_and_a_change_in_place_does_not() {
        let failed = (names(&["x"], &[]), Fate::Failed(0));
        let user = (names(&[], &["x"]), Fate::Unknown);
        for (between, fate, expected) in [
            (names(&["x"], &[]), Fate::Done, None),
            (names(&["x"], &["x"]), Fate::Done, Some(0)),
            (names(&["x"], &[]), Fate::Failed(1), Some(0)),
        ] {
            assert_eq!(
                last(&[failed.clone(), (between, fate), user.clone()]),
                expected
            );
        }
    }

    #[test]
    fn what_a_text_does_not_tell_may_be_anything() {
        let plain = (names(&[], &[]), Fate::Unknown);
        assert_eq!(
            last(&[(opaque(), Fate::Failed(0)), plain.clone()]),
            Some(0),
            "after an opaque cell that failed"
        );
        assert_eq!(last(&[(opaque(), Fate::Done), plain]), None);
        let failed = (names(&["x"], &[]), Fate::Failed(0));
        assert_eq!(
            last(&[failed, (opaque(), Fate::Unknown)]),
            Some(0),
            "before an opaque cell"
        );
        assert_eq!(
            last(&[(names(&["x"], &[]), Fate::Done), (opaque(), Fate::Unknown)]),
            None
        );
    }

    #[test]
    fn tags_add_a_dependence_and_force_overrides_all() {
        let (first, second) = (names(&["x"], &[]), names(&[], &["x"]));
        let plain = names(&[], &[]);
        let mut tagged = link(&plain, Fate::Unknown);
        tagged.needs = vec![0];
        assert_eq!(
            because(&[link(&first, Fate::Failed(0)), tagged.clone()], 1),
            Some(0)
        );
        assert_eq!(because(&[link(&first, Fate::Done), tagged], 1), None);
        let mut forced = link(&second, Fate::Unknown);
        forced.is_forced = true;
        assert_eq!(because(&[link(&first, Fate::Failed(0)), forced], 1), None);
    }
}
