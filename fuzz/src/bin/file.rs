//! A beads file as the bridge takes it apart.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(what) = bridge::files::check::contradiction(input) {
        panic!("{what}");
    }
});
