//! HTML as text.

use std::panic::catch_unwind;

use html2text::config;

use super::embedded::{in_words, without_drawings};

/// Characters in a line; tables are made to fit.
const WIDTH: usize = 160;
/// Elements that have to run or play to be seen.
const LIVE: [&str; 7] = [
    "<script", "<iframe", "<audio", "<video", "<canvas", "<svg", "<object",
];

/// Signs of something that is seen without a text.
const VISIBLE: [&str; 6] = [
    "<img",
    "<input",
    "<progress",
    "<meter",
    "<button",
    "background",
];

/// Scripts that only fold, sort and copy: tables of pandas, diagrams of scikit-learn's estimators, datasets of xarray.
const STATIC: [&str; 4] = [
    "class=\"dataframe",
    "id=\"sk-container-id-",
    "class='xr-wrap'",
    "class=\"xr-wrap\"",
];

/// Largest page that is read. Bytes.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Bytes of all pages of one answer that are read.
const MAX_HTML_BYTES: usize = 1024 * 1024;
/// Deepest nesting of elements; the time to read a page grows with its square.
const MAX_DEPTH: usize = 1_000;
/// Elements that need no end tag, and so do not count as nesting.
const ENDLESS: [&str; 16] = [
    "br", "img", "hr", "input", "meta", "link", "col", "wbr", "source", "p", "li", "td", "th",
    "tr", "dt", "dd",
];

/// Reads the pages of one answer: 256 KiB of each and 1 MiB of all together, as reading takes CPU time.
#[derive(Debug)]
pub struct Reader {
    left: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            left: MAX_HTML_BYTES,
        }
    }
}

impl Reader {
    /// Whether a page shows little without a browser, or is too large to be read here.
    #[must_use]
    pub fn is_page(&self, html: &str) -> bool {
        !self.has_room_for(html) || is_page(html)
    }

    /// Whether its plain-text alternative says as much: what the page draws beside its own text are icons, or a sketch.
    #[must_use]
    pub fn is_covered_by(&mut self, html: &str, plain: &str) -> bool {
        if !self.has_room_for(html) {
            return false;
        }
        self.left -= html.len();
        let lower = html.to_ascii_lowercase();
        if STATIC.iter().any(|sign| lower.contains(sign)) {
            return true;
        }
        let is_static = LIVE
            .iter()
            .all(|tag| *tag == "<svg" || !lower.contains(tag));
        let words = is_static.then(|| text(&without_drawings(html))).flatten();
        words.is_some_and(|words| words.len() >= plain.len())
    }

    /// The text of a page, without scripts and styles; tables keep their columns. None if it cannot be read, or is too large.
    #[must_use]
    pub fn text(&mut self, html: &str) -> Option<String> {
        if !self.has_room_for(html) {
            return None;
        }
        self.left -= html.len();
        text(&in_words(html))
    }

    fn has_room_for(&self, html: &str) -> bool {
        html.len() <= self.left.min(MAX_TEXT_BYTES)
    }
}

/// Whether a page without text still has something to see, such as a colour.
#[must_use]
pub fn shows_something(html: &str) -> bool {
    let html = in_words(html).to_ascii_lowercase();
    VISIBLE.iter().any(|sign| html.contains(sign))
}

/// Whether a page shows little without a browser, or nests so deep that [`text`] does not read it.
fn is_page(html: &str) -> bool {
    let html = html.to_ascii_lowercase();
    LIVE.iter().any(|tag| html.contains(tag)) || depth(&html) > MAX_DEPTH
}

fn text(html: &str) -> Option<String> {
    if depth(html) > MAX_DEPTH {
        return None;
    }
    let read = || {
        config::plain_no_decorate()
            .no_table_borders()
            .allow_width_overflow()
            .string_from_read(html.as_bytes(), WIDTH)
            .ok()
    };
    // A panic in reading a page must not lose the rest of the output.
    let text = catch_unwind(read).ok()??;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Some(lines.join("\n").trim_matches('\n').to_owned())
}

