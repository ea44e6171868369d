//! The generated page in `docs/`.

#[test]
fn the_table_of_fields_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fields.md");
    let now = beads::fields_markdown();
    if std::env::var("TOWNMESH_BLESS").is_ok() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == now, "docs/fields.md is out of date: run this test with TOWNMESH_BLESS=1");
}
