//! A transport that answers from a script, and a clock that jumps instead of waiting.

use std::collections::VecDeque;
use std::future::{Future, pending, ready};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::once;
use toolbox_domain::retry::Fault;

use crate::message::{Request, Response};
use crate::transport::{
    BodyStream, BoxFuture, Call, Clock, Passed, Passing, Transport, TransportError,
};

type Rule = Box<dyn FnMut(&Request) -> Option<Result<Response, TransportError>> + Send>;

type Hung = Box<dyn Fn(&Request) -> bool + Send>;

/// What `mutex` holds, also after a test that held it has failed.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers calls by the first rule that matches, and keeps what was sent.
#[derive(Default)]
pub struct Recorded {
    names: Mutex<Vec<(String, Option<Vec<IpAddr>>)>>,
    rules: Mutex<VecDeque<Rule>>,
    hung: Mutex<Vec<Hung>>,
    sent: Mutex<Vec<Call>>,
    clock: Option<Arc<JumpingClock>>,
}

impl Recorded {
    /// No rules yet; an unmatched call panics the test that made it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A call that times out moves this clock by its deadline.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<JumpingClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Answers calls for which `rule` gives something; later rules are asked first.
    pub fn on(
        &self,
        rule: impl FnMut(&Request) -> Option<Result<Response, TransportError>> + Send + 'static,
    ) {
        lock(&self.rules).push_front(Box::new(rule));
    }

    /// Calls that `rule` names never end, not even at their deadline.
    pub fn hang(&self, rule: impl Fn(&Request) -> bool + Send + 'static) {
        lock(&self.hung).push(Box::new(rule));
    }

    /// The addresses of a name; none as a host that cannot ask. Other names do not exist.
    pub fn on_name(&self, name: &str, addresses: Option<Vec<IpAddr>>) {
        lock(&self.names).push((name.to_owned(), addresses));
    }

    /// What was sent, in order.
    pub fn sent(&self) -> Vec<Call> {
        lock(&self.sent).clone()
    }

    #[allow(
        clippy::panic,
        reason = "a call no rule answers is a mistake of the test"
    )]
    fn answer(&self, call: &Call) -> Result<Response, TransportError> {
        lock(&self.sent).push(call.clone());
        let answer = lock(&self.rules)
            .iter_mut()
            .find_map(|rule| rule(&call.request));
        let Some(answer) = answer else {
            panic!(
                "no rule answers {} {}",
                call.request.method, call.request.url
            )
        };
        if let (Some(clock), Err(error)) = (&self.clock, &answer)
            && error.fault == Fault::Timeout
        {
            clock.advance(call.deadline);
        }
        answer
    }
}

impl Transport for Recorded {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response, TransportError>> {
        let hangs = lock(&self.hung).iter().any(|rule| rule(&call.request));
        if hangs {
            return Box::pin(pending());
        }
        Box::pin(async move { self.answer(&call) })
    }

    fn open(
        &self,
        call: Call,
        _longest: Duration,
    ) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>> {
        Box::pin(async move {
            let Response {
                status,
                headers,
                body,
            } = self.answer(&call)?;
            Ok(Response {
                status,
                headers,
                body: BodyStream::new(once(ready(Ok(Bytes::from(body))))),
            })
        })
    }

    fn pipe(
        &self,
        mut call: Call,
        body: Option<BodyStream>,
        passing: Passing,
    ) -> BoxFuture<'_, Result<Response<Passed>, TransportError>> {
        Box::pin(async move {
            if let Some(body) = body {
                call.request.body = body.read(usize::MAX).await?;
            }
            let answer = self.answer(&call)?;
            let mut passed = Response::new(answer.status, Passed::Whole(answer.body));
            for name in passing.headers {
                if let Some(value) = answer.headers.get(name) {
                    passed.headers.set(name, value);
                }
            }
            Ok(passed)
        })
    }

    fn resolve<'a>(
        &'a self,
        name: &'a str,
        _deadline: Duration,
    ) -> BoxFuture<'a, Result<Option<Vec<IpAddr>>, TransportError>> {
        let names = lock(&self.names);
        let found = names.iter().rev().find(|(of, _)| of == name);
        let answer = match found {
            Some((_, addresses)) => Ok(addresses.clone()),
            None => Err(TransportError::new(Fault::Dns, "no such name")),
        };
        Box::pin(ready(answer))
    }
}

impl BodyStream {
    /// All bytes of a recorded body.
    pub fn into_bytes(self) -> Vec<u8> {
        let chunks: Vec<_> = run(self.into_chunks().collect());
        chunks.into_iter().flatten().flatten().collect()
    }
}

/// Time that passes only by sleeping; chance that is always one half.
#[derive(Debug)]
pub struct JumpingClock {
    now: Mutex<Duration>,
}

impl JumpingClock {
    /// Starts at `now` since the Unix epoch.
    pub fn new(now: Duration) -> Self {
        Self {
            now: Mutex::new(now),
        }
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        *lock(&self.now) += by;
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Duration {
        *lock(&self.now)
    }

    fn random(&self) -> f64 {
        0.5
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        // A pause that nobody waits for, such as a limit that was not reached, takes no time.
        Box::pin(async move { self.advance(duration) })
    }
}

/// Runs a future whose every part completes at once, as all of this module's do.
///
/// # Panics
/// When it does not.
#[allow(
    clippy::panic,
    reason = "a future that waits for something else is a mistake of the test"
)]
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    match future.as_mut().poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits for something that is not recorded"),
    }
}

#[cfg(test)]
mod tests {
    use toolbox_domain::retry::RetryPolicy;

    use super::*;
    use crate::retry::{Transience, retry};

    fn call() -> Call {
        let request = Request::new("GET", "http://h/");
        Call::new(request, Duration::from_secs(1))
    }

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 3,
        base: Duration::from_millis(100),
        cap: Duration::from_secs(1),
        budget: Duration::from_secs(10),
    };

    fn attempt_with(fault: Fault, failures: usize) -> (Result<u16, Fault>, usize) {
        let transport = Recorded::new();
        let mut left = failures;
        transport.on(move |_| {
            if left == 0 {
                return Some(Ok(Response::new(200, Vec::new())));
            }
            left -= 1;
            Some(Err(TransportError::new(fault, "recorded")))
        });
        let clock = JumpingClock::new(Duration::from_secs(1));
        let result = run(retry(
            &clock,
            &POLICY,
            |e: &TransportError| {
                Some(Transience {
                    fault: e.fault,
                    retry_after: None,
                })
            },
            || transport.send(call()),
        ));
        (
            result.map(|r| r.status).map_err(|e| e.fault),
            transport.sent().len(),
        )
    }

    #[test]
    fn transient_faults_are_repeated_within_the_attempts() {
        assert_eq!(attempt_with(Fault::Refused, 2), (Ok(200), 3));
        assert_eq!(attempt_with(Fault::Refused, 9), (Err(Fault::Refused), 3));
    }

    #[test]
    fn permanent_faults_are_not_repeated() {
        assert_eq!(attempt_with(Fault::Tls, 1), (Err(Fault::Tls), 1));
    }
}
