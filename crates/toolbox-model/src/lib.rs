//! A model of Toolbox, checked by exploring every order of events within its bounds.
//!
//! One toolbox with one or two instances; the control plane's rows and operations with their leases; the edge
//! function's workers that carry a user's commands out; the network, which loses, duplicates and reorders; the agent
//! with what it holds on disk and what it forgets in a crash; Docker with containers that die and vanish; heartbeats
//! and the desired state that is fetched when digests differ.
//!
//! The statuses are moved by [`toolbox_domain::lifecycle`] itself. Rules that live in SQL, in the edge functions or in
//! the agent are restated here, and each says where it comes from. [`rules::Rules`] turns single ones off, so that the
//! tests show that the checker sees what each is good for.
//!
//! What time does is left open: a message may take for ever, a lease may end at any moment. What holds here therefore
//! holds whatever the clocks do. What is left out: specs are numbers, one Docker step is atomic, and the agent restarts
//! at once.
//!
//! Reading order: [`state`], [`control`], [`hearing`] and [`worker`] (the control plane), [`agent`], [`views`] and
//! [`heartbeat`] (the agent), [`model`] (every event), [`properties`] and [`heal`] (what is asserted, also of what follows
//! once faults end), [`scenarios`] and [`check`] (running it). `cargo run --release -p toolbox-model --example explore`
//! prints what is found.

#![allow(missing_docs, reason = "no other crate uses this one")]

pub mod agent;
pub mod check;
pub mod control;
pub mod heal;
pub mod hearing;
pub mod heartbeat;
pub mod model;
pub mod properties;
pub mod rules;
pub mod scenarios;
pub mod state;
pub mod views;
pub mod worker;
