//! Arrows point only from a higher layer to a lower one, and the big libraries have one user each.

use serde_json::Value;
use std::process::Command;

/// A crate of ours: its package name, its layer, and which of ours it may import.
struct Room {
    package: &'static str,
    layer: u8,
    pure: bool,
    imports: &'static [&'static str],
}

const fn room(package: &'static str, layer: u8, pure: bool, imports: &'static [&'static str]) -> Room {
    Room { package, layer, pure, imports }
}

const ZERO: &[&str] = &["townmesh-proto", "townmesh-types"];
const ZERO_AND_ONE: &[&str] = &["townmesh-proto", "townmesh-types", "townmesh-identity", "townmesh-beads"];

/// The shells' layer. What is above it may use everything below.
const SHELL: u8 = 3;

/// Above everything. Its tests may use no more than it does itself.
const OUTSIDE: u8 = 5;

/// The house (ARCHITECTURE.md has the same table in words). A new crate needs a row here, and a reason for its layer.
const HOUSE: &[Room] = &[
    room("townmesh-proto", 0, true, &[]),
    room("townmesh-types", 0, true, &[]),
    room("townmesh-identity", 1, true, ZERO),
    room("townmesh-beads", 1, true, ZERO),
    room("townmesh-engine", 2, true, ZERO_AND_ONE),
    room("townmesh-net", SHELL, false, ZERO),
    room("townmesh-store", SHELL, false, ZERO_AND_ONE),
    room("townmesh-bridge", SHELL, false, &["townmesh-proto", "townmesh-types", "townmesh-beads"]),
    room("townmesh-control", SHELL, false, ZERO),
    room("townmesh-runner", SHELL, false, ZERO),
    room(
        "townmesh-node",
        4,
        false,
        &[
            "townmesh-proto",
            "townmesh-types",
            "townmesh-identity",
            "townmesh-beads",
            "townmesh-engine",
            "townmesh-net",
            "townmesh-store",
            "townmesh-bridge",
            "townmesh-control",
            "townmesh-runner",
        ],
    ),
    // The simulator runs engines and nothing else; it is pure so that a seed decides everything.
    room(
        "townmesh-sim",
        SHELL,
        true,
        &["townmesh-proto", "townmesh-types", "townmesh-identity", "townmesh-beads", "townmesh-engine"],
    ),
    // A list of everything that is stored, signed or sent, for golden files and fuzzing; its tests look into the node too.
    room(
        "townmesh-formats",
        OUTSIDE,
        false,
        &[
            "townmesh-proto",
            "townmesh-types",
            "townmesh-identity",
            "townmesh-beads",
            "townmesh-engine",
            "townmesh-control",
        ],
    ),
    // Knows the binary from the outside only; its hostile peer speaks the formats, to break their rules.
    room("townmesh-testnet", OUTSIDE, false, &["townmesh-proto", "townmesh-types", "townmesh-identity"]),
];

/// Libraries (with everything whose name starts so) and the only packages that may use them, in tests too. Of what is
/// shipped that is one each; the testnet's hostile peer needs libp2p raw.
const ONE_USER: &[(&str, &[&str])] = &[
    ("libp2p", &["townmesh-net", "townmesh-testnet"]),
    ("rocksdb", &["townmesh-store"]),
    ("librocksdb", &["townmesh-store"]),
];

/// What would bring a clock, entropy, threads or I/O into a pure crate.
const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "libp2p",
    "rocksdb",
    "notify",
    "getrandom",
    "rustix",
    "tempfile",
    "fs-err",
    "crossbeam",
    "rayon",
];

/// Features of the `rand` family that ask the operating system.
const OS_RNG: &[&str] = &["default", "std", "os_rng", "sys_rng", "thread_rng", "getrandom"];

fn find(package: &str) -> Option<&'static Room> {
    HOUSE.iter().find(|room| room.package == package)
}

fn is_or_starts(name: &str, library: &str) -> bool {
    name == library || name.strip_prefix(library).is_some_and(|rest| rest.starts_with(['-', '_']))
}

