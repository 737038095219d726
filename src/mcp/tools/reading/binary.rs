//! What opens a binary file: a line of code for each kind.

/// Of names that end in two parts the longer one stands first.
const READERS: [(&[&str], &str); 36] = [
    (
        &["csv.gz", "csv.bz2", "csv.xz", "csv.zst", "csv.zip"],
        "import pandas; print(pandas.read_csv(PATH, nrows=20))",
    ),
    (
        &["tsv.gz", "tsv.bz2", "tsv.xz", "tsv.zst"],
        "import pandas; print(pandas.read_csv(PATH, sep='\\t', nrows=20))",
    ),
    (
        &["jsonl.gz", "ndjson.gz", "jsonl.zst"],
        "import pandas; print(pandas.read_json(PATH, lines=True, nrows=20))",
    ),
    (
        &["nii.gz", "nii"],
        "import nibabel; print(nibabel.load(PATH).header)",
    ),
    (
        &["tar.gz", "tar.bz2", "tar.xz", "tgz", "tar"],
        "import tarfile; print(tarfile.open(PATH).getnames()[:100])",
    ),
    (
        &["parquet", "pq"],
        "import pandas; print(pandas.read_parquet(PATH).head(20))",
    ),
    (
        &["feather", "arrow"],
        "import pandas; print(pandas.read_feather(PATH).head(20))",
    ),
    (
        &["orc"],
        "import pandas; print(pandas.read_orc(PATH).head(20))",
    ),
    (
        &["xlsx", "xlsm", "xlsb", "xls", "ods"],
        "import pandas; print(pandas.read_excel(PATH, sheet_name=None, nrows=20))",
    ),
    (
        &["dta"],
        "import pandas; print(pandas.read_stata(PATH).head(20))",
    ),
    (
        &["sas7bdat", "xpt"],
        "import pandas; print(pandas.read_sas(PATH).head(20))",
    ),
    (
        &["sav"],
        "import pandas; print(pandas.read_spss(PATH).head(20))",
    ),
    (
        &["npy"],
        "import numpy; a = numpy.load(PATH, mmap_mode='r'); print(a.shape, a.dtype, a[:5])",
    ),
    (
        &["npz"],
        "import numpy; print({name: a.shape for name, a in numpy.load(PATH).items()})",
    ),
    (&["mat"], "import scipy.io; print(scipy.io.whosmat(PATH))"),
    (
        &["joblib"],
        "import joblib; print(joblib.load(PATH))  # runs code that is in the file",
    ),
    (
        &["pkl", "pickle"],
        "import pandas; print(pandas.read_pickle(PATH))  # runs code that is in the file",
    ),
    (
        &["pt", "pth", "ckpt"],
        "import torch; x = torch.load(PATH, map_location='cpu', weights_only=True); print(x.keys() if isinstance(x, dict) else x)",
    ),
    (
        &["safetensors"],
        "from safetensors import safe_open; f = safe_open(PATH, 'np'); print({k: f.get_slice(k).get_shape() for k in f.keys()})",
    ),
    (
        &["onnx"],
        "import onnx; print(onnx.helper.printable_graph(onnx.load(PATH).graph))",
    ),
    (
        &["keras"],
        "import keras; keras.saving.load_model(PATH).summary()",
    ),
    (
        &["h5", "hdf5", "hdf"],
        "import h5py; h5py.File(PATH).visititems(print)",
    ),
    (
        &["nc", "nc4", "grib"],
        "import xarray; print(xarray.open_dataset(PATH))",
    ),
    (
        &["db", "sqlite", "sqlite3"],
        "import sqlite3; print(sqlite3.connect(PATH).execute('select name, sql from sqlite_master').fetchall())",
    ),
    (
        &["duckdb"],
        "import duckdb; print(duckdb.connect(PATH, read_only=True).sql('show all tables'))",
    ),
    (
        &["zip", "whl", "jar", "egg"],
        "import zipfile; print(zipfile.ZipFile(PATH).namelist()[:100])",
    ),
    (&["gz"], "import gzip; print(gzip.open(PATH).read(2000))"),
    (&["bz2"], "import bz2; print(bz2.open(PATH).read(2000))"),
    (&["xz"], "import lzma; print(lzma.open(PATH).read(2000))"),
    (
        &["pdf"],
        "import pypdf; print(pypdf.PdfReader(PATH).pages[0].extract_text())",
    ),
    (
        &["tif", "tiff", "heic", "ico"],
        "import PIL.Image; print(PIL.Image.open(PATH))",
    ),
    (
        &["wav", "flac", "ogg", "mp3"],
        "import soundfile; print(soundfile.info(PATH))",
    ),
    (
        &["mp4", "mov", "avi", "mkv", "webm"],
        "import imageio.v3; print(imageio.v3.immeta(PATH))",
    ),
    (
        &["docx"],
        "import docx; print([p.text for p in docx.Document(PATH).paragraphs][:50])",
    ),
    (
        &["tfrecord"],
        "import tensorflow as tf; print(next(iter(tf.data.TFRecordDataset(PATH))))",
    ),
    (
        &["csv", "tsv", "txt", "log", "json", "jsonl", "md"],
        "print(open(PATH, errors='replace').read().replace('\\0', '')[-2000:])  # without its NUL bytes",
    ),
];

