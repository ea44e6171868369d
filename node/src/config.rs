//! Settings: defaults, then `config.toml`, then the environment, then flags.

use crate::CliError;
use crate::home::{Home, write_private};
use serde::{Deserialize, Serialize};

/// Largest `config.toml` that is read, in bytes.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// Longest name of a host, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A node's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// This host's name, as others see it.
    pub name: String,
    /// Multiaddrs to listen on. Port 0 takes a free one and keeps it over restarts.
    pub listen: Vec<String>,
    /// Announce and find nodes on the local network.
    pub mdns: bool,
    /// After so many ops a space's coordinator makes a checkpoint; a newcomer begins with one that has at least half
    /// as many folded in.
    #[serde(skip_serializing_if = "is_usual")]
    pub checkpoint_ops: u64,
    /// How long one command of bd may take in seconds, waiting for other programs included.
    #[serde(skip_serializing_if = "is_patient")]
    pub bd_seconds: u64,
    /// The fast path; catching up works without it.
    pub gossip: Gossip,
}

fn is_usual(ops: &u64) -> bool {
    *ops == engine::CheckpointRule::default().every_ops
}

/// Default of [`Config::bd_seconds`]: on a slow machine an import of a thousand issues takes the better part of it.
const BD_SECONDS: u64 = 120;

/// Most that [`Config::bd_seconds`] can be.
const BD_SECONDS_MAX: u64 = 3600;

fn is_patient(seconds: &u64) -> bool {
    *seconds == BD_SECONDS
}

/// Settings of the fast path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gossip {
    /// Whether it is used at all.
    pub enabled: bool,
    /// Share of incoming gossip that is thrown away, 0 to 1: fault injection for tests of lossy networks.
    #[serde(skip_serializing_if = "is_zero")]
    pub loss: f64,
}

fn is_zero(loss: &f64) -> bool {
    *loss == 0.0
}

impl Default for Gossip {
    fn default() -> Gossip {
        Gossip { enabled: true, loss: 0.0 }
    }
}

impl Default for Config {
    fn default() -> Config {
        let listen = ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"];
        let checkpoint_ops = engine::CheckpointRule::default().every_ops;
        let listen = listen.map(str::to_owned).to_vec();
        Config {
            name: hostname(),
            listen,
            mdns: true,
            checkpoint_ops,
            bd_seconds: BD_SECONDS,
            gossip: Gossip::default(),
        }
    }
}

impl Config {
    /// The settings of a home: its file and the environment of this process.
    ///
    /// # Errors
    /// `bad_config` when a setting cannot be understood, `disk` when the file cannot be read.
    pub fn load(home: &Home) -> Result<Config, CliError> {
        let mut config = Config::read(home)?;
        config.apply_env(&|name| std::env::var(name).ok())?;
        Ok(config)
    }

