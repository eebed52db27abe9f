//! SSH servers that misbehave, each in one way, at a port of its own on this machine.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{Certificate, PrivateKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers `{"ok":true,"by":"machine"}` and ends with 0.
    Answers,
    /// Says nothing.
    StallsAtBanner,
    /// Speaks HTTP.
    IsNoSsh,
    /// Says that it speaks SSH, and nothing more.
    StallsAtKeyExchange,
    /// Does not say whether the certificate is good.
    StallsAtAuthentication,
    /// Refuses every certificate.
    Refuses,
    /// Does not say whether a channel is open.
    StallsAtChannel,
    /// Opens no channel.
    RefusesChannel,
    /// Does not say whether the command runs.
    StallsAtExec,
    /// Runs no command.
    RefusesExec,
    /// Runs the command without an end.
    StallsAtOperation,
    /// Writes without an end.
    Floods,
    /// Cuts the connection while the command runs.
    Cuts,
}

/// Starts a server; gives its port and its host key.
pub(crate) async fn start(manner: Manner) -> (u16, String) {
    let key = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[7; 32])), "").unwrap();
    let host_key = key.public_key().to_openssh().unwrap();
    let config = Arc::new(server::Config {
        keys: vec![key],
        auth_rejection_time: Duration::from_millis(10),
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        ..server::Config::default()
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(manner, socket, Arc::clone(&config)));
        }
    });
    (port, host_key)
}

async fn serve(manner: Manner, mut socket: TcpStream, config: Arc<server::Config>) {
    let greeting: &[u8] = match manner {
        Manner::StallsAtBanner => b"",
        Manner::IsNoSsh => {
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
        Manner::StallsAtKeyExchange => b"SSH-2.0-stalls\r\n",
        _ => {
            if let Ok(session) = server::run_stream(config, socket, Server(manner)).await {
                let _ = session.await;
            }
            return;
        }
    };
    let _ = socket.write_all(greeting).await;
    if manner != Manner::IsNoSsh {
        let mut bytes = [0; 1024];
        while let Ok(1..) = socket.read(&mut bytes).await {}
    }
}

struct Server(Manner);

async fn for_ever() {
    std::future::pending::<()>().await;
}

impl server::Handler for Server {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        _: server::PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(match self.0 {
            Manner::StallsAtAuthentication => {
                for_ever().await;
                Auth::reject()
            }
            Manner::Refuses => Auth::reject(),
            _ => Auth::Accept,
        })
    }

    async fn auth_openssh_certificate(
        &mut self,
        _: &str,
        _: &Certificate,
    ) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.0 {
            Manner::StallsAtChannel => for_ever().await,
            Manner::RefusesChannel => {
                reply
                    .reject(russh::ChannelOpenFailure::ResourceShortage)
                    .await;
            }
            _ => reply.accept().await,
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.0 {
            Manner::StallsAtExec => return Ok(()),
            Manner::RefusesExec => {
                session.channel_failure(channel)?;
                return Ok(());
            }
            _ => session.channel_success(channel)?,
        }
        match self.0 {
            Manner::StallsAtOperation => {}
            Manner::Cuts => {
                session.data(channel, b"{".to_vec())?;
                let handle = session.handle();
                tokio::spawn(async move {
                    // What was written before is to arrive.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let reason = russh::Disconnect::ByApplication;
                    let _ = handle
                        .disconnect(reason, String::new(), String::new())
                        .await;
                });
            }
            Manner::Floods => {
                let handle = session.handle();
                tokio::spawn(async move {
                    for _ in 0..1600 {
                        if handle.data(channel, vec![b'x'; 65536]).await.is_err() {
                            return;
                        }
                    }
                });
            }
            _ => {
                session.data(channel, b"{\"ok\":true,\"by\":\"machine\"}\n".to_vec())?;
                session.exit_status_request(channel, 0)?;
                session.eof(channel)?;
                session.close(channel)?;
            }
        }
        Ok(())
    }
}
