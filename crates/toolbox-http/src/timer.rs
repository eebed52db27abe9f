//! One host timer for every deadline and sleep of this wasm instance.
//!
//! A timer per call would cost the host two operations each; nearly all deadlines are dropped
//! before they fire. So pending deadlines wait here, and one `setTimeout` is
//! armed for the earliest. A deadline later than the armed one costs no host call at all.

use std::cell::{Cell, RefCell};
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

/// A pending deadline; `at` in microseconds of the host's monotonic clock.
struct Entry {
    id: u32,
    at: u64,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Wheel {
    /// A few hundred at most, so that looking through them is cheaper than keeping them in order.
    pending: RefCell<Vec<Entry>>,
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
        let mut at = 0;
        while let Some(entry) = pending.get(at) {
            if entry.at <= now {
                due.push(pending.swap_remove(at).waker);
            } else {
                at += 1;
            }
        }
        if let Some(earliest) = pending.iter().map(|entry| entry.at).min() {
            arm(wheel, earliest, now);
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
    id: u32,
}

impl Timer {
    /// Due after `duration`.
    pub fn after(duration: Duration) -> Self {
        let now = now_micros();
        let micros = duration.as_secs().saturating_mul(1_000_000);
        let at = now
            .saturating_add(micros)
            .saturating_add(duration.subsec_micros().into());
        WHEEL.with(|wheel| {
            let id = wheel.next_id.get();
            wheel.next_id.set(id.wrapping_add(1));
            wheel.pending.borrow_mut().push(Entry {
                id,
                at,
                waker: None,
            });
            arm(wheel, at, now);
            Self { id }
        })
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        WHEEL.with(|wheel| {
            let mut pending = wheel.pending.borrow_mut();
            match pending.iter_mut().find(|entry| entry.id == self.id) {
                None => Poll::Ready(()),
                Some(entry) => {
                    entry.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        WHEEL.with(|wheel| {
            let mut pending = wheel.pending.borrow_mut();
            if let Some(at) = pending.iter().position(|entry| entry.id == self.id) {
                pending.swap_remove(at);
            }
        });
    }
}
