//! Code that opens a binary file: one line for each kind.

/// Code that opens files with certain extensions.
struct Reader {
    endings: &'static [&'static str],
    /// Other kinds that it also reads under these names, each by one of its extensions.
    also: &'static [&'static str],
    code: &'static str,
}

/// Double extensions come before their last part.
const READERS: [Reader; 40] = [
    reader(
        &["csv.zst"],
        &[],
        "import pandas, pyarrow; print(pandas.read_csv(pyarrow.input_stream(PATH, compression='zstd'), nrows=20))",
    ),
    reader(
        &["csv.gz", "csv.bz2", "csv.xz", "csv.zip"],
        &[],
        "import pandas; print(pandas.read_csv(PATH, nrows=20))",
    ),
    reader(
        &["tsv.gz", "tsv.bz2", "tsv.xz"],
        &[],
        "import pandas; print(pandas.read_csv(PATH, sep='\\t', nrows=20))",
    ),
    reader(
        &["jsonl.zst", "ndjson.zst"],
        &[],
        "import pandas, pyarrow; print(pandas.read_json(pyarrow.input_stream(PATH, compression='zstd'), lines=True, nrows=20))",
    ),
    reader(
        &[
            "jsonl.gz",
            "ndjson.gz",
            "ndjson.bz2",
            "jsonl.bz2",
            "jsonl.xz",
        ],
        &[],
        "import pandas; print(pandas.read_json(PATH, lines=True, nrows=20))",
    ),
    reader(
        &["nii.gz", "nii"],
        &[],
        "import nibabel; print(nibabel.load(PATH).header)",
    ),
    reader(
        &["tar.gz", "tar.bz2", "tar.xz", "tgz", "tar"],
        &["gz", "bz2", "xz"],
        "import tarfile; print(tarfile.open(PATH).getnames()[:100])",
    ),
    reader(
        &["parquet", "pq"],
        &[],
        "import pandas; print(pandas.read_parquet(PATH).head(20))",
    ),
    reader(
        &["feather", "arrow"],
        &[],
        "import pandas; print(pandas.read_feather(PATH).head(20))",
    ),
    reader(
        &["orc"],
        &[],
        "import pandas; print(pandas.read_orc(PATH).head(20))",
    ),
    reader(
        &["xlsx", "xlsm", "xlsb", "xls", "ods"],
        &["zip"],
        "import pandas; print(pandas.read_excel(PATH, sheet_name=None, nrows=20))",
    ),
    reader(
        &["dta"],
        &[],
        "import pandas; print(pandas.read_stata(PATH).head(20))",
    ),
    reader(
        &["sas7bdat", "xpt"],
        &[],
        "import pandas; print(pandas.read_sas(PATH).head(20))",
    ),
    reader(
        &["sav"],
        &[],
        "import pandas; print(pandas.read_spss(PATH).head(20))",
    ),
    reader(
        &["npy"],
        &[],
        "import numpy; is_object = b\"|O'\" in open(PATH, 'rb').read(9999); a = numpy.load(PATH, mmap_mode=None if is_object else 'r', allow_pickle=is_object); print(a.shape, a.dtype, a.flat[:5])  # of objects it runs code that is in the file",
    ),
    reader(
        &["npz"],
        &["zip"],
        "import numpy; arrays = numpy.load(PATH); print(arrays.files)  # arrays[name] is one of them",
    ),
    reader(
        &["mat"],
        &[],
        "import scipy.io; print(scipy.io.whosmat(PATH))",
    ),
    reader(
        &["joblib"],
        &["pkl", "gz", "bz2", "xz"],
        "import joblib; print(joblib.load(PATH))  # runs code that is in the file",
    ),
    reader(
        &["pkl", "pickle"],
        &[],
        "import pandas; print(pandas.read_pickle(PATH, compression=None))  # runs code that is in the file",
    ),
    reader(
        &["pt", "pth", "ckpt"],
        &["zip", "pkl"],
        "import torch; x = torch.load(PATH, map_location='cpu', weights_only=True); print(x.keys() if isinstance(x, dict) else x)",
    ),
    reader(
        &["safetensors"],
        &[],
        "from safetensors import safe_open; f = safe_open(PATH, 'np'); print({k: f.get_slice(k).get_shape() for k in f.keys()})",
    ),
    reader(
        &["onnx"],
        &[],
        "import onnx; print(onnx.helper.printable_graph(onnx.load(PATH).graph))",
    ),
    reader(
        &["keras"],
        &["zip"],
        "import keras; keras.saving.load_model(PATH).summary()",
    ),
    reader(
        &["h5", "hdf5", "hdf"],
        &[],
        "import h5py; h5py.File(PATH).visititems(print)",
    ),
    reader(
        &["nc", "nc4", "grib"],
        &["h5"],
        "import xarray; print(xarray.open_dataset(PATH))",
    ),
    reader(
        &["db", "sqlite", "sqlite3"],
        &[],
        "import sqlite3; print(sqlite3.connect(PATH).execute('select name, sql from sqlite_master').fetchall())",
    ),
    reader(
        &["duckdb"],
        &[],
        "import duckdb; print(duckdb.connect(PATH, read_only=True).sql('show all tables'))",
    ),
    reader(
        &["zip", "whl", "jar", "egg"],
        &[],
        "import zipfile; print(zipfile.ZipFile(PATH).namelist()[:100])",
    ),
    reader(
        &["gz"],
        &[],
        "import gzip; print(gzip.open(PATH, 'rt', errors='replace').read(2000))",
    ),
    reader(
        &["bz2"],
        &[],
        "import bz2; print(bz2.open(PATH, 'rt', errors='replace').read(2000))",
    ),
    reader(
        &["xz", "lzma"],
        &[],
        "import lzma; print(lzma.open(PATH, 'rt', errors='replace').read(2000))",
    ),
    reader(
        &["zst"],
        &[],
        "import pyarrow; print(pyarrow.input_stream(PATH, compression='zstd').read(2000))",
    ),
    reader(
        &["7z"],
        &[],
        "import py7zr; print(py7zr.SevenZipFile(PATH).getnames()[:100])",
    ),
    reader(
        &["pdf"],
        &[],
        "import pypdf; print(pypdf.PdfReader(PATH).pages[0].extract_text())",
    ),
    reader(
        &["tif", "tiff", "heic", "ico"],
        &[],
        "import PIL.Image; print(PIL.Image.open(PATH))",
    ),
    reader(
        &["wav", "flac", "ogg", "mp3"],
        &[],
        "import soundfile; print(soundfile.info(PATH))",
    ),
    reader(
        &["mp4", "mov", "avi", "mkv", "webm"],
        &[],
        "import imageio.v3; print(imageio.v3.immeta(PATH))",
    ),
    reader(
        &["docx"],
        &["zip"],
        "import docx; print([p.text for p in docx.Document(PATH).paragraphs][:50])",
    ),
    reader(
        &["tfrecord"],
        &[],
        "import tensorflow as tf; print(next(iter(tf.data.TFRecordDataset(PATH))))",
    ),
    reader(
        &["csv", "tsv", "txt", "log", "json", "jsonl", "md"],
        &[],
        "print(open(PATH, errors='replace').read().replace('\\0', '')[-2000:])  # without its NUL bytes",
    ),
];

