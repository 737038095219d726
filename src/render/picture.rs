//! Pictures small enough for a chat.

use std::io::{self, Cursor};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits, Rgb,
    RgbImage,
};
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::svg;

/// Pixels on the longer side.
const MAX_SIDE_PIXELS: u32 = 1_200;
/// Bytes before base64.
const MAX_BYTES: usize = 700_000;
const JPEG_QUALITY: u8 = 85;
/// Pictures with more pixels are not decoded: a small file may hold a square of 100,000 pixels.
const MAX_PIXELS: u64 = 64_000_000;
const MAX_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

const SVG: &str = "image/svg+xml";
/// The renderer recurses as deep as the drawing nests.
pub(super) const DRAWING_STACK_BYTES: usize = 64 * 1024 * 1024;
/// A drawing may be made to take hours.
const DRAW_TIMEOUT: Duration = Duration::from_secs(10);
/// One drawing at a time, so that at most one keeps running after its call has timed out.
static DRAWING: Semaphore = Semaphore::const_new(1);

/// A picture as it is sent: a PNG or a JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    pub mime: &'static str,
    pub bytes: Vec<u8>,
}

/// Why a picture cannot be shown, as the end of a sentence.
#[derive(Debug, Error)]
pub enum PictureError {
    #[error("it has {width} × {height} pixels, which is too much to decode here")]
    TooLarge { width: u32, height: u32 },
    #[error("it takes too long to draw")]
    TooSlow,
    #[error("it cannot be drawn: {0}")]
    Undrawable(String),
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] ImageError),
    #[error(transparent)]
    Thread(#[from] io::Error),
}

/// Whether [`fit`] supports this kind of picture.
#[must_use]
pub fn is_picture(mime: &str) -> bool {
    matches!(
        mime,
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "image/bmp" | SVG
    )
}

/// Returns a PNG or JPEG unchanged if it is small enough; otherwise scales it down, as PNG or, if that is too large, as JPEG. Of an animation,
/// the first frame.
///
/// # Errors
/// If the bytes are not a picture of a known kind, or would take too much memory or time.
pub async fn fit(mime: &str, bytes: Bytes) -> Result<Fitted, PictureError> {
    if mime == SVG {
        let drawn = draw(bytes).await?;
        return blocking(move || Ok(shrink(&drawn)?)).await;
    }
    blocking(move || fit_pixels(&bytes)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
) -> Result<T, PictureError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}

async fn draw(bytes: Bytes) -> Result<DynamicImage, PictureError> {
    let drawing = async {
        let permit = DRAWING.acquire().await.map_err(io::Error::other)?;
        let (done, drawn) = oneshot::channel();
        let work = move || {
            let _permit = permit;
            // The receiver may be gone.
            let _ = done.send(svg::draw(&bytes, MAX_SIDE_PIXELS));
        };
        thread::Builder::new()
            .name("drawing".to_owned())
            .stack_size(DRAWING_STACK_BYTES)
            .spawn(work)?;
        let drawn = drawn.await;
        drawn
            .unwrap_or_else(|_| Err("the renderer failed".to_owned()))
            .map_err(PictureError::Undrawable)
    };
    let drawn = timeout(DRAW_TIMEOUT, drawing).await;
    drawn.unwrap_or(Err(PictureError::TooSlow))
}

fn fit_pixels(bytes: &[u8]) -> Result<Fitted, PictureError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let as_made = match reader.format() {
        Some(ImageFormat::Png) => Some("image/png"),
        Some(ImageFormat::Jpeg) => Some("image/jpeg"),
        _ => None,
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_MEMORY_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_MEMORY_BYTES
    {
        return Err(PictureError::TooLarge { width, height });
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if let Some(mime) = as_made
        && width.max(height) <= MAX_SIDE_PIXELS
        && bytes.len() <= MAX_BYTES
    {
        let bytes = bytes.to_vec();
        return Ok(Fitted { mime, bytes });
    }
    picture.apply_orientation(orientation);
    Ok(shrink(&picture)?)
}

fn shrink(picture: &DynamicImage) -> ImageResult<Fitted> {
    let mut longest = picture.width().max(picture.height());
    loop {
        let scaled;
        let shown =
            if longest <= MAX_SIDE_PIXELS && longest == picture.width().max(picture.height()) {
                picture
            } else {
                longest = longest.min(MAX_SIDE_PIXELS);
                scaled = picture.resize(longest, longest, FilterType::Triangle);
                &scaled
            };
        let mut png = Vec::new();
        shown.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)?;
        if png.len() <= MAX_BYTES {
            return Ok(Fitted {
                mime: "image/png",
                bytes: png,
            });
        }
        let mut jpeg = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
        on_white(shown).write_with_encoder(encoder)?;
        if jpeg.len() <= MAX_BYTES {
            return Ok(Fitted {
                mime: "image/jpeg",
                bytes: jpeg,
            });
        }
        longest = longest * 2 / 3;
    }
}

