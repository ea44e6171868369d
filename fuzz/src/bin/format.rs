//! All formats of the group that `TOWNMESH_FUZZ_GROUP` names, against the same bytes.
#![no_main]

use std::sync::OnceLock;

static GROUP: OnceLock<String> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let group =
        GROUP.get_or_init(|| std::env::var("TOWNMESH_FUZZ_GROUP").expect("TOWNMESH_FUZZ_GROUP: see scripts/fuzz"));
    formats::probe(group, input);
});
