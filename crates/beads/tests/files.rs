//! What a line of a file changes against what it was shown.

use crate::world::{Host, bead, dot, field, id, sync_all};
use beads::{Shadow, Unit, diff};
use serde_json::json;

const LINE: &str = r#""title":"t","status":"open","priority":2,"created_at":"2025-01-01T00:00:00.5Z","updated_at":"2025-01-02T00:00:00.5Z","labels":["a","b"],"dependencies":[{"issue_id":"app-x1","depends_on_id":"y","type":"blocks"}],"comments":[{"id":3,"author":"n","text":"c","created_at":"2025-01-01T00:00:00Z"}],"x":1"#;

fn host() -> Host {
    let mut host = Host::new(1);
    host.create(1, LINE);
    host
}

fn units(host: &Host, fields: &str) -> Vec<(String, Option<serde_json::Value>)> {
    let diff = diff(&Shadow::of(&host.shown()), &bead(fields));
    assert!(!diff.stale);
    diff.writes.into_iter().map(|w| (w.unit.to_string(), w.value)).collect()
}

#[test]
fn an_echo_is_no_edit() {
    assert_eq!(units(&host(), LINE), []);
    let line = host().shown().bead.to_line();
    let beads::Parsed::Issue(read) = beads::parse_line(&line).unwrap() else { panic!("{line}") };
    assert!(diff(&Shadow::of(&host().shown()), &read).writes.is_empty());
}

#[test]
fn a_line_older_than_its_shadow_says_nothing() {
    let old = LINE.replace("2025-01-02T00:00:00.5Z", "2025-01-02T00:00:00.4Z").replace("\"t\"", "\"other\"");
    let answer = diff(&Shadow::of(&host().shown()), &bead(&old));
    assert!(answer.stale && answer.writes.is_empty());
}

#[test]
fn a_time_cut_to_its_second_is_not_older() {
    let cut = LINE.replace("2025-01-02T00:00:00.5Z", "2025-01-02T00:00:00Z").replace("\"t\"", "\"other\"");
    assert_eq!(units(&host(), &cut), [("field:title".to_owned(), Some(json!("other")))]);
}

#[test]
fn only_what_changed_is_written_and_only_what_was_shown_is_replaced() {
    let line = LINE
        .replace(r#""title":"t""#, r#""title":"u""#)
        .replace("2025-01-02", "2025-01-03")
        .replace(r#"["a","b"]"#, r#"["b","c"]"#)
        .replace(r#","x":1"#, "");
    let expected = [
        ("field:title".to_owned(), Some(json!("u"))),
        ("field:x".to_owned(), None),
        ("updated_at".to_owned(), Some(json!("2025-01-03T00:00:00.5Z"))),
        ("label:a".to_owned(), None),
        ("label:c".to_owned(), Some(json!(true))),
    ];
    assert_eq!(units(&host(), &line), expected);
    let writes = diff(&Shadow::of(&host().shown()), &bead(&line)).writes;
    assert!(writes.iter().all(|w| w.id == id() && w.birth == host().shown().birth && w.baseline.is_none()));
    assert!(
        writes.iter().all(|w| w.replaces == if w.unit == Unit::Label("c".into()) { vec![] } else { vec![dot(1, 1)] })
    );
}

#[test]
fn missing_edges_go_and_missing_comments_stay() {
    let line = r#""title":"t","status":"open","priority":2,"created_at":"2025-01-01T00:00:00.5Z","updated_at":"2025-01-02T00:00:00.5Z","labels":["a","b"],"x":1"#;
    assert_eq!(units(&host(), line), [("dep:y".to_owned(), None)]);
}

#[test]
fn a_priority_that_vanishes_is_p0() {
    let line = LINE.replace(r#""priority":2,"#, "");
    assert_eq!(units(&host(), &line), [("field:priority".to_owned(), Some(json!(0)))]);
}

#[test]
fn a_file_s_edit_does_not_touch_what_its_file_never_showed() {
    let (mut a, mut b) = (host(), Host::new(2));
    b.sync(&a);
    let shadow = Shadow::of(&a.shown());
    b.set(50, "title", "from b");
    a.sync(&b);
    // The file on a still shows the old title when somebody edits it there.
    let writes = diff(&shadow, &bead(&LINE.replace(r#""title":"t""#, r#""title":"from a""#))).writes;
    a.write(60, writes);
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().conflicts.len(), 1);
    assert_eq!(a.shown().bead.text("title"), "from a");
    // And an edit of something else leaves b's title alone.
    let (mut c, _) = (host(), ());
    c.sync(&b.clone());
    let writes = diff(&shadow, &bead(&LINE.replace(r#""x":1"#, r#""x":2"#))).writes;
    assert_eq!(writes.iter().map(|w| w.unit.clone()).collect::<Vec<_>>(), [field("x")]);
}

#[test]
fn comment_ids_stay_with_their_workspace() {
    let host = host();
    let mut out = host.shown().bead;
    assert!(!out.to_line().contains("\"id\":3"));
    out.add_comment("m", "new", "2025-01-05T00:00:00Z");
    out.adopt_comment_ids(&bead(LINE));
    let line = out.to_line();
    assert!(line.contains(r#"{"id":3,"issue_id":"app-x1","author":"n""#), "{line}");
    assert!(line.contains(r#"{"issue_id":"app-x1","author":"m""#), "{line}");
}

#[test]
fn shadows_are_kept_and_read() {
    let shadow = Shadow::of(&host().shown());
    let bytes = shadow.encode();
    assert_eq!(Shadow::decode(&bytes).as_ref(), Ok(&shadow));
    let json = serde_json::to_string(&shadow).unwrap();
    assert_eq!(serde_json::from_str::<Shadow>(&json).unwrap(), shadow);
    let nowhere = json.replace("\"dots\":[[0,", "\"dots\":[[7,");
    assert!(nowhere != json && serde_json::from_str::<Shadow>(&nowhere).is_err());
    assert!(bytes.len() < 400, "{}", bytes.len());
    for cut in 0..bytes.len() {
        assert!(Shadow::decode(&bytes[..cut]).is_err());
    }
}
