//! Pictures and logs that cannot be fetched or saved: the output is still shown, and a note says what is missing.

use serde_json::json;
use smart_colab::mcp::client::Answer;

use super::{Rig, finish, run, succeeded};
use crate::support::home::break_folder;
use crate::support::proxy::{Fault, Stranger};

/// Shows a red square and prints.
pub(super) const PICTURE: &str = r"
import struct, zlib
from IPython.display import Image, display
def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
rows = (b'\0' + b'\xff\0\0' * 64) * 64
png = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 64, 64, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
display(Image(data=png))
print('beside it')
";

fn notes(answer: &Answer) -> usize {
    answer.facts["notes"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_picture_whose_transfer_breaks_is_fetched_again() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    rig.proxy.on("/blobs/", 1, Fault::CutReply(0.8));
    rig.proxy.on("/blobs/", 1, Fault::LoseReply);
    let answer = finish(&bridge, run(&bridge, PICTURE).await).await;
    succeeded(&answer);
    assert_eq!(
        (answer.pictures, answer.links.len(), notes(&answer)),
        (1, 1, 0),
        "{answer:?}"
    );
}

#[tokio::test]
async fn text_is_shown_with_a_note_when_its_picture_cannot_be_fetched() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "8")]).await;
    for fault in [
        Fault::Answer(Stranger::Service),
        Fault::LoseReply,
        Fault::Silence,
    ] {
        rig.proxy.heal();
        rig.proxy.on("/blobs/", usize::MAX, fault);
        let answer = finish(&bridge, run(&bridge, PICTURE).await).await;
        succeeded(&answer);
        assert_eq!(answer.text, "beside it\n");
        assert_eq!((answer.pictures, notes(&answer)), (0, 1), "{answer:?}");
        assert!(
            answer.facts["notes"][0]
                .as_str()
                .unwrap()
                .contains("get_output"),
            "{answer:?}"
        );
    }
    rig.proxy.heal();
}

#[tokio::test]
async fn output_is_shown_with_a_note_when_the_save_folder_cannot_be_written() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    // Not earlier: a bridge does not start with a folder that cannot be created.
    break_folder(&rig.folder("results"));

    let answer = finish(&bridge, run(&bridge, PICTURE).await).await;
    succeeded(&answer);
    assert_eq!(answer.text, "beside it\n");
    assert_eq!(
        (answer.pictures, notes(&answer)),
        (1, 1),
        "the picture is shown without a disk: {answer:?}"
    );

    let long = "for i in range(20_000): print(i)";
    let answer = finish(&bridge, run(&bridge, long).await).await;
    succeeded(&answer);
    assert!(answer.text.starts_with("0\n1\n") && answer.text.ends_with("\n19999\n"));
    assert_eq!(
        (&answer.facts["log"], notes(&answer)),
        (&json!(null), 1),
        "{:?}",
        answer.facts
    );
}
