//! The checked-in code is what the `.proto` file generates.
//! Renew it with `TOWNMESH_BLESS=1 cargo test -p townmesh-proto`.

use std::path::Path;

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let set = protox::compile([root.join("townmesh/v1/wire.proto")], [root]).unwrap();
    prost_build::Config::new().out_dir(out.path()).compile_fds(set).unwrap();
    let fresh = std::fs::read_to_string(out.path().join("townmesh.v1.rs")).unwrap();
    let kept = root.join("src/wire.rs");
    if std::env::var_os("TOWNMESH_BLESS").is_some() {
        std::fs::write(&kept, &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(kept == fresh, "src/wire.rs is out of date: TOWNMESH_BLESS=1 cargo test -p townmesh-proto");
}
