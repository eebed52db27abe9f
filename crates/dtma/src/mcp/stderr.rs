//! What a server over standard streams writes to its standard error, kept apart from its protocol.
//!
//! Docker keeps both in one bounded log, where a few long answers of a server push out all that it said. So the agent keeps the
//! lines that it gets beside the protocol in a file of its own. What was written while it was not attached is read from
//! Docker's log: for each attachment once, up to a moment after it began, and from then on the attachment tells.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use tokio::sync::{broadcast, watch};
use toolbox_api::dtma::{LogLine, LogStream as Written};
use toolbox_domain::ids::ToolInstanceId;

use super::stderr_join::{self as join, time_of};
use crate::runtime::{ContainerId, ContainerRuntime, LogQuery, LogStream, RuntimeError};

/// Largest file; there are two of them, the older of which goes when the newer one is full.
const FILE_BYTES: u64 = 2 * 1024 * 1024;
/// Longest line, as in Docker's log.
const LINE_BYTES: usize = 16 * 1024;
/// So long after an attachment began, Docker surely sends what is written.
const SETTLED: Duration = Duration::from_secs(1);
/// So long after a line came by the attachment, Docker surely has it in its log.
const LOGGED: Duration = Duration::from_millis(500);
/// How long Docker may take to give the part of its log that is missing.
const READ: Duration = Duration::from_secs(10);
/// Lines that are held while that part is read, the newest ones, and for one reader.
const HELD: usize = 4096;
/// How long a reader that follows waits for a server to be attached to.
const ATTACH: Duration = Duration::from_secs(3);

/// The standard error of one instance's server.
pub struct StderrLog {
    newer: PathBuf,
    older: PathBuf,
    // A leaf lock around small writes, never held across an await.
    state: Mutex<State>,
    /// Made for the first reader that follows: its places take half a megabyte.
    news: OnceLock<broadcast::Sender<LogLine>>,
    connected: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// The line under way.
    partial: Vec<u8>,
    /// Time of the newest line that is kept.
    last: Option<OffsetDateTime>,
    /// Bytes in the newer file.
    size: u64,
    /// Counts attachments.
    turn: u64,
    filling: Option<Filling>,
    /// The last write failed, which has been said.
    failed: bool,
    /// The newer file may end within a line.
    torn: bool,
}

/// An attachment of which the part before it is still missing.
struct Filling {
    container: ContainerId,
    since: OffsetDateTime,
    /// Lines that came by it so far.
    held: VecDeque<LogLine>,
}

/// Ends with its attachment.
pub struct Attachment {
    log: Arc<StderrLog>,
    turn: u64,
}

impl Attachment {
    /// Takes what was written.
    pub fn take(&self, bytes: &[u8]) {
        self.log.take(bytes);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = self.log.state();
        if state.turn == self.turn {
            self.log.end_line(&mut state);
            drop(state);
            self.log.connected.send_replace(false);
        }
    }
}

impl StderrLog {
    /// The log of `id` in `folder`, with what is there from before.
    pub fn open(folder: &Path, id: ToolInstanceId) -> Self {
        let newer = folder.join(format!("{id}.stderr"));
        let log = Self {
            older: newer.with_extension("stderr.old"),
            newer,
            state: Mutex::default(),
            news: OnceLock::new(),
            connected: watch::channel(false).0,
        };
        let last = log.kept().last().and_then(time_of);
        let size = fs::metadata(&log.newer).map_or(0, |about| about.len());
        {
            let mut state = log.state();
            state.last = last;
            state.size = size;
            state.torn = size > 0;
        }
        log
    }