    /// The settings in the file; the defaults when there is none.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(home: &Home) -> Result<Config, CliError> {
        let path = home.config();
        let text = match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > CONFIG_BYTES_MAX => {
                return Err(CliError::new("bad_config", format!("{} is larger than 64 KiB", path.display())));
            }
            Ok(_) => std::fs::read_to_string(&path).map_err(|err| CliError::disk(path.display(), &err))?,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(err) => return Err(CliError::disk(path.display(), &err)),
        };
        Config::parse(&text).map_err(|err| CliError { message: format!("{}: {}", path.display(), err.message), ..err })
    }

    /// The settings in the text of a file.
    ///
    /// # Errors
    /// `bad_config` when a setting is unknown or cannot be understood.
    pub fn parse(text: &str) -> Result<Config, CliError> {
        let config: Config =
            toml::from_str(text).map_err(|err| CliError::new("bad_config", err.message().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    /// The text of a file with these settings.
    ///
    /// # Errors
    /// `bad_config` when a setting is unusable.
    pub fn to_text(&self) -> Result<String, CliError> {
        self.check()?;
        toml::to_string(self).map_err(|err| CliError::new("internal", format!("config: {err}")))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// `bad_config` when a setting is unusable, `disk` when writing fails.
    pub fn write(&self, home: &Home) -> Result<(), CliError> {
        let text = self.to_text()?;
        write_private(&home.config(), text.as_bytes()).map_err(|err| CliError::disk(home.config().display(), &err))
    }

    fn apply_env(&mut self, var: &dyn Fn(&str) -> Option<String>) -> Result<(), CliError> {
        if let Some(name) = var("TOWNMESH_NAME") {
            self.name = name;
        }
        if let Some(listen) = var("TOWNMESH_LISTEN") {
            self.listen = listen.split(',').map(str::trim).filter(|a| !a.is_empty()).map(str::to_owned).collect();
        }
        if let Some(mdns) = var("TOWNMESH_MDNS") {
            self.mdns = switch("TOWNMESH_MDNS", &mdns)?;
        }
        if let Some(ops) = var("TOWNMESH_CHECKPOINT_OPS") {
            self.checkpoint_ops =
                ops.parse().map_err(|_| CliError::new("bad_config", "TOWNMESH_CHECKPOINT_OPS: a number of ops"))?;
        }
        if let Some(seconds) = var("TOWNMESH_BD_SECONDS") {
            self.bd_seconds =
                seconds.parse().map_err(|_| CliError::new("bad_config", "TOWNMESH_BD_SECONDS: a number of seconds"))?;
        }
        if let Some(gossip) = var("TOWNMESH_GOSSIP") {
            match gossip.parse::<f64>() {
                // "0" and "1" mean off and on here, as everywhere else; a share lies between them.
                Ok(loss) if loss > 0.0 && loss < 1.0 => self.gossip = Gossip { enabled: true, loss },
                _ => self.gossip = Gossip { enabled: switch("TOWNMESH_GOSSIP", &gossip)?, loss: 0.0 },
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), CliError> {
        check_name(&self.name)?;
        if self.listen.len() > 16 || self.listen.iter().any(|a| a.len() > 256 || !a.starts_with('/')) {
            return Err(CliError::new("bad_config", "listen: at most 16 multiaddrs such as /ip4/0.0.0.0/tcp/0"));
        }
        if self.checkpoint_ops == 0 {
            return Err(CliError::new("bad_config", "checkpoint_ops: at least 1"));
        }
        if !(1..=BD_SECONDS_MAX).contains(&self.bd_seconds) {
            return Err(CliError::new("bad_config", format!("bd_seconds: 1 to {BD_SECONDS_MAX}")));
        }
        if !(0.0..=1.0).contains(&self.gossip.loss) {
            return Err(CliError::new("bad_config", "gossip.loss: a share from 0 to 1"));
        }
        Ok(())
    }
}

/// Checks a host's name: letters, digits, `.`, `_` and `-`, at most [`NAME_BYTES_MAX`] bytes.
///
/// # Errors
/// `bad_config` when it has another form.
pub fn check_name(name: &str) -> Result<(), CliError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(good) {
        return Err(CliError::new("bad_config", "a name is 1 to 64 letters, digits, '.', '_' or '-'"));
    }
    Ok(())
}

/// Makes any text a usable name: what is not allowed becomes `-`.
pub fn to_name(text: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = text.chars().map(good).take(NAME_BYTES_MAX).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

fn switch(name: &str, value: &str) -> Result<bool, CliError> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" | "yes" => Ok(true),
        "0" | "off" | "false" | "no" => Ok(false),
        _ => Err(CliError::new("bad_config", format!("{name}: on or off expected, not {value:?}"))),
    }
}

/// This machine's name as the system says it, without its domain.
fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    to_name(name.split('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(text: &str) -> (tempfile::TempDir, Home) {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path()).unwrap();
        home.create().unwrap();
        std::fs::write(home.config(), text).unwrap();
        (temp, home)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_temp, home) = home("");
        let config = Config { name: "desktop".into(), mdns: false, bd_seconds: 300, ..Config::default() };
        config.write(&home).unwrap();
        assert_eq!(Config::read(&home).unwrap(), config);
    }

    #[test]
    fn broken_files_are_typed_errors() {
        for text in [
            "nmae = \"x\"",
            "name = 3",
            "name = \"\"",
            "listen = [\"x\"]",
            "bd_seconds = 3601",
            "bd_seconds = 0",
            "[gossip]\nloss = 2.0",
            "\u{0}",
        ] {
            let (_temp, home) = home(text);
            assert_eq!(Config::read(&home).unwrap_err().code, "bad_config", "{text}");
        }
        let (_temp, large) = home(&"#".repeat(70_000));
        assert_eq!(Config::read(&large).unwrap_err().code, "bad_config");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let mut config = Config::default();
        let env = |name: &str| match name {
            "TOWNMESH_NAME" => Some("b".to_owned()),
            "TOWNMESH_LISTEN" => Some("/ip4/127.0.0.1/tcp/0, /ip4/127.0.0.1/tcp/1".to_owned()),
            "TOWNMESH_MDNS" => Some("0".to_owned()),
            "TOWNMESH_BD_SECONDS" => Some("7".to_owned()),
            "TOWNMESH_GOSSIP" => Some("0.5".to_owned()),
            _ => None,
        };
        config.apply_env(&env).unwrap();
        assert_eq!((config.name.as_str(), config.listen.len(), config.mdns), ("b", 2, false));
        assert_eq!((config.bd_seconds, config.gossip.clone()), (7, Gossip { enabled: true, loss: 0.5 }));
        let mut config = Config::default();
        config.apply_env(&|n| (n == "TOWNMESH_GOSSIP").then(|| "off".to_owned())).unwrap();
        assert!(!config.gossip.enabled);
        let err = config.apply_env(&|n| (n == "TOWNMESH_BD_SECONDS").then(|| "soon".to_owned())).unwrap_err();
        assert_eq!(err.code, "bad_config");
        let err = config.apply_env(&|n| (n == "TOWNMESH_GOSSIP").then(|| "7".to_owned())).unwrap_err();
        assert_eq!(err.code, "bad_config");
    }

    #[test]
    fn any_text_becomes_a_name() {
        for text in ["", "a b", "ä", &"x".repeat(500)] {
            check_name(&to_name(text)).unwrap();
        }
    }
}
