//! Which MIME type of an output is shown, and which are kept.

use serde_json::{Value, json};

use super::{Body, Display};
use crate::render::html::Reader;

fn of(data: Value) -> Display {
    Display::of(7, data.as_object().unwrap(), None, &mut Reader::default())
}

/// The text, and the MIME types of the kept attachments.
fn shown(data: Value) -> (Option<String>, Vec<String>) {
    let display = of(data);
    let kept = display.attachments.into_iter().map(|one| one.mime);
    (display.text, kept.collect())
}

fn text_of(data: Value) -> String {
    let (text, kept) = shown(data.clone());
    assert!(kept.is_empty(), "{data}: {kept:?}");
    text.unwrap_or_default()
}

#[test]
fn a_plot_is_shown_as_a_picture_without_its_description() {
    let data =
        json!({"text/plain": "<Figure size 640x480>", "image/png": {"blob": 1, "bytes": 20}});
    let display = of(data);
    assert_eq!(display.text, None);
    let [picture] = display.attachments.as_slice() else {
        panic!("{display:?}");
    };
    assert!(matches!(picture.body, Body::Blob(blob) if blob.blob == 1));
}

#[test]
fn a_table_is_shown_as_plain_text_even_with_scripts() {
    let data = json!({"text/plain": "   a\n0  1", "text/html":
        "<script>x</script><table class=\"dataframe\"></table>"});
    assert_eq!(text_of(data), "   a\n0  1");
}

#[test]
fn html_is_shown_as_text_where_the_plain_text_says_nothing() {
    for plain in [
        "<IPython.core.display.HTML object>",
        "<pandas.io.formats.style.Styler at 0x7f00>",
    ] {
        let html = "<style>x</style><table><tr><td>a</td><td>1</td></tr></table>";
        let data = json!({"text/plain": plain, "text/html": html});
        assert_eq!(text_of(data), "a 1");
    }
    let data = json!({"text/plain": "<x object>", "text/html": "<style>x</style>"});
    assert_eq!(text_of(data), "");
    assert_eq!(text_of(json!({"text/plain": "<x at 0x1>"})), "<x at 0x1>");
}

#[test]
fn a_page_is_kept_and_its_plain_text_shown() {
    let page = "<div><script src='plotly'></script></div>";
    let data = json!({"text/plain": "Figure: 2 traces", "text/html": page});
    assert_eq!(
        shown(data),
        (
            Some("Figure: 2 traces".to_owned()),
            vec!["text/html".to_owned()]
        )
    );
    let data = json!({"text/plain": "Figure", "text/html": page, "image/png": "aGk="});
    let kept = ["image/png", "text/html"].map(str::to_owned).to_vec();
    assert_eq!(shown(data), (None, kept));
    let data = json!({"text/plain": "<x object>", "text/html": {"blob": 1, "bytes": 9}});
    let (text, kept) = shown(data);
    assert!(text.unwrap().contains("kept as a file"));
    assert_eq!(kept, ["text/html"]);
}

#[test]
fn figures_without_a_viewer_and_media_are_kept() {
    let figure = "application/vnd.plotly.v1+json";
    let (text, kept) = shown(json!({figure: {"data": []}}));
    assert!(text.unwrap().contains("plotly"));
    assert_eq!(kept, [figure]);
    for mime in ["audio/wav", "video/mp4", "application/pdf"] {
        let data = json!({"text/plain": "<x object>", mime: {"blob": 1, "bytes": 9}});
        assert_eq!(shown(data).1, [mime]);
    }
}

#[test]
fn markup_and_json_are_shown_as_text() {
    let object = "<IPython.core.display.X object>";
    for (mime, value, expected) in [
        ("text/markdown", json!("# Title"), "# Title"),
        ("text/latex", json!(["$x", "^2$"]), "$x^2$"),
        (
            "application/json",
            json!({"a": [1]}),
            "{\n  \"a\": [\n    1\n  ]\n}",
        ),
        (
            "application/vnd.jupyter.widget-view+json",
            json!({"model_id": "1"}),
            object,
        ),
    ] {
        assert_eq!(
            text_of(json!({"text/plain": object, mime: value})),
            expected
        );
    }
    assert_eq!(
        text_of(json!({"application/x-new": "1"})),
        "[output of type application/x-new]"
    );
}

#[test]
fn a_page_is_shown_instead_of_internals() {
    let table = "<style>x</style><table><tr><td>a</td><td>1</td></tr></table>";
    let long = format!("GT(_tbl_data={})", "x, ".repeat(2_000));
    for plain in [
        "GT(_body=<gt.Body object at 0x7f00>)",
        &long,
        "<LazyFrame at 0x7F>",
    ] {
        assert_eq!(
            text_of(json!({"text/plain": plain, "text/html": table})),
            "a 1"
        );
    }
    // A meaningful text is shown, however long.
    let frame = "   a\n0  1\n".repeat(1_000);
    assert_eq!(
        text_of(json!({"text/plain": frame, "text/html": table})),
        frame
    );
}

