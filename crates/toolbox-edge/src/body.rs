//! Bodies of requests. One is read when a handler asks for it, which is after the caller is known, and not for ever: it
//! has [`DEADLINE`] to arrive. When [`MOST_AT_ONCE`] are being read, the one that has taken longest makes room, so callers
//! that send slowly cannot keep out those that do not.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::{AbortHandle, Either, abortable, select};
use toolbox_api::edge::MAX_BODY_BYTES;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_http::{BodyStream, Clock, LocalFuture};

/// How long a body may take to arrive.
const DEADLINE: Duration = Duration::from_secs(15);
/// Most bodies that one instance reads at once: 16 MiB together.
const MOST_AT_ONCE: usize = 64;

/// Largest body that is read.
pub const BODY_LIMIT: usize = MAX_BODY_BYTES;

/// A body as the boundary could read it.
#[derive(Debug)]
pub enum Incoming {
    /// Whole.
    Complete(Vec<u8>),
    /// Larger than [`BODY_LIMIT`].
    TooLarge,
    /// The caller ended it early.
    Broken,
    /// Not read at all: in a function that passes bodies on.
    Stream(BodyStream),
}

/// Reads a body, once it is polled.
pub type Unread = LocalFuture<'static, Incoming>;

/// The body of one request.
pub struct RequestBody {
    unread: Cell<Option<Unread>>,
    read: OnceCell<Vec<u8>>,
}

impl RequestBody {
    /// A body of which nothing has been read.
    pub const fn new(unread: Unread) -> Self {
        Self {
            unread: Cell::new(Some(unread)),
            read: OnceCell::new(),
        }
    }

    /// The whole body, which is read the first time.
    pub async fn bytes(&self, reads: &Reads, clock: &dyn Clock) -> Result<&[u8], ApiError> {
        if let Some(bytes) = self.read.get() {
            return Ok(bytes);
        }
        let incoming = match self.unread.take() {
            Some(unread) => reads.read(clock, unread).await,
            None => Some(Incoming::Broken),
        };
        match incoming {
            Some(Incoming::Complete(bytes)) => Ok(self.read.get_or_init(|| bytes)),
            Some(Incoming::TooLarge) => Err(ApiError::new(ErrorCode::BodyTooLarge)),
            Some(Incoming::Broken | Incoming::Stream(_)) => Err(ApiError::with_message(
                ErrorCode::InvalidRequest,
                "The request body ended early",
            )),
            None => Err(ApiError::new(ErrorCode::BodyTooSlow)),
        }
    }

    /// The body to be passed on, in a function that does; none where there is none.
    pub async fn stream(&self) -> Option<BodyStream> {
        match self.unread.take()?.await {
            Incoming::Stream(stream) => Some(stream),
            _ => None,
        }
    }
}

/// The bodies that an instance reads at the moment.
#[derive(Default)]
pub struct Reads {
    numbers: Cell<u64>,
    /// The oldest is at the front.
    running: RefCell<VecDeque<(u64, AbortHandle)>>,
}

impl Reads {
    /// None when the body was too slow.
    async fn read(&self, clock: &dyn Clock, unread: Unread) -> Option<Incoming> {
        let (body, handle) = abortable(unread);
        let _running = self.begin(handle);
        // The clock is not asked before the body has kept somebody waiting.
        let over = Box::pin(async { clock.sleep(DEADLINE).await });
        match select(body, over).await {
            Either::Left((incoming, _)) => incoming.ok(),
            Either::Right(_) => None,
        }
    }

    fn begin(&self, handle: AbortHandle) -> Running<'_> {
        let number = self.numbers.get();
        self.numbers.set(number.wrapping_add(1));
        let mut running = self.running.borrow_mut();
        if running.len() >= MOST_AT_ONCE
            && let Some((_, oldest)) = running.pop_front()
        {
            oldest.abort();
        }
        running.push_back((number, handle));
        Running {
            reads: self,
            number,
        }
    }
}

/// One of the bodies that are being read, until it is dropped.
struct Running<'a> {
    reads: &'a Reads,
    number: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.reads.running.borrow_mut();
        running.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Poll, Waker};

    use toolbox_http::recorded::{JumpingClock, run};

    use super::*;

    /// A clock that never wakes anybody.
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn random(&self) -> f64 {
            0.0
        }

        fn sleep(&self, _: Duration) -> toolbox_http::BoxFuture<'_, ()> {
            Box::pin(pending())
        }
    }

    fn code(result: Result<&[u8], ApiError>) -> &'static str {
        result.map_or_else(|error| error.code.as_str(), |_| "")
    }

    #[test]
    fn a_body_that_does_not_arrive_is_given_up() {
        let clock = JumpingClock::new(Duration::ZERO);
        let reads = Reads::default();
        let slow = RequestBody::new(Box::pin(pending()));
        assert_eq!(code(run(slow.bytes(&reads, &clock))), "body_too_slow");
        assert_eq!(clock.now(), DEADLINE);
        let quick = RequestBody::new(Box::pin(ready(Incoming::Complete(b"{}".to_vec()))));
        for _ in 0..2 {
            assert_eq!(run(quick.bytes(&reads, &clock)).unwrap(), b"{}");
        }
        assert_eq!(clock.now(), DEADLINE, "nobody waited");
        assert!(reads.running.borrow().is_empty());
    }

    #[test]
    fn the_slowest_body_makes_room_for_the_next() {
        let reads = Reads::default();
        let mut context = Context::from_waker(Waker::noop());
        let bodies: Vec<_> = (0..MOST_AT_ONCE)
            .map(|_| RequestBody::new(Box::pin(pending())))
            .collect();
        let mut slow: Vec<_> = bodies
            .iter()
            .map(|body| Box::pin(body.bytes(&reads, &Stopped)))
            .collect();
        for body in &mut slow {
            assert!(body.as_mut().poll(&mut context).is_pending());
        }
        let quick = RequestBody::new(Box::pin(ready(Incoming::Complete(Vec::new()))));
        assert!(run(quick.bytes(&reads, &Stopped)).is_ok());
        let ended: Vec<usize> = slow
            .iter_mut()
            .enumerate()
            .filter_map(|(i, body)| match body.as_mut().poll(&mut context) {
                Poll::Ready(result) => {
                    assert_eq!(code(result), "body_too_slow");
                    Some(i)
                }
                Poll::Pending => None,
            })
            .collect();
        assert_eq!(ended, [0], "the oldest");
        drop(slow);
        assert!(reads.running.borrow().is_empty());
    }
}
