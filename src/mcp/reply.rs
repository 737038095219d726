//! Replies in content blocks: the facts first, because clients cut the end, then output and pictures in the order in which they were shown,
//! then links; in no more bytes than the client keeps.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, Resource};
use serde::Serialize;
use serde_json::{Value, json};

use super::clients::Client;
use super::words::Worded;
use crate::base::text::Excerpt;
use crate::jobs::body::{Part, Picture};

/// Links in one reply.
const MAX_LINKS: usize = 20;
/// Bytes left free for what is added to the facts later.
const SLACK_BYTES: usize = 400;
/// Bytes of a block beside its text: the rest of its JSON.
const FRAME_BYTES: usize = 32;
/// Shortest text and list that are cut in long facts.
const MIN_CUT_CHARS: usize = 80;
const MIN_CUT_ITEMS: usize = 3;
/// Characters of the line that counts what a cut left out.
const CUT_LINE_CHARS: usize = 50;

/// What a reply shows beside its facts.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub parts: Vec<Part>,
    pub links: Vec<Resource>,
    /// Where the files are that have no room among the links.
    pub folder: Option<String>,
    pub has_failed: bool,
}

impl Shown {
    pub(super) fn text(text: String, has_failed: bool) -> Self {
        let parts = Some(text).filter(|text| !text.is_empty());
        Self {
            parts: parts.map(Part::Text).into_iter().collect(),
            has_failed,
            ..Self::default()
        }
    }
}

/// Makes the reply to a client from facts and output; the output fits in [`Client::room`].
pub(super) fn reply<T: Serialize>(facts: &T, shown: Shown, client: Client) -> CallToolResult {
    let has_failed = shown.has_failed;
    let mut facts = short_line(facts, client.facts_bytes(has_failed));
    let body = blocks(shown.parts, !has_failed || client.shows_error_pictures);
    let taken = size_of_text(&facts) + body.iter().map(size).sum::<usize>() + SLACK_BYTES;
    let mut left = client.reply_bytes.saturating_sub(taken);
    if has_failed {
        let taken = facts.chars().count() + body.iter().map(chars).sum::<usize>() + SLACK_BYTES;
        left = left.min(client.error_chars.saturating_sub(taken));
    }
    let all = shown.links.len();
    let fits = |link: &ContentBlock| {
        let fitting = left.checked_sub(size(link));
        left = fitting.unwrap_or_default();
        fitting.is_some()
    };
    let links = shown.links.into_iter().map(ContentBlock::ResourceLink);
    let links: Vec<_> = links.take(MAX_LINKS).take_while(fits).collect();
    if let (more @ 1.., Some(folder)) = (all - links.len(), shown.folder) {
        let note = format!(
            "{more} more files are kept but not linked here: they are in {folder}, named after the job"
        );
        add_fact(&mut facts, "unlinked", &json!(note));
    }
    let first = ContentBlock::text(facts);
    let content: Vec<_> = [first].into_iter().chain(body).chain(links).collect();
    if has_failed {
        CallToolResult::error(content)
    } else {
        CallToolResult::success(content)
    }
}

/// Serializes a value as one line of JSON, with its advice worded.
pub(super) fn line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(&Worded(value))
        .unwrap_or_else(|error| format!("{{\"success\":false,\"error\":\"{error}\"}}"))
}

/// The line of facts in a reply.
pub(super) fn facts(result: &CallToolResult) -> Option<&str> {
    result.content.first()?.as_text().map(|facts| &*facts.text)
}

/// Adds a fact to a reply, in both of its forms.
pub(super) fn note(result: &mut CallToolResult, name: &str, said: impl Into<Value>) {
    let said = said.into();
    if let Some(Value::Object(report)) = &mut result.structured_content {
        report.insert(name.to_owned(), said.clone());
    }
    if let Some(ContentBlock::Text(facts)) = result.content.first_mut() {
        add_fact(&mut facts.text, name, &said);
    }
}

