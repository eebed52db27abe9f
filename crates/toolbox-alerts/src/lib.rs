//! How alerts reach their users.
//!
//! Triggers of the database decide what is an alert and write messages into an outbox. [`Sender::deliver_due`], a job of
//! `clock/tick`, takes those that are due, sends each once and writes what became of it; the database decides when it
//! is tried again. A test is a message like any other, without an alert.

mod send;
mod sign;
#[cfg(test)]
mod tests;
mod text;

pub use send::Sender;
