//! What no file of the project may contain, and what every decision record has to have.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

/// No reason is good enough for a longer file.
const LINES_MAX_WITH_REASON: usize = 600;

/// Files over the limit, with the reason.
const LONG: &[(&str, &str)] = &[];

/// Written by a generator; a test in `proto` compares them with their source.
const GENERATED: &[&str] = &["proto/src/wire.rs"];

const PLACES: &[&str] = &["crates", "node", "proto", "testnet", "scripts", "docs", ".ci", "fuzz"];
const TOP: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "Cargo.toml", "deny.toml", "justfile"];

/// Words that no source file may contain, and why. They are put together here so that this file passes itself.
const BANNED: &[(&str, &str)] = &[
    (concat!("to", "do!"), "finish it or leave it out"),
    (concat!("unimple", "mented!"), "finish it or leave it out"),
    (concat!("FIX", "ME"), "write an issue"),
    (concat!("#[ig", "nore"), "a test that does not run is no test"),
    (concat!("dbg", "!("), "left over from debugging"),
    (concat!("unbounded", "_channel"), "every channel is bounded"),
    (concat!("mpsc::unbo", "unded"), "every channel is bounded"),
    (concat!("channel::unbo", "unded"), "every channel is bounded"),
    (concat!("flume::unbo", "unded"), "every channel is bounded"),
    (concat!("std::sync::mpsc::chan", "nel("), "every channel is bounded: sync_channel"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINES: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Use", "rs/")];

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the crate is in the workspace")
}

/// Every text file of the project with its path relative to the root.
fn files() -> Vec<(String, String)> {
    let root = root();
    let mut paths: Vec<PathBuf> = TOP.iter().map(|name| root.join(name)).filter(|path| path.exists()).collect();
    for place in PLACES {
        walk(&root.join(place), &mut paths);
    }
    paths.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap_or(path).display().to_string();
    // Binary fixtures are no text and have no lines.
    paths.iter().filter_map(|path| Some((name(path), String::from_utf8(fs::read(path).ok()?).ok()?))).collect()
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                let name = entry.file_name();
                if !["target", "__pycache__", ".git"].iter().any(|skip| name == *skip) {
                    walk(&path, found);
                }
            }
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

fn is_code(name: &str) -> bool {
    let program = name.starts_with("scripts/") || name.starts_with(".ci/");
    program || [".rs", ".py", ".sh", ".proto"].iter().any(|end| name.ends_with(end))
}

fn is_fixture(name: &str) -> bool {
    [".json", ".jsonl", ".proptest-regressions", ".xz"].iter().any(|end| name.ends_with(end))
}

/// What is wrong with one file, one line each.
fn offences(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if GENERATED.contains(&name) || is_fixture(name) {
        return found;
    }
    if is_code(name) {
        let lines = text.lines().count();
        let limit = if LONG.iter().any(|(long, _)| *long == name) { LINES_MAX_WITH_REASON } else { LINES_MAX };
        if lines > limit {
            found.push(format!("{name} has {lines} lines, more than {limit}"));
        }
    }
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        if is_code(name) {
            for (word, why) in BANNED {
                if line.contains(word) {
                    found.push(format!("{at}: {word}: {why}"));
                }
            }
        }
        for machine in MACHINES {
            if names_a_machine(line, machine) {
                found.push(format!("{at}: {machine} is a path of one machine"));
            }
        }
    }
    found
}

/// A path begins where no word goes on: `town/home/1` is none.
fn names_a_machine(line: &str, machine: &str) -> bool {
    line.match_indices(machine).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./}".contains(c))
    })
}

