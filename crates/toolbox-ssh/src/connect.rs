//! Opening the connection: TCP of the host, as a byte stream that can be cut from this side at any time.

use core::time::Duration;

use tokio::io::DuplexStream;

use crate::error::{Phase, SshError};
use crate::time::within;

/// Bytes on their way between the host's connection and the client.
const BUFFER: usize = 64 * 1024;

/// How long the last bytes may take to leave.
const FAREWELL: Duration = Duration::from_millis(250);

/// A connection. Dropping it cuts it, whatever still holds the stream.
pub struct Wire {
    pub(crate) stream: DuplexStream,
    pub(crate) cut: Cut,
}

pub use host::Cut;
pub use host::connect;

#[cfg(not(target_arch = "wasm32"))]
mod host {
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::{BUFFER, Duration, FAREWELL, Phase, SshError, Wire, within};

    /// Connects to `host`, an address or a name.
    pub async fn connect(host: &str, port: u16, limit: Duration) -> Result<Wire, SshError> {
        let connected = within(limit, TcpStream::connect((host, port)))
            .await
            .ok_or(SshError::Deadline(Phase::Connect))?;
        let mut socket = connected.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => SshError::Refused,
            _ => SshError::Unreachable(error.to_string()),
        })?;
        // Best effort: without it small packets wait for each other.
        let _ = socket.set_nodelay(true);
        let (stream, mut ours) = tokio::io::duplex(BUFFER);
        let copying = tokio::spawn(async move {
            let _ = tokio::io::copy_bidirectional(&mut ours, &mut socket).await;
        });
        Ok(Wire {
            stream,
            cut: Cut(copying),
        })
    }

    /// Cuts the connection when it is dropped.
    pub struct Cut(JoinHandle<()>);

    impl Cut {
        /// Lets the last bytes leave, then cuts.
        pub(crate) async fn gently(mut self) {
            let _ = within(FAREWELL, &mut self.0).await;
        }
    }

    impl Drop for Cut {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use std::rc::Rc;

    use js_sys::{Object, Reflect, Uint8Array};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
    use tokio::sync::oneshot;
    use wasm_bindgen::prelude::*;
    use wasm_bindgen_futures::spawn_local;

    use super::{BUFFER, Duration, FAREWELL, Phase, SshError, Wire, within};

    #[wasm_bindgen]
    extern "C" {
        type Connection;

        #[wasm_bindgen(js_namespace = Deno, js_name = connect, catch)]
        async fn deno_connect(options: &Object) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(method, js_name = setNoDelay, catch)]
        fn set_no_delay(this: &Connection, on: bool) -> Result<(), JsValue>;
        #[wasm_bindgen(method, catch)]
        async fn read(this: &Connection, buffer: &Uint8Array) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(method, catch)]
        async fn write(this: &Connection, bytes: &Uint8Array) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(method, catch)]
        fn close(this: &Connection) -> Result<(), JsValue>;
    }

    /// Connects to `host`, an address or a name.
    pub async fn connect(host: &str, port: u16, limit: Duration) -> Result<Wire, SshError> {
        let options = Object::new();
        // Setting a property of a plain object does not fail.
        let _ = Reflect::set(&options, &"hostname".into(), &host.into());
        let _ = Reflect::set(&options, &"port".into(), &port.into());
        let (tell, told) = oneshot::channel();
        spawn_local(async move {
            let connected = deno_connect(&options).await.map(JsCast::unchecked_into);
            // Nobody waits any more: a connection that comes late must not stay open.
            if let Err(Ok(late)) = tell.send(connected) {
                let late: Connection = late;
                let _ = late.close();
            }
        });
        let connected = within(limit, told)
            .await
            .ok_or(SshError::Deadline(Phase::Connect))?;
        let connection: Rc<Connection> = match connected {
            Ok(Ok(connection)) => Rc::new(connection),
            Ok(Err(error)) => return Err(refused(&error)),
            Err(_) => {
                return Err(SshError::Unreachable(
                    "the host gave no connection".to_owned(),
                ));
            }
        };
        let _ = connection.set_no_delay(true);
        let (stream, ours) = tokio::io::duplex(BUFFER);
        let (from_client, to_client) = tokio::io::split(ours);
        let (sent, all_sent) = oneshot::channel();
        spawn_local(receive(Rc::clone(&connection), to_client));
        spawn_local(send(Rc::clone(&connection), from_client, sent));
        Ok(Wire {
            stream,
            cut: Cut {
                connection,
                all_sent: Some(all_sent),
            },
        })
    }

    fn refused(error: &JsValue) -> SshError {
        let text = |key: &str| {
            let value = Reflect::get(error, &key.into()).ok();
            value
                .and_then(|value| value.as_string())
                .unwrap_or_default()
        };
        match text("name").as_str() {
            "ConnectionRefused" => SshError::Refused,
            "TimedOut" => SshError::Deadline(Phase::Connect),
            _ => SshError::Unreachable(text("message")),
        }
    }

    async fn receive(connection: Rc<Connection>, mut to_client: WriteHalf<DuplexStream>) {
        // JavaScript's own memory: a view of this module's would be detached when its memory grows.
        let buffer = Uint8Array::new_with_length(u32::try_from(BUFFER).unwrap_or(u32::MAX));
        let mut bytes = vec![0; BUFFER];
        while let Ok(read) = connection.read(&buffer).await {
            // Null at the end.
            let Ok(Some(count)) = serde_wasm_bindgen::from_value::<Option<u32>>(read) else {
                break;
            };
            let Some(read) = bytes.get_mut(..count as usize) else {
                break;
            };
            buffer.subarray(0, count).copy_to(read);
            if to_client.write_all(read).await.is_err() {
                return;
            }
        }
        let _ = to_client.shutdown().await;
    }

    async fn send(
        connection: Rc<Connection>,
        mut from_client: ReadHalf<DuplexStream>,
        sent: oneshot::Sender<()>,
    ) {
        let mut bytes = vec![0; BUFFER];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            let mut rest = Uint8Array::from(&bytes[..count]);
            while rest.length() > 0 {
                let Ok(written) = connection.write(&rest).await else {
                    return;
                };
                let Ok(written) = serde_wasm_bindgen::from_value::<u32>(written) else {
                    return;
                };
                rest = rest.subarray(written, rest.length());
            }
        }
        let _ = sent.send(());
    }

    /// Cuts the connection when it is dropped.
    pub struct Cut {
        connection: Rc<Connection>,
        all_sent: Option<oneshot::Receiver<()>>,
    }

    impl Cut {
        /// Lets the last bytes leave, then cuts.
        pub(crate) async fn gently(mut self) {
            if let Some(all_sent) = self.all_sent.take() {
                let _ = within(FAREWELL, all_sent).await;
            }
        }
    }

    impl Drop for Cut {
        fn drop(&mut self) {
            let _ = self.connection.close();
        }
    }
}
