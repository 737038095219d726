//! Names what a page embeds and its text leaves out: pictures, pages, sounds and drawings.

use std::borrow::Cow;

/// Characters of a drawing's own text, and of an address.
const MAX_CHARACTERS: usize = 500;
/// Elements whose content is a fallback for what they embed, or a drawing.
const EMBEDDING: [&str; 5] = ["iframe", "object", "video", "audio", "svg"];
/// Elements that html2text knows, and those of the HTML standard that a browser shows alike: html2text joins their text with its neighbours on
/// one line, or leaves it out.
const LIKE: [(&str, &[&str]); 4] = [
    (
        "div",
        &[
            "address",
            "article",
            "aside",
            "caption",
            "center",
            "details",
            "dialog",
            "dl",
            "fieldset",
            "figcaption",
            "figure",
            "footer",
            "form",
            "header",
            "hgroup",
            "legend",
            "main",
            "nav",
            "optgroup",
            "option",
            "search",
            "section",
            "select",
            "summary",
        ],
    ),
    ("pre", &["listing"]),
    ("tbody", &["tfoot"]),
    ("ul", &["dir", "menu"]),
];
/// Elements that are left out with their content.
const UNREAD: [&str; 4] = ["script", "style", "noscript", "template"];

/// Replaces what a page embeds by words; blocks are on lines of their own, and a blank one breaks the line, as in a browser.
#[must_use]
pub(super) fn in_words(html: &str) -> String {
    rewrite(html, true)
}

/// Like [`in_words`], but leaves drawings out.
#[must_use]
pub(super) fn without_drawings(html: &str) -> String {
    rewrite(html, false)
}

fn rewrite(html: &str, names_drawings: bool) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, known)) = rest.strip_prefix("</").and_then(renamed) {
            out.push_str("</");
            out.push_str(known);
            rest = &rest["</".len() + name.len()..];
            continue;
        }
        if !rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            out.push('<');
            rest = &rest[1..];
            continue;
        }
        // A tag that does not end is the last.
        let Some(tag) = Tag::read(rest) else { break };
        let after = &rest[tag.text.len()..];
        let (inside, behind) = inside_of(&tag.name, after).unwrap_or(("", after));
        let words = match tag.name.as_str() {
            "img" if tag.value("alt").is_none_or(|alt| alt.trim().is_empty()) => {
                tag.value("src").map(|source| at_place("picture", &source))
            }
            "iframe" | "embed" => tag.value("src").map(|source| at_place("page", &source)),
            "object" => tag.value("data").map(|source| at_place("page", &source)),
            "video" => Some(played(&tag, inside, "video")),
            "audio" => Some(played(&tag, inside, "sound")),
            "svg" => Some(if names_drawings {
                drawing(inside)
            } else {
                String::new()
            }),
            "hr" => Some("<br>".to_owned()),
            name if is_block(name)
                && behind.len() < after.len()
                && !tag.text.contains("background") =>
            {
                Some("<br>".to_owned())
            }
            name if UNREAD.contains(&name) => Some(String::new()),
            _ => None,
        };
        if let Some(words) = words {
            out.push_str(&words);
            rest = behind;
        } else {
            let (name, known) = renamed(&tag.text[1..]).unwrap_or_default();
            out.push('<');
            out.push_str(known);
            out.push_str(&tag.text[1 + name.len()..]);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The name that `tag` begins with, and that of the element that replaces it.
fn renamed(tag: &str) -> Option<(&str, &'static str)> {
    let end = tag.find(|c: char| !c.is_ascii_alphanumeric());
    let name = &tag[..end.unwrap_or(tag.len())];
    let known = known(&name.to_ascii_lowercase())?;
    Some((name, known))
}

fn known(name: &str) -> Option<&'static str> {
    let (known, _) = LIKE.iter().find(|(_, names)| names.contains(&name))?;
    Some(known)
}

/// Whether a blank element still breaks the line.
fn is_block(name: &str) -> bool {
    ["p", "div"].contains(&name) || known(name) == Some("div")
}

/// An opening tag.
struct Tag<'a> {
    text: &'a str,
    name: String,
}

impl<'a> Tag<'a> {
    /// Reads the tag that `html` begins with.
    fn read(html: &'a str) -> Option<Self> {
        let inside = html.strip_prefix('<')?;
        let name_end = inside.find(|c: char| !c.is_ascii_alphanumeric())?;
        let mut quote = None;
        for (at, c) in html.char_indices() {
            match (quote, c) {
                (None, '>') => {
                    return Some(Self {
                        text: &html[..=at],
                        name: inside[..name_end].to_ascii_lowercase(),
                    });
                }
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), _) if open == c => quote = None,
                _ => {}
            }
        }
        None
    }

    /// An attribute's value.
    fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        let lower = self.text.to_ascii_lowercase();
        let sign = format!("{name}=");
        let starts_word = |at: &usize| {
            lower[..*at].ends_with(|c: char| c.is_ascii_whitespace() || "\"'".contains(c))
        };
        let (at, _) = lower.match_indices(&sign).find(|(at, _)| starts_word(at))?;
        let value = self.text[at + sign.len()..].trim_end_matches('>');
        let value = match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].split(quote).next()?,
            _ => value.split_ascii_whitespace().next()?,
        };
        Some(Cow::Borrowed(value))
    }
}

