//! What may go wrong in a run, each kind of it to be switched off by name.

use std::str::FromStr;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Trouble {
    /// Messages are lost.
    Loss = 1,
    /// Messages come twice.
    Repeats = 2,
    /// Messages overtake each other.
    Disorder = 4,
    /// Machines cannot reach each other, in both directions or in one.
    Cuts = 8,
    /// Machines lose power, and with it what was not synced.
    Crashes = 16,
    /// Disks are put back from a backup.
    Restores = 32,
    /// Homes are copied, and both copies run.
    Copies = 64,
    /// Clocks are up to five minutes wrong, and jump.
    Clocks = 128,
    /// A member is hostile, and so are strangers.
    Hostility = 256,
    /// Members come and go, rights change, versions of the charter are concurrent.
    Charters = 512,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Trouble; 10] = [
        Trouble::Loss,
        Trouble::Repeats,
        Trouble::Disorder,
        Trouble::Cuts,
        Trouble::Crashes,
        Trouble::Restores,
        Trouble::Copies,
        Trouble::Clocks,
        Trouble::Hostility,
        Trouble::Charters,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::Loss => "loss",
            Trouble::Repeats => "repeats",
            Trouble::Disorder => "disorder",
            Trouble::Cuts => "cuts",
            Trouble::Crashes => "crashes",
            Trouble::Restores => "restores",
            Trouble::Copies => "copies",
            Trouble::Clocks => "clocks",
            Trouble::Hostility => "hostility",
            Trouble::Charters => "charters",
        }
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Trouble, String> {
        let known = || Trouble::ALL.map(Trouble::name).join(", ");
        Trouble::ALL.into_iter().find(|t| t.name() == text).ok_or_else(|| format!("\"{text}\" is none of {}", known()))
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Troubles(u16);

impl Troubles {
    /// Everything goes wrong.
    pub fn all() -> Troubles {
        Trouble::ALL.into_iter().fold(Troubles::none(), Troubles::with)
    }

    /// Nothing does.
    pub fn none() -> Troubles {
        Troubles(0)
    }

    /// The set and one more kind.
    #[must_use]
    pub fn with(self, trouble: Trouble) -> Troubles {
        Troubles(self.0 | trouble as u16)
    }

    /// The set without a kind.
    #[must_use]
    pub fn without(self, trouble: Trouble) -> Troubles {
        Troubles(self.0 & !(trouble as u16))
    }

    /// Whether a kind is in it.
    pub fn has(self, trouble: Trouble) -> bool {
        self.0 & trouble as u16 != 0
    }
}
