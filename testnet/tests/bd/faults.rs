//! The real bd when something is wrong with it: a clear message, nothing lost, and it goes on by itself.
//!
//! A script before the real bd makes the coupling's own commands fail on the second machine; people's commands there
//! work as ever.

use super::real;
use anyhow::{Context as _, Result, ensure};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use testnet::bd::{Mode, Towns, alike, all, at, create_at, still, towns};
use testnet::wait_until;

const PATIENCE: Duration = Duration::from_secs(120);

/// So long may a command of bd take here.
const BD_SECONDS: u64 = 8;

/// Imports that are killed, at least.
const KILLS_MIN: usize = 3;

/// The script: `.git/bd-mode` in the directory says what is wrong there.
fn before(real: &Path, dir: &Path) -> Result<PathBuf> {
    let script = format!(
        r#"#!/bin/bash
real='{}'
case " $* " in *" --actor townmesh "*) mode=$(cat .git/bd-mode 2>/dev/null) ;; esac
case "$mode $*" in
  garbage*" export "*) "$real" "$@" | head -c 150; exit 0 ;;
  killed*" import "*)
    "$real" "$@" <&0 &
    sleep "0.$((RANDOM % 4))"
    kill -9 $!
    echo killed >>"$0.killed"
    exit 137 ;;
  cut*" export "*)
    "$real" "$@" &
    sleep "0.$((RANDOM % 2))"
    kill -9 $!
    exit 137 ;;
  hangs*" import "*)
    "$real" "$@" <&0 &
    kill -STOP $!
    echo hangs >>"$0.hangs"
    wait ;;
  old*" version"*) "$real" "$@" | sed 's/"version": *"[0-9]*/"version": "0/'; exit 0 ;;
esac
exec "$real" "$@"
"#,
        real.display()
    );
    let path = dir.join("bd");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

struct Stage {
    net: Towns,
    bd: PathBuf,
    away: PathBuf,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn new(real: &Path) -> Result<Stage> {
        let dir = tempfile::tempdir()?;
        let bd = before(real, dir.path())?;
        let mut net = towns(&bd, &Mode::Embedded, &["first"])?;
        // People go on with the real one.
        net.set_env("TOWNMESH_BD_SECONDS", &BD_SECONDS.to_string());
        net[1].kill()?;
        net[1].up()?;
        alike(&net)?;
        Ok(Stage { net, away: dir.path().join("bd.away"), bd, _dir: dir })
    }

    fn mode(&self, mode: &str) -> Result<()> {
        Ok(std::fs::write(self.net[1].work.join(".git/bd-mode"), mode)?)
    }

    /// Waits until the second machine says what is wrong.
    fn says(&self, what: &str) -> Result<()> {
        wait_until(&format!("a message with {what:?}"), PATIENCE, || {
            let failed = self.net[1].json(&["space", "show"])?["workspaces"][0]["failed"].clone();
            Ok(if failed.as_str().is_some_and(|text| text.contains(what)) { Ok(()) } else { Err(failed.to_string()) })
        })
    }

