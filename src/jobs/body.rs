//! What code showed, in the order in which it was shown.

use std::path::PathBuf;

use crate::base::text::Excerpt;
use crate::render::picture::Fitted;

/// One part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Picture(Picture),
}

/// A picture, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub fitted: Fitted,
    /// The file that keeps it.
    pub path: PathBuf,
    /// Bytes of text shown before it.
    pub at: usize,
}

/// Puts the pictures, given in order, into the text. Those of the omitted text stand where that is missing.
#[must_use]
pub fn arrange(text: &Excerpt, pictures: Vec<Picture>) -> Vec<Part> {
    let mut marks: Vec<usize> = pictures.iter().map(|one| one.at).collect();
    // One that was shown before the text was cleared is not behind a later one.
    for at in (1..marks.len()).rev() {
        marks[at - 1] = marks[at - 1].min(marks[at]);
    }
    let mut texts = text.pieces(&marks).into_iter().map(Part::Text);
    let mut parts: Vec<Part> = texts.next().into_iter().collect();
    for (picture, text) in pictures.into_iter().zip(texts) {
        parts.extend([Part::Picture(picture), text]);
    }
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    parts
}

/// The text alone.
#[must_use]
pub fn text_of(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Picture(_) => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::{Part, Picture, arrange, text_of};
    use crate::base::text::Excerpt;
    use crate::render::picture::Fitted;

    #[test]
    fn pictures_stand_between_the_texts_around_them() {
        let picture = |at: usize| Picture {
            fitted: Fitted {
                mime: "image/png",
                bytes: Vec::new(),
            },
            path: "a.png".into(),
            at,
        };
        let mut text = Excerpt::new(100);
        text.push("a\nb\n");
        let shown = |ats: &[usize]| {
            let parts = arrange(&text, ats.iter().map(|at| picture(*at)).collect());
            assert_eq!(text_of(&parts), "a\nb\n");
            let shown = parts.into_iter().map(|part| match part {
                Part::Text(text) => text.replace('\n', ""),
                Part::Picture(_) => "*".to_owned(),
            });
            shown.collect::<String>()
        };
        for (ats, expected) in [
            (&[][..], "ab"),
            (&[0], "*ab"),
            (&[2], "a*b"),
            (&[0, 2, 2, 4], "*a**b*"),
            (&[99, 2], "a**b"),
            (&[99], "ab*"),
        ] {
            assert_eq!(shown(ats), expected, "{ats:?}");
        }
    }
}
