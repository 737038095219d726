//! Reading saved files, and refusing everything else.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Client, DEAD_URL, ERAS, Era, INTERNAL, save, uri_of};
use crate::support::home::Home;

const MAX_BYTES: usize = 8 * 1024 * 1024;

#[test]
fn text_files_are_read_as_text_and_others_as_blobs() {
    let home = Home::new();
    let png = b"\x89PNG\r\n\x1a\n\0\0".as_slice();
    let picture = uri_of(&save(&home, "outputs/a.png", png));
    let text = uri_of(&save(&home, "a.csv", "ü,1\n".as_bytes()));
    let latin = uri_of(&save(&home, "latin.txt", b"caf\xE9"));
    let nothing = uri_of(&save(&home, "empty.txt", b""));
    for era in ERAS {
        let mut client = Client::offline(era, &home);
        for (uri, bytes, mime) in [
            (&picture, png, "image/png"),
            (&latin, b"caf\xE9", "text/plain"),
        ] {
            let content = client.content(uri);
            assert_eq!(content["blob"], STANDARD.encode(bytes), "{content}");
            assert_eq!(content["mimeType"], mime);
            assert_eq!(content["text"], Value::Null);
        }
        let content = client.content(&text);
        assert_eq!(
            (&content["text"], &content["mimeType"]),
            (&"ü,1\n".into(), &"text/csv".into())
        );
        assert_eq!(client.text(&nothing), "");
    }
}

#[test]
fn nothing_outside_the_folder_is_read() {
    let home = Home::new();
    let inside = save(&home, "a/inside.txt", b"inside");
    let outside = home.folder("secret.txt");
    fs::write(&outside, "secret").unwrap();
    save(&home, ".env", b"secret");
    save(&home, ".hidden/a.txt", b"secret");
    save(&home, "a.bin.partial", b"secret");
    let (base, secret) = (uri_of(&home.folder("results")), uri_of(&outside));
    #[cfg_attr(
        not(unix),
        expect(unused_mut, reason = "links are not for everyone there")
    )]
    let mut attempts = vec![
        secret.clone(),
        uri_of(&home.folder("nothing.txt")),
        format!("{base}/../secret.txt"),
        format!("{base}/a/../../secret.txt"),
        format!("{base}/%2e%2e/secret.txt"),
        format!("{base}/a/%2E./%2e%2E/secret.txt"),
        format!("{base}/..%2Fsecret.txt"),
        format!("{base}/..%5Csecret.txt"),
        format!("{base}/a/..%2f..%2fsecret.txt"),
        format!("{base}/.env"),
        format!("{base}/.hidden/a.txt"),
        format!("{base}/%2eenv"),
        format!("{base}/a.bin.partial"),
        format!("{base}2/secret.txt"),
        secret.replace("file://", "file://localhost"),
        secret.replace("file://", "file://example.com"),
        secret.replace("file://", "file:"),
        secret.replace("file://", "FILE://"),
        format!("{base}/a%00b"),
        "file:///etc/passwd".to_owned(),
        "file:///C:/Windows/win.ini".to_owned(),
        "file:///C|/Windows/win.ini".to_owned(),
        "C:\\Windows\\win.ini".to_owned(),
        "\\\\example.com\\share\\a".to_owned(),
        "file:".to_owned(),
        "/etc/passwd".to_owned(),
        "../secret.txt".to_owned(),
        String::new(),
    ];
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        let results = home.folder("results");
        symlink(&outside, results.join("link.txt")).unwrap();
        symlink("../..", results.join("a/up")).unwrap();
        symlink(".env", results.join("innocent")).unwrap();
        symlink("a/inside.txt", results.join("within.txt")).unwrap();
        for link in ["link.txt", "a/up/secret.txt", "innocent"] {
            attempts.push(format!("{base}/{link}"));
        }
    }
    for era in ERAS {
        let mut client = Client::offline(era, &home);
        for uri in &attempts {
            let error = client.refused(uri, era.missing());
            assert_eq!(error["data"]["code"], "not_found", "{error}");
        }
        assert_eq!(client.text(&uri_of(&inside)), "inside");
        if cfg!(unix) {
            assert_eq!(client.text(&format!("{base}/within.txt")), "inside");
        }
        let everything = client.bridge.leave();
        assert!(
            !everything.stdout.contains("secret\""),
            "{}",
            everything.stdout
        );
    }
}