    /// Removes the files of `id`.
    pub fn remove(folder: &Path, id: ToolInstanceId) {
        for name in [format!("{id}.stderr"), format!("{id}.stderr.old")] {
            // It may not exist.
            let _ = fs::remove_file(folder.join(name));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent has just attached to `container`.
    pub fn attached(
        self: &Arc<Self>,
        runtime: Arc<dyn ContainerRuntime>,
        container: ContainerId,
    ) -> Attachment {
        let mut state = self.state();
        state.turn += 1;
        let turn = state.turn;
        let mut held = VecDeque::new();
        if let Some(before) = state.filling.take() {
            // Docker's log of the same container has these lines too, those of another one does not.
            if before.container == container {
                held = before.held;
            } else {
                self.keep(&mut state, before.held);
            }
        }
        state.filling = Some(Filling {
            container: container.clone(),
            since: OffsetDateTime::now_utc(),
            held,
        });
        drop(state);
        self.connected.send_replace(true);
        tokio::spawn(Arc::clone(self).fill(runtime, container, turn));
        Attachment {
            log: Arc::clone(self),
            turn,
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut state = self.state();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            // One byte more tells that there were more.
            let room = (LINE_BYTES + 1).saturating_sub(state.partial.len());
            let text = text.get(..text.len().min(room)).unwrap_or_default();
            state.partial.extend_from_slice(text);
            if ends {
                self.end_line(&mut state);
            }
        }
    }

    /// The line under way is whole.
    fn end_line(&self, state: &mut State) {
        let bytes = std::mem::take(&mut state.partial);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        if bytes.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let cut = text.floor_char_boundary(LINE_BYTES);
        let line = LogLine {
            stream: Written::Stderr,
            // RFC 3339 with nine digits of a second, as in Docker's log: such texts compare as times do.
            time: OffsetDateTime::now_utc().format(&Iso8601::DEFAULT).ok(),
            line: text[..cut].to_owned(),
            truncated: cut < text.len(),
        };
        match &mut state.filling {
            Some(filling) => {
                // What a server says last explains its end.
                if filling.held.len() == HELD {
                    filling.held.pop_front();
                }
                filling.held.push_back(line);
            }
            None => self.keep(state, [line]),
        }
    }

    /// Writes lines to the file, and tells those who follow.
    fn keep(&self, state: &mut State, lines: impl IntoIterator<Item = LogLine>) {
        let (mut bytes, mut newest) = (Vec::new(), state.last);
        for line in lines {
            // A line has texts only, so it always serialises.
            let _ = serde_json::to_writer(&mut bytes, &line);
            bytes.push(b'\n');
            newest = newest.max(time_of(&line));
            if let Some(news) = self.news.get() {
                // Nobody may follow any more.
                let _ = news.send(line);
            }
        }
        if bytes.is_empty() {
            return;
        }
        state.last = newest;
        let written = self.append(state, &bytes);
        if let Err(error) = &written
            && !state.failed
        {
            tracing::warn!(%error, file = %self.newer.display(), "could not keep the standard error of a server");
        }
        state.failed = written.is_err();
    }

    fn append(&self, state: &mut State, bytes: &[u8]) -> io::Result<()> {
        if state.size > FILE_BYTES {
            fs::rename(&self.newer, &self.older)?;
            state.size = 0;
            state.torn = false;
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.newer)?;
        if state.torn {
            file.write_all(b"\n")?;
        }
        // A full disk may take a part of it.
        state.torn = true;
        state.size += bytes.len() as u64;
        file.write_all(bytes)?;
        state.torn = false;
        Ok(())
    }

    /// Adds what was written before the attachment, from Docker's log.
    async fn fill(
        self: Arc<Self>,
        runtime: Arc<dyn ContainerRuntime>,
        container: ContainerId,
        turn: u64,
    ) {
        tokio::time::sleep(SETTLED + LOGGED).await;
        let log = Arc::clone(&self);
        let kept = tokio::task::spawn_blocking(move || log.kept()).await;
        let kept = kept.unwrap_or_default();
        let missing = self.missing(&*runtime, &container, &kept).await;
        let mut state = self.state();
        if state.turn != turn {
            // Another attachment takes over.
            return;
        }
        let Some(filling) = state.filling.take() else {
            return;
        };
        let held = Vec::from(filling.held);
        match missing {
            Ok(mut missing) => {
                if let Some(count) = join::before(&missing, &held, filling.since) {
                    missing.truncate(count);
                    self.keep(&mut state, missing);
                    self.keep(&mut state, held);
                } else {
                    // Nothing, or nothing of both, was written meanwhile.
                    let cut = filling.since + SETTLED;
                    let before = |line: &LogLine| time_of(line).is_some_and(|time| time < cut);
                    self.keep(&mut state, missing.into_iter().filter(|line| before(line)));
                    let held = held.into_iter().filter(|line| !before(line));
                    self.keep(&mut state, held);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "could not read what a server wrote before the agent attached to it");
                self.keep(&mut state, held);
            }
        }
    }

    /// Lines of Docker's log that are not among those that are kept.
    async fn missing(
        &self,
        runtime: &dyn ContainerRuntime,
        container: &ContainerId,
        kept: &[LogLine],
    ) -> Result<Vec<LogLine>, RuntimeError> {
        let last = kept.iter().rev().find_map(time_of);
        let since = last.map(|last| last - join::ON_ITS_WAY);
        let query = LogQuery {
            tail: u32::try_from(HELD).unwrap_or(u32::MAX),
            since,
            follow: false,
            stream: Some(Written::Stderr),
        };
        let reading = async {
            let mut lines = runtime.logs(container, query).await?;
            let mut found = Vec::new();
            while let Some(line) = lines.next().await {
                match line {
                    Ok(line) => found.push(line),
                    Err(RuntimeError::ContainerGone) => break,
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        };
        match tokio::time::timeout(READ, reading).await {
            Ok(Err(RuntimeError::ContainerGone)) => Ok(Vec::new()),
            Ok(found) => Ok(join::news(kept, found?)),
            Err(_) => Err(RuntimeError::Timeout {
                operation: "send the log",
                seconds: READ.as_secs(),
            }),
        }
    }

    /// The lines that are kept, oldest first.
    fn kept(&self) -> Vec<LogLine> {
        let files: Vec<File> = {
            // Both are opened before the newer one takes the place of the older one, or both after.
            let _state = self.state();
            let paths = [&self.older, &self.newer].into_iter();
            // They may not exist yet.
            paths.filter_map(|path| File::open(path).ok()).collect()
        };
        files
            .into_iter()
            .flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok))
            // A line of which only a part was written, as when the machine lost power, is left out.
            .filter_map(|line| serde_json::from_slice(&line).ok())
            .collect()
    }

    /// The lines that `query` asks for. `container` is the one there is now, if there is one.
    pub async fn lines(
        self: Arc<Self>,
        runtime: &dyn ContainerRuntime,
        container: Option<&ContainerId>,
        query: LogQuery,
    ) -> Result<LogStream, RuntimeError> {
        let news = query.follow.then(|| {
            self.news
                .get_or_init(|| broadcast::channel(HELD).0)
                .subscribe()
        });
        let mut connected = self.connected.subscribe();
        if query.follow {
            // A server that has just been started may not be attached to yet.
            let _ = tokio::time::timeout(ATTACH, connected.wait_for(|is| *is)).await;
        }
        let live = *connected.borrow() && self.state().filling.is_none();
        let log = Arc::clone(&self);
        let kept = tokio::task::spawn_blocking(move || log.kept()).await;
        let mut lines = kept.unwrap_or_default();
        if let Some(container) = container.filter(|_| !live) {
            let missing = self.missing(runtime, container, &lines).await?;
            lines.extend(missing);
        }
        lines.retain(|line| query.since.is_none() || time_of(line) >= query.since);
        let newest = lines.iter().rev().find_map(time_of);
        let over = lines.len().saturating_sub(query.tail as usize);
        lines.drain(..over);
        let begun = stream::iter(lines.into_iter().map(Ok));
        Ok(match news {
            Some(news) => begun.chain(following(news, connected, newest)).boxed(),
            None => begun.boxed(),
        })
    }
}

/// Lines as they come, from after `newest` until the attachment ends.
fn following(
    news: broadcast::Receiver<LogLine>,
    connected: watch::Receiver<bool>,
    newest: Option<OffsetDateTime>,
) -> impl futures_util::Stream<Item = Result<LogLine, RuntimeError>> + Send + 'static {
    stream::unfold(Some((news, connected)), move |state| async move {
        let (mut news, mut connected) = state?;
        loop {
            let next = tokio::select! {
                biased;
                next = news.recv() => next,
                _ = connected.wait_for(|is| !is) => return None,
            };
            match next {
                Ok(line) if time_of(&line) > newest => {
                    return Some((Ok(line), Some((news, connected))));
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
                // The reader is too slow. A broken connection tells it that lines are missing.
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let error = RuntimeError::Timeout {
                        operation: "take the log",
                        seconds: 0,
                    };
                    return Some((Err(error), None));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &StderrLog) -> Vec<String> {
        log.kept().into_iter().map(|line| line.line).collect()
    }

    #[test]
    fn lines_are_kept_whole_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let id = ToolInstanceId::from(uuid::Uuid::new_v4());
        let log = StderrLog::open(folder.path(), id);
        log.take(b"one\r\ntw");
        log.take(b"o\n\nlong ");
        log.take(&vec![b'x'; 3 * LINE_BYTES]);
        log.take(b"\nlast\n");
        let kept = log.kept();
        assert_eq!(texts(&log)[..2], ["one", "two"]);
        assert_eq!((kept[2].line.len(), kept[2].truncated), (LINE_BYTES, true));
        assert_eq!((&*kept[3].line, kept[3].truncated), ("last", false));

        let again = StderrLog::open(folder.path(), id);
        assert_eq!(again.state().last, time_of(&kept[3]));
        for n in 0..3000 {
            again.take(format!("{n} {}\n", "y".repeat(2000)).as_bytes());
        }
        let digits = "2026-12-01T00:00:00.123456789Z".len();
        let times = again.kept().into_iter().filter_map(|line| line.time);
        assert!(times.map(|time| time.len()).all(|length| length == digits));
        let kept = texts(&again);
        assert!((1000..3000).contains(&kept.len()), "{}", kept.len());
        assert!(kept.last().unwrap().starts_with("2999 "));
        let on_disk: u64 = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(on_disk <= 2 * (FILE_BYTES + 20_000), "{on_disk}");
        StderrLog::remove(folder.path(), id);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_line_of_which_a_part_was_written_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let id = ToolInstanceId::from(uuid::Uuid::new_v4());
        let log = StderrLog::open(folder.path(), id);
        let tear = |log: &StderrLog| {
            let mut file = OpenOptions::new().append(true).open(&log.newer).unwrap();
            // Within a character.
            file.write_all(b"{\"stream\":\"stderr\",\"line\":\"\xc3")
                .unwrap();
        };
        log.take(b"one\n");
        // As a write that fails leaves it.
        tear(&log);
        log.state().torn = true;
        log.take(b"two\nthree\n");
        assert!(!log.state().torn);
        assert_eq!(texts(&log), ["one", "two", "three"]);
        // As an agent that ends leaves it.
        tear(&log);
        let again = StderrLog::open(folder.path(), id);
        again.take(b"four\n");
        assert_eq!(texts(&again), ["one", "two", "three", "four"]);
    }

    #[test]
    fn of_what_comes_while_the_part_before_is_read_the_last_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let id = ToolInstanceId::from(uuid::Uuid::new_v4());
        let log = StderrLog::open(folder.path(), id);
        log.state().filling = Some(Filling {
            container: ContainerId::new("a"),
            since: OffsetDateTime::now_utc(),
            held: VecDeque::new(),
        });
        for n in 0..2 * HELD {
            log.take(format!("{n}\n").as_bytes());
        }
        let held = log.state().filling.take().unwrap().held;
        assert_eq!(held.len(), HELD);
        assert_eq!(held.back().unwrap().line, (2 * HELD - 1).to_string());
    }
}