/// The content of an element, and the text after its end.
fn inside_of<'a>(name: &str, after: &'a str) -> Option<(&'a str, &'a str)> {
    let end = format!("</{name}");
    if is_block(name) {
        let start = after.trim_start();
        let is_blank = start
            .get(..end.len())
            .is_some_and(|tag| tag.eq_ignore_ascii_case(&end));
        let behind = start.find('>').map_or("", |close| &start[close + 1..]);
        return is_blank.then_some(("", behind));
    }
    if !EMBEDDING.contains(&name) && !UNREAD.contains(&name) {
        return None;
    }
    let at = (after.match_indices("</")).find(|(at, _)| {
        let tag = after.as_bytes().get(*at..*at + end.len());
        tag.is_some_and(|tag| tag.eq_ignore_ascii_case(end.as_bytes()))
    });
    let (at, _) = at?;
    let behind = after[at..]
        .find('>')
        .map_or("", |close| &after[at + close + 1..]);
    Some((&after[..at], behind))
}

fn at_place(what: &str, source: &str) -> String {
    if source.is_empty() || source.starts_with("data:") {
        return format!("[{what}]");
    }
    let source: String = source.chars().take(MAX_CHARACTERS).collect();
    format!("[{what} at {source}]")
}

fn played(tag: &Tag<'_>, inside: &str, what: &str) -> String {
    let sources = inside.match_indices("<source");
    let source = tag.value("src").or_else(|| {
        sources
            .filter_map(|(at, _)| Tag::read(&inside[at..])?.value("src"))
            .next()
    });
    at_place(what, &source.unwrap_or_default())
}

/// The labels of a drawing.
fn drawing(svg: &str) -> String {
    let texts = svg.split("<text").skip(1).filter_map(|text| {
        let text = &text[text.find('>')? + 1..text.find("</text")?];
        let words = text.split('<').enumerate().map(|(at, part)| match at {
            0 => part,
            _ => part.split_once('>').map_or("", |(_, words)| words),
        });
        Some(words.collect::<String>().trim().to_owned()).filter(|words| !words.is_empty())
    });
    let labels = texts.collect::<Vec<_>>().join(", ");
    if labels.is_empty() {
        return String::new();
    }
    let short: String = labels.chars().take(MAX_CHARACTERS).collect();
    let more = if short.len() < labels.len() {
        " …"
    } else {
        ""
    };
    format!("<br>[drawing: {short}{more}]<br>")
}

#[cfg(test)]
mod tests {
    use super::{in_words, without_drawings};

    #[test]
    fn embedded_media_are_named() {
        let address = "https://a.example/x?y=1";
        for (html, expected) in [
            (
                "<img src='https://a.example/x?y=1'/>",
                "[picture at https://a.example/x?y=1]",
            ),
            (
                "<IMG width=9 SRC=https://a.example/x?y=1>",
                "[picture at https://a.example/x?y=1]",
            ),
            ("<img src=\"data:image/png;base64,AAAA\">", "[picture]"),
            ("<img alt='a cat' src='x'>", "<img alt='a cat' src='x'>"),
            (
                "<iframe\n src=\"https://a.example/x?y=1\"></iframe>!",
                "[page at https://a.example/x?y=1]!",
            ),
            (
                "<video src='https://a.example/x?y=1'>none here</video>",
                "[video at https://a.example/x?y=1]",
            ),
            (
                "<audio controls><source src=\"https://a.example/x?y=1\" type='x'>no</audio>",
                "[sound at https://a.example/x?y=1]",
            ),
            (
                "<audio><source src='data:audio/wav;base64,AA'></audio>",
                "[sound]",
            ),
            ("<script>if (1<2) {}</script>a<style>b</style>", "a"),
            ("a < b <b>c</b> <", "a < b <b>c</b> <"),
        ] {
            assert_eq!(in_words(html), expected, "{address}");
        }
    }

    #[test]
    fn a_drawing_is_its_labels() {
        let svg =
            "<p>x</p><svg><title>%3</title><text x='1'>a</text><text><tspan>b</tspan></text></svg>";
        assert_eq!(in_words(svg), "<p>x</p><br>[drawing: a, b]<br>");
        assert_eq!(without_drawings(svg), "<p>x</p>");
        assert_eq!(in_words("<svg><rect/></svg>"), "");
    }

    #[test]
    fn a_blank_block_breaks_the_line() {
        assert_eq!(
            in_words("<div>one<p></p>two</div>"),
            "<div>one<br>two</div>"
        );
        assert_eq!(in_words("one<div class='x'> </div>two"), "one<br>two");
    }

    #[test]
    fn truncated_markup_is_kept_as_text() {
        for html in ["<p", "<img src='x", "a<svg>", "é<é>", "<video>x"] {
            assert!(!in_words(html).is_empty(), "{html}");
        }
    }
}
