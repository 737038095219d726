//! Listing resources at once and without a network.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use smart_colab::base::ids::JobId;

use super::{Client, ERAS, Era, keep_result, note_job, save, uri_of, uris};
use crate::support::home::Home;
use crate::support::stdio::Bridge;

/// Names in many scripts, and with characters that are reserved in URIs.
const NAMES: [&str; 9] = [
    "plain.csv",
    "größe.txt",
    "данные/модель.json",
    "训练/损失.png",
    "ملف.txt",
    "emoji 😀.md",
    "50% #1?.txt",
    "{a}+[b]&c.txt",
    "no ending",
];

/// Sets a file's age.
fn set_age(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

#[test]
fn both_protocol_eras_announce_resources() {
    let home = Home::new();
    let expected = json!({"subscribe": true, "listChanged": true});
    let mut old = Bridge::start(home.program(&[]));
    let hello = old.initialize("2024-11-05");
    assert_eq!(hello["capabilities"]["resources"], expected, "{hello}");
    let found = Client::start(Era::Modern, home.program(&[])).ask("server/discover", json!({}));
    assert_eq!(found["capabilities"]["resources"], expected, "{found}");
}

#[test]
fn saved_files_are_listed_newest_first_whatever_their_names() {
    let home = Home::new();
    let mut expected = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let path = save(&home, name, "x".repeat(at).as_bytes());
        set_age(&path, 10 * (at as u64 + 1));
        expected.push(uri_of(&path));
    }
    for hidden in [
        ".env",
        ".state/a.txt",
        "big.bin.partial",
        "big.bin.partial.jsonl",
    ] {
        save(&home, hidden, b"no");
    }
    for era in ERAS {
        let mut client = Client::offline(era, &home);
        let listed = client.list();
        assert_eq!(uris(&listed), expected, "{era:?}");
        for (at, (resource, name)) in listed.iter().zip(NAMES).enumerate() {
            assert_eq!(resource["name"], name, "{resource}");
            assert_eq!(resource["size"], at, "{resource}");
            let changed = resource["annotations"]["lastModified"].as_str().unwrap();
            let changed: jiff::Timestamp = changed.parse().unwrap();
            assert!(changed < jiff::Timestamp::now(), "{resource}");
            let content = client.content(resource["uri"].as_str().unwrap());
            assert_eq!(content["text"], "x".repeat(at), "{content}");
            assert!(content["mimeType"].is_string(), "{content}");
        }
        assert_eq!(listed[0]["mimeType"], "text/csv");
        assert_eq!(listed[3]["mimeType"], "image/png");
    }
}

#[test]
fn thousands_of_files_are_paged_without_repetition() {
    let home = Home::new();
    for n in 0..5_000 {
        save(&home, &format!("run {}/{n}.txt", n % 7), b"");
    }
    let mut client = Client::offline(Era::Handshake, &home);
    let first = client.ask("resources/list", json!({}));
    assert!(first["resources"].as_array().unwrap().len() <= 1_000);
    // A file added meanwhile is newer than the pages still to come.
    save(&home, "meanwhile.txt", b"");
    let mut rest = Vec::new();
    let mut cursor = first["nextCursor"].clone();
    while cursor.is_string() {
        let page = client.ask("resources/list", json!({"cursor": cursor}));
        rest.extend(page["resources"].as_array().unwrap().clone());
        cursor = page["nextCursor"].clone();
    }
    let mut all = uris(first["resources"].as_array().unwrap());
    all.extend(uris(&rest));
    assert_eq!(all.len(), 5_000);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5_000);
    let changed = |one: &Value| -> jiff::Timestamp {
        let changed = one["annotations"]["lastModified"].as_str().unwrap();
        changed.parse().unwrap()
    };
    assert!(rest.is_sorted_by(|one, next| changed(one) >= changed(next)));

    let refused = client.ask("resources/list", json!({"cursor": "seven"}));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}