/// Estimates how deep a page nests.
fn depth(html: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for tag in html.split('<').skip(1) {
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric());
        let name = name[..end.unwrap_or(name.len())].to_ascii_lowercase();
        if name.is_empty() || ENDLESS.contains(&name.as_str()) {
            continue;
        }
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::{MAX_HTML_BYTES, MAX_TEXT_BYTES, Reader, in_words, is_page, text};

    #[test]
    fn a_page_is_its_text() {
        for (html, expected) in [
            (
                "<h1>Title</h1><p>one <b>two</b> <i>three",
                "# Title\n\none two three",
            ),
            ("<style>b {color: red}</style><script>alert(1)</script>", ""),
            ("<pre>a\n  b</pre>", "a\n  b"),
            (
                "<img src='data:image/png;base64,AAAA' alt='a cat'>",
                "[a cat]",
            ),
            ("1 < 2 &amp; &lt;b&gt;", "1 < 2 & <b>"),
        ] {
            assert_eq!(text(html).unwrap(), expected, "{html}");
        }
    }

    /// The blocks of the HTML standard's rendering section, 15.3.
    #[test]
    fn every_block_is_on_lines_of_its_own() {
        let blocks = "address article aside blockquote center dd details dialog dir div dl fieldset figcaption figure footer form \
             h1 h2 h3 h4 h5 h6 header hgroup legend li listing main menu nav ol optgroup option p pre search section select summary ul";
        for name in blocks.split_ascii_whitespace() {
            for page in [
                format!("one<{name}>two</{name}>three"),
                format!("one<{0} class='x'>two</{0}>three", name.to_uppercase()),
            ] {
                // html2text reads nothing but items in a list.
                let page = page.replace("two", if name == "ol" { "<li>two" } else { "two" });
                let text = text(&in_words(&page)).unwrap();
                let lines = text
                    .lines()
                    .map(|line| line.trim_start_matches(['#', '*', '>', '1', '.', ' ']));
                let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
                assert_eq!(lines, ["one", "two", "three"], "{page}");
            }
        }
        for (page, expected) in [
            ("one<hr>two<HR class='x' />three", "one\ntwo\nthree"),
            ("one<section> </section>two", "one\ntwo"),
            ("<details><summary>one</summary>two</details>", "one\ntwo"),
            ("<dl><dt>a<dd>1<dt>b<dd>2</dl>", "a\n  1\nb\n  2"),
            (
                "<figure><img src='x' alt='[cat]'><figcaption>one</figcaption></figure>two",
                "[[cat]]\none\ntwo",
            ),
            (
                "<dl><div><dt>a</dt><dd>1</dd></div><div><dt>b</dt><dd>2</dd></div></dl>",
                "a\n  1\nb\n  2",
            ),
            (
                "<table><caption>Prices</caption><tr><td>a</td><td>1</td></tr><tfoot><tr><td>sum</td><td>1</td></tr></tfoot></table>",
                "Prices\n\na   1\nsum 1",
            ),
        ] {
            assert_eq!(text(&in_words(page)).unwrap(), expected, "{page}");
        }
    }

    #[test]
    fn a_table_keeps_its_columns() {
        let html = "<table><tr><th></th><th>name</th><th>value</th></tr><tr><th>0</th><td>alpha</td><td>1.5</td></tr>\
            <tr><th>1</th><td>b</td><td>200.0</td></tr></table>";
        assert_eq!(
            text(html).unwrap(),
            "  name  value\n0 alpha 1.5\n1 b     200.0"
        );
    }

    #[test]
    fn html_nested_too_deeply_is_not_rendered() {
        for tag in ["<div>", "<table><tr><td>", "<ul><li>"] {
            let deep = tag.repeat(50_000);
            assert!(text(&deep).is_none() && is_page(&deep), "{tag}");
        }
        let flat = "<div><p>a<br>b<p>c</div>".repeat(2_000);
        assert!(text(&flat).is_some());
    }

    #[test]
    fn html_is_bounded_per_page_and_per_answer() {
        let mut reader = Reader::default();
        let longest = "x".repeat(MAX_TEXT_BYTES);
        let longer = format!("{longest}x");
        assert!(reader.is_page(&longer) && reader.text(&longer).is_none());
        for _ in 0..MAX_HTML_BYTES / MAX_TEXT_BYTES {
            assert!(!reader.is_page(&longest) && reader.text(&longest).is_some());
        }
        assert!(reader.is_page("x") && reader.text("x").is_none());
    }

    #[test]
    fn pages_that_need_scripts_are_recognized() {
        assert!(is_page("<div></div><SCRIPT src='x'>") && !is_page("<table>"));
    }
}
