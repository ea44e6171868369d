//! Reading, comparing and (only where missing) writing the golden files.

use crate::{samples, shells};
use formats::Format;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Golden files that today's program reads and writes otherwise, and why: older forms, and forms of newer programs
/// whose additions are not ours to write.
const REWRITTEN: &[(&str, &str)] = &[
    ("op/body/newer-fields", "fields and units that are not known stay in the signed event, not in a body of ours"),
    ("wire/request/newer-fields", "a message is not passed on: only the events in it are, as they came"),
    ("control/request/newer-fields", "as above"),
];

struct Golden {
    /// `GROUP/NAME/CASE`.
    name: String,
    bytes: Vec<u8>,
    value: Value,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn formats() -> impl Iterator<Item = &'static Format> {
    formats::all().chain(shells::FORMATS)
}

fn format_of(name: &str) -> &'static Format {
    let format = name.rsplit_once('/').map_or(name, |(format, _)| format);
    formats().find(|known| known.name == format).unwrap_or_else(|| panic!("{name}: no format {format}"))
}

fn read_all() -> Vec<Golden> {
    let mut files = vec![root()];
    let mut found = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(root()).unwrap().with_extension("").display().to_string();
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let bytes = match (&file["text"], &file["hex"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(digits)) => hex::decode(digits).unwrap(),
            _ => panic!("{name}: either text or hex"),
        };
        found.push(Golden { name, bytes, value: file["value"].clone() });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Writes the files of samples that have none.
fn bless() {
    for (name, bytes) in samples::all() {
        let path = root().join(&name).with_extension("json");
        if path.exists() {
            continue;
        }
        let form = (format_of(&name).read)(&bytes).unwrap_or_else(|err| panic!("{name}: {err}"));
        let printable = |text: &&str| text.chars().all(|c| c == '\n' || !c.is_control());
        let mut file = match std::str::from_utf8(&bytes).ok().filter(printable) {
            Some(text) => json!({"text": text}),
            None => json!({"hex": hex::encode(&bytes)}),
        };
        file["value"] = form.value;
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{file:#}\n")).unwrap();
    }
}

/// Whether `now` says everything that `then` said; it may say more.
fn covers(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(name, value)| now.get(name).is_some_and(|now| covers(now, value)))
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(now, then)| covers(now, then))
        }
        _ => now == then,
    }
}

#[test]
fn every_golden_file_is_read_as_what_it_said() {
    if std::env::var_os("TOWNMESH_BLESS").is_some() {
        bless();
    }
    let all = read_all();
    for golden in &all {
        let name = &golden.name;
        let form = (format_of(name).read)(&golden.bytes).unwrap_or_else(|err| panic!("{name}: {err}"));
        assert!(covers(&form.value, &golden.value), "{name} said {:#}, now {:#}", golden.value, form.value);
        let again = (format_of(name).read)(&form.bytes).unwrap_or_else(|err| panic!("{name}, rewritten: {err}"));
        assert_eq!(again, form, "{name}");
        let same = form.bytes == golden.bytes;
        let rewritten = REWRITTEN.iter().any(|(known, _)| known == name);
        assert!(same != rewritten, "{name}: written {} as before", if same { "the same" } else { "not" });
    }
    let with_file: BTreeSet<&str> = all.iter().map(|golden| format_of(&golden.name).name).collect();
    let without: Vec<_> = formats().map(|f| f.name).filter(|name| !with_file.contains(name)).collect();
    assert!(without.is_empty(), "no golden file (add a sample, then TOWNMESH_BLESS=1): {without:?}");
}

#[test]
fn todays_program_writes_the_golden_bytes() {
    let all = read_all();
    let mut names = BTreeSet::new();
    for (name, bytes) in samples::all() {
        assert!(names.insert(name.clone()), "two samples {name}");
        let golden = all.iter().find(|golden| golden.name == name);
        let golden = golden.unwrap_or_else(|| panic!("{name} has no file yet: TOWNMESH_BLESS=1 cargo test"));
        assert!(
            golden.bytes == bytes,
            "{name} is written differently now: give the sample a new case and keep the file\nthen {:?}\nnow  {:?}",
            String::from_utf8_lossy(&golden.bytes),
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn nothing_beyond_its_limit_is_read_and_no_cut_is_taken_for_the_whole() {
    for golden in read_all() {
        let format = format_of(&golden.name);
        if let Some(max) = format.bytes_max {
            for filler in [b' ', 0] {
                let long = [&golden.bytes[..], &vec![filler; max + 1 - golden.bytes.len()]].concat();
                assert!((format.read)(&long).is_err(), "{} of {} bytes", golden.name, long.len());
            }
        }
        if golden.name.starts_with("record/") || golden.name.starts_with("state/") || golden.name.starts_with("event/")
        {
            for cut in 0..golden.bytes.len() {
                assert!((format.read)(&golden.bytes[..cut]).is_err(), "{} cut at {cut}", golden.name);
            }
        }
    }
}

#[test]
fn messages_with_fields_of_newer_programs_say_the_same() {
    for golden in read_all().into_iter().filter(|golden| golden.name.starts_with("wire/")) {
        // Field 999: a number, then field 1000: bytes.
        let newer = [&golden.bytes[..], &[0xb8, 0x3e, 0x01, 0xc2, 0x3e, 0x02, 0xff, 0xff]].concat();
        let form = (format_of(&golden.name).read)(&newer).unwrap_or_else(|err| panic!("{}: {err}", golden.name));
        assert!(covers(&form.value, &golden.value), "{}", golden.name);
    }
}

/// The properties that the fuzzer looks for, on every byte of every golden file changed in a few ways.
#[test]
fn changed_golden_files_are_refused_or_survive() {
    let mut accepted = 0;
    for golden in read_all() {
        let format = format_of(&golden.name);
        if format.group() == "store" {
            continue;
        }
        let step = golden.bytes.len() / 200 + 1;
        for at in (0..golden.bytes.len()).step_by(step) {
            for change in [1, 0x20, 0x80] {
                let mut bytes = golden.bytes.clone();
                bytes[at] ^= change;
                accepted += usize::from(formats::accepts(format, &bytes));
            }
        }
    }
    assert!(accepted > 100, "{accepted} changed files were accepted: the check has nothing to check");
}
