//! Draws SVG as pixels. References outside the drawing are not followed: no file, no address.

use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use image::{DynamicImage, ImageFormat, ImageReader, RgbaImage};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Group, ImageHrefResolver, ImageKind, Node, Options, Tree};

const MAX_SOURCE_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting of groups, each of which may take a canvas of its own.
const MAX_DEPTH: usize = 32;
/// Fonts for text whose own font is missing, best first.
const FAMILIES: [&str; 6] = [
    "Arial",
    "Helvetica",
    "Liberation Sans",
    "DejaVu Sans",
    "Noto Sans",
    "Times New Roman",
];
/// Pixels of a picture inside a drawing.
const MAX_PIXELS: u64 = 16_000_000;

/// Draws an SVG on white, at its own size or smaller. Takes CPU time, and stack as deep as it nests.
///
/// # Errors
/// Why it cannot be drawn.
pub(super) fn draw(source: &[u8], longest_side: u32) -> Result<DynamicImage, String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!("it is larger than {MAX_SOURCE_BYTES} bytes"));
    }
    let mut options = Options {
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|_, bytes, _| {
                small_png(&bytes).then_some(ImageKind::PNG(bytes))
            }),
            resolve_string: Box::new(|_, _| None),
        },
        ..Options::default()
    };
    if source.windows(5).any(|tag| tag == b"<text") {
        options.fontdb = fonts();
        if options.fontdb.is_empty() {
            return Err("it has text, and this computer has no fonts".to_owned());
        }
    }
    let tree = Tree::from_data(source, &options).map_err(|error| error.to_string())?;
    if depth(tree.root()) > MAX_DEPTH {
        return Err("it nests too deeply".to_owned());
    }
    let size = tree.size();
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let scale = (longest_side as f32 / size.width().max(size.height())).min(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 to the longest side"
    )]
    let pixels = |length: f32| ((length * scale).round() as u32).clamp(1, longest_side);
    let (width, height) = (pixels(size.width()), pixels(size.height()));
    let mut canvas = Pixmap::new(width, height).ok_or("it has no size")?;
    canvas.fill(Color::WHITE);
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut canvas.as_mut(),
    );
    // On white nothing is transparent, so the premultiplied colours need no conversion.
    let pixels = RgbaImage::from_raw(width, height, canvas.take());
    let pixels = pixels.ok_or("it has no size")?;
    Ok(DynamicImage::ImageRgba8(pixels).into_rgb8().into())
}

/// The system's fonts, loaded once, for the first drawing with text.
fn fonts() -> Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    let load = || {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        let is_there = |name: &str| {
            let families = &[Family::Name(name)];
            let query = Query {
                families,
                ..Query::default()
            };
            fonts.query(&query).is_some()
        };
        // Text in a missing font is drawn in the serif one, and not at all if that is missing too.
        let usual = FAMILIES.into_iter().find(|name| is_there(name));
        let any = || Some(fonts.faces().next()?.families.first()?.0.clone());
        if let Some(family) = usual.map(str::to_owned).or_else(any) {
            fonts.set_sans_serif_family(&family);
            fonts.set_serif_family(family);
        }
        Arc::new(fonts)
    };
    FONTS.get_or_init(load).clone()
}

fn depth(group: &Group) -> usize {
    let below = group.children().iter().map(|node| match node {
        Node::Group(group) => depth(group),
        Node::Path(_) | Node::Image(_) | Node::Text(_) => 0,
    });
    1 + below.max().unwrap_or(0)
}

fn small_png(bytes: &[u8]) -> bool {
    let reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let size = reader.into_dimensions();
    size.is_ok_and(|(width, height)| u64::from(width) * u64::from(height) <= MAX_PIXELS)
}

#[cfg(test)]
mod tests {
    use super::draw;

    fn svg(inside: &str) -> String {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="40" height="20">{inside}</svg>"#
        )
    }

    #[test]
    fn a_drawing_is_drawn_on_white() {
        let drawn = draw(
            svg(r##"<rect width="20" height="20" fill="#f00"/>"##).as_bytes(),
            1_200,
        );
        let pixels = drawn.unwrap().to_rgb8();
        assert_eq!(pixels.dimensions(), (40, 20));
        assert_eq!(pixels.get_pixel(5, 5).0, [255, 0, 0]);
        assert_eq!(pixels.get_pixel(35, 5).0, [255, 255, 255]);
    }

    #[test]
    fn text_is_drawn_in_whatever_font_there_is() {
        let text = svg("<text x=\"2\" y=\"15\" font-family=\"Nowhere Sans\">Hello</text>");
        match draw(text.as_bytes(), 1_200) {
            Ok(drawn) => {
                let pixels = drawn.to_rgb8();
                assert!(pixels.pixels().any(|pixel| pixel.0 != [255; 3]));
            }
            Err(error) => assert!(error.contains("no fonts"), "{error}"),
        }
    }

    #[test]
    fn a_huge_drawing_is_drawn_small() {
        let huge = r#"<svg xmlns="http://www.w3.org/2000/svg" width="4000000" height="1000000"/>"#;
        let drawn = draw(huge.as_bytes(), 1_200).unwrap();
        assert_eq!((drawn.width(), drawn.height()), (1200, 300));
        let thin = r#"<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1000000"/>"#;
        assert_eq!(draw(thin.as_bytes(), 1_200).unwrap().width(), 1);
    }

    #[test]
    fn referenced_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret.png");
        let red = image::RgbImage::from_pixel(40, 20, image::Rgb([255, 0, 0]));
        red.save(&secret).unwrap();
        for way in [
            format!("file://{}", secret.display()),
            secret.display().to_string(),
        ] {
            let image = format!(r#"<image xlink:href="{way}" width="40" height="20"/>"#);
            let drawn = draw(svg(&image).as_bytes(), 1_200).unwrap().to_rgb8();
            assert_eq!(drawn.get_pixel(5, 5).0, [255, 255, 255], "{way}");
        }
    }

    #[test]
    fn svg_nested_too_deeply_is_refused() {
        for (open, close) in [("<g opacity=\".9\">", "</g>"), ("<svg>", "</svg>")] {
            for deep in [100, 1_000, 5_000] {
                let inside = format!("<rect width=\"9\" height=\"9\"/>{}", close.repeat(deep));
                let drawing = svg(&format!("{}{inside}", open.repeat(deep)));
                // Refused or drawn: the call returns.
                let work = move || draw(drawing.as_bytes(), 1_200);
                let thread = std::thread::Builder::new()
                    .stack_size(super::super::picture::DRAWING_STACK_BYTES);
                let drawn = thread.spawn(work).unwrap().join().unwrap();
                assert!(drawn.is_err() || open == "<svg>", "{open} {deep}");
            }
        }
    }

    #[test]
    fn entities_that_multiply_are_refused() {
        let mut bomb = String::from("<!DOCTYPE svg [<!ENTITY a0 \"aaaaaaaaaa\">");
        for n in 1..10 {
            let inside = format!("&a{};", n - 1).repeat(10);
            bomb += &format!("<!ENTITY a{n} \"{inside}\">");
        }
        bomb += "]><svg xmlns=\"http://www.w3.org/2000/svg\"><text>&a9;</text></svg>";
        assert!(draw(bomb.as_bytes(), 1_200).is_err());
    }
}
