//! Whole pages that open in a browser, from outputs that a notebook shows within its own page or draws with a script.

const VEGA: [&str; 2] = ["application/vnd.vegalite.v", "application/vnd.vega.v"];
const PLOTLY: &str = "application/vnd.plotly.v";
const HEAD: &str = "<!doctype html>\n<html>\n<head><meta charset=\"utf-8\"></head>\n<body>\n";
const END: &str = "\n</body>\n</html>\n";

/// Whether [`whole`] makes a page of this kind of output.
#[must_use]
pub fn is_page(mime: &str) -> bool {
    mime == "text/html" || is_chart(mime)
}

/// Whether this kind of output is a chart's description, which a script draws.
#[must_use]
pub fn is_chart(mime: &str) -> bool {
    mime.starts_with(PLOTLY) || VEGA.iter().any(|kind| mime.starts_with(kind))
}

/// Makes a whole page of an output. One that is whole already only gets its charset.
#[must_use]
pub fn whole(mime: &str, content: &str) -> String {
    if is_chart(mime) {
        return format!("{HEAD}{}{END}", chart(mime, content));
    }
    let start: String = content
        .chars()
        .take(4_096)
        .collect::<String>()
        .to_ascii_lowercase();
    let head = ["<head", "<html"].iter().find_map(|tag| {
        let at = start.find(tag)?;
        Some(at + start[at..].find('>')? + 1)
    });
    match head {
        _ if start.contains("charset") && head.is_some() => content.to_owned(),
        Some(at) if content.is_char_boundary(at) => {
            format!(
                "{}<meta charset=\"utf-8\">{}",
                &content[..at],
                &content[at..]
            )
        }
        _ => format!("{HEAD}{content}{END}"),
    }
}

fn chart(mime: &str, description: &str) -> String {
    // So that nothing in it ends the script.
    let description = description.replace('<', "\\u003c");
    if mime.starts_with(PLOTLY) {
        return format!(
            "<script src=\"https://cdn.plot.ly/plotly-3.0.0.min.js\"></script>\n<div id=\"chart\"></div>\n<script>\nconst figure = {description};\n\
             Plotly.newPlot(\"chart\", figure.data, figure.layout, figure.config);\n</script>"
        );
    }
    let version: u32 = (mime.rsplit(".v").next())
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(5);
    // Each version of vega-embed draws with the version of Vega of its time.
    let (vega, embed) = if version >= 6 { (6, 7) } else { (5, 6) };
    let lite = if mime.starts_with(VEGA[0]) {
        version
    } else {
        vega
    };
    let scripts: String = [("vega", vega), ("vega-lite", lite), ("vega-embed", embed)]
        .map(|(name, version)| {
            format!("<script src=\"https://cdn.jsdelivr.net/npm/{name}@{version}\"></script>\n")
        })
        .concat();
    format!(
        "{scripts}<div id=\"chart\"></div>\n<script>\nvegaEmbed(\"#chart\", {description});\n</script>"
    )
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_part_of_a_page_becomes_a_whole_one() {
        let page = whole("text/html", "<p>é</p>");
        assert!(page.starts_with("<!doctype html>") && page.contains("<meta charset=\"utf-8\">"));
        assert!(page.contains("<body>\n<p>é</p>\n</body>"));
    }

    #[test]
    fn a_whole_page_only_gets_its_charset() {
        for (page, expected) in [
            (
                "<html><head><title>é</title>",
                "<html><head><meta charset=\"utf-8\"><title>é</title>",
            ),
            (
                "<!DOCTYPE html><HTML lang='x'>é",
                "<!DOCTYPE html><HTML lang='x'><meta charset=\"utf-8\">é",
            ),
            (
                "<html><head><meta charset='latin1'>",
                "<html><head><meta charset='latin1'>",
            ),
        ] {
            assert_eq!(whole("text/html", page), expected);
        }
    }

    #[test]
    fn a_chart_is_a_page_that_draws_it() {
        let chart = whole(
            "application/vnd.vegalite.v6+json",
            "{\"title\": \"</script>\"}",
        );
        assert!(
            chart.contains("vega-lite@6")
                && chart.contains("vega@6")
                && chart.contains("\\u003c/script>")
        );
        assert!(chart.starts_with("<!doctype html>") && chart.contains("charset"));
        assert!(whole("application/vnd.vegalite.v5.json", "{}").contains("vega-lite@5\""));
        assert!(whole("application/vnd.vega.v5+json", "{}").contains("vega@5\""));
        assert!(whole("application/vnd.plotly.v1+json", "{}").contains("Plotly.newPlot"));
    }
}
