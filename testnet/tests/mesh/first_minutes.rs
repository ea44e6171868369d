//! The first five minutes, as scripts go through them.

use super::{edit, in_file, in_files, started};
use testnet::{Net, PATIENCE, fixture, wait_until};

#[test]
fn init_up_invite_join_and_edits_both_ways() {
    let mut net = Net::new(2).unwrap();
    net[0].write_file(fixture::file(&fixture::lines(50, 1)).as_bytes()).unwrap();
    let made = net.found().unwrap();
    assert_eq!((&made["name"], &made["beads"], &made["space"]["name"]), (&"a".into(), &50.into(), &"app".into()));
    assert!(made["peer_id"].as_str().unwrap().starts_with("12D3KooW"), "{made}");
    assert!(made["npub"].as_str().unwrap().starts_with("npub1") && made["space"]["id"].as_str().unwrap().len() == 64);
    assert!(made["ticket"].as_str().unwrap().starts_with("tmesh1"), "{made}");

    let invite = net[0].cli(&["invite"]).unwrap();
    assert_eq!((invite.exit, invite.stdout.lines().count()), (0, 1), "{invite:?}");
    assert!(invite.stdout.starts_with("tmesh1"), "{invite:?}");
    net.join(1).unwrap();
    net.files_equal().unwrap();

    edit(&net[0], &fixture::id(3), "title", "from a's file").unwrap();
    in_file(&net[1], &fixture::id(3), "title", "from a's file").unwrap();
    edit(&net[1], &fixture::id(4), "title", "from b's file").unwrap();
    in_file(&net[0], &fixture::id(4), "title", "from b's file").unwrap();
    net[1].json(&["beads", "set", &fixture::id(5), "priority=0", "notes=by command"]).unwrap();
    in_files(&net, &fixture::id(5), "notes", "by command").unwrap();
    let added = net[0].json(&["beads", "add", "Made on a"]).unwrap();
    in_files(&net, added["id"].as_str().unwrap(), "title", "Made on a").unwrap();
    net[1].json(&["beads", "delete", &fixture::id(6)]).unwrap();
    wait_until("the deleted line is gone", PATIENCE, || {
        let gone = !net[0].file_beads()?.contains_key(&fixture::id(6));
        Ok(if gone { Ok(()) } else { Err("still there".to_owned()) })
    })
    .unwrap();
    assert_eq!(net.converged().unwrap()["conflicts"], 0);
}

#[test]
fn status_has_the_shape_that_scripts_rely_on() {
    let net = started(2, 10).unwrap();
    net.converged().unwrap();
    let status = wait_until("a round trip was measured", PATIENCE, || {
        let status = net[0].json(&["status"])?;
        Ok(if status["peers"][0]["rtt_ms"].is_number() { Ok(status) } else { Err(status.to_string()) })
    })
    .unwrap();
    for field in ["peer_id", "npub", "name"] {
        assert!(status[field].is_string(), "{field}: {status}");
    }
    assert!(!status["listen"].as_array().unwrap().is_empty(), "{status}");
    for field in ["peer_id", "npub", "name", "address", "transport"] {
        assert!(status["peers"][0][field].is_string(), "{field}: {status}");
    }
    let space = &status["spaces"][0];
    for field in ["beads", "ops", "conflicts"] {
        assert!(space[field].is_u64(), "{field}: {status}");
    }
    for field in ["name", "id", "digest", "state_digest"] {
        assert!(space[field].is_string(), "{field}: {status}");
    }
}

#[test]
fn init_and_join_leave_a_node_running_until_down() {
    let net = Net::new(2).unwrap();
    net[0].write_file(fixture::file(&fixture::lines(5, 1)).as_bytes()).unwrap();
    let made = net[0].json(&["init", "--yes", "--name", "a"]).unwrap();
    assert_eq!(net[0].json(&["status"]).unwrap()["peer_id"], made["peer_id"]);
    let again = net[0].json(&["init", "--yes"]).unwrap();
    assert_eq!((&again["space"]["id"], &again["beads"]), (&made["space"]["id"], &5.into()), "init twice shares once");

    let ticket = net.ticket().unwrap();
    let joined = net[1].cli_with(&["join", "-", ".", "--yes", "--name", "b", "--json"], &ticket).unwrap();
    assert_eq!(joined.json().unwrap()["beads"], 5);
    in_file(&net[1], &fixture::id(0), "id", &fixture::id(0)).unwrap();
    for node in net.nodes() {
        assert_eq!(node.json(&["down"]).unwrap()["stopped"], true);
        assert_eq!(node.fails(&["status"]).unwrap().1["code"], "not_running");
        assert_eq!(node.json(&["down"]).unwrap()["stopped"], false);
    }
}
