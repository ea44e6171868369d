//! Bad input is an answer, not an accident.

use super::{in_file, started};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use testnet::{Net, PATIENCE, fixture, wait_until};

/// Every attack for a moment. The long run is `townmesh-hostile` itself.
#[test]
fn every_attack_stays_within_its_limits() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_townmesh-hostile"));
    // Other tests run beside this one, so the honest edits have slack; the other limits have none.
    command.args(["--seconds", "60", "--slack-ms", "1000", "--json"]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), testnet::hostile::ATTACKS.len() + 1, "{told}");
    let mut refused = Vec::new();
    for row in rows {
        assert!(row["edits"].as_u64().unwrap() > 0, "no honest edit during {row}");
        let silent = ["connects", "holds", "doubles", "half-open"].contains(&row["attack"].as_str().unwrap());
        if !silent && row["sent"].as_u64().unwrap() == 0 {
            refused.push(row["attack"].clone());
        }
    }
    // All attackers come from one address here: what one of them did may keep the door shut for the next.
    assert!(refused.len() <= rows.len() / 4, "attacks that said nothing: {refused:?}");
    println!("refused at the door: {refused:?}");
    println!("{told}");
}

#[test]
fn broken_lines_and_repeated_ids_are_reported_line_by_line() {
    let net = started(1, 3).unwrap();
    let text = concat!(
        "{\"id\":\"x-1\",\"title\":\"good\",\"created_at\":\"2026-01-01T00:00:00Z\"}\n",
        "{\"id\":\"x-2\",\n",
        "<<<<<<< HEAD\n",
        "\n",
        "{\"id\":\"x-1\",\"title\":\"good\",\"created_at\":\"2026-01-01T00:00:00Z\",\"notes\":\"again\"}\n",
        "{\"title\":\"no id\"}\n",
        "{\"id\":\"x-3\",\"title\":\"good too\",\"created_at\":\"2026-01-01T00:00:00Z\"}",
    );
    let output = net[0].cli_with(&["beads", "import", "-", "--json"], text).unwrap();
    let report = output.json().unwrap();
    assert_eq!((&report["read"], &report["created"]), (&3.into(), &2.into()), "{report}");
    let lines: Vec<_> = report["rejected"].as_array().unwrap().iter().map(|r| r["line"].clone()).collect();
    assert_eq!(lines, [2, 3, 6], "{report}");
    assert_eq!((&report["repeated"][0]["line"], &report["repeated"][0]["first_line"]), (&5.into(), &1.into()));
    assert_eq!(net[0].space().unwrap()["beads"], 5);
}

#[test]
fn hostile_tickets_files_and_flags_are_typed() {
    let net = started(1, 3).unwrap();
    let other = Net::new(1).unwrap();
    for ticket in ["", "tmesh1", "tmesh1qqqqqq", "npub1abc", &"tmesh1q".repeat(10_000)] {
        let (exit, error) = other[0].fails(&["join", ticket, "--no-service", "--yes"]).unwrap();
        assert_eq!((exit, &error["code"]), (2, &"bad_ticket".into()), "{ticket:.20}: {error}");
    }
    assert!(!other[0].home.exists(), "a bad ticket makes no home");
    for (args, exit, code) in [
        (vec!["beads", "import", "no/such/file"], 2, "bad_input"),
        (vec!["beads", "import", "."], 2, "bad_input"),
        (vec!["beads", "show", "no-such"], 1, "unknown_bead"),
        (vec!["beads", "set", "no-such", "title"], 2, "bad_input"),
        (vec!["beads", "ls", "--space", "nowhere"], 1, "unknown_space"),
        (vec!["space", "attach", "no/such/dir"], 2, "bad_input"),
        (vec!["beads", "frob"], 2, "usage"),
        (vec!["init", "--name", "not a name"], 2, "bad_config"),
    ] {
        let (seen, error) = net[0].fails(&args).unwrap();
        assert_eq!((seen, error["code"].as_str()), (exit, Some(code)), "{args:?}: {error}");
    }
    let mut deep = other[0].home.clone();
    deep.push("x".repeat(120));
    let output = net[0].cli(&["init", "--no-service", "--yes", "--json", "--home", deep.to_str().unwrap()]).unwrap();
    assert_eq!(output.error().unwrap()["code"], "control_socket", "{output:?}");
}

#[test]
fn a_ticket_works_once() {
    let mut net = Net::new(3).unwrap();
    net.found().unwrap();
    let ticket = net.ticket().unwrap();
    net[1].json(&["join", &ticket, "--no-service", "--yes"]).unwrap();
    let (exit, error) = net[2].fails(&["join", &ticket, "--no-service", "--yes"]).unwrap();
    assert_eq!((exit, &error["code"]), (2, &"bad_ticket".into()), "{error}");
    assert_eq!(net[0].json(&["space", "show"]).unwrap()["members"].as_array().unwrap().len(), 2);
}

#[test]
fn garbage_on_the_control_socket_hurts_nobody() {
    let net = started(1, 3).unwrap();
    let socket = net[0].home.join("control.sock");
    for garbage in
        [&b"\n"[..], b"{}\n", b"\xff\xfe\x00\n", b"{\"id\":1,\"method\":\"beads.eat\",\"params\":{}}\n", b"half"]
    {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.is_empty() || answer.contains("\"error\""), "{answer}");
    }
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"{\"id\":7,\"method\":\"beads.show\",\"params\":{\"id\":3}}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("bad_params") && answer.contains("\"id\":7"), "{answer}");
    assert_eq!(net[0].space().unwrap()["beads"], 3);
}

#[test]
fn a_broken_workspace_file_is_left_alone_until_it_is_mended() {
    let net = started(2, 10).unwrap();
    net.files_equal().unwrap();
    let good = std::fs::read_to_string(net[1].file()).unwrap();
    let broken = good.replacen("{\"id\":\"app-00002\"", "<<<<<<< HEAD\n{\"id\":\"app-00002\"", 1);
    assert_ne!(good, broken);
    net[1].write_file(broken.as_bytes()).unwrap();
    let shown = || net[1].json(&["space", "show"]).unwrap()["workspaces"][0]["broken_lines"].clone();
    wait_until("the broken line is reported", PATIENCE, || {
        let lines = shown();
        Ok(if lines[0]["line"] == 3 { Ok(()) } else { Err(lines.to_string()) })
    })
    .unwrap();
    net[0].json(&["beads", "set", &fixture::id(1), "notes=while b's file is broken"]).unwrap();
    net.converged().unwrap();
    assert_eq!(std::fs::read_to_string(net[1].file()).unwrap(), broken, "a broken file is not written");
    net[1].write_file(good.as_bytes()).unwrap();
    in_file(&net[1], &fixture::id(1), "notes", "while b's file is broken").unwrap();
    assert_eq!(net.converged().unwrap()["beads"], 10);
}
