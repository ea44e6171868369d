use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use types::{Put, Stride, Table, View, ViewError};

/// Where the child process of a test has its store, and at which stride it dies.
const DIR: &str = "TOWNMESH_TEST_STORE";
const DIE_AT: &str = "TOWNMESH_TEST_DIE_AT";

static STRIDES: AtomicUsize = AtomicUsize::new(0);

fn die_when_told() {
    let at = STRIDES.fetch_add(1, Ordering::SeqCst);
    if std::env::var(DIE_AT).is_ok_and(|told| told == at.to_string()) {
        std::process::abort();
    }
}

type Record = (Vec<u8>, Vec<u8>);

/// The next records of a table behind a cursor.
fn some(records: &dyn View, table: Table, cursor: &[u8], most: usize) -> Result<Vec<Record>, ViewError> {
    let mut found = Vec::new();
    records.scan(table, &[], cursor, &mut |key, value| {
        if key > cursor {
            found.push((key.to_vec(), value.to_vec()));
        }
        if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

/// Gives every op one byte more: done twice, it would show.
fn grow_ops(records: &dyn View, cursor: &[u8]) -> Result<Stride, ViewError> {
    die_when_told();
    let found = some(records, Table::Ops, cursor, 3)?;
    let put = |(key, value): &Record| {
        let value = Some([&value[..], b"+"].concat());
        Put { table: Table::Ops, key: key.clone(), value }
    };
    Ok(Stride { puts: found.iter().map(put).collect(), next: found.last().map(|(key, _)| key.clone()) })
}

/// Moves what one table has into another.
fn move_meta(records: &dyn View, _: &[u8]) -> Result<Stride, ViewError> {
    die_when_told();
    let found = some(records, Table::Meta, &[], 2)?;
    let mut puts = Vec::new();
    for (key, value) in &found {
        puts.push(Put { table: Table::Meta, key: key.clone(), value: None });
        puts.push(Put { table: Table::Hosts, key: key.clone(), value: Some(value.clone()) });
    }
    Ok(Stride { puts, next: found.last().map(|(key, _)| key.clone()) })
}

fn stuck(_: &dyn View, _: &[u8]) -> Result<Stride, ViewError> {
    Ok(Stride { puts: Vec::new(), next: Some(b"here".to_vec()) })
}

fn broken(_: &dyn View, _: &[u8]) -> Result<Stride, ViewError> {
    Err(ViewError { table: Table::Ops, reason: "a record of no known form".to_owned() })
}

const STEPS: &[Step] =
    &[Step { name: "grow ops", stride: grow_ops }, Step { name: "move meta to hosts", stride: move_meta }];

/// Strides of both steps over [`old_store`]: four (the last is empty) and four.
const STRIDES_ALL: u64 = 8;

fn options(steps: &'static [Step]) -> Options {
    Options { steps, ..Options::default() }
}

/// A store of the first format.
fn old_store(dir: &Path) {
    let store = Store::open(dir, &options(&[])).unwrap();
    for n in 0..9u8 {
        store.write(&[Put { table: Table::Ops, key: vec![n], value: Some(vec![n, n]) }]).unwrap();
    }
    for n in 0..5u8 {
        store.write(&[Put { table: Table::Meta, key: vec![b'm', n], value: Some(vec![n]) }]).unwrap();
    }
    store.sync().unwrap();
}

fn everything(store: &Store) -> BTreeMap<(Table, Vec<u8>), Vec<u8>> {
    let mut all = BTreeMap::new();
    for table in Table::ALL {
        let mut each = |key: &[u8], value: &[u8]| {
            all.insert((table, key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(table, &[], &[], &mut each).unwrap();
    }
    all
}

fn format_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("FORMAT")).unwrap().trim().to_owned()
}

/// What an undisturbed move leads to.
fn moved_whole() -> BTreeMap<(Table, Vec<u8>), Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    old_store(dir.path());
    let store = Store::open(dir.path(), &options(STEPS)).unwrap();
    assert_eq!(store.migrated_from(), Some(1));
    assert_eq!(format_of(dir.path()), "3");
    everything(&store)
}

#[test]
fn a_store_is_moved_once_and_step_by_step() {
    let whole = moved_whole();
    assert_eq!(whole.len(), 14);
    assert_eq!(whole[&(Table::Ops, vec![7])], [7, 7, b'+']);
    assert_eq!(whole[&(Table::Hosts, vec![b'm', 4])], [4]);
    assert!(!whole.keys().any(|(table, _)| *table == Table::Meta));
    let dir = tempfile::tempdir().unwrap();
    old_store(dir.path());
    // By two programs, one after the other, it is the same.
    assert_eq!(Store::open(dir.path(), &options(&STEPS[..1])).unwrap().migrated_from(), Some(1));
    assert_eq!(Store::open(dir.path(), &options(STEPS)).unwrap().migrated_from(), Some(2));
    let store = Store::open(dir.path(), &options(STEPS)).unwrap();
    assert_eq!(store.migrated_from(), None);
    assert!(everything(&store) == whole);
}

#[test]
fn a_move_that_failed_at_any_write_goes_on_where_it_was() {
    let whole = moved_whole();
    // One write tells the beginning, then one per stride.
    for writes in 0..=STRIDES_ALL {
        let dir = tempfile::tempdir().unwrap();
        old_store(dir.path());
        let failing = Options { fail_after_writes: Some(writes), ..options(STEPS) };
        let err = Store::open(dir.path(), &failing).err().unwrap_or_else(|| panic!("{writes} writes were enough"));
        assert!(matches!(err, StoreError::Write { .. }), "{err}");
        assert_eq!(format_of(dir.path()), "1 > 3");
        let older = Store::open(dir.path(), &options(&[])).err().unwrap();
        assert!(matches!(older, StoreError::NewerFormat { found: 3, ours: 1, .. }), "{older}");
        let store = Store::open(dir.path(), &options(STEPS)).unwrap();
        assert!(everything(&store) == whole, "after {writes} writes");
        assert_eq!(format_of(dir.path()), "3");
    }
    let dir = tempfile::tempdir().unwrap();
    old_store(dir.path());
    let enough = Options { fail_after_writes: Some(STRIDES_ALL + 1), ..options(STEPS) };
    assert!(everything(&Store::open(dir.path(), &enough).unwrap()) == whole);
}

#[test]
fn a_killed_process_leaves_a_store_that_the_next_one_moves_on() {
    if let Ok(dir) = std::env::var(DIR) {
        // The child: it dies inside a stride, with everything before it written and nothing synced.
        let _store = Store::open(Path::new(&dir), &options(STEPS));
        panic!("the child was to die");
    }
    let whole = moved_whole();
    for at in 0..STRIDES_ALL {
        let dir = tempfile::tempdir().unwrap();
        old_store(dir.path());
        // Two deaths in one move: the second at the same place, where the first one's successor has come to.
        for die_at in [at, 0] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "migrate::tests::a_killed_process_leaves_a_store_that_the_next_one_moves_on"])
                .env(DIR, dir.path())
                .env(DIE_AT, die_at.to_string())
                .output()
                .unwrap();
            let ended_by = std::os::unix::process::ExitStatusExt::signal(&child.status);
            assert_eq!(ended_by, Some(6), "{child:?}");
            assert_eq!(format_of(dir.path()), "1 > 3");
        }
        let store = Store::open(dir.path(), &options(STEPS)).unwrap();
        assert!(everything(&store) == whole, "killed in stride {at}");
    }
}

