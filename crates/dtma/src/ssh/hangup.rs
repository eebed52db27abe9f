//! Whether anybody still waits for the answer.

use std::io::stdout;

use rustix::event::{PollFd, PollFlags, poll};

/// Ends once nobody reads standard output any more: sshd closes it when the caller goes away or gives up.
pub(super) async fn hangup() {
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own: it may wait for ever, and the end of the process does not wait for it.
    std::thread::spawn(move || {
        let output = stdout();
        let mut watched = [PollFd::new(&output, PollFlags::empty())];
        loop {
            match poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
                Ok(_) => break,
            }
        }
        let _ = tell.send(());
    });
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}