    /// How often bd was killed in an import.
    fn kills(&self) -> Result<usize> {
        match std::fs::read_to_string(self.bd.with_extension("killed")) {
            Ok(text) => Ok(text.lines().count()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Every import on the second machine is killed, some of them when they are through already.
    fn survives_kills(&self) -> Result<()> {
        let mut made = Vec::new();
        for n in 1..=KILLS_MIN {
            made.push(create_at(&self.net[0], &format!("killed: from the other machine {n}"))?);
            wait_until("bd killed in an import", PATIENCE, || {
                let kills = self.kills()?;
                Ok(if kills >= n { Ok(()) } else { Err(kills.to_string()) })
            })?;
        }
        let told = std::fs::read_to_string(self.net[1].log_path())?;
        ensure!(told.contains("bd import ended before it was done"), "nothing was said of the kills");
        // What cannot be written does not hold up what is read.
        let ours = create_at(&self.net[1], "killed: from here")?;
        wait_until("our own edit on the other machine", PATIENCE, || {
            let there = all(&self.net[0])?.contains_key(&ours);
            Ok(if there { Ok(()) } else { Err("it has not come".to_owned()) })
        })?;
        println!("bd was killed {} times in the middle of an import", self.kills()?);
        self.mode("")?;
        let both = alike(&self.net)?;
        made.push(ours);
        ensure!(made.iter().all(|id| both.contains_key(id)), "of {made:?} one is lost");
        Ok(())
    }

    /// With `wrong` something is edited on the first machine, and on the second one if people can work there; then all
    /// is well again, and both have everything.
    fn survives(&self, name: &str, wrong: &str, can: Can, mend: impl FnOnce() -> Result<()>) -> Result<()> {
        let people = can == Can::Work;
        let theirs = create_at(&self.net[0], &format!("{name}: from the other machine"))?;
        let ours = people.then(|| create_at(&self.net[1], &format!("{name}: from here"))).transpose()?;
        self.says(wrong)?;
        mend()?;
        let both = alike(&self.net)?;
        for id in [Some(theirs), ours].into_iter().flatten() {
            assert!(both.contains_key(&id), "{name}: {id} is lost");
        }
        wait_until(&format!("no message after {name}"), PATIENCE, || {
            let failed = self.net[1].json(&["space", "show"])?["workspaces"][0]["failed"].clone();
            Ok(if failed.is_null() { Ok(()) } else { Err(failed.to_string()) })
        })
    }
}

/// What goes on while something is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Can {
    /// People cannot work in the database either.
    Nothing,
    /// People can.
    Work,
}

/// Holds Dolt's own lock on an embedded database, as another program would.
fn lock(dir: &Path) -> Result<Child> {
    let database = std::fs::read_dir(dir.join(".beads/embeddeddolt"))?
        .flatten()
        .map(|entry| entry.path().join(".dolt/noms/LOCK"))
        .find(|path| path.is_file())
        .context("no embedded database")?;
    // One process, so that its end is the end of the lock.
    let hold = r#"exec 9<>"$1" && flock 9 && exec sleep 3600"#;
    Ok(Command::new("bash").args(["-c", hold, "bash"]).arg(database).spawn()?)
}

#[test]
fn whatever_is_wrong_with_bd_nothing_is_lost_and_it_goes_on() {
    let Some(program) = real() else { return };
    let mut stage = Stage::new(&program).unwrap();
    let well = |stage: &Stage| stage.mode("");

    stage.mode("garbage").unwrap();
    stage.survives("garbage", "unexpected answer", Can::Work, || well(&stage)).unwrap();

    stage.mode("cut").unwrap();
    stage.survives("cut", "ended before it was done", Can::Work, || well(&stage)).unwrap();

    stage.mode("hangs").unwrap();
    stage.survives("hangs", "took longer than", Can::Nothing, || well(&stage)).unwrap();
    let hung = std::fs::read_to_string(stage.bd.with_extension("hangs")).unwrap().lines().count();
    println!("bd was stopped {hung} times in the middle of an import");

    stage.mode("killed").unwrap();
    stage.survives_kills().unwrap();

    let mut holder = lock(&stage.net[1].work).unwrap();
    let held = stage.survives("locked", "does another program hold the database", Can::Nothing, || {
        holder.kill()?;
        holder.wait().map(drop).map_err(Into::into)
    });
    let _ = holder.kill();
    held.unwrap();

    // The program is looked at anew after a failure: as when somebody exchanges it.
    std::fs::rename(&stage.bd, &stage.away).unwrap();
    let theirs = create_at_with(&program, &stage, 0, "missing").unwrap();
    stage.says("install bd, or set TOWNMESH_BD").unwrap();
    std::fs::rename(&stage.away, &stage.bd).unwrap();
    assert!(alike(&stage.net).unwrap().contains_key(&theirs));

    stage.mode("old").unwrap();
    stage.net[1].kill().unwrap();
    stage.net[1].up().unwrap();
    stage.survives("old", "too old", Can::Work, || well(&stage)).unwrap();

    at(&stage.net[1], &["list"]).unwrap();
    still(&stage.net).unwrap();
}

/// Makes an issue while the script is away.
fn create_at_with(program: &Path, stage: &Stage, node: usize, title: &str) -> Result<String> {
    testnet::bd::create(program, &stage.net[node].work, &stage.net[node].name, title)
}
