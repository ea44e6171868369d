//! Sandboxes: the program `bwrap`, and what one inside sees.
//!
//! It sees the system's programs and libraries, a handful of files of `/etc`, its tree, and the file for reports. What is
//! not listed here is not there: no home, no keys, no sockets, no other processes. It has no capabilities, no way to
//! get any (bwrap sets `no_new_privs`), and no terminal of the host's (`--new-session`). Users keep their number, so
//! that what it writes belongs to who runs the node.

use crate::dirs::{Dirs, write_whole};
use crate::gate;
use crate::job::{Sandbox, find_program};
use crate::procfs::{Alive, has_variable};
use crate::text;
use rustix::process::Pid;
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where programs are looked up, inside.
pub(crate) const SANDBOX_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The tree, as a program inside sees it.
pub(crate) const TREE: &str = "/tree";

/// The file for reports, as a program inside sees it.
pub(crate) const REPORT: &str = "/run/townmesh/report";

/// A directory for our own git, inside.
pub(crate) const ASIDE: &str = "/run/townmesh/aside";

/// Homes are below; there is one, and it is empty.
const HOMES: &str = "/home";

/// Links or directories at the top that programs and libraries are found by.
const TOP: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What of `/etc` programs cannot do without. `/etc/ssl` has private keys too, so it is not shown as a whole.
const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

/// And what those need that have a network.
const ETC_NETWORK: &[&str] =
    &["/etc/gai.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/protocols", "/etc/resolv.conf", "/etc/services"];

/// How long a sandbox may take to show that it works.
const PROBE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why no program can be put into a sandbox here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSandbox {
    /// bubblewrap is not installed.
    #[error("no sandbox: there is no bwrap on this host (apt install bubblewrap)")]
    Missing,
    /// bubblewrap is there and cannot do it. Often the host forbids user namespaces.
    #[error("no sandbox: bwrap does not work on this host: {0}")]
    Forbidden(String),
}

/// A bwrap that works.
#[derive(Debug, Clone)]
pub(crate) struct Bwrap {
    program: PathBuf,
    /// Where our files are that are its `/etc`.
    etc: PathBuf,
}

/// What one sandbox gets beside what all get.
pub(crate) struct View<'a> {
    pub(crate) sandbox: Sandbox,
    pub(crate) tree: &'a Path,
    /// Files and directories that may be written to, and what they are called inside.
    pub(crate) more: Vec<(PathBuf, &'static str)>,
    /// Whether it says which process it is, through [`crate::gate`].
    pub(crate) info: bool,
}

/// What a sandbox says about itself.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    child_pid: i32,
}

/// The first process inside of a job's sandbox, if it is there still: when it is gone, so are all others. The sandbox's
/// own process ends before it does.
pub(crate) fn first_inside(dirs: &Dirs, id: &str) -> Option<Alive> {
    let info: Info = serde_json::from_slice(&std::fs::read(dirs.info(id)).ok()?).ok()?;
    let alive = Alive::of(Pid::from_raw(info.child_pid).filter(|pid| pid.as_raw_pid() > 1)?)?;
    // The number may be another's by now.
    has_variable(alive.pid, "TOWNMESH_GRANT", id.as_ref()).then_some(alive)
}

impl Bwrap {
    /// Looks for it and tries it. `etc` is a directory for files of ours.
    pub(crate) fn find(etc: &Path) -> Result<Bwrap, NoSandbox> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = find_program("bwrap", &path).ok_or(NoSandbox::Missing)?;
        let bwrap = Bwrap { program, etc: etc.to_path_buf() };
        bwrap.write_etc().map_err(|error| NoSandbox::Forbidden(format!("{}: {error}", etc.display())))?;
        bwrap.probe()?;
        Ok(bwrap)
    }

    fn write_etc(&self) -> std::io::Result<()> {
        let user = rustix::process::getuid().as_raw();
        let group = rustix::process::getgid().as_raw();
        let passwd = format!("agent:x:{user}:{group}:agent:{}:/bin/sh\n", home().display());
        write_whole(&self.etc.join("passwd"), passwd.as_bytes())?;
        write_whole(&self.etc.join("group"), format!("agent:x:{group}:\n").as_bytes())?;
        write_whole(&self.etc.join("hosts"), b"127.0.0.1 localhost\n::1 localhost\n")
    }

    /// Runs nothing in a sandbox like any other.
    fn probe(&self) -> Result<(), NoSandbox> {
        let forbidden = |reason: &dyn std::fmt::Display| NoSandbox::Forbidden(text::one_line(&reason.to_string(), 300));
        let view = View { sandbox: Sandbox { network: false }, tree: &self.etc, more: Vec::new(), info: false };
        let mut command = Command::new(&self.program);
        command.args(self.arguments(&view)).arg("true").env_clear().envs(environment());
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| forbidden(&error))?;
        let deadline = std::time::Instant::now() + PROBE_TIME_MAX;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(_)) => break,
                Ok(None) if std::time::Instant::now() > deadline => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(forbidden(&"it does not answer"));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => return Err(forbidden(&error)),
            }
        }
        let mut said = Vec::new();
        let _ = child.stderr.take().map(|stderr| stderr.take(4096).read_to_end(&mut said));
        Err(forbidden(&String::from_utf8_lossy(&said)))
    }

    /// The program to execute.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Its arguments; the program to run inside and its arguments come after them. Secrets are not among them:
    /// everybody on a host can read arguments. The environment is passed on, so whoever starts it clears its own.
    pub(crate) fn arguments(&self, view: &View<'_>) -> Vec<OsString> {
        let mut all = Arguments::default();
        // `--unshare-all` alone would do without a user namespace where there is none to be had.
        all.flags(&["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]);
        all.flags(&["--cap-drop", "ALL", "--hostname", "townmesh"]);
        if view.info {
            all.flags(&["--info-fd", gate::INFO]);
        }
        if view.sandbox.network {
            all.flags(&["--share-net"]);
        }
        all.flags(&["--ro-bind", "/usr", "/usr"]);
        for top in TOP {
            // On most systems they are links into /usr; where they are not, they are directories.
            match std::fs::read_link(top) {
                Ok(target) => all.pair("--symlink", &target, top),
                Err(_) => all.pair("--ro-bind-try", top, top),
            }
        }
        all.flags(&["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--tmpfs", HOMES]);
        all.0.extend(["--dir".into(), home().into()]);
        for file in ETC {
            all.pair("--ro-bind-try", file, file);
        }
        for file in ["passwd", "group"] {
            all.pair("--ro-bind", self.etc.join(file), Path::new("/etc").join(file));
        }
        if view.sandbox.network {
            for file in ETC_NETWORK {
                all.pair("--ro-bind-try", file, file);
            }
        } else {
            all.pair("--ro-bind", self.etc.join("hosts"), "/etc/hosts");
        }
        all.pair("--bind", view.tree, TREE);
        for (outside, inside) in &view.more {
            all.pair("--bind", outside, inside);
        }
        // Last, because places to mount at are made on the way.
        all.flags(&["--remount-ro", "/", "--chdir", TREE, "--"]);
        all.0
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    fn pair(&mut self, flag: &str, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
        self.0.extend([flag.into(), from.as_ref().into(), to.as_ref().into()]);
    }
}

fn home() -> PathBuf {
    Path::new(HOMES).join("agent")
}

/// The variables of everything in a sandbox.
pub(crate) fn environment() -> [(&'static str, OsString); 3] {
    [("PATH", SANDBOX_PATH.into()), ("HOME", home().into()), ("LANG", "C.UTF-8".into())]
}
