//! The code hinted for a binary file runs, whatever the file's name.

use serde_json::json;

use super::odd::Reader;

/// Writes the files with packages that every test environment has.
const MAKE: &str = r#"
import bz2, gzip, lzma, os, pickle, sqlite3, sys, tarfile, types, zipfile
import numpy
os.chdir(FOLDER)
for name, value in {
    "rows": numpy.arange(12.0).reshape(3, 4), "zero": numpy.array(3.5), "empty": numpy.zeros((0, 3)),
    "columns": numpy.asfortranarray(numpy.ones((3, 4))), "objects": numpy.array([1, "a", None], dtype=object),
    "one_object": numpy.array({"k": 1}, dtype=object), "records": numpy.zeros(3, dtype=[("x", "f4"), ("y", "O")]),
}.items():
    numpy.save(name, value)
numpy.savez("arrays", a=[1], o=numpy.array([None]))
os.replace("arrays.npz", "npz.txt")
text = b"hello\n" * 9
open("gz.txt", "wb").write(gzip.compress(text))
open("gz.log", "wb").write(gzip.compress(text))
open("bz2.csv", "wb").write(bz2.compress(text))
open("xz.json", "wb").write(lzma.compress(text))
zipfile.ZipFile("zip.md", "w").writestr("inside.txt", "x")
with tarfile.open("tar.txt", "w") as tar:
    tar.addfile(tarfile.TarInfo("inside.txt"))
with sqlite3.connect("sqlite.csv") as base:
    base.execute("create table inside (a)")
base.close()
pickle.dump({"k": 1}, open("pickle.zip", "wb"))
open("parquet.csv", "wb").write(b"PAR1\0")
open("hdf.npy", "wb").write(b"\x89HDF\r\n\x1a\n\0")
open("pdf.txt", "wb").write(b"%PDF-1.7\n\0")
open("zstd.txt", "wb").write(b"(\xb5/\xfd\0")

# Libraries that are not there, as far as they are called: each opens the path.
def stand_in(name, **functions):
    sys.modules[name] = types.SimpleNamespace(**functions)

def opened(path, **options):
    print(open(path, "rb").read(4), options)
    return Opened()

class Opened:
    def head(self, rows): return rows
    def visititems(self, show): show("inside")
    def read(self, size): return size
    def extract_text(self): return "page"
    @property
    def pages(self): return [self]

def read_pickle(path, compression="infer"):
    if compression == "infer" and path.endswith(".zip"):
        return zipfile.ZipFile(path)
    return pickle.load(open(path, "rb"))

stand_in("pandas", read_pickle=read_pickle, read_parquet=opened)
stand_in("h5py", File=opened)
stand_in("pypdf", PdfReader=opened)
stand_in("pyarrow", input_stream=opened)
"#;

#[test]
fn the_hinted_code_reads_the_file_whatever_its_name() {
    let mut reader = Reader::new("binary-hints");
    let run = |reader: &mut Reader, code: &str| {
        let arguments = json!({"code": code, "session": "binary-hints"});
        let answer = reader.bridge.call("run_code_quick", arguments);
        assert!(!answer.is_error, "{code}\n{}", answer.whole);
        answer.text
    };
    let folder = serde_json::to_string(&reader.folder).unwrap();
    run(&mut reader, &MAKE.replace("FOLDER", &folder));
    for (name, mime, shown, is_misnamed) in [
        (
            "rows.npy",
            "application/x-npy",
            "(3, 4) float64 [0. 1. 2. 3. 4.]",
            false,
        ),
        ("zero.npy", "application/x-npy", "() float64 [3.5]", false),
        ("empty.npy", "application/x-npy", "(0, 3) float64 []", false),
        ("columns.npy", "application/x-npy", "(3, 4) float64", false),
        (
            "objects.npy",
            "application/x-npy",
            "(3,) object [1 'a' None]",
            false,
        ),
        (
            "one_object.npy",
            "application/x-npy",
            "() object [{'k': 1}]",
            false,
        ),
        ("records.npy", "application/x-npy", "(3,) [('x'", false),
        ("npz.txt", "application/x-npz", "['a', 'o']", true),
        ("gz.txt", "application/gzip", "hello", true),
        ("gz.log", "application/gzip", "hello", true),
        ("bz2.csv", "application/x-bzip2", "hello", true),
        ("xz.json", "application/x-xz", "hello", true),
        ("zip.md", "application/zip", "['inside.txt']", true),
        ("tar.txt", "application/x-tar", "['inside.txt']", true),
        ("sqlite.csv", "application/vnd.sqlite3", "('inside', ", true),
        ("pickle.zip", "application/x-pickle", "{'k': 1}", true),
        (
            "parquet.csv",
            "application/vnd.apache.parquet",
            "PAR1",
            true,
        ),
        ("hdf.npy", "application/x-hdf5", "inside", true),
        ("pdf.txt", "application/pdf", "page", true),
        ("zstd.txt", "application/zstd", "'zstd'", true),
    ] {
        let answer = reader.ask(name, json!({}));
        // These end in their first bytes.
        match name {
            "parquet.csv" | "hdf.npy" => answer.refused("no_preview"),
            _ => answer.succeeded(),
        }
        assert_eq!(answer.fact("mime"), mime, "{name}");
        let says_so = answer.text.contains("despite its name");
        assert_eq!(says_so, is_misnamed, "{name}: {}", answer.text);
        let (_, code) = answer
            .fact("hint")
            .split_once("this code shows its content: ")
            .unwrap();
        let text = run(&mut reader, code);
        assert!(text.contains(shown), "{name}: {code}\n{text}");
    }
}

#[test]
fn one_byte_is_counted_in_the_singular() {
    let answer = Reader::new("binary-one").look("a.bin", b"\0");
    assert_eq!(
        answer.text,
        "A binary file of type application/octet-stream, 1 byte."
    );
}
