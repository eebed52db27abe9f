//! How a droplet becomes a toolbox, how it is changed, and how it goes: the next step, as values.
//!
//! A worker that holds the lease of a toolbox does this, and nothing else:
//! 1. [`look`] says what of DigitalOcean is to be read first.
//! 2. [`next`] says what follows from the row and from what was seen: one action outside ([`Act`]), or something to write.
//! 3. After an action, [`after`] says what to write ([`Write`]).
//!
//! Whoever dies between two of these leaves a row from which another goes on. An action may therefore be done twice, or its
//! end be unknown: each is one that may be repeated. A droplet is never asked for before the row says that it may exist
//! from now on, and none is taken for gone before it had the time to show itself.

mod plan;
mod step;

use core::net::Ipv4Addr;
use core::time::Duration;

pub use plan::{after, look, look_failed, next};
pub use step::{Progress, Step, progress};

use crate::ids::ToolboxId;
use crate::lifecycle::EnvironmentStatus;
use crate::names::{DisplayName, slug};

/// The tag of every droplet that is a toolbox.
pub const TAG: &str = "toolbox";

/// So long a droplet that was asked for may be missing in DigitalOcean's lists.
pub const GRACE: Duration = Duration::from_mins(1);

/// So often somebody looks at the droplet of a toolbox by itself. The sweep, which reads all droplets at once, sees sooner what is
/// gone or moved.
pub const CHECK: Duration = Duration::from_hours(6);

/// How long the token in the user data of a machine is good: as long as a machine may take until its agent enrols.
pub const TOKEN_TTL: Duration = Duration::from_mins(40);

/// The tag of one toolbox' droplet. No other has it, and its firewall has it as its name.
pub fn tag_of(id: ToolboxId) -> String {
    format!("{TAG}-{id}")
}

/// The toolbox of a droplet with this tag; none for any other tag.
pub fn toolbox_of(tag: &str) -> Option<ToolboxId> {
    tag.strip_prefix(TAG)?.strip_prefix('-')?.parse().ok()
}

/// The droplet's name: what DigitalOcean takes of the toolbox' name, and enough of its id that no other has it.
pub fn droplet_name(name: &str, id: ToolboxId) -> String {
    let digits = id.as_uuid().simple().to_string();
    let readable = DisplayName::parse(name).map_or_else(|_| TAG.to_owned(), |name| slug(&name));
    format!("{readable}-{}", &digits[..12])
}

/// A toolbox with a droplet, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolbox {
    /// Id.
    pub id: ToolboxId,
    /// Display name.
    pub name: String,
    /// Lifecycle status.
    pub status: EnvironmentStatus,
    /// What is being done; none: nothing.
    pub step: Option<Step>,
    /// Since when.
    pub step_age: Duration,
    /// How often that failed in a row.
    pub tries: u32,
    /// What went wrong last, in words.
    pub problem: Option<String>,
    /// Since when a droplet may exist.
    pub machine_asked_age: Option<Duration>,
    /// When the agent last reported.
    pub heartbeat_age: Option<Duration>,
    /// DigitalOcean's number of the droplet.
    pub droplet: Option<u64>,
    /// Its name there.
    pub droplet_name: Option<String>,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// DigitalOcean's id of the firewall.
    pub firewall: Option<String>,
    /// DigitalOcean's number of what is being done to the droplet.
    pub action: Option<u64>,
    /// Its size.
    pub size: String,
    /// The size it is being given.
    pub wanted_size: Option<String>,
}

/// What is to be read of DigitalOcean before the next step is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Nothing,
    /// The droplet with the row's number, or with the tag where there is none; and the row's action.
    Own,
    /// Every droplet with the row's number or with the tag.
    All,
}

/// What was seen there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Droplets, the one with the row's number first, then the oldest.
    pub machines: Vec<Machine>,
    /// How far the row's action is.
    pub action: Option<ActionState>,
}

/// A droplet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// DigitalOcean's number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether it runs, or is off.
    pub power: Power,
    /// DigitalOcean is doing something to it.
    pub is_locked: bool,
    /// Its public address.
    pub address: Option<Ipv4Addr>,
    /// Its size.
    pub size: String,
}

/// Whether a droplet runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It is being made, or something that is not known.
    Unknown,
    /// It runs.
    On,
    /// It is switched off.
    Off,
}

/// How far an action at DigitalOcean is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// At work.
    Working,
    /// Done, or forgotten.
    Done,
    /// It failed.
    Failed,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, then write what [`after`] says.
    Act(Act),
    /// Write this.
    Write(Write),
}

/// One action at DigitalOcean. Each may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make the firewall of the tag, or put it right.
    EnsureFirewall,
    /// Make the droplet unless it is there. The row says before that it may exist.
    CreateMachine {
        /// It was asked for before, and is not known to have failed.
        again: bool,
    },
    /// End a droplet.
    DeleteMachine(u64),
    /// Remove firewall and tag.
    DeleteFirewall,
    /// Begin to do something to a droplet.
    Change(u64, Change),
}

/// What is done to a droplet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Ends what runs on it, and switches it off.
    Shutdown,
    /// Takes its power away.
    PowerOff,
    /// Switches it on.
    PowerOn,
    /// Gives it this size; its disk stays, so that it can become smaller again.
    Resize(String),
    /// Restarts it.
    Reboot,
    /// Gives it this name.
    Rename(String),
}

/// What an action gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing that must be known.
    Nothing,
    /// The firewall's id.
    Firewall(String),
    /// The droplet.
    Machine(Machine),
    /// The number of what has begun.
    Action(u64),
}

/// Why an action failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words, without secrets.
    pub words: String,
    /// The same can succeed later without anyone's doing.
    pub is_passing: bool,
    /// It may have been carried out all the same.
    pub may_have_happened: bool,
    /// How long DigitalOcean asks to wait.
    pub retry_after: Option<Duration>,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// How the toolbox is now.
    Record(Record),
    /// Nothing is left of it: the row goes.
    RemoveRow,
}

/// How a toolbox is after a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What is done from now on.
    pub step: Option<Step>,
    /// The status that it moves to, if it may.
    pub status: Option<EnvironmentStatus>,
    /// What went wrong.
    pub problem: Option<String>,
    /// When it is looked at next; none: never by itself.
    pub due: Option<Duration>,
    /// The step was tried and failed.
    pub failed: bool,
    /// What is known besides.
    pub set: Set,
}

/// What a step changes of a row: `Some(None)` empties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Number and name of the droplet.
    pub droplet: Option<Option<(u64, String)>>,
    /// Its address.
    pub address: Option<Option<Ipv4Addr>>,
    /// The firewall.
    pub firewall: Option<Option<String>>,
    /// What is being done to the droplet.
    pub action: Option<Option<u64>>,
    /// The size that it has now.
    pub size: Option<String>,
    /// No other size is wanted any more.
    pub no_wanted_size: bool,
    /// No droplet that was asked for can be there.
    pub machine_not_asked: bool,
}
