//! Pictures, HTML, tables and progress bars, as real code makes them.

use super::{Client, file};

const DISPLAY: &str =
    "from IPython.display import display, HTML, JSON, Markdown, Image, SVG, Audio\n";

fn run(client: &mut Client, code: &str) -> crate::support::stdio::Answer {
    let answer = client.run(&format!("{DISPLAY}{code}"));
    answer.succeeded();
    answer
}

#[test]
fn pictures_are_in_order_and_their_file_names_sort() {
    let mut client = Client::of("pictures");
    let code = "import io\nfrom PIL import Image as P\ndef made(kind, size):\n    out = io.BytesIO()\n    \
        P.new('RGB', size).save(out, kind)\n    return out.getvalue()\n\
        for at in range(12):\n    \
        display(SVG(f'<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{at + 1}\" height=\"9\"/>') if at % 2 else Image(made('PNG', (at + 1, 9))))\n\
        display(Image(made('GIF', (13, 9)), format='gif'))\nImage(made('JPEG', (14, 9)))";
    let answer = run(&mut client, code);
    let sizes = answer.pictures.iter().map(|(data, mime)| {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        let width = image::load_from_memory(&bytes).unwrap().width();
        assert_eq!(mime == "image/jpeg", width == 14);
        width
    });
    assert_eq!(sizes.collect::<Vec<_>>(), (1..=14).collect::<Vec<_>>());
    let files: Vec<_> = answer.links.iter().map(|link| file(link)).collect();
    assert!(files.is_sorted() && files.len() == 14, "{files:?}");
    assert!(files.iter().all(|file| file.exists()));
    let endings = files[11..].iter().map(|file| file.extension().unwrap());
    assert_eq!(endings.collect::<Vec<_>>(), ["svg", "gif", "jpg"]);
}

#[test]
fn displays_are_shown_as_text_where_possible() {
    let mut client = Client::of("texts");
    let table = "HTML('<style>td {color: red}</style><table><tr><th>name</th><th>n</th></tr><tr><td>a</td><td>1</td></tr></table>')";
    assert_eq!(run(&mut client, table).text, "name n\na    1\n");
    assert_eq!(run(&mut client, "Markdown('# Title')").text, "# Title\n");
    assert_eq!(
        run(&mut client, "JSON({'b': [1]})").text,
        "{\n  \"b\": [\n    1\n  ]\n}\n"
    );
    let styles = run(
        &mut client,
        "display(HTML('<style>x</style>'))\nprint('end')",
    );
    assert_eq!(styles.text, "end\n");
    assert!(styles.links.is_empty());
}

#[test]
fn displays_that_need_a_browser_are_saved_as_files() {
    let mut client = Client::of("pages");
    let page = run(
        &mut client,
        "HTML('<div id=1></div><script>draw()</script>')",
    );
    assert!(page.text.contains("text/html"), "{}", page.text);
    let [link] = page.links.as_slice() else {
        panic!("{}", page.whole);
    };
    assert_eq!(file(link).extension().unwrap(), "html");
    let kept = std::fs::read_to_string(file(link)).unwrap();
    assert!(
        kept.contains("<body>\n<div id=1></div><script>draw()</script>\n</body>"),
        "{kept}"
    );
    assert!(kept.starts_with("<!doctype html>") && kept.contains("charset=\"utf-8\""));
    let figure =
        "display({'application/vnd.plotly.v1+json': {'data': [], 'layout': {}}}, raw=True)";
    let figure = run(&mut client, figure);
    assert!(figure.links[0].ends_with(".html"), "{:?}", figure.links);
    let chart = std::fs::read_to_string(file(&figure.links[0])).unwrap();
    assert!(chart.contains("Plotly.newPlot"), "{chart}");
    assert!(figure.text.contains("plotly"), "{}", figure.text);
    let sound = run(&mut client, "Audio(b'RIFF' + bytes(100), rate=8000)");
    assert!(
        !sound.text.contains("base64") && sound.links.len() == 1,
        "{}",
        sound.whole
    );
}

#[test]
fn an_updated_display_is_shown_in_its_last_state() {
    let code = "shown = display('begun', display_id=True)\nfor n in range(500): shown.update(f'{n} of 500')";
    let answer = run(&mut Client::of("updates"), code);
    assert_eq!(answer.text, "'499 of 500'\n");
}