/// Kinds by content, each with an extension of such files.
const KINDS: [(&str, &str); 22] = [
    ("application/vnd.apache.parquet", "parquet"),
    ("application/vnd.apache.arrow.file", "arrow"),
    ("application/x-npy", "npy"),
    ("application/x-npz", "npz"),
    ("application/x-pytorch", "pt"),
    ("application/x-hdf5", "h5"),
    ("application/x-netcdf", "nc"),
    ("application/vnd.sqlite3", "sqlite"),
    ("application/vnd.duckdb", "duckdb"),
    ("application/x-pickle", "pkl"),
    ("application/zip", "zip"),
    ("application/gzip", "gz"),
    ("application/x-bzip2", "bz2"),
    ("application/x-xz", "xz"),
    ("application/zstd", "zst"),
    ("application/x-7z-compressed", "7z"),
    ("application/x-tar", "tar"),
    ("application/pdf", "pdf"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/x-ole-storage", "xls"),
    ("audio/x-wav", "wav"),
];

const fn reader(
    endings: &'static [&'static str],
    also: &'static [&'static str],
    code: &'static str,
) -> Reader {
    Reader {
        endings,
        also,
        code,
    }
}

/// The way to open a file.
pub(super) struct Opening {
    /// A line of code that shows its content.
    pub(super) code: String,
    /// Its content does not match its name.
    pub(super) is_misnamed: bool,
}