/// What is wrong with the dependencies of `cargo metadata --no-deps`, one line each.
fn offences(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(room) = find(name) else {
            found.push(format!("{name} has no layer: add it to the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            check(room, dependency, &mut found);
        }
    }
    found
}

fn check(room: &Room, dependency: &Value, found: &mut Vec<String>) {
    let on = dependency["name"].as_str().unwrap_or_default();
    let for_tests = dependency["kind"].as_str() == Some("dev");
    let from = room.package;
    for (library, users) in ONE_USER {
        if is_or_starts(on, library) && !users.contains(&from) {
            found.push(format!("{from} uses {on}: only {} may", users.join(" and ")));
        }
    }
    if dependency["path"].is_string() {
        // Tests may also use the simulator and what is below them; nobody builds upon the top of the house.
        let lower = find(on).is_some_and(|to| to.layer < room.layer || on == "townmesh-sim");
        let in_tests = for_tests && lower && !room.imports.is_empty() && on_the_inside(room);
        if !in_tests && !room.imports.contains(&on) {
            found.push(format!("{from} imports {on}, which is not below it"));
        }
    } else if room.pure && !for_tests {
        let system = matches!(on, "rand" | "rand_core") && asks_the_system(dependency);
        if system || IMPURE.iter().any(|library| is_or_starts(on, library)) {
            found.push(format!("{from} is pure and uses {on}"));
        }
    }
}

/// The testnet judges the binary from outside, in its tests too.
fn on_the_inside(room: &Room) -> bool {
    room.package != "townmesh-testnet"
}

fn asks_the_system(dependency: &Value) -> bool {
    let defaults = dependency["uses_default_features"].as_bool().unwrap_or(true);
    let features = dependency["features"].as_array().into_iter().flatten();
    defaults || features.filter_map(Value::as_str).any(|feature| OS_RNG.contains(&feature))
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(super::tidy::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

#[test]
fn arrows_point_down() {
    let metadata = metadata();
    let found = offences(&metadata);
    assert!(found.is_empty(), "{}", found.join("\n"));
    // Nothing was overlooked: every row of the table is a package.
    let names: Vec<&str> =
        metadata["packages"].as_array().unwrap().iter().filter_map(|package| package["name"].as_str()).collect();
    for room in HOUSE {
        assert!(names.contains(&room.package), "{} is in the table and not in the workspace", room.package);
    }
}

#[test]
fn the_table_points_down() {
    for room in HOUSE {
        for import in room.imports {
            let to = find(import).unwrap_or_else(|| panic!("{import} has no row"));
            assert!(to.layer < room.layer, "{} may not import {import}", room.package);
            assert!(!room.pure || to.pure, "{} is pure, {import} is not", room.package);
        }
    }
}

/// A pure crate's own `clippy.toml` takes the place of the common one, so it has to say everything itself.
#[test]
fn pure_crates_ban_clocks_threads_and_files() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "townmesh-proto" || !find(name).is_some_and(|room| room.pure) {
            continue;
        }
        let path = std::path::Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("clippy.toml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        for method in [
            "std::time::SystemTime::now",
            "std::time::Instant::now",
            "std::thread::spawn",
            "std::fs::read",
            "std::env::var",
            concat!("tokio::sync::mpsc::unbo", "unded_channel"),
        ] {
            assert!(text.contains(&format!("\"{method}\"")), "{} does not ban {method}", path.display());
        }
    }
}

/// The offences of a workspace of one package with one dependency.
fn made_up(package: &str, dependency: Value) -> Vec<String> {
    offences(&serde_json::json!({ "packages": [{ "name": package, "dependencies": [dependency] }] }))
}

fn ours(name: &str, kind: Option<&str>) -> Value {
    serde_json::json!({ "name": name, "kind": kind, "path": "/somewhere" })
}

fn theirs(name: &str, kind: Option<&str>) -> Value {
    serde_json::json!({ "name": name, "kind": kind, "features": [], "uses_default_features": true })
}

#[test]
fn wrong_arrows_are_seen() {
    for (from, to) in [
        ("townmesh-types", "townmesh-proto"),
        ("townmesh-beads", "townmesh-identity"),
        ("townmesh-beads", "townmesh-engine"),
        ("townmesh-engine", "townmesh-store"),
        ("townmesh-net", "townmesh-identity"),
        ("townmesh-net", "townmesh-store"),
        ("townmesh-bridge", "townmesh-identity"),
        ("townmesh-node", "townmesh-sim"),
        ("townmesh-testnet", "townmesh-engine"),
        ("townmesh-engine", "townmesh-unheard-of"),
    ] {
        assert_eq!(made_up(from, ours(to, None)).len(), 1, "{from} -> {to}");
        assert_eq!(made_up(from, ours(to, Some("build"))).len(), 1, "{from} -> {to} in a build script");
    }
    assert_eq!(made_up("townmesh-newcomer", ours("townmesh-types", None)).len(), 1);
    assert_eq!(made_up("townmesh-engine", ours("townmesh-node", Some("dev"))).len(), 1);
    assert_eq!(made_up("townmesh-testnet", ours("townmesh-beads", Some("dev"))).len(), 1);
}

#[test]
fn right_arrows_are_let_through() {
    for (from, to, kind) in [
        ("townmesh-engine", "townmesh-beads", None),
        ("townmesh-bridge", "townmesh-beads", None),
        ("townmesh-store", "townmesh-identity", None),
        ("townmesh-node", "townmesh-net", None),
        ("townmesh-engine", "townmesh-sim", Some("dev")),
        ("townmesh-net", "townmesh-identity", Some("dev")),
    ] {
        assert_eq!(made_up(from, ours(to, kind)), [""; 0], "{from} -> {to}");
    }
}

#[test]
fn wrong_libraries_are_seen() {
    for (from, to) in [
        ("townmesh-node", "libp2p"),
        ("townmesh-node", "libp2p-identity"),
        ("townmesh-engine", "tokio"),
        ("townmesh-engine", "tokio-util"),
        ("townmesh-types", "rand"),
        ("townmesh-identity", "getrandom"),
        ("townmesh-beads", "notify"),
        ("townmesh-sim", "tempfile"),
        ("townmesh-bridge", "rocksdb"),
    ] {
        assert_eq!(made_up(from, theirs(to, None)).len(), 1, "{from} uses {to}");
    }
    // Two rules at once: pure, and not the store.
    assert_eq!(made_up("townmesh-engine", theirs("rocksdb", None)).len(), 2);
    // In tests a pure crate may use files, but libp2p stays in its one place.
    assert_eq!(made_up("townmesh-beads", theirs("tempfile", Some("dev"))), [""; 0]);
    assert_eq!(made_up("townmesh-node", theirs("libp2p", Some("dev"))).len(), 1);
    assert_eq!(made_up("townmesh-net", theirs("libp2p", None)), [""; 0]);
    // A random number generator that is given its seed is pure.
    let seeded =
        serde_json::json!({ "name": "rand", "kind": null, "features": ["small_rng"], "uses_default_features": false });
    assert_eq!(made_up("townmesh-sim", seeded), [""; 0]);
}
