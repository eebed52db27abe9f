//! One host timer for every deadline and sleep of this wasm instance.
//!
//! A timer per call would cost the host two operations each; nearly all deadlines are dropped
//! before they fire. So pending deadlines wait in an ordered map here, and one `setTimeout` is
//! armed for the earliest. A deadline later than the armed one costs no host call at all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Closure<dyn FnMut()>, milliseconds: f64) -> JsValue;
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// Due time in microseconds of the host's monotonic clock, then a number that makes it unique.
type Key = (u64, u32);

#[derive(Default)]
struct Wheel {
    pending: RefCell<BTreeMap<Key, Option<Waker>>>,
    armed_for: Cell<Option<u64>>,
    next_id: Cell<u32>,
}

thread_local! {
    static WHEEL: Wheel = Wheel::default();
    static FIRE: Closure<dyn FnMut()> = Closure::new(fire);
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative"
)]
fn now_micros() -> u64 {
    (performance_now() * 1000.0) as u64
}

fn fire() {
    let now = now_micros();
    let mut due = Vec::new();
    WHEEL.with(|wheel| {
        wheel.armed_for.set(None);
        let mut pending = wheel.pending.borrow_mut();
        while let Some(entry) = pending.first_entry().filter(|e| e.key().0 <= now) {
            due.push(entry.remove());
        }
        if let Some((&(at, _), _)) = pending.first_key_value() {
            arm(wheel, at, now);
        }
    });
    // Woken only now: a waker may run code that registers a deadline.
    due.into_iter().flatten().for_each(Waker::wake);
}

#[allow(
    clippy::cast_precision_loss,
    reason = "microseconds of a worker's life fit"
)]
fn arm(wheel: &Wheel, at: u64, now: u64) {
    if wheel.armed_for.get().is_none_or(|armed| at < armed) {
        wheel.armed_for.set(Some(at));
        // One millisecond more, because hosts round down.
        let milliseconds = at.saturating_sub(now).div_ceil(1000) + 1;
        FIRE.with(|callback| set_timeout(callback, milliseconds as f64));
    }
}

/// Completes when its time has come; dropping it costs no host call.
#[derive(Debug)]
pub struct Timer {
    key: Key,
}

impl Timer {
    /// Due after `duration`.
    pub fn after(duration: Duration) -> Self {
        let now = now_micros();
        let at = now.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2));
        WHEEL.with(|wheel| {
            let id = wheel.next_id.get();
            wheel.next_id.set(id.wrapping_add(1));
            wheel.pending.borrow_mut().insert((at, id), None);
            arm(wheel, at, now);
            Self { key: (at, id) }
        })
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        WHEEL.with(
            |wheel| match wheel.pending.borrow_mut().get_mut(&self.key) {
                None => Poll::Ready(()),
                Some(waker) => {
                    *waker = Some(context.waker().clone());
                    Poll::Pending
                }
            },
        )
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        WHEEL.with(|wheel| wheel.pending.borrow_mut().remove(&self.key));
    }
}
