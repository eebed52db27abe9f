//! Lines on standard error that say what the stack is doing, and what it answers on standard output. A closed terminal stops
//! nothing.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Instant;

/// One line.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What was asked for, on standard output.
pub(crate) fn answer(text: impl Display) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Runs a step of the start-up and says how long it took.
pub(crate) async fn step<T, E>(
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let begun = Instant::now();
    let done = work.await;
    let seconds = begun.elapsed().as_secs_f32();
    match &done {
        Ok(_) => say(format_args!("  {what:<38} {seconds:>5.1} s")),
        Err(_) => say(format_args!("  {what:<38} failed after {seconds:.1} s")),
    }
    done
}