#[test]
fn cleared_output_is_hidden_but_kept_in_the_log() {
    let code = "from IPython.display import clear_output\nfor n in range(3):\n    print('round', n)\n    if n < 2: clear_output(wait=True)";
    let mut client = Client::of("clearing");
    let answer = run(&mut client, code);
    assert_eq!(answer.text, "round 2\n");
    let log = std::fs::read_to_string(answer.facts["log"].as_str().unwrap()).unwrap();
    assert_eq!(log, "round 0\nround 1\nround 2\n");
    assert!(
        answer.facts["notes"][0]
            .as_str()
            .unwrap()
            .contains("clear_output")
    );
}

/// Writes what tqdm 4.70 writes, because the tests do not install it.
#[test]
fn a_progress_bar_is_shown_as_one_line() {
    let mut client = Client::of("bars");
    let code = r"import sys
for n in range(1001):
    sys.stderr.write(f'\r{n // 10:3}%|{chr(9608) * (n // 100):10}| {n}/1000 [00:00<00:00, 99.9it/s]')
    sys.stderr.flush()
sys.stderr.write('\n')
for outer in range(50):
    sys.stderr.write(f'\router: {outer}/50')
    for inner in range(20):
        sys.stderr.write(f'\n\rinner: {inner}/20\x1b[A')
    sys.stderr.write('\n\r            \x1b[A')
_ = sys.stderr.write('\router: 50/50\n')";
    let answer = run(&mut client, code);
    let bar = "█".repeat(10);
    assert_eq!(
        answer.text,
        format!("100%|{bar}| 1000/1000 [00:00<00:00, 99.9it/s]\nouter: 50/50\n")
    );
}

#[test]
fn a_long_value_is_shown_as_its_head_and_a_link() {
    let mut client = Client::of("long-values");
    let code =
        "class Long:\n    def __repr__(self): return 'head ' + 'x' * 500_000 + ' tail'\nLong()";
    let answer = run(&mut client, code);
    assert!(answer.text.starts_with("head xxx") && answer.text.ends_with("x tail\n"));
    assert!(
        answer.text.len() < 40_000
            && answer
                .text
                .contains("bytes skipped; the whole is kept as a file")
    );
    let whole = std::fs::read_to_string(file(&answer.links[0])).unwrap();
    assert_eq!(whole.len(), 500_010);
}

#[test]
fn an_exceptions_message_is_bounded_in_every_place() {
    let mut client = Client::of("long-errors");
    let answer = client.run("raise ValueError('m' * 5_000_000)");
    assert!(answer.is_error && answer.whole.to_string().len() < 100_000);
    assert!(answer.fact("error").len() <= 500 && answer.text.contains("characters left out here"));
    let log = std::fs::metadata(answer.fact("log")).unwrap();
    assert!(log.len() > 5_000_000);
}

#[test]
fn files_that_are_not_linked_are_counted() {
    let code = "for n in range(25): display(SVG(f'<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{n + 1}\" height=\"9\"/>'))";
    let answer = run(&mut Client::of("many-files"), code);
    assert_eq!(answer.links.len(), 20);
    let unlinked = answer.fact("unlinked");
    assert!(
        unlinked.contains("5 more files") && unlinked.contains("outputs"),
        "{unlinked}"
    );
}

/// Sends what tqdm and ipywidgets send, because the tests do not install them.
#[test]
fn a_widget_bar_is_shown_in_its_current_state() {
    let code = r#"
kernel = get_ipython().kernel
def send(kind, content): kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent("shell"))
def change(**state): send("comm_msg", {"comm_id": "b", "data": {"method": "update", "state": state}})
state = {"_model_name": "IntProgressModel", "value": 0, "max": 4}
send("comm_open", {"comm_id": "b", "target_name": "jupyter.widget", "data": {"state": state}})
display({"text/plain": "IntProgress(…)", "application/vnd.jupyter.widget-view+json": {"model_id": "b"}}, raw=True)
for n in range(5):
    print("step", n, flush=True)
    change(value=n)
change(bar_style="success")
print("done")"#;
    let answer = run(&mut Client::of("widgets"), code);
    let steps: String = (0..5).map(|n| format!("step {n}\n")).collect();
    assert_eq!(answer.text, format!("{steps}|██████████| 4/4\ndone\n"));
}
