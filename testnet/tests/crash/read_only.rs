//! Disks that take nothing more: the node reads on, says why, and has everything when it comes back.

use super::mounts::{Mounts, net_over};
use super::{accepted, assert_everything, lacks, refused, status};
use crate::mesh::{edit, in_files};
use anyhow::{Result, bail};
use serde_json::json;
use testnet::{Net, Node, PATIENCE, compare, fixture, wait_until};

/// RocksDB reserves some 20 MB for its log, its manifest and its own notes.
const TMPFS: &str = "mount -t tmpfs -o size=48m,mode=700 tmpfs \"$1\"";

/// A journaling file system of its own. It lies in memory, so that the machine's disk is not asked.
const EXT4: &str = "mkdir \"$1.disk\"; mount -t tmpfs -o size=96m tmpfs \"$1.disk\"; truncate -s 80M \"$1.disk/image\"; \
    PATH=$PATH:/sbin:/usr/sbin; mkfs.ext4 -q -F \"$1.disk/image\"; \
    mount -o loop,errors=remount-ro \"$1.disk/image\" \"$1\"";

/// Imports beads of 8 kB until the node refuses; the ids of everything that it took.
fn fill(node: &Node, name: &str) -> Result<Vec<String>> {
    let mut taken = Vec::new();
    for round in 0..200 {
        let ids: Vec<String> = (0..50).map(|at| format!("{name}-{round}-{at}")).collect();
        let line = |id: &String| {
            json!({"id": id, "title": "large", "description": "x".repeat(8_000), "status": "open",
                "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
        };
        let text: String = ids.iter().map(|id| format!("{}\n", line(id))).collect();
        let output = node.cli_with(&["beads", "import", "-", "--json"], &text)?;
        if output.exit != 0 {
            let error = output.error()?;
            assert_eq!((output.exit, &error["code"]), (5, &json!("store_read_only")), "{error}");
            assert!(error["message"].as_str().is_some_and(|text| text.contains("No space left")), "{error}");
            return Ok(taken);
        }
        taken.extend(ids);
    }
    bail!("{} beads of 8 kB did not fill the disk", taken.len())
}

/// Reading goes on: the bead is shown, the list is there, the status says why nothing is written.
fn reads(node: &Node, id: &str) {
    assert_eq!(node.json(&["beads", "show", id]).unwrap()["bead"]["id"], id);
    assert!(node.json(&["beads", "ls", "--all"]).unwrap()["beads"].as_array().is_some_and(|all| !all.is_empty()));
    assert!(status(node)["read_only"].is_string(), "{}", status(node));
    let human = node.cli(&["status"]).unwrap().stdout;
    assert!(human.contains("READ ONLY"), "{human}");
}

/// The daemon does not start; the error is about the disk and says what to do.
fn start_is_refused(node: &mut Node) {
    node.spawn(&[]).unwrap();
    let status = wait_until("the start is refused", PATIENCE, || Ok(node.ended()?.ok_or_else(|| "it runs".to_owned())));
    assert_eq!(status.unwrap().code(), Some(5), "{}", node.log_tail());
    let said = node.log_tail();
    assert!(said.contains("store cannot be opened") && said.contains("see that the disk has space"), "{said}");
}

#[test]
fn on_a_full_disk_a_node_reads_on_and_loses_nothing_accepted() {
    let Some((mut net, disk)) = net_over(TMPFS).unwrap() else { return };
    let mut ids = vec![accepted(&net[1], "before-1").unwrap()];
    // Fails when nothing more fits: that is its purpose.
    disk.shell(&net[1], "cat /dev/zero >\"$1/ballast\"").unwrap();
    ids.extend(fill(&net[1], "large").unwrap());
    refused(&net[1], "refused-1");
    reads(&net[1], "before-1");
    // Files are not taken in meanwhile, nor forgotten; the others do without this node.
    edit(&net[1], &fixture::id(1), "notes", "into the file of a full disk's node").unwrap();
    ids.push(accepted(&net[0], "meanwhile-1").unwrap());

    assert_eq!(net[1].term().unwrap().code(), Some(5), "the last sync failed, and the end says so");
    // RocksDB gave back what it had reserved.
    disk.shell(&net[1], "cat /dev/zero >>\"$1/ballast\"").unwrap();
    start_is_refused(&mut net[1]);
    disk.must(&net[1], "rm \"$1/ballast\"").unwrap();
    net[1].up().unwrap();
    assert!(status(&net[1])["read_only"].is_null());
    assert!(status(&net[1])["records_lost"].is_null());
    assert_eq!(lacks(&net[1], &ids[..1]).unwrap(), Vec::<String>::new());
    ids.push(accepted(&net[1], "after-1").unwrap());
    in_files(&net, &fixture::id(1), "notes", "into the file of a full disk's node").unwrap();
    net.converged().unwrap();
    assert_everything(&net, &ids);
}

#[test]
fn space_that_is_freed_does_not_end_reading_only_by_itself() {
    let Some((mut net, disk)) = net_over(TMPFS).unwrap() else { return };
    disk.shell(&net[1], "cat /dev/zero >\"$1/ballast\"").unwrap();
    let ids = fill(&net[1], "large").unwrap();
    disk.must(&net[1], "rm \"$1/ballast\"").unwrap();
    // Nobody knows what of the log is on disk, so nothing is written behind it until it has been read again.
    refused(&net[1], "refused-1");
    // As after a crash: what follows stands on what is on disk.
    net[1].kill().unwrap();
    net[1].up().unwrap();
    accepted(&net[1], "after-1").unwrap();
    net.converged().unwrap();
    assert_everything(&net, &ids);
}

#[test]
fn a_beads_file_on_a_full_disk_stays_whole_and_is_written_when_there_is_space() {
    let mut net = Net::new(2).unwrap();
    net[0].write_file(fixture::file(&fixture::lines(10, 7)).as_bytes()).unwrap();
    let script = "d=\"${1%/home}/app/.beads\"; mkdir \"$d\"; mount -t tmpfs -o size=256k tmpfs \"$d\"";
    let Some(disk) = Mounts::over(&mut net[1], script).unwrap() else { return };
    net.start().unwrap();
    // Our own view does not have that mount.
    let inside = |node: &Node| disk.must(node, "cat \"${1%/home}/app/.beads/issues.jsonl\"");
    let file_has = |node: &Node, id: &str, value: &str| {
        wait_until(&format!("the file has {value:?}"), PATIENCE, || {
            let beads = compare::by_id(&inside(node).unwrap_or_default())?;
            let seen = beads.get(id).map(|bead| bead["notes"].clone()).unwrap_or_default();
            Ok(if seen == value { Ok(()) } else { Err(seen.to_string()) })
        })
    };
    net[0].json(&["beads", "set", &fixture::id(1), "notes=before"]).unwrap();
    file_has(&net[1], &fixture::id(1), "before").unwrap();
    disk.shell(&net[1], "cat /dev/zero >\"${1%/home}/app/.beads/ballast\"").unwrap();
    let before = inside(&net[1]).unwrap();
    // More than what the bridge gives back when it has watched the version before for long enough.
    let large = format!("while full {}", "x".repeat(14_000));
    for at in 1..5 {
        net[0].json(&["beads", "set", &fixture::id(at), &format!("notes={large}")]).unwrap();
    }
    let failed = || net[1].json(&["space", "show"]).unwrap()["workspaces"][0].clone();
    wait_until("the node says that it cannot write the file", PATIENCE, || {
        let seen = failed().to_string();
        Ok(if seen.contains("no space left") { Ok(()) } else { Err(seen) })
    })
    .unwrap();
    assert_eq!(inside(&net[1]).unwrap(), before);
    assert!(status(&net[1])["read_only"].is_null(), "the store has space");
    let id = accepted(&net[1], "meanwhile-1").unwrap();
    disk.must(&net[1], "rm \"${1%/home}/app/.beads/ballast\"").unwrap();
    file_has(&net[1], &fixture::id(1), &large).unwrap();
    let names = disk.must(&net[1], "ls -A \"${1%/home}/app/.beads\"").unwrap();
    assert!(!names.contains(".townmesh."), "{names}");
    net.converged().unwrap();
    assert_everything(&net, &[id]);
}

#[test]
fn when_the_file_system_turns_read_only_a_node_reads_on() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a file system that turns read-only");
        return;
    }
    let Some((mut net, disk)) = net_over(EXT4).unwrap() else { return };
    let mut ids: Vec<String> = (0..5).map(|n| accepted(&net[1], &format!("before-{n}")).unwrap()).collect();
    // What the kernel does with a file system in which it has found an error.
    disk.must(&net[1], "mount -o remount,abort \"$1\"").unwrap();
    refused(&net[1], "refused-1");
    reads(&net[1], "before-0");
    edit(&net[1], &fixture::id(1), "notes", "into the file meanwhile").unwrap();
    ids.push(accepted(&net[0], "meanwhile-1").unwrap());
    net[1].kill().unwrap();
    start_is_refused(&mut net[1]);

    // Mounting again plays the file system's own journal back.
    disk.must(&net[1], "umount \"$1\"; mount -o loop,errors=remount-ro \"$1.disk/image\" \"$1\"").unwrap();
    net[1].up().unwrap();
    assert!(status(&net[1])["records_lost"].is_null(), "what was accepted was synced: {}", status(&net[1]));
    ids.push(accepted(&net[1], "after-1").unwrap());
    in_files(&net, &fixture::id(1), "notes", "into the file meanwhile").unwrap();
    net.converged().unwrap();
    assert_everything(&net, &ids);
}
