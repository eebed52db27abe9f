//! A host for native tests: signatures are a fixed text, background work is kept until asked for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use toolbox_http::LocalFuture;

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
    counter: Cell<u8>,
    background: RefCell<Vec<LocalFuture<'static, ()>>>,
    /// Lines of the operator's log.
    pub log: RefCell<Vec<String>>,
    /// How many signatures were checked.
    pub checks: Cell<usize>,
}

impl RecordedHost {
    /// Runs the work that was put off, and what it puts off in turn; says how many there were.
    pub fn run_background(&self) -> usize {
        let mut done = 0;
        loop {
            let Some(work) = self.background.borrow_mut().pop() else {
                return done;
            };
            toolbox_http::recorded::run(work);
            done += 1;
        }
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
        self.checks.set(self.checks.get() + 1);
        let fits = key
            .downcast_ref::<KeyMaterial>()
            .is_some_and(|k| k.algorithm() == algorithm);
        Box::pin(std::future::ready(fits && given == signature(algorithm)))
    }

    fn random_bytes(&self) -> [u8; 16] {
        self.counter.set(self.counter.get().wrapping_add(1));
        [self.counter.get(); 16]
    }

    fn background(&self, work: LocalFuture<'static, ()>) {
        self.background.borrow_mut().push(work);
    }

    fn log_error(&self, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }
}