#[test]
fn a_step_that_fails_or_stands_still_is_named_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    old_store(dir.path());
    const BAD: &[Step] = &[STEPS[0], Step { name: "make sense of ops", stride: broken }];
    let err = Store::open(dir.path(), &options(BAD)).err().unwrap();
    assert!(matches!(err, StoreError::Migration { from: 2, .. }), "{err}");
    let text = err.to_string();
    assert!(text.contains("from format 2 to 3 (make sense of ops)") && text.contains("no known form"), "{text}");
    const STILL: &[Step] = &[STEPS[0], Step { name: "stand still", stride: stuck }];
    let err = Store::open(dir.path(), &options(STILL)).err().unwrap();
    assert!(err.to_string().contains("no progress"), "{err}");
    // A program with a step that works takes it from there, although a bad one has left its cursor.
    assert_eq!(format_of(dir.path()), "1 > 3");
    assert!(everything(&Store::open(dir.path(), &options(STEPS)).unwrap()) == moved_whole());
}

#[test]
fn progress_of_an_earlier_move_is_not_taken_for_the_present_one() {
    let dir = tempfile::tempdir().unwrap();
    old_store(dir.path());
    drop(Store::open(dir.path(), &options(&STEPS[..1])).unwrap());
    // As if the earlier move had gone further than the number says: the number holds.
    let store = Store::open(dir.path(), &options(&STEPS[..1])).unwrap();
    store.keep_progress(&Progress { reached: 3, cursor: b"m\x03".to_vec() }, WriteBatch::default()).unwrap();
    drop(store);
    let store = Store::open(dir.path(), &options(STEPS)).unwrap();
    assert!(everything(&store) == moved_whole());
}
