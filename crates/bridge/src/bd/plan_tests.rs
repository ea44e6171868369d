use super::*;
use serde_json::json;

const NOW: i64 = 1_800_000_000;

fn line(value: Value) -> Line {
    value.as_object().unwrap().clone()
}

fn issues(values: &[Value]) -> Issues {
    values.iter().map(|value| (value["id"].as_str().unwrap().to_owned(), line(value.clone()))).collect()
}

fn wanted(values: &[(&str, Option<Value>)]) -> Wanted {
    values.iter().map(|(id, value)| ((*id).to_owned(), value.clone().map(line))).collect()
}

#[test]
fn instants_are_what_they_say() {
    for (seconds, said) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_800_000_000, "2027-01-15T08:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(instant(seconds), said);
        assert_eq!(second(said), Some(seconds));
    }
}

#[test]
fn nothing_is_done_when_nothing_differs() {
    let has = json!({"id": "a", "title": "t", "priority": 2, "labels": ["x"], "updated_at": "2026-01-01T00:00:00Z",
        "dependencies": [{"issue_id": "a", "depends_on_id": "b", "type": "blocks", "created_by": "townmesh"}]});
    let mut want = has.clone();
    // None of this can be told to bd once the issue is there.
    want["updated_at"] = json!("2026-05-05T00:00:00Z");
    want["pinned"] = json!(true);
    want["dependencies"][0]["created_by"] = json!("ann");
    want["dependencies"].as_array_mut().unwrap().push(json!({"depends_on_id": "nowhere", "type": "blocks"}));
    let has = issues(&[has, json!({"id": "b", "title": "b"})]);
    assert!(plan(&has, &wanted(&[("a", Some(want)), ("gone", None)]), NOW).is_empty());
}

#[test]
fn each_change_goes_the_way_that_bd_has_for_it() {
    let has = issues(&[
        json!({"id": "a", "title": "t", "notes": "n", "status": "deferred", "defer_until": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "labels": ["x", "y"],
            "dependencies": [{"depends_on_id": "b", "type": "blocks"}, {"depends_on_id": "c", "type": "blocks"}]}),
        json!({"id": "b"}),
        json!({"id": "c"}),
    ]);
    let want = json!({"id": "a", "title": "u", "status": "deferred", "spec_id": "s", "labels": ["y", "z"],
        "updated_at": "2026-02-01T00:00:00Z", "dependencies": [{"depends_on_id": "b", "type": "related"}]});
    let plan = plan(&has, &wanted(&[("a", Some(want))]), NOW);
    assert_eq!(plan.unlabel, [("a".into(), vec!["x".into()])]);
    assert_eq!(plan.unlink, BTreeSet::from([("a".into(), "b".into()), ("a".into(), "c".into())]));
    assert_eq!(plan.update, [("a".into(), vec!["--defer=".into(), "--status=deferred".into(), "--spec-id=s".into()])]);
    let import = Value::Object(plan.import[0].1.clone());
    assert_eq!((&import["title"], import.get("notes"), &import["labels"]), (&json!("u"), None, &json!(["z"])));
    assert_eq!(import["dependencies"], json!([{"depends_on_id": "b", "type": "related"}]));
    assert_eq!(import["updated_at"], "2026-02-01T00:00:00Z");
    assert!(plan.delete.is_empty());
}

#[test]
fn imported_lines_are_newer_than_bds_and_older_than_any_edit_to_come() {
    let has = issues(&[json!({"id": "a", "title": "t", "updated_at": "2026-01-01T00:00:00Z"})]);
    for (wanted_at, imported_at) in [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ("2025-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ("2026-03-01T00:00:00.9Z", "2026-03-01T00:00:00Z"),
        ("2100-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
    ] {
        let want = wanted(&[("a", Some(json!({"id": "a", "title": "u", "updated_at": wanted_at})))]);
        assert_eq!(plan(&has, &want, NOW).import[0].1["updated_at"], imported_at, "{wanted_at}");
    }
    let want = wanted(&[("n", Some(json!({"id": "n", "title": "u", "updated_at": "2100-01-01T00:00:00Z"})))]);
    assert_eq!(plan(&has, &want, NOW).import[0].1["updated_at"], "2027-01-15T08:00:00Z");
}

#[test]
fn a_deleted_issue_is_unlinked_first() {
    let has = issues(&[
        json!({"id": "a", "dependencies": [{"depends_on_id": "x", "type": "blocks"}]}),
        json!({"id": "x", "dependencies": [{"depends_on_id": "b", "type": "blocks"}]}),
        json!({"id": "b"}),
    ]);
    let plan = plan(&has, &wanted(&[("x", None)]), NOW);
    assert_eq!(plan.delete, ["x"]);
    assert_eq!(plan.unlink, BTreeSet::from([("a".into(), "x".into()), ("x".into(), "b".into())]));
}

#[test]
fn what_bd_keeps_to_itself_is_not_given_to_it() {
    let want = json!({"id": "w", "title": "t", "ephemeral": true});
    assert!(plan(&Issues::new(), &wanted(&[("w", Some(want))]), NOW).is_empty());
}