/// Where the name says nothing.
const MIMES: [(&str, &str); 11] = [
    ("application/vnd.apache.parquet", "parquet"),
    ("application/vnd.apache.arrow.file", "arrow"),
    ("application/x-npy", "npy"),
    ("application/x-hdf5", "h5"),
    ("application/vnd.sqlite3", "sqlite"),
    ("application/x-pickle", "pkl"),
    ("application/zip", "zip"),
    ("application/gzip", "gz"),
    ("application/x-bzip2", "bz2"),
    ("application/x-xz", "xz"),
    ("application/pdf", "pdf"),
];

/// A line of code that shows what is in the file.
pub(super) fn reader(path: &str, mime: &str) -> String {
    let name = path.to_ascii_lowercase();
    let is_named = |ending: &&str| {
        name.strip_suffix(*ending)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    let by_name = READERS
        .iter()
        .find(|(endings, _)| endings.iter().any(&is_named));
    let by_mime = || {
        let (_, ending) = MIMES.iter().find(|(known, _)| *known == mime)?;
        READERS.iter().find(|(endings, _)| endings.contains(ending))
    };
    let code = by_name
        .or_else(by_mime)
        .map_or("print(open(PATH, 'rb').read(200))", |(_, code)| code);
    code.replace("PATH", &python(path))
}

/// A path as Python code has it; a string of JSON is one of Python's too.
pub(super) fn python(path: &str) -> String {
    serde_json::Value::from(path).to_string()
}

#[cfg(test)]
mod tests {
    use super::{MIMES, READERS, reader};

    #[test]
    fn a_reader_is_found_by_the_name_or_else_by_the_kind() {
        for (path, mime, expected) in [
            (
                "/content/a.PARQUET",
                "application/octet-stream",
                "pandas.read_parquet(\"/content/a.PARQUET\")",
            ),
            (
                "/content/part-0",
                "application/vnd.apache.parquet",
                "pandas.read_parquet",
            ),
            ("a.csv.gz", "application/gzip", "pandas.read_csv"),
            ("a.tar.gz", "application/gzip", "tarfile"),
            ("a.gz", "application/gzip", "gzip.open"),
            ("model.pt", "application/zip", "torch.load"),
            (
                "quoted \"x\".npy",
                "application/x-npy",
                "numpy.load(\"quoted \\\"x\\\".npy\"",
            ),
            (
                "parquet",
                "application/octet-stream",
                "open(\"parquet\", 'rb')",
            ),
            (
                "a.log",
                "application/octet-stream",
                "open(\"a.log\", errors='replace')",
            ),
        ] {
            let code = reader(path, mime);
            assert!(code.contains(expected), "{path}: {code}");
        }
        for (mime, ending) in MIMES {
            assert!(
                READERS.iter().any(|(endings, _)| endings.contains(&ending)),
                "{mime}"
            );
        }
    }
}