/// Appends a member to a line of facts.
fn add_fact(line: &mut String, name: &str, value: &Value) {
    if let Some(members) = line.strip_suffix('}') {
        let comma = if members.ends_with('{') { "" } else { "," };
        *line = format!("{members}{comma}\"{name}\":{value}}}");
    }
}

/// Cuts the longest texts and lists of a JSON value until it has at most `max_bytes` as JSON; whether it was longer.
pub(super) fn shorten(value: &mut Value, max_bytes: usize) -> bool {
    let is_long = |value: &Value| value.to_string().len() > max_bytes;
    let was_long = is_long(value);
    let mut limit = max_bytes / 2;
    while is_long(value) && limit >= MIN_CUT_CHARS {
        cut(value, limit);
        limit = limit * 2 / 3;
    }
    was_long
}

fn cut(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) if text.len() > limit => {
            let mut excerpt = Excerpt::new(limit.saturating_sub(CUT_LINE_CHARS));
            excerpt.push(text);
            *text = excerpt.render();
        }
        Value::Array(items) => {
            if json!(items).to_string().len() > 2 * limit {
                items.truncate((items.len() / 2).max(MIN_CUT_ITEMS));
            }
            items.iter_mut().for_each(|item| cut(item, limit));
        }
        Value::Object(members) => members.values_mut().for_each(|member| cut(member, limit)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn short_line<T: Serialize>(facts: &T, max_bytes: usize) -> String {
    let line = line(facts);
    if size_of_text(&line) <= max_bytes {
        return line;
    }
    let Ok(mut value) = serde_json::from_str::<Value>(&line) else {
        return line;
    };
    // Quotes take two bytes once they are in a block.
    shorten(&mut value, max_bytes * 4 / 5);
    value.to_string()
}

fn blocks(parts: Vec<Part>, with_pictures: bool) -> Vec<ContentBlock> {
    let blocks = parts.into_iter().map(|part| match part {
        Part::Text(text) => ContentBlock::text(text),
        Part::Picture(picture) if with_pictures => {
            let data = STANDARD.encode(&picture.fitted.bytes);
            ContentBlock::image(data, picture.fitted.mime)
        }
        Part::Picture(picture) => ContentBlock::text(place_of(&picture)),
    });
    blocks.collect()
}

/// Stands in a text for a picture that the client does not show.
fn place_of(picture: &Picture) -> String {
    format!("[picture: {}]", picture.path.display())
}

/// Bytes of a block as JSON, without the data of a picture.
fn size(block: &ContentBlock) -> usize {
    if let ContentBlock::Text(text) = block {
        size_of_text(&text.text)
    } else if let ContentBlock::Image(image) = block {
        2 * FRAME_BYTES + image.mime_type.len()
    } else {
        serde_json::to_string(block).map_or(0, |json| json.len() + 1)
    }
}

/// Characters of a block's text.
fn chars(block: &ContentBlock) -> usize {
    block
        .as_text()
        .map_or(0, |text| text.text.chars().count() + 1)
}

fn size_of_text(text: &str) -> usize {
    json!(text).to_string().len() + FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::shorten;

    #[test]
    fn the_longest_members_are_cut_first() {
        let mut value = json!({
            "state": "failed", "count": 7, "code": "python_error",
            "text": "line\n".repeat(9_000), "rows": vec![json!({"i": 1}); 9_000], "few": [1, 2, 3],
        });
        assert!(shorten(&mut value, 2_000));
        assert!(value.to_string().len() <= 2_000, "{value}");
        assert_eq!(
            (&value["state"], &value["count"], &value["few"]),
            (&json!("failed"), &json!(7), &json!([1, 2, 3]))
        );
        let text = value["text"].as_str().unwrap();
        assert!(text.starts_with("line\n") && text.contains("characters left out here"));
        assert!(value["rows"].as_array().unwrap().len() >= 3);
        let before = value.clone();
        assert!(!shorten(&mut value, 2_000));
        assert_eq!(value, before);
    }
}
