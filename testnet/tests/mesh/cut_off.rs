//! Cut off is not broken.

use super::{conflicts, edit, in_file, in_files, started};
use testnet::fixture;
use testnet::latency::git;

#[test]
fn edits_while_cut_off_are_kept_on_both_sides_and_conflicts_are_resolved_once() {
    let mut net = started(3, 40).unwrap();
    net[2].term().unwrap();
    net[2].up_with(&["--offline"]).unwrap();
    net[0].json(&["beads", "set", &fixture::id(1), "title=as a saw it"]).unwrap();
    net[2].json(&["beads", "set", &fixture::id(1), "title=as c saw it"]).unwrap();
    edit(&net[2], &fixture::id(2), "notes", "by c, alone").unwrap();
    edit(&net[1], &fixture::id(3), "notes", "by b, meanwhile").unwrap();
    in_file(&net[0], &fixture::id(3), "notes", "by b, meanwhile").unwrap();
    assert_ne!(net[2].file_beads().unwrap()[&fixture::id(3)]["notes"], "by b, meanwhile");

    net[2].restart().unwrap();
    in_files(&net, &fixture::id(2), "notes", "by c, alone").unwrap();
    in_files(&net, &fixture::id(3), "notes", "by b, meanwhile").unwrap();
    assert_eq!(net.converged().unwrap()["conflicts"], 1);
    for node in net.nodes() {
        let listed = conflicts(node, &[]).unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        let mut values: Vec<_> = listed[0]["values"].as_array().unwrap().iter().map(|v| v["value"].clone()).collect();
        values.sort_by_key(ToString::to_string);
        assert_eq!(values, ["as a saw it", "as c saw it"], "{}", node.name);
    }
    net[1].json(&["beads", "resolve", &fixture::id(1), "title", "--keep", "2"]).unwrap();
    let kept = net[1].json(&["beads", "show", &fixture::id(1)]).unwrap()["bead"]["title"].clone();
    in_files(&net, &fixture::id(1), "title", kept.as_str().unwrap()).unwrap();
    assert_eq!(net.converged().unwrap()["conflicts"], 0);
}

#[test]
fn a_file_edited_while_its_node_is_dead_is_taken_in_at_the_start() {
    let mut net = started(2, 20).unwrap();
    net[1].kill().unwrap();
    edit(&net[1], &fixture::id(1), "notes", "while b was dead").unwrap();
    net[0].json(&["beads", "set", &fixture::id(2), "notes=while b was dead, by a"]).unwrap();
    net[0].json(&["beads", "set", &fixture::id(1), "priority=4"]).unwrap();
    net[1].up().unwrap();
    in_files(&net, &fixture::id(1), "notes", "while b was dead").unwrap();
    in_files(&net, &fixture::id(2), "notes", "while b was dead, by a").unwrap();
    assert_eq!(net.converged().unwrap()["conflicts"], 0);
    net.files_equal().unwrap();
}

#[test]
fn a_checkout_of_an_old_file_reverts_nothing() {
    let net = started(2, 30).unwrap();
    let dir = net[0].work.clone();
    git(&dir, &["init", "-q", "-b", "main"]).unwrap();
    git(&dir, &["add", "."]).unwrap();
    git(&dir, &["commit", "-q", "-m", "beads"]).unwrap();
    net[1].json(&["beads", "set", &fixture::id(1), "title=newer than the commit"]).unwrap();
    in_files(&net, &fixture::id(1), "title", "newer than the commit").unwrap();
    let before = net.converged().unwrap();
    git(&dir, &["checkout", "-q", "--", "."]).unwrap();
    in_files(&net, &fixture::id(1), "title", "newer than the commit").unwrap();
    assert_eq!(net.converged().unwrap()["digest"], before["digest"]);
}

#[test]
fn many_lines_that_vanish_at_once_are_asked_about() {
    let net = started(2, 100).unwrap();
    net.files_equal().unwrap();
    let lines = fixture::lines(100, 7);
    net[1].write_file(fixture::file(&lines[..40]).as_bytes()).unwrap();
    let show = || net[1].json(&["space", "show"]).unwrap()["workspaces"][0]["vanished_lines"].clone();
    testnet::wait_until("the node asks", testnet::PATIENCE, || {
        let asked = show();
        Ok(if asked.as_array().is_some_and(|a| a.len() == 60) { Ok(()) } else { Err(asked.to_string()) })
    })
    .unwrap();
    assert_eq!(net[0].space().unwrap()["beads"], 100);
    net[1].json(&["space", "deletes", ".", "--restore"]).unwrap();
    net.files_equal().unwrap();
    assert_eq!(net[1].file_beads().unwrap().len(), 100);
    net.converged().unwrap();
}