#[test]
fn a_page_with_a_drawing_is_kept_and_its_text_shown() {
    let page = "<p>Score 5</p><svg><rect/></svg>";
    let (text, kept) = shown(json!({"text/plain": "<x object>", "text/html": page}));
    assert_eq!(
        (text.as_deref(), kept),
        (Some("Score 5"), vec!["text/html".to_owned()])
    );
}

#[test]
fn a_page_that_adds_nothing_to_the_text_is_not_kept() {
    let diagram = "<style>x</style><div id=\"sk-container-id-1\"><pre>Model()</pre></div><script>fold()</script>";
    assert_eq!(
        text_of(json!({"text/plain": "Model()", "text/html": diagram})),
        "Model()"
    );
    let dataset = "<div><svg><symbol id='i'/></svg><div class='xr-wrap'>x: 3</div></div>";
    assert_eq!(
        text_of(json!({"text/plain": "<xarray.Dataset>\nx: 3", "text/html": dataset})),
        "<xarray.Dataset>\nx: 3"
    );
    let sketch =
        "<table><tr><td>Shape</td><td>(100, 100)</td></tr></table><svg><text>100</text></svg>";
    assert_eq!(
        text_of(json!({"text/plain": "array<(100,)>", "text/html": sketch})),
        "array<(100,)>"
    );
    // A drawing that says more than the text is kept.
    let chart =
        json!({"text/plain": "a chart of the loss", "text/html": "<b>Loss</b><svg><rect/></svg>"});
    assert_eq!(shown(chart).1, ["text/html"]);
}

#[test]
fn an_unreadable_output_is_named_by_its_type() {
    let object = "<IPython.core.display.X object>";
    for (mime, value, expected) in [
        (
            "text/html",
            "<img src=\"https://a.example/x.png\"/>",
            "[picture at https://a.example/x.png]",
        ),
        (
            "text/html",
            "<div style='background: red'></div>",
            "[output of type text/html]",
        ),
        (
            "application/javascript",
            "alert(1)",
            "[output of type application/javascript]",
        ),
    ] {
        for plain in [
            json!({mime: value}),
            json!({mime: value, "text/plain": object}),
        ] {
            assert_eq!(text_of(plain), expected);
        }
    }
}

#[test]
fn a_chart_is_kept_where_its_text_is_only_a_renderer_notice() {
    let plain = "<VegaLite 6 object>\n\nIf you see this message, it means the renderer has not been properly enabled\nfor the frontend";
    let mime = "application/vnd.vegalite.v6+json";
    let (text, kept) = shown(json!({"text/plain": plain, mime: {"mark": "bar"}}));
    assert_eq!(
        text.unwrap(),
        format!("[output of type {mime}, kept as a file]")
    );
    assert_eq!(kept, [mime]);
}

#[test]
fn a_long_text_is_shown_by_its_ends_and_kept_as_a_file() {
    for mime in ["text/plain", "text/markdown", "application/json"] {
        let (text, kept) =
            shown(json!({mime: {"blob": 1, "bytes": 500_000, "head": "abc", "tail": "xyz"}}));
        assert_eq!(
            text.unwrap(),
            "abc\n[… 499994 of 500000 bytes skipped; the whole is kept as a file …]\nxyz"
        );
        assert_eq!(kept, [mime]);
    }
    // An older executor sends only the length.
    let (text, _) = shown(json!({"text/plain": {"blob": 1, "bytes": 500_000}}));
    assert!(text.unwrap().starts_with("[… 500000 of 500000 bytes"));
}

#[test]
fn a_long_value_of_any_type_is_kept_as_a_file() {
    for mime in [
        "application/vnd.x.v1+json",
        "application/javascript",
        "application/x-new",
    ] {
        let long = json!({"blob": 1, "bytes": 500_000, "head": "abc", "tail": "xyz"});
        let named = format!("[output of type {mime}, kept as a file]");
        assert_eq!(
            shown(json!({mime: long})),
            (Some(named), vec![mime.to_owned()])
        );
        // Even where a text is shown in its place.
        let (text, kept) = shown(json!({mime: long, "text/plain": "a table"}));
        assert_eq!(
            (text.as_deref(), kept),
            (Some("a table"), vec![mime.to_owned()])
        );
    }
    // But not a script whose page is kept.
    let (_, kept) = shown(json!({
        "application/javascript": {"blob": 1, "bytes": 500_000},
        "text/html": "<script>x</script>",
    }));
    assert_eq!(kept, ["text/html"]);
}

#[test]
fn a_long_page_is_shown_by_its_beginning_and_kept_as_a_file() {
    let page =
        json!({"blob": 1, "bytes": 500_000, "head": "<p>first<p>second <b>bo", "tail": "</p>"});
    let (text, kept) = shown(json!({"text/html": page}));
    let text = text.unwrap();
    assert!(text.contains("first") && !text.contains('<'), "{text}");
    assert_eq!(kept, ["text/html"]);
}
