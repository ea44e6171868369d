//! Prints how long an edit takes from one node's file into another's, beside git, for two sizes of the file.

use anyhow::Result;
use testnet::latency::{Times, over_git, over_mesh, shown};
use testnet::{Net, fixture};

fn main() -> Result<()> {
    let edits: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100);
    println!(
        "edit in A's file → B's file, beside git commit + push + fetch + merge of the same file; {edits} edits each"
    );
    println!("{:>8}  {:<10} {:>9} {:>9} {:>9}", "beads", "way", "p50", "p99", "max");
    for beads in [100, 10_519] {
        let lines = fixture::lines(beads, 7);
        let content = fixture::file(&lines);
        let ids: Vec<String> = (0..beads).step_by((beads / 50).max(1)).map(fixture::id).collect();
        let mut net = Net::new(2)?;
        net[0].write_file(content.as_bytes())?;
        net.start()?;
        net.files_equal()?;
        row(beads, "townmesh", &over_mesh(&net[0], &net[1], &ids, edits)?);
        let dir = tempfile::tempdir()?;
        row(beads, "git", &over_git(dir.path(), &content, &ids, edits)?);
    }
    Ok(())
}

fn row(beads: usize, way: &str, times: &Times) {
    let at = |share| shown(times.percentile(share));
    println!("{beads:>8}  {way:<10} {:>9} {:>9} {:>9}", at(0.5), at(0.99), at(1.0));
}
