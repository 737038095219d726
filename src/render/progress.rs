//! Recognises progress bars, counters and spinners.

/// Whether `new` is a later state of the bar, counter or spinner that `old` is.
pub(super) fn replaces(old: &str, new: &str, is_counter: bool) -> bool {
    let is_same = |kept: fn(&char) -> bool| old.chars().filter(kept).eq(new.chars().filter(kept));
    let both = |holds: fn(&str) -> bool| holds(old) && holds(new);
    is_same(|c| c.is_alphanumeric())
        || has_total_of(old, new)
        || is_same(|c| c.is_alphabetic()) && (is_counter || both(shows_progress))
        || both(has_percent) && both(has_graph)
}

/// The last state of all may be cut within its total.
fn has_total_of(old: &str, new: &str) -> bool {
    let is_same = |of: &str, to: &str| of == to || of.starts_with(to) && new.ends_with(to);
    total(old)
        .zip(total(new))
        .is_some_and(|(of, to)| is_same(of, to))
}

/// `100` of `37/100`, `3.4MB` of `1.2MB/3.4MB`.
fn total(state: &str) -> Option<&str> {
    let is_amount = |text: &&str| text.starts_with(|c: char| c.is_ascii_digit());
    let words = state.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '/')));
    words.into_iter().find_map(|word| {
        let (done, total) = word.split_once('/')?;
        let total = Some(total).filter(is_amount).filter(|_| is_amount(&done))?;
        // A date has two slashes.
        (!total.contains('/')).then_some(total)
    })
}

fn shows_progress(state: &str) -> bool {
    const SIGNS: [&str; 7] = ["it/s", "s/it", "b/s", "eta ", "eta:", "--:--", "fps="];
    let lower = state.to_lowercase();
    has_percent(state) || has_graph(state) || SIGNS.iter().any(|sign| lower.contains(sign))
}

fn has_percent(state: &str) -> bool {
    let mut before = state.match_indices('%').map(|(at, _)| &state[..at]);
    before.any(|before| before.ends_with(|c: char| c.is_ascii_digit()))
}

/// Whether it has a row of the same sign, as bars are drawn.
fn has_graph(state: &str) -> bool {
    ["███", "━━━", "###", "==="]
        .iter()
        .any(|row| state.contains(row))
}
