use super::*;

fn put(table: Table, key: &[u8], value: Option<&[u8]>) -> Put {
    Put { table, key: key.to_vec(), value: value.map(<[u8]>::to_vec) }
}

fn open(path: &Path) -> Store {
    Store::open(path, &Options::default()).unwrap()
}

#[test]
fn every_table_keeps_its_own_records_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (n, table) in Table::ALL.into_iter().enumerate() {
        store.write(&[put(table, b"key", Some(&[n as u8]))]).unwrap();
    }
    store.sync().unwrap();
    drop(store);
    let store = open(dir.path());
    for (n, table) in Table::ALL.into_iter().enumerate() {
        assert_eq!(store.get(table, b"key").unwrap(), Some(vec![n as u8]), "{table:?}");
        assert_eq!(store.get(table, b"other").unwrap(), None);
    }
}

#[test]
fn scans_stay_inside_the_prefix_and_begin_where_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keys: [&[u8]; 6] = [b"a", b"b1", b"b2", b"b3", b"c", b"\xff\xff"];
    store.write(&keys.map(|k| put(Table::Ops, k, Some(b"v")))).unwrap();
    store.write(&[put(Table::Beads, b"b2", Some(b"v")), put(Table::Ops, b"b3", None)]).unwrap();
    let scan = |prefix: &[u8], from: &[u8], most: usize| {
        let mut seen = Vec::new();
        store
            .scan(Table::Ops, prefix, from, &mut |key, _| {
                seen.push(key.to_vec());
                if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        seen
    };
    assert_eq!(scan(b"b", b"b", 9), [b"b1", b"b2"]);
    assert_eq!(scan(b"b", b"b2", 9), [b"b2"]);
    assert_eq!(scan(b"", b"", 2), [&b"a"[..], b"b1"]);
    assert_eq!(scan(b"\xff", b"", 9), [b"\xff\xff"]);
}

#[test]
fn a_failed_write_changes_nothing_and_is_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { fail_after_writes: Some(1), ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    store.write(&[put(Table::Meta, b"a", Some(b"1"))]).unwrap();
    let both = [put(Table::Meta, b"a", Some(b"2")), put(Table::Ops, b"b", Some(b"2"))];
    assert!(matches!(store.write(&both), Err(StoreError::Write { .. })));
    assert!(matches!(store.write(&both), Err(StoreError::ReadOnly { .. })));
    assert!(matches!(store.sync(), Err(StoreError::ReadOnly { .. })));
    assert_eq!(store.get(Table::Meta, b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.get(Table::Ops, b"b").unwrap(), None);
}

#[test]
fn a_newer_format_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::write(dir.path().join("FORMAT"), "99\n").unwrap();
    let err = Store::open(dir.path(), &Options::default()).err().unwrap();
    assert!(matches!(err, StoreError::NewerFormat { found: 99, ours: 1, .. }), "{err}");
    for part in ["format 99", "up to 1", "use the newer townmesh again", "export", "backup"] {
        assert!(err.to_string().contains(part), "{part:?} is not in: {err}");
    }
    std::fs::write(dir.path().join("FORMAT"), "soup").unwrap();
    assert!(matches!(Store::open(dir.path(), &Options::default()), Err(StoreError::UnknownFormat { .. })));
    std::fs::remove_file(dir.path().join("FORMAT")).unwrap();
    assert!(matches!(Store::open(dir.path(), &Options::default()), Err(StoreError::Foreign { .. })));
    std::fs::write(dir.path().join("FORMAT"), "1\n").unwrap();
    drop(open(dir.path()));
}

#[test]
fn one_opener_per_store_and_per_home() {
    let dir = tempfile::tempdir().unwrap();
    let lock = HomeLock::take(dir.path()).unwrap();
    match HomeLock::take(dir.path()) {
        Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(lock);
    HomeLock::take(dir.path()).unwrap();
    let store = dir.path().join("store");
    let _store = open(&store);
    assert!(matches!(Store::open(&store, &Options::default()), Err(StoreError::Open { .. })));
}

#[test]
fn a_torn_log_loses_at_most_what_was_not_synced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(&[put(Table::Meta, b"synced", Some(b"1"))]).unwrap();
    store.sync().unwrap();
    let synced_len = wal_files(dir.path()).iter().map(|(_, len)| *len).max().unwrap();
    store.write(&[put(Table::Meta, b"torn", Some(&[7; 1000])), put(Table::Ops, b"torn", Some(b"2"))]).unwrap();
    store.db.flush_wal(false).unwrap();
    // What a power cut leaves: a copy of the files as they were, the log cut inside the second write.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("db")).unwrap();
    std::fs::copy(dir.path().join("FORMAT"), copy.path().join("FORMAT")).unwrap();
    for entry in std::fs::read_dir(dir.path().join("db")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), copy.path().join("db").join(entry.file_name())).unwrap();
        }
    }
    let (wal, len) = wal_files(copy.path()).into_iter().max_by_key(|(_, len)| *len).unwrap();
    assert!(len > synced_len + 500, "{len} {synced_len}");
    std::fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(len - 400).unwrap();
    let store = open(copy.path());
    assert_eq!(store.get(Table::Meta, b"synced").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.get(Table::Meta, b"torn").unwrap(), None);
    assert_eq!(store.get(Table::Ops, b"torn").unwrap(), None);
}

fn wal_files(store: &Path) -> Vec<(PathBuf, u64)> {
    let files = std::fs::read_dir(store.join("db")).unwrap().map(|f| f.unwrap());
    files
        .filter(|f| f.path().extension().is_some_and(|e| e == "log"))
        .map(|f| (f.path(), f.metadata().unwrap().len()))
        .collect()
}
