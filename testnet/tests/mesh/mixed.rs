//! Builds of different age in one mesh, and a node that is replaced while work goes on.

use super::{edit, in_file, in_files};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use testnet::{Net, Node, PATIENCE, fixture, wait_until};

/// Another build of the binary, e.g. of an older commit: `scripts/mixed` makes one and sets the variable.
fn other() -> Option<PathBuf> {
    let path = std::env::var_os("TOWNMESH_BIN_OTHER").map(PathBuf::from)?;
    Some(path.canonicalize().unwrap_or_else(|err| panic!("TOWNMESH_BIN_OTHER={}: {err}", path.display())))
}

/// A net whose nodes run these builds; `None` is the present one.
fn net_of(builds: &[Option<PathBuf>]) -> Net {
    let mut net = Net::new(builds.len()).unwrap();
    for (node, build) in net.nodes_mut().iter_mut().zip(builds) {
        node.binary.clone_from(build);
    }
    net[0].write_file(fixture::file(&fixture::lines(40, 7)).as_bytes()).unwrap();
    net.start().unwrap();
    net
}

/// What a present build was told by its peers about themselves.
fn told(node: &Node) {
    wait_until(&format!("{}: peers that said what they can", node.name), PATIENCE, || {
        let status = node.json(&["status"])?;
        let peers = status["peers"].as_array().cloned().unwrap_or_default();
        let good = |peer: &serde_json::Value| {
            peer["version"].as_u64() >= Some(1)
                && peer["capabilities"].as_array().is_some_and(|c| c.contains(&"sync/1".into()))
        };
        Ok(if !peers.is_empty() && peers.iter().all(good) { Ok(()) } else { Err(status["peers"].to_string()) })
    })
    .unwrap();
}

#[test]
fn two_builds_form_one_mesh_whoever_founds_it() {
    let Some(other) = other() else {
        println!("skipped: no other build (TOWNMESH_BIN_OTHER; scripts/mixed makes one)");
        return;
    };
    for builds in [[None, Some(other.clone()), None], [Some(other.clone()), None, Some(other.clone())]] {
        let mut net = net_of(&builds);
        for (at, node) in net.nodes().iter().enumerate() {
            edit(node, &fixture::id(at), "notes", &format!("a line by {}", node.name)).unwrap();
            node.json(&["beads", "set", &fixture::id(10 + at), &format!("title=set by {}", node.name)]).unwrap();
            node.json(&["beads", "add", "made here", "--id", &format!("made-{}", node.name)]).unwrap();
            // All of them write this one, so that both builds choose among the same values.
            node.json(&["beads", "set", &fixture::id(20), &format!("notes=of all, {}", node.name)]).unwrap();
        }
        for (at, node) in net.nodes().iter().enumerate() {
            in_files(&net, &fixture::id(at), "notes", &format!("a line by {}", node.name)).unwrap();
            in_files(&net, &fixture::id(10 + at), "title", &format!("set by {}", node.name)).unwrap();
        }
        net.converged().unwrap();
        net.files_equal().unwrap();
        net.nodes().iter().filter(|node| node.binary.is_none()).for_each(told);
        // The older builds are replaced by the present one on the homes that they made.
        for at in 0..builds.len() {
            net[at].binary = None;
            net[at].restart().unwrap();
            net[at].json(&["beads", "set", &fixture::id(30), &format!("notes=after {at}")]).unwrap();
            in_files(&net, &fixture::id(30), "notes", &format!("after {at}")).unwrap();
        }
        net.converged().unwrap();
        net.files_equal().unwrap();
    }
}

/// Replaces a node's program: ended (or killed), its file edited while it is away, started from another path.
fn replace(node: &mut Node, binary: PathBuf, killed: bool) {
    if killed {
        node.kill().unwrap();
    } else {
        node.term().unwrap();
    }
    let note = format!("while it was replaced, killed: {killed}");
    edit(node, &fixture::id(usize::from(killed)), "notes", &note).unwrap();
    node.binary = Some(binary);
    node.up().unwrap();
    in_file(node, &fixture::id(usize::from(killed)), "notes", &note).unwrap();
}

#[test]
fn a_node_is_replaced_while_edits_go_on_and_nothing_is_lost() {
    let mut net = net_of(&[None, None]);
    // Without another build, the same one under another path: what is shown is the change, not the difference.
    let copy = net[0].home.with_file_name("townmesh-of-another-place");
    std::fs::copy(testnet::binary().unwrap(), &copy).unwrap();
    let done = AtomicBool::new(false);
    let (writers, replaced) = net.nodes_mut().split_at_mut(1);
    let accepted = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut accepted = Vec::new();
            while !done.load(Ordering::SeqCst) || accepted.is_empty() {
                let id = format!("kept-{}", accepted.len());
                writers[0].json(&["beads", "add", "accepted means kept", "--id", &id]).unwrap();
                accepted.push(id);
            }
            accepted
        });
        let replacing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (round, killed) in [false, true].into_iter().enumerate() {
                let binary = if round == 0 { copy.clone() } else { testnet::binary().unwrap().to_owned() };
                replace(&mut replaced[0], binary, killed);
                let id = format!("by-the-new-one-{round}");
                replaced[0].json(&["beads", "add", "and it works", "--id", &id]).unwrap();
            }
        }));
        done.store(true, Ordering::SeqCst);
        let mut accepted = writer.join().unwrap();
        replacing.unwrap();
        accepted.extend(["by-the-new-one-0".to_owned(), "by-the-new-one-1".to_owned()]);
        accepted
    });
    net.converged().unwrap();
    net.files_equal().unwrap();
    for node in net.nodes() {
        let beads = node.export().unwrap();
        let lost: Vec<_> = accepted.iter().filter(|id| !beads.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{}: lost {lost:?} of {}", node.name, accepted.len());
        for killed in [false, true] {
            let note = format!("while it was replaced, killed: {killed}");
            assert_eq!(beads[&fixture::id(usize::from(killed))]["notes"], note.as_str(), "{}", node.name);
        }
        told(node);
    }
}

#[test]
fn a_store_of_a_newer_build_is_refused_with_the_way_back_and_left_alone() {
    let mut net = net_of(&[None]);
    let before = net[0].space().unwrap();
    net[0].term().unwrap();
    let format = net[0].home.join("store/FORMAT");
    let present = std::fs::read_to_string(&format).unwrap();
    for newer in ["99\n", "1 > 99\n"] {
        std::fs::write(&format, newer).unwrap();
        let (exit, error) = net[0].fails(&["up"]).unwrap();
        assert_eq!((exit, &error["code"]), (5, &"store_newer".into()), "{error}");
        let message = error["message"].as_str().unwrap();
        for part in ["format 99", &format!("up to {}", present.trim()), "backup"] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        assert!(error["hints"][0].as_str().unwrap().contains("export"), "{error}");
        assert_eq!(std::fs::read_to_string(&format).unwrap(), newer);
    }
    std::fs::remove_file(&format).unwrap();
    let (exit, error) = net[0].fails(&["up"]).unwrap();
    assert_eq!((exit, &error["code"]), (5, &"store_foreign".into()), "{error}");
    std::fs::write(&format, present).unwrap();
    net[0].up().unwrap();
    assert_eq!(net[0].space().unwrap(), before);
}
