//! The executor's Python package as this binary holds it, and the packages that it needs and another Python may lack.

use std::borrow::Cow;

use rust_embed::RustEmbed;

/// The package's name, and its folder.
pub(super) const PACKAGE: &str = "smart_colab_executor";
/// The module, among the [`sources`], that carries requests through a kernel.
pub(super) const RELAY: &str = "relay/relay.py";

/// A path with `/`, and the content.
pub(super) type File = (Cow<'static, str>, Cow<'static, [u8]>);

/// The notebook that starts the executor in Colab.
pub const NOTEBOOK: &[u8] = include_bytes!("../../colab/smart_colab_executor.ipynb");

#[derive(RustEmbed)]
#[folder = "colab/smart_colab_executor"]
struct Sources;

#[derive(RustEmbed)]
#[folder = "colab/wheels"]
struct Wheels;

/// The package's files, in order.
pub(super) fn sources() -> Vec<File> {
    files(Sources::iter(), Sources::get)
}

/// The wheels, in order.
pub(super) fn wheels() -> Vec<File> {
    files(
        Wheels::iter().filter(|name| name.ends_with(".whl")),
        Wheels::get,
    )
}

fn files(
    names: impl Iterator<Item = Cow<'static, str>>,
    get: fn(&str) -> Option<rust_embed::EmbeddedFile>,
) -> Vec<File> {
    let mut files: Vec<_> = names
        // Python writes these beside its sources.
        .filter(|name| !name.contains("__pycache__") && !name.ends_with(".pyc"))
        .filter_map(|name| get(&name).map(|file| (name, file.data)))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::{RELAY, sources as files};

    #[test]
    fn the_package_is_whole_and_holds_no_compiled_file() {
        let names: Vec<_> = files().into_iter().map(|(name, _)| name).collect();
        for wanted in [
            "__init__.py",
            "in_kernel/kernel_side.py",
            "page/index.html",
            "page/vendor/uPlot.iife.min.js",
            "requirements.txt",
            RELAY,
        ] {
            assert!(names.iter().any(|name| name == wanted), "{names:?}");
        }
        for name in &names {
            assert!(
                !name.ends_with(".pyc") && !name.contains("__pycache__"),
                "{name}"
            );
        }
    }
}
