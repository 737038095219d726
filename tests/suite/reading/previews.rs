//! Files that are no text, as the real executor previews them.

use serde_json::{Value, json};

use super::odd::Reader;

const MAKE: &str = r#"
import gzip, os, sqlite3, tarfile, zipfile
import h5py, numpy, pyarrow, pyarrow.feather, pyarrow.parquet
os.chdir(FOLDER)
numpy.save("a.npy", numpy.arange(3000.0).reshape(1000, 3))
numpy.savez("a.npz", w=numpy.ones((2, 2)))
table = pyarrow.table({"id": range(100), "name": ["ü"] * 100})
pyarrow.parquet.write_table(table, "a.parquet")
pyarrow.feather.write_feather(table, "a.feather")
h5py.File("a.h5", "w")["kernel"] = [1.5, 2.5]
with sqlite3.connect("a.db") as base:
    base.execute("create table t (x integer)")
    base.executemany("insert into t values (?)", [(n,) for n in range(30)])
base.close()
rows = "".join(f"{n},row {n}\n" for n in range(90_000))
gzip.open("a.csv.gz", "wt").write("n,text\n" + rows)
gzip.open("a.jsonl.gz", "wt").write('{"n": 1, "s": "x"}\n{"n": null}\n')
gzip.open("a.log.gz", "wt").write("one\ntwo\nthree\n")
open("a.jsonl", "w").write('{"n": 1, "s": "x"}\n{"n": null}\n')
zipfile.ZipFile("a.zip", "w").writestr("inside.txt", "x" * 1234)
tarfile.open("a.tar.gz", "w:gz").addfile(tarfile.TarInfo("inside.txt"))
os.symlink("a.npy", "link.npy")
for name in ("a.npy", "a.npz", "a.parquet", "a.feather", "a.h5", "a.zip"):
    whole = open(name, "rb").read()
    open("half-" + name, "wb").write(whole[:len(whole) * 2 // 3])
"#;

fn reader(folder: &str) -> Reader {
    let mut reader = Reader::new(folder);
    let place = serde_json::to_string(&reader.folder).unwrap();
    let arguments = json!({"code": MAKE.replace("FOLDER", &place), "session": folder});
    let answer = reader.bridge.call("run_code_quick", arguments);
    assert!(!answer.is_error, "{}", answer.whole);
    reader
}

#[test]
fn a_binary_file_is_shown_by_schema_size_and_first_rows() {
    let mut reader = reader("previews");
    for (name, first, last) in [
        (
            "a.npy",
            "NumPy array: 1,000×3 float64, 24,000 bytes\nfirst values, 20×3:\n[[ 0.  1.  2.]\n",
            "[57. 58. 59.]]\n",
        ),
        (
            "link.npy",
            "NumPy array: 1,000×3 float64",
            "[57. 58. 59.]]\n",
        ),
        ("a.npz", "NumPy archive: 1 array\n", "[1. 1. 1. 1.]\n"),
        (
            "a.parquet",
            "Parquet: 100 rows, 2 columns, 1 row group",
            "first 20 rows:\n",
        ),
        (
            "a.feather",
            "Feather (Arrow IPC): 100 rows, 2 columns, 1 record batch\nschema:\n  id: int64\n  name: string\nfirst 20 rows:\n",
            "19  ü\n",
        ),
        (
            "a.h5",
            "HDF5: 0 groups, 1 dataset\n/kernel  2 float64\n",
            "    [1.5 2.5]\n",
        ),
        (
            "a.db",
            "SQLite: 1 table, 0 views\n\ntable t: 30 rows, 1 column\n  x INTEGER\nx\n0\n1\n",
            "18\n19\n",
        ),
        (
            "a.zip",
            "Zip archive: 1 entry, 1,234 bytes unpacked\n1,234  ",
            "inside.txt\n",
        ),
        (
            "a.tar.gz",
            "Tar archive in gzip: 1 entry, 0 bytes unpacked\n0  ",
            "inside.txt\n",
        ),
    ] {
        let answer = reader.on(name, json!({}));
        assert!(answer.text.starts_with(first), "{name}: {}", answer.text);
        assert!(answer.text.contains(last), "{name}: {}", answer.text);
        let size = std::fs::metadata(reader.folder.join(name)).unwrap().len();
        assert_eq!(answer.facts["size_bytes"], size, "{name}");
        let hint = answer.fact("hint");
        let code = "download_from_colab fetches the file, or this code shows its content: import";
        assert!(hint.contains(code), "{name}: {hint}");
        assert!(answer.facts["code"].is_null() && answer.facts["next_line"].is_null());
    }
    let few = reader.on("a.parquet", json!({"lines": 3}));
    assert!(
        few.text
            .ends_with("first 3 rows:\nid  name\n0   ü\n1   ü\n2   ü\n"),
        "{}",
        few.text
    );
    let most = reader.on("a.parquet", json!({"lines": 10_000}));
    assert!(most.text.contains("all rows:\n"), "{}", most.text);
}

#[test]
fn a_compressed_text_is_shown_as_the_text_would_be() {
    let mut reader = reader("previews-packed");
    let table = reader.on("a.csv.gz", json!({}));
    assert!(
        table.text.starts_with(" n  text\n 0  row 0\n 1  row 1\n"),
        "{}",
        table.text
    );
    assert_eq!(
        (
            &table.facts["rows"],
            &table.facts["columns"],
            &table.facts["is_cut"]
        ),
        (&json!(20), &json!(2), &json!(true))
    );
    assert_eq!(table.fact("mime"), "application/gzip");
    assert!(table.fact("hint").contains("pandas.read_csv("));
    assert_eq!(reader.on("a.csv.gz", json!({"lines": 3})).facts["rows"], 3);

    let lines = "{\"n\": 1, \"s\": \"x\"}\n{\"n\": null}\n";
    for name in ["a.jsonl", "a.jsonl.gz"] {
        let answer = reader.on(name, json!({}));
        assert_eq!(answer.text, lines, "{name}");
        assert_eq!(
            answer.fact("fields"),
            "n: number or null, s: string",
            "{name}"
        );
    }
    let log = reader.on("a.log.gz", json!({"lines": 2}));
    assert_eq!(
        (log.text.as_str(), &log.facts["is_cut"]),
        ("one\ntwo\n", &json!(true))
    );
    let whole = reader.on("a.log.gz", json!({}));
    assert_eq!(
        (whole.text.as_str(), &whole.facts["is_cut"]),
        ("one\ntwo\nthree\n", &Value::Null)
    );
}

#[test]
fn half_a_file_is_refused_with_what_is_known_of_it() {
    let mut reader = reader("previews-half");
    for (name, kind, code) in [
        ("a.npy", "a NumPy array", "numpy.load("),
        ("a.npz", "a NumPy archive", "numpy.load("),
        ("a.parquet", "Parquet", "pandas.read_parquet("),
        ("a.feather", "Feather", "pandas.read_feather("),
        ("a.h5", "HDF5", "h5py.File("),
        ("a.zip", "a zip archive", "zipfile.ZipFile("),
    ] {
        let path = reader.folder.join(format!("half-{name}"));
        let answer = reader.ask(&format!("half-{name}"), json!({}));
        answer.refused("no_preview");
        let error = answer.fact("error");
        assert!(
            error.contains(&format!("half-{name} cannot be read as {kind}: ")),
            "{error}"
        );
        assert!(
            answer.fact("hint").contains("call again when it is whole"),
            "{}",
            answer.facts
        );
        assert!(answer.fact("hint").contains(code), "{}", answer.facts);
        assert!(
            answer
                .text
                .starts_with("A binary file of type application/"),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.facts["size_bytes"],
            std::fs::metadata(path).unwrap().len()
        );
    }
    // The executor goes on.
    assert!(reader.on("a.npy", json!({})).text.contains("1,000×3"));
}
