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
fn a_format_file_that_a_power_cut_left_empty_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(&[put(Table::Meta, b"a", Some(b"1"))]).unwrap();
    store.sync().unwrap();
    drop(store);
    std::fs::write(dir.path().join("FORMAT"), "").unwrap();
    assert_eq!(open(dir.path()).get(Table::Meta, b"a").unwrap(), Some(b"1".to_vec()));
    let text = std::fs::read_to_string(dir.path().join("FORMAT")).unwrap();
    assert_eq!(text, format!("{}\n", crate::format::FIRST));
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
    let copy = copied(dir.path());
    let (wal, len) = newest_wal(copy.path());
    assert!(len > synced_len + 500, "{len} {synced_len}");
    std::fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(len - 400).unwrap();
    let store = open(copy.path());
    assert_eq!(store.get(Table::Meta, b"synced").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.get(Table::Meta, b"torn").unwrap(), None);
    assert_eq!(store.get(Table::Ops, b"torn").unwrap(), None);
    assert_eq!(store.lost(), None, "what was not synced was promised to nobody");
}

#[test]
fn a_log_that_lost_synced_records_is_noticed_until_the_next_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..20u8 {
        store.write(&[put(Table::Meta, &[n], Some(&[n; 500]))]).unwrap();
        store.sync().unwrap();
    }
    let damages: [fn(&Path, u64); 3] = [
        |wal, len| std::fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(len / 2).unwrap(),
        |wal, len| flip(wal, len / 2),
        |wal, _| std::fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(0).unwrap(),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let copy = copied(dir.path());
        let (wal, len) = newest_wal(copy.path());
        damage(&wal, len);
        let torn = open(copy.path());
        let lost = torn.lost().unwrap_or_else(|| panic!("damage {n} was not noticed"));
        assert!(lost.found < lost.synced && lost.synced == 20, "{lost:?}");
        // What is left is the store as it was at some moment: a beginning of what was written.
        let left: Vec<bool> = (0..20u8).map(|n| torn.get(Table::Meta, &[n]).unwrap().is_some()).collect();
        assert!(left.is_sorted_by(|a, b| a >= b) && !left[19], "{left:?}");
        drop(torn);
        let torn = open(copy.path());
        assert!(torn.lost().is_some(), "nobody has taken note of damage {n} yet");
        torn.write(&[put(Table::Meta, b"x", Some(b"1"))]).unwrap();
        torn.sync().unwrap();
        drop(torn);
        assert_eq!(open(copy.path()).lost(), None);
    }
    drop(store);
    assert_eq!(open(dir.path()).lost(), None);
    std::fs::write(dir.path().join("SYNCED"), "soup").unwrap();
    assert_eq!(open(dir.path()).lost(), None);
}

#[test]
fn compaction_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..50u8 {
        store.write(&[put(Table::Ops, &[n], Some(&[n; 100])), put(Table::Ops, &[n / 2], None)]).unwrap();
    }
    store.compact().unwrap();
    drop(store);
    let store = open(dir.path());
    let left = (0..50u8).filter(|n| store.get(Table::Ops, &[*n]).unwrap().is_some()).count();
    assert_eq!((left, store.lost()), (25, None));
}

/// A copy of a store's files as they are now, open or not.
fn copied(store: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("db")).unwrap();
    for file in ["FORMAT", "SYNCED"] {
        std::fs::copy(store.join(file), copy.path().join(file)).unwrap();
    }
    for entry in std::fs::read_dir(store.join("db")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), copy.path().join("db").join(entry.file_name())).unwrap();
        }
    }
    copy
}

fn flip(file: &Path, at: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
}

fn newest_wal(store: &Path) -> (PathBuf, u64) {
    wal_files(store).into_iter().max_by_key(|(_, len)| *len).unwrap()
}

fn wal_files(store: &Path) -> Vec<(PathBuf, u64)> {
    let files = std::fs::read_dir(store.join("db")).unwrap().map(|f| f.unwrap());
    files
        .filter(|f| f.path().extension().is_some_and(|e| e == "log"))
        .map(|f| (f.path(), f.metadata().unwrap().len()))
        .collect()
}