#[test]
fn files_are_tidy() {
    let files = files();
    // Seen from the wrong place there would be nothing to complain about.
    for known in ["crates/types/src/lib.rs", "scripts/test", "testnet/tests/house/tidy.rs", "docs/adr/README.md"] {
        assert!(files.iter().any(|(name, _)| name == known), "{known} was not looked at");
    }
    let found: Vec<String> = files.iter().flat_map(|(name, text)| offences(name, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (name, _) in LONG {
        let (_, text) = files.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("{name} is gone"));
        assert!(text.lines().count() > LINES_MAX, "{name} needs no exception any more");
    }
}

#[test]
fn offences_are_seen() {
    for (word, _) in BANNED {
        assert_eq!(offences("crates/a/src/a.rs", &format!("fn a() {{}}\n    {word}\n")).len(), 1, "{word}");
        assert_eq!(offences("docs/a.md", word), [""; 0], "prose may speak about {word}");
    }
    for machine in MACHINES {
        assert_eq!(offences("docs/a.md", &format!("see `{machine}x`")).len(), 1, "{machine}");
        assert_eq!(offences("docs/a.md", &format!("https://a.org{machine}x")), [""; 0]);
    }
    let long = "//\n".repeat(LINES_MAX + 1);
    assert_eq!(offences("node/src/a.rs", &long).len(), 1);
    assert_eq!(offences("scripts/a", &long).len(), 1);
    assert_eq!(offences("node/src/a.rs", &long[3..]), [""; 0]);
    assert_eq!(offences(GENERATED[0], &long), [""; 0]);
}

// --- no forgotten modules ---------------------------------------------------------------------------------------

/// Source files that no other file declares: they are never compiled, and their tests never run.
fn forgotten(files: &[(String, String)]) -> Vec<String> {
    let declared = |name: &str| {
        let path = Path::new(name);
        let dir = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        // `a/mod.rs` is declared where `a.rs` would be.
        let (module, dir) = match stem {
            "mod" => (dir.file_name().and_then(|dir| dir.to_str()).unwrap_or_default(), dir.parent().unwrap_or(dir)),
            _ => (stem, dir),
        };
        files.iter().filter(|(other, _)| other != name && other.ends_with(".rs")).any(|(other, text)| {
            let other = Path::new(other);
            let beside = other.parent() == Some(dir) || other.with_extension("") == dir;
            let near = beside || other.parent() == dir.parent();
            near && text.lines().map(str::trim).any(|line| {
                line.strip_suffix(';').is_some_and(|line| beside && line.ends_with(&format!("mod {module}")))
                    || line.starts_with("#[path") && line.contains(&format!("{module}.rs\""))
            })
        })
    };
    let is_root = |name: &str| {
        ["/lib.rs", "/main.rs", "/build.rs"].iter().any(|end| name.ends_with(end)) || name.contains("/src/bin/")
    };
    files
        .iter()
        .map(|(name, _)| name)
        .filter(|name| name.ends_with(".rs") && !is_root(name) && !declared(name))
        .cloned()
        .collect()
}

#[test]
fn no_module_is_forgotten() {
    let found = forgotten(&files());
    assert!(found.is_empty(), "no file declares {}", found.join(", "));
}

#[test]
fn forgotten_modules_are_seen() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = [
        file("a/src/lib.rs", "mod near;\npub mod deep;\n"),
        file("a/src/near.rs", ""),
        file("a/src/deep.rs", "mod down;"),
        file("a/src/deep/down.rs", ""),
        file("a/src/deep/lost.rs", ""),
        file("a/src/far/mod.rs", ""),
        file("a/tests/main.rs", "#[path = \"parts/x.rs\"]\nmod x;"),
        file("a/tests/parts/x.rs", ""),
        file("a/tests/stray.rs", ""),
    ];
    assert_eq!(forgotten(&files), ["a/src/deep/lost.rs", "a/src/far/mod.rs", "a/tests/stray.rs"]);
}

// --- decision records -------------------------------------------------------------------------------------------

/// What is wrong with the decision records, given the index and the name and text of each.
fn record_offences(index: &str, records: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, (name, text)) in records.iter().enumerate() {
        if !index.contains(&format!("({name})")) {
            found.push(format!("{name} is not linked from docs/adr/README.md"));
        }
        if !name.starts_with(&format!("{:04}-", at + 1)) {
            found.push(format!("{name} is out of order: {:04} is due", at + 1));
        }
        for part in ["## Context", "## Decision", "## Consequences"] {
            if !text.lines().any(|line| line == part) {
                found.push(format!("{name} has no \"{part}\""));
            }
        }
    }
    let links = index.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    for link in links.filter(|link| link.starts_with(|c: char| c.is_ascii_digit())) {
        if !records.iter().any(|(name, _)| name == link) {
            found.push(format!("docs/adr/README.md links {link}, which is not there"));
        }
    }
    found
}

#[test]
fn decision_records_are_listed() {
    let files = files();
    let of_records = |name: &str| name.strip_prefix("docs/adr/").map(str::to_owned);
    let mut records: Vec<(String, String)> =
        files.iter().filter_map(|(name, text)| Some((of_records(name)?, text.clone()))).collect();
    let at = records.iter().position(|(name, _)| name == "README.md").expect("docs/adr/README.md");
    let (_, index) = records.remove(at);
    assert!(!records.is_empty());
    let found = record_offences(&index, &records);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn bad_decision_records_are_seen() {
    let whole = "# 1\n## Context\n## Decision\n## Consequences\n";
    let record = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let good = [record("0001-a.md", whole)];
    assert_eq!(record_offences("- [1](0001-a.md)", &good), [""; 0]);
    assert_eq!(record_offences("", &good).len(), 1);
    assert_eq!(record_offences("[1](0001-a.md) [2](0002-b.md)", &good).len(), 1);
    assert_eq!(record_offences("[1](0002-a.md)", &[record("0002-a.md", whole)]).len(), 1);
    assert_eq!(record_offences("[1](0001-a.md)", &[record("0001-a.md", "## Context\n## Decision")]).len(), 1);
}
