//! Real beads files, read in place.

use beads::{BeadState, Parsed, Stamp, create_writes, diff, parse_line};
use types::{Dot, Hlc, PubKey, Writer};

const FILES: [(&str, usize); 4] = [
    ("beads-5722.jsonl", 5_722),
    ("beads-10519.jsonl", 10_519),
    ("quinn-113.jsonl", 113),
    ("agent-mail-167.jsonl", 167),
];

fn read(name: &str) -> Option<String> {
    let path = format!("{}/../../../shared/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {path} is not there");
    }
    text
}

#[test]
fn every_real_line_is_read_and_written_by_value() {
    for (name, lines) in FILES {
        let Some(text) = read(name) else { continue };
        let mut read = 0;
        for line in text.lines() {
            match parse_line(line) {
                Ok(Parsed::Issue(bead)) => {
                    let written = bead.to_line();
                    let Ok(Parsed::Issue(again)) = parse_line(&written) else { panic!("{name}: {written}") };
                    assert!(again.same(&bead), "{name}: {line}");
                    // A reader that knows nothing of our fields finds the same JSON.
                    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
                    assert_eq!(json(line), json(&written), "{name}");
                    read += 1;
                }
                other => panic!("{name}: {other:?} for {line}"),
            }
        }
        assert_eq!(read, lines, "{name}");
    }
}

#[test]
fn every_real_bead_is_shown_as_it_was_imported() {
    for (name, _) in FILES {
        let Some(text) = read(name) else { continue };
        for (n, line) in text.lines().enumerate() {
            let Ok(Parsed::Issue(bead)) = parse_line(line) else { panic!("{name}: {line}") };
            let writer = Writer { host: PubKey([1; 32]), incarnation: 1 };
            let stamp = Stamp { dot: Dot { writer, seq: n as u64 + 1, tag: 0 }, hlc: Hlc::default() };
            let mut state = BeadState::new(bead.id.clone());
            for write in create_writes(&bead, Some(&|_| Vec::new())) {
                state.apply(&stamp, &write, &|_| false).unwrap();
            }
            let state = BeadState::decode(&state.encode()).unwrap();
            let shown = state.shown();
            assert_eq!(shown.len(), 1);
            assert!(shown[0].bead.same(&bead), "{name}: {line}\n{}", shown[0].bead.to_line());
            assert!(shown[0].conflicts.is_empty());
            assert!(diff(&beads::Shadow::of(&shown[0]), &bead).writes.is_empty(), "{name}: {line}");
        }
    }
}