/// The words are the same whether or not the file exists, so a refusal reveals nothing.
#[test]
fn a_refusal_does_not_reveal_what_is_outside() {
    let home = Home::new();
    save(&home, "a.txt", b"");
    fs::write(home.folder("one"), "").unwrap();
    let mut client = Client::offline(Era::Modern, &home);
    let mut said = ["one", "two"].map(|name| {
        let error = client.refused(&uri_of(&home.folder(name)), Era::Modern.missing());
        let message = error["message"].as_str().unwrap();
        message.replace(&home.folder(name).display().to_string(), "")
    });
    let [one, two] = &mut said;
    assert_eq!(one, two);
    assert!(one.contains("can be read as resources"), "{one}");
}

/// A user may keep results and state in one folder.
#[test]
fn the_token_is_in_no_resource() {
    for data in ["results/.data", "results/data", "results"] {
        let home = Home::new();
        let saved = home.folder(data).join("connection.json");
        fs::create_dir_all(home.folder(data)).unwrap();
        let connection = r#"{"version":1,"url":"https://127.0.0.1:9/","token":"dead-t0ken"}"#;
        fs::write(&saved, connection).unwrap();
        let data = home.folder(data).display().to_string();
        let variables = [
            ("COLAB_URL", DEAD_URL),
            ("SMART_COLAB_DATA_DIR", data.as_str()),
        ];
        let mut client = Client::start(Era::Handshake, home.program(&variables));
        for resource in client.list() {
            let uri = resource["uri"].as_str().unwrap();
            assert!(client.read(uri)["contents"].is_array(), "{resource}");
        }
        client.refused(&uri_of(&saved), Era::Handshake.missing());
        let left = client.bridge.leave();
        assert!(
            !left.stdout.contains("dead-t0ken"),
            "{data}: {}",
            left.stdout
        );
    }
}

#[test]
fn deleted_files_folders_and_pipes_are_not_resources() {
    let home = Home::new();
    let file = save(&home, "a/b.txt", b"b");
    let mut uris = vec![
        uri_of(&home.folder("results")),
        uri_of(file.parent().unwrap()),
        format!("{}/c", uri_of(&file)),
        uri_of(&home.folder("results").join("ж".repeat(200))),
    ];
    for era in ERAS {
        let mut client = Client::offline(era, &home);
        assert_eq!(client.text(&uri_of(&file)), "b");
        let gone = save(&home, "gone.txt", b"");
        assert_eq!(client.text(&uri_of(&gone)), "");
        fs::remove_file(&gone).unwrap();
        uris.push(uri_of(&gone));
        if cfg!(unix) {
            let pipe = home.folder("results").join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).output();
            assert!(made.is_ok() && pipe.exists());
            uris.push(uri_of(&pipe));
        }
        for uri in &uris {
            client.refused(uri, era.missing());
        }
    }
}

#[test]
fn an_unreadable_file_is_refused_with_the_reason() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let home = Home::new();
        let closed = save(&home, "closed.txt", b"closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let endless = home.folder("results").join("endless");
        symlink("endless", &endless).unwrap();
        for era in ERAS {
            let mut client = Client::offline(era, &home);
            let error = client.refused(&uri_of(&endless), INTERNAL);
            assert!(
                error["message"]
                    .as_str()
                    .unwrap()
                    .contains("cannot be read")
            );
            // Root reads everything.
            if fs::read(&closed).is_err() {
                client.refused(&uri_of(&closed), INTERNAL);
            }
        }
    }
}

#[test]
fn a_file_is_served_whole_or_refused() {
    let home = Home::new();
    let largest = uri_of(&save(&home, "largest.bin", &vec![0; MAX_BYTES]));
    let larger = uri_of(&save(&home, "larger.bin", &vec![0; MAX_BYTES + 1]));
    let log = uri_of(&save(&home, "logs/a.log", &vec![b'a'; MAX_BYTES + 1]));
    let mut client = Client::offline(Era::Modern, &home);
    let blob = client.content(&largest)["blob"].as_str().unwrap().len();
    assert_eq!(blob, MAX_BYTES.div_ceil(3) * 4);
    let error = client.refused(&larger, INTERNAL);
    assert!(
        error["message"].as_str().unwrap().contains("8 MiB"),
        "{error}"
    );
    let error = client.refused(&log, INTERNAL);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("smart-colab://jobs/{job_id}/log{?from,bytes}"),
        "{message}"
    );
}
