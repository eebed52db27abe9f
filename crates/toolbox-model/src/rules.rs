//! Which rules hold, and how far the model is explored.

/// Rules of the design. Each can be turned off alone.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent rules, each turned off by a test of its own"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The agent refuses a generation lower than the one it holds (`dtma/src/instances/command.rs`).
    pub agent_refuses_stale_generations: bool,
    /// The agent remembers on its disk which generation deleted an instance, and refuses to deploy it at that
    /// generation or before.
    pub agent_remembers_deletions: bool,
    /// The agent reports an instance only after it has looked at Docker and decided.
    pub only_decided_views_are_reported: bool,
    /// A heartbeat whose (boot, sequence) is not greater than the last accepted changes nothing (`record_heartbeat`), and what one
    /// tells is not recorded any more once a later one was accepted (`record_tool_instance_states`).
    pub replayed_heartbeats_are_refused: bool,
    /// A report about an older generation than the row's is ignored (`record_heartbeat`).
    pub stale_reports_are_ignored: bool,
    /// An agent whose heartbeats count as replayed goes on from the last accepted number.
    pub agent_catches_up_with_sequence: bool,
    /// A row is removed only when the agent says that it has carried the deletion out, never because it does not know
    /// the instance.
    pub removal_needs_the_deletion_confirmed: bool,
    /// A row that is put back after a command that did not happen gets a generation of its own.
    pub restoring_makes_a_generation: bool,
    /// An answer about a later generation is no success of the command that asked.
    pub success_needs_own_generation: bool,
    /// The desired state says that its generation is a restart (`get_desired_state`).
    pub desired_state_names_restarts: bool,
    /// It says so also once the restart's lease has run out.
    pub restarts_outlive_leases: bool,
    /// An agent that rolled back what is desired, where no spec is known to go back to, is an error with its reason.
    pub roll_back_without_a_way_back_is_an_error: bool,
    /// The agent takes a start, stop or restart only onto the generation just before it, as the control plane knows that
    /// one. Else it has missed a spec; it says so, and is given all of the desired state.
    pub commands_need_their_base: bool,
    /// An agent whose digest differs fetches the desired state.
    pub desired_state_is_fetched: bool,
    /// A record is written only onto the status it was decided on (`record_tool_instance_states`).
    pub records_compare_status: bool,
    /// A view is applied only if no later one of the same run was: `private.is_overtaken`. An operation whose end it shows ends
    /// all the same.
    pub overtaken_views_are_ignored: bool,
    /// A view that a heartbeat tells of is the last that was applied also where it changes nothing of the row
    /// (`compare_instance_reports`).
    pub views_without_news_count: bool,
}

impl Rules {
    /// All rules hold.
    pub const fn all() -> Self {
        Self {
            agent_refuses_stale_generations: true,
            agent_remembers_deletions: true,
            only_decided_views_are_reported: true,
            replayed_heartbeats_are_refused: true,
            stale_reports_are_ignored: true,
            agent_catches_up_with_sequence: true,
            removal_needs_the_deletion_confirmed: true,
            restoring_makes_a_generation: true,
            success_needs_own_generation: true,
            desired_state_names_restarts: true,
            restarts_outlive_leases: true,
            roll_back_without_a_way_back_is_an_error: true,
            commands_need_their_base: true,
            desired_state_is_fetched: true,
            records_compare_status: true,
            overtaken_views_are_ignored: true,
            views_without_news_count: true,
        }
    }
}

/// What may happen, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Instances, 1 or 2.
    pub instances: usize,
    /// Commands that users give, in all.
    pub commands: u8,
    /// Which ones.
    pub actions: Vec<toolbox_domain::lifecycle::Request>,
    /// Messages that arrive twice; of heartbeats, the first time the answer is lost.
    pub duplicates: u8,
    /// Connections that the agent's machine refuses.
    pub refusals: u8,
    pub crashes: u8,
    /// A crash may lose the boot number, and leave Docker to finish a creation.
    pub dirty_crashes: bool,
    /// Containers that end by themselves or are removed by hand.
    pub accidents: u8,
    /// Versions that fail their trial or keep crashing.
    pub failures: u8,
    /// Steps that fail for a while: Docker or a registry is away, a port is taken.
    pub step_failures: u8,
    /// Full heartbeats by the timer; those at a start and on changes are not counted.
    pub timers: u8,
    /// Reads of the list, which record what they see.
    pub reads: u8,
    /// An operation whose lease has run out is there until somebody looks.
    pub lazy_leases: bool,
    /// Times that the toolbox is taken for silent.
    pub silences: u8,
    /// Heartbeats whose news are recorded late, or never.
    pub late: u8,
}

impl Bounds {
    /// Nothing but commands of these kinds to one instance.
    pub fn commands(commands: u8, actions: &[toolbox_domain::lifecycle::Request]) -> Self {
        Self {
            instances: 1,
            commands,
            actions: actions.to_vec(),
            duplicates: 0,
            refusals: 0,
            crashes: 0,
            dirty_crashes: false,
            accidents: 0,
            failures: 0,
            step_failures: 0,
            timers: 0,
            reads: 0,
            lazy_leases: false,
            silences: 0,
            late: 0,
        }
    }
}
