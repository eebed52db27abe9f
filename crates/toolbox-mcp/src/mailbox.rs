//! A client's mailbox: a bounded queue of notifications, and one answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::wire::body::Budget;

/// The end of an exchange with a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status, if the answer is the first thing the client gets.
    pub status: u16,
    /// The JSON-RPC message; empty when there is none.
    pub body: Bytes,
    /// The session that begins with this answer.
    pub session: Option<Uuid>,
}

impl Answer {
    /// A JSON-RPC response.
    pub const fn ok(body: Bytes) -> Self {
        Self {
            status: 200,
            body,
            session: None,
        }
    }

    /// Taken, without a body.
    pub const fn accepted() -> Self {
        Self {
            status: 202,
            body: Bytes::new(),
            session: None,
        }
    }

    /// A refusal with a JSON-RPC error.
    pub const fn refused(status: u16, body: Bytes) -> Self {
        Self {
            status,
            body,
            session: None,
        }
    }
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// A notification, or a request of the server.
    Message(Bytes),
    /// The answer, which comes last.
    Answer(Answer),
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    bytes: usize,
    answer: Option<Answer>,
    // Nobody writes any more, or nobody reads any more.
    ended: bool,
    abandoned: bool,
}

#[derive(Debug, Default)]
struct Shared {
    // A leaf lock, never held across an await.
    state: Mutex<State>,
    news: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    limit: usize,
    budget: Option<Budget>,
}

/// The reading end. Dropping it says that the client is gone.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
}

/// A mailbox that holds at most `limit` bytes of unread messages.
pub fn mailbox(limit: usize) -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    let receiver = Receiver {
        shared: Arc::clone(&shared),
    };
    let sender = Sender {
        shared,
        limit,
        budget: None,
    };
    (sender, receiver)
}

impl Sender {
    /// What is long counts in `budget` until the client has read it.
    #[must_use]
    pub fn within(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    fn counted(&self, message: Bytes) -> Bytes {
        match &self.budget {
            Some(budget) => budget.count(message),
            None => message,
        }
    }

    /// Adds a message; whether there was room and somebody who reads. One that is alone finds room where any does.
    pub fn push(&self, message: Bytes) -> bool {
        let message = self.counted(message);
        let mut state = self.shared.state();
        let alone = state.queue.is_empty();
        let room = self.limit > 0 && alone || state.bytes + message.len() <= self.limit;
        if state.abandoned || !room {
            return false;
        }
        state.bytes += message.len();
        state.queue.push_back(message);
        drop(state);
        self.shared.news.notify_one();
        true
    }

    /// Ends the exchange.
    pub fn answer(self, answer: Answer) {
        let answer = Answer {
            body: self.counted(answer.body),
            ..answer
        };
        self.shared.state().answer = Some(answer);
        // Dropping wakes the reader.
    }

    /// Whether nobody reads any more.
    pub fn abandoned(&self) -> bool {
        self.shared.state().abandoned
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.news.notify_one();
    }
}

impl Receiver {
    /// The next mail; none when the writer is gone.
    pub async fn next(&mut self) -> Option<Mail> {
        loop {
            {
                let mut state = self.shared.state();
                if let Some(message) = state.queue.pop_front() {
                    state.bytes -= message.len();
                    return Some(Mail::Message(message));
                }
                if let Some(answer) = state.answer.take() {
                    return Some(Mail::Answer(answer));
                }
                if state.ended {
                    return None;
                }
            }
            self.shared.news.notified().await;
        }
    }

    /// The next mail if it is there.
    pub fn try_next(&mut self) -> Option<Mail> {
        let mut state = self.shared.state();
        if let Some(message) = state.queue.pop_front() {
            state.bytes -= message.len();
            return Some(Mail::Message(message));
        }
        state.answer.take().map(Mail::Answer)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.abandoned = true;
        state.queue = VecDeque::new();
        state.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_before_the_answer_and_the_end_is_seen() {
        let (sender, mut receiver) = mailbox(8);
        assert!(sender.push(Bytes::from_static(b"12345678")));
        assert!(!sender.push(Bytes::from_static(b"9")));
        sender.answer(Answer::accepted());
        assert_eq!(
            receiver.next().await,
            Some(Mail::Message(Bytes::from_static(b"12345678")))
        );
        assert_eq!(
            receiver.next().await,
            Some(Mail::Answer(Answer::accepted()))
        );
        assert_eq!(receiver.next().await, None);
    }

    #[test]
    fn a_long_message_finds_room_when_it_is_alone_and_counts_until_it_is_read() {
        let budget = Budget::new(1);
        let (sender, mut receiver) = mailbox(8);
        let sender = sender.within(&budget);
        let long = Bytes::from(vec![b'x'; 100_000]);
        assert!(sender.push(long.clone()));
        assert!(!sender.push(Bytes::from_static(b"y")));
        sender.answer(Answer::ok(long.clone()));
        assert_eq!(budget.used(), 200_000);
        assert_eq!(receiver.try_next(), Some(Mail::Message(long)));
        assert_eq!(budget.used(), 100_000);
        drop(receiver.try_next());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed() {
        let (sender, receiver) = mailbox(8);
        drop(receiver);
        assert!(sender.abandoned());
        assert!(!sender.push(Bytes::from_static(b"1")));
    }
}