/// Finds the code by content, then by name: `.pt` says more than that it is a zip file.
pub(super) fn opening(path: &str, mime: &str) -> Opening {
    let name = path.to_ascii_lowercase();
    let is_named = |ending: &&str| {
        name.strip_suffix(*ending)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    let find = |is_wanted: &dyn Fn(&&str) -> bool| {
        let mut readers = READERS.iter();
        readers.find(|reader| reader.endings.iter().any(is_wanted))
    };
    let named = find(&is_named);
    let kind = KINDS.iter().find(|(known, _)| *known == mime);
    let kind = kind.and_then(|(_, of)| Some((of, find(&|ending| ending == of)?)));
    let (found, is_misnamed) = match (named, kind) {
        (Some(named), Some((of, reader))) => {
            let is_so = named.also.contains(of) || reader.endings.iter().any(is_named);
            (Some(if is_so { named } else { reader }), !is_so)
        }
        (named, kind) => (named.or(kind.map(|(_, reader)| reader)), false),
    };
    let code = found.map_or("print(open(PATH, 'rb').read(200))", |reader| reader.code);
    Opening {
        code: code.replace("PATH", &python(path)),
        is_misnamed,
    }
}

/// A path as a Python literal; every JSON string is one.
#[must_use]
pub fn python(path: &str) -> String {
    serde_json::Value::from(path).to_string()
}

#[cfg(test)]
mod tests {
    use super::{KINDS, READERS, opening};

    #[test]
    fn a_file_is_opened_by_its_content_then_by_its_name() {
        for (path, mime, expected, is_misnamed) in [
            (
                "/c/a.PARQUET",
                "application/octet-stream",
                "pandas.read_parquet(\"/c/a.PARQUET\")",
                false,
            ),
            (
                "/c/part-0",
                "application/vnd.apache.parquet",
                "pandas.read_parquet",
                false,
            ),
            ("a.csv.gz", "application/gzip", "pandas.read_csv", false),
            ("a.csv.gz", "application/zip", "zipfile", true),
            ("a.tar.gz", "application/gzip", "tarfile", false),
            ("a.tgz", "application/x-xz", "tarfile", false),
            ("a.gz", "application/gzip", "gzip.open", false),
            (
                "a.txt",
                "application/gzip",
                "gzip.open(\"a.txt\", 'rt'",
                true,
            ),
            ("a.csv", "application/x-bzip2", "bz2.open", true),
            ("a.log", "application/x-xz", "lzma.open", true),
            ("a.json", "application/zstd", "compression='zstd'", true),
            ("a.txt", "application/vnd.sqlite3", "sqlite3", true),
            ("a.npy", "application/x-npz", "arrays.files", true),
            ("a.mat", "application/x-hdf5", "h5py", true),
            ("a.nc", "application/x-hdf5", "xarray", false),
            ("model.pt", "application/zip", "torch.load", false),
            ("model.pth", "application/x-pickle", "torch.load", false),
            ("a.xls", "application/vnd.ms-excel", "read_excel", false),
            (
                "quoted \"x\".npy",
                "application/x-npy",
                "open(\"quoted \\\"x\\\".npy\", 'rb')",
                false,
            ),
            (
                "parquet",
                "application/octet-stream",
                "open(\"parquet\", 'rb')",
                false,
            ),
            (
                "a.log",
                "application/octet-stream",
                "open(\"a.log\", errors='replace')",
                false,
            ),
        ] {
            let opening = opening(path, mime);
            assert!(opening.code.contains(expected), "{path}: {}", opening.code);
            assert_eq!(opening.is_misnamed, is_misnamed, "{path}: {mime}");
        }
    }

    #[test]
    fn every_kind_has_a_reader() {
        let has = |of: &str| READERS.iter().any(|reader| reader.endings.contains(&of));
        let also = READERS.iter().flat_map(|reader| reader.also);
        let unknown = KINDS
            .iter()
            .map(|(_, of)| of)
            .chain(also)
            .find(|of| !has(of));
        assert_eq!(unknown, None);
    }
}