#[test]
fn logs_checkpoints_and_files_are_sorted_together_by_age() {
    let home = Home::new();
    let (old, new) = (JobId::fresh(), JobId::fresh());
    note_job(&home, old, "import torch", "2026-01-01T00:00:00Z");
    note_job(&home, new, "", "2026-03-01T00:00:00Z");
    let file = save(&home, "between.txt", b"");
    let between: jiff::Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    let handle = File::options().write(true).open(&file).unwrap();
    handle.set_modified(between.into()).unwrap();
    keep_result(&home, "best", "42");
    for era in ERAS {
        let listed = Client::offline(era, &home).list();
        let expected = [
            "smart-colab://checkpoints/best".to_owned(),
            format!("smart-colab://jobs/{new}/log"),
            uri_of(&file),
            format!("smart-colab://jobs/{old}/log"),
        ];
        assert_eq!(uris(&listed), expected, "{era:?}");
        assert_eq!(listed[3]["title"], "import torch");
        assert_eq!(listed[3]["mimeType"], "text/plain");
        assert_eq!(listed[0]["mimeType"], "application/json");
    }
}

#[test]
fn unreadable_entries_do_not_hide_the_others() {
    let home = Home::new();
    let mut client = Client::offline(Era::Modern, &home);
    assert_eq!(client.list(), [] as [Value; 0], "no folder exists yet");

    let good = save(&home, "good.txt", b"good");
    note_job(&home, JobId::fresh(), "1", "yesterday, or so");
    let jobs = home.folder("data").join("jobs");
    fs::write(jobs.join(format!("{}.json", JobId::fresh())), "{torn").unwrap();
    fs::create_dir(jobs.join(format!("{}.json", JobId::fresh()))).unwrap();
    fs::create_dir_all(home.folder("checkpoints").join("empty")).unwrap();
    fs::write(home.folder("checkpoints").join("file"), "").unwrap();
    let torn = home.folder("checkpoints").join("torn");
    fs::create_dir(&torn).unwrap();
    fs::write(torn.join("checkpoint.json"), "{").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let results = home.folder("results");
        symlink("loop", results.join("loop")).unwrap();
        symlink("nowhere", results.join("nowhere")).unwrap();
        symlink("/", results.join("everything")).unwrap();
        let closed = save(&home, "closed/a.txt", b"");
        let closed = closed.parent().unwrap();
        fs::set_permissions(closed, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let listed = uris(&client.list());
    assert!(listed.contains(&uri_of(&good)), "{listed:?}");
    let torn = "smart-colab://checkpoints/torn".to_owned();
    assert!(listed.contains(&torn), "{listed:?}");
    let logs = listed.iter().filter(|uri| uri.contains("jobs"));
    assert_eq!(logs.count(), 1, "{listed:?}");
    // A user who may read every folder sees the file in the closed one too.
    assert!((3..=4).contains(&listed.len()), "{listed:?}");
    client.refused(&torn, super::INTERNAL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let closed = home.folder("results").join("closed");
        fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn the_newest_fifty_logs_are_listed() {
    let home = Home::new();
    let ids: Vec<JobId> = (0..60).map(|_| JobId::fresh()).collect();
    for (at, id) in ids.iter().enumerate() {
        note_job(&home, *id, "1", &format!("2026-01-01T00:00:{at:02}Z"));
    }
    let listed = uris(&Client::offline(Era::Handshake, &home).list());
    let newest = ids.iter().rev().take(50);
    let newest: Vec<String> = newest
        .map(|id| format!("smart-colab://jobs/{id}/log"))
        .collect();
    assert_eq!(listed, newest);
}

#[test]
fn templates_describe_unlisted_resources() {
    let home = Home::new();
    for era in ERAS {
        let mut client = Client::offline(era, &home);
        let listed = client.ask("resources/templates/list", json!({}));
        let templates = listed["resourceTemplates"].as_array().unwrap();
        let forms: Vec<&str> = templates
            .iter()
            .map(|template| template["uriTemplate"].as_str().unwrap())
            .collect();
        assert_eq!(
            forms,
            [
                "smart-colab://jobs/{job_id}/log{?from,bytes}",
                "smart-colab://checkpoints/{name}",
                &format!("{}/{{+path}}", uri_of(&home.folder("results"))),
            ]
        );
        for template in templates {
            for part in ["name", "title", "description"] {
                assert!(template[part].is_string(), "{template}");
            }
        }
    }
}
