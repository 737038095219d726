//! Pictures small enough for a chat.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageFormat, ImageReader, ImageResult};

/// Pixels on the longer side.
const LONGEST_SIDE: u32 = 1_200;
/// Bytes before base64.
const LARGEST: usize = 700_000;
const JPEG_QUALITY: u8 = 85;

/// A picture as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fitted {
    pub mime: &'static str,
    pub bytes: Vec<u8>,
}

/// As made when it is small enough; else scaled down, as PNG or, where that is too large, as JPEG. Takes CPU time.
///
/// # Errors
/// When the bytes are no PNG or JPEG.
pub(super) fn fit(bytes: &[u8]) -> ImageResult<Fitted> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mime = match reader.format() {
        Some(ImageFormat::Jpeg) => "image/jpeg",
        _ => "image/png",
    };
    let picture = reader.decode()?;
    let mut longest = picture.width().max(picture.height());
    if longest <= LONGEST_SIDE && bytes.len() <= LARGEST {
        return Ok(Fitted {
            mime,
            bytes: bytes.to_vec(),
        });
    }
    loop {
        longest = longest.min(LONGEST_SIDE);
        let scaled = picture.resize(longest, longest, FilterType::Triangle);
        let mut png = Vec::new();
        scaled.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)?;
        if png.len() <= LARGEST {
            return Ok(Fitted {
                mime: "image/png",
                bytes: png,
            });
        }
        let mut jpeg = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
        scaled.to_rgb8().write_with_encoder(encoder)?;
        if jpeg.len() <= LARGEST {
            return Ok(Fitted {
                mime: "image/jpeg",
                bytes: jpeg,
            });
        }
        longest = longest * 2 / 3;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, RgbImage};

    use super::{LARGEST, LONGEST_SIDE, fit};

    fn png(width: u32, height: u32, noise: bool) -> Vec<u8> {
        let mut seed = 1u32;
        let picture = RgbImage::from_fn(width, height, |_, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb(if noise {
                seed.to_be_bytes()[..3].try_into().unwrap()
            } else {
                [9, 9, 9]
            })
        });
        let mut bytes = Vec::new();
        picture
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
            .unwrap();
        bytes
    }

    #[test]
    fn a_small_picture_stays_as_made() {
        let bytes = png(640, 480, false);
        assert_eq!(fit(&bytes).unwrap().bytes, bytes);
    }

    #[test]
    fn a_large_picture_is_scaled_to_fit() {
        for (bytes, mime) in [
            (png(2400, 600, false), "image/png"),
            (png(1000, 1000, true), "image/jpeg"),
        ] {
            let fitted = fit(&bytes).unwrap();
            assert_eq!(fitted.mime, mime);
            let decoded = image::load_from_memory(&fitted.bytes).unwrap();
            assert!(decoded.width().max(decoded.height()) <= LONGEST_SIDE);
            assert!(fitted.bytes.len() <= LARGEST, "{}", fitted.bytes.len());
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        assert!(fit(b"not a picture").is_err());
    }
}