/// Blends on white: a JPEG has no transparency, and transparent pixels are often black underneath.
fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let pixels = picture.to_rgba8();
    RgbImage::from_fn(pixels.width(), pixels.height(), |x, y| {
        let [red, green, blue, alpha] = pixels.get_pixel(x, y).0;
        let alpha = u32::from(alpha);
        let blend = |colour: u8| ((u32::from(colour) * alpha + 255 * (255 - alpha)) / 255) as u8;
        Rgb([blend(red), blend(green), blend(blue)])
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};

    use super::{Fitted, MAX_BYTES, MAX_SIDE_PIXELS, PictureError, fit};

    fn noise(width: u32, height: u32) -> RgbImage {
        let mut seed = 1u32;
        RgbImage::from_fn(width, height, |_, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb(seed.to_be_bytes()[..3].try_into().unwrap())
        })
    }

    fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        let picture: DynamicImage = picture.into();
        picture
            .write_to(&mut Cursor::new(&mut bytes), format)
            .unwrap();
        bytes
    }

    async fn fitted(mime: &str, bytes: &[u8]) -> Result<Fitted, PictureError> {
        fit(mime, bytes.to_vec().into()).await
    }

    fn size(fitted: &Fitted) -> (u32, u32) {
        let decoded = image::load_from_memory(&fitted.bytes).unwrap();
        (decoded.width(), decoded.height())
    }

    #[tokio::test]
    async fn a_small_picture_stays_unchanged() {
        let bytes = encoded(RgbImage::new(640, 480), ImageFormat::Png);
        assert_eq!(fitted("image/png", &bytes).await.unwrap().bytes, bytes);
    }

    #[tokio::test]
    async fn a_large_picture_is_scaled_to_fit() {
        for (picture, mime) in [
            (RgbImage::new(2400, 600), "image/png"),
            (noise(1000, 1000), "image/jpeg"),
        ] {
            let bytes = encoded(picture, ImageFormat::Png);
            let fitted = fitted("image/png", &bytes).await.unwrap();
            assert_eq!(fitted.mime, mime);
            let (width, height) = size(&fitted);
            assert!(width.max(height) <= MAX_SIDE_PIXELS);
            assert!(fitted.bytes.len() <= MAX_BYTES, "{}", fitted.bytes.len());
        }
    }

    #[tokio::test]
    async fn other_kinds_are_shown_as_png() {
        for (mime, format) in [
            ("image/gif", ImageFormat::Gif),
            ("image/webp", ImageFormat::WebP),
            ("image/bmp", ImageFormat::Bmp),
        ] {
            let bytes = encoded(RgbaImage::new(30, 20), format);
            let fitted = fitted(mime, &bytes).await.unwrap();
            assert_eq!((fitted.mime, size(&fitted)), ("image/png", (30, 20)));
        }
        let drawing = br##"<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"/>"##;
        let fitted = fitted("image/svg+xml", drawing).await.unwrap();
        assert_eq!((fitted.mime, size(&fitted)), ("image/png", (30, 20)));
    }

    #[tokio::test]
    async fn a_decompression_bomb_is_not_decoded() {
        let mut bytes = encoded(RgbImage::new(1, 1), ImageFormat::Png);
        // The header's width and height, and the checksum over them.
        bytes[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = fitted("image/png", &bytes).await.unwrap_err();
        assert!(error.to_string().contains("100000 × 100000"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }

    #[tokio::test]
    async fn transparent_pixels_are_white_in_a_jpeg() {
        let picture = RgbaImage::from_fn(2, 1, |x, _| image::Rgba([0, 0, 0, x as u8 * 255]));
        let flat = super::on_white(&picture.into());
        assert_eq!(flat.into_raw(), [255, 255, 255, 0, 0, 0]);
    }

    #[tokio::test]
    async fn bytes_that_are_not_a_picture_are_an_error() {
        assert!(fitted("image/png", b"not a picture").await.is_err());
        assert!(fitted("image/svg+xml", b"not a drawing").await.is_err());
    }
}
