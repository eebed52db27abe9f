//! A host for native tests: signatures are a fixed text, background work is kept until asked for.

use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use toolbox_http::recorded::lock;
use toolbox_http::{BoxFuture, LocalFuture};

use crate::host::{Algorithm, Host, KeyHandle, KeyMaterial, UnusableKey};

/// A signature this host takes for that of any key of the algorithm it names.
pub const fn signature(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Es256 => b"signed-es256",
        Algorithm::Rs256 => b"signed-rs256",
        Algorithm::Hs256 => b"signed-hs256",
    }
}

/// See the module.
#[derive(Default)]
pub struct RecordedHost {
    counter: AtomicU8,
    background: Mutex<Vec<BoxFuture<'static, ()>>>,
    log: Mutex<Vec<String>>,
    checks: AtomicUsize,
}

impl RecordedHost {
    /// Runs the work that was put off, and what it puts off in turn; says how many there were.
    pub fn run_background(&self) -> usize {
        let mut done = 0;
        loop {
            let work = lock(&self.background).pop();
            let Some(work) = work else {
                return done;
            };
            toolbox_http::recorded::run(work);
            done += 1;
        }
    }

    /// The operator's log.
    pub fn log(&self) -> String {
        lock(&self.log).join("\n")
    }

    /// How many signatures were checked.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }
}

impl Host for RecordedHost {
    fn import_key(&self, key: &KeyMaterial) -> LocalFuture<'_, Result<KeyHandle, UnusableKey>> {
        let handle: KeyHandle = Rc::new(key.clone());
        Box::pin(std::future::ready(Ok(handle)))
    }

    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a KeyHandle,
        _message: &'a [u8],
        given: &'a [u8],
    ) -> LocalFuture<'a, bool> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        let fits = key
            .downcast_ref::<KeyMaterial>()
            .is_some_and(|k| k.algorithm() == algorithm);
        Box::pin(std::future::ready(fits && given == signature(algorithm)))
    }

    fn random_bytes(&self) -> [u8; 16] {
        [self.counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1); 16]
    }

    fn background(&self, work: BoxFuture<'static, ()>) {
        lock(&self.background).push(work);
    }

    fn log_error(&self, line: &str) {
        lock(&self.log).push(line.to_owned());
    }
}
