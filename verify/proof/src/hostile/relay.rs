//! A relay in front of a connected system, which makes the system appear to hang or to answer
//! slowly.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rekey_harness::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

/// The apparent behaviour of the system behind the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The relay passes everything on unchanged.
    Honest,
    /// Connections and requests are taken, and never answered.
    Silent,
    /// Each answer is delayed by this long.
    Slow(Duration),
}

/// A running relay; it ends with the process.
pub(crate) struct Relay {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    /// Ends the open connections.
    cut: broadcast::Sender<()>,
}

impl Relay {
    /// Starts a relay on a free port that connects to `upstream`.
    pub(crate) async fn start(upstream: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let manner = Arc::new(Mutex::new(Manner::Honest));
        let cut = broadcast::Sender::new(1);
        let (behaves, cuts) = (manner.clone(), cut.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, behaves) = (upstream.clone(), behaves.clone());
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(&upstream).await else { return };
                    tokio::select! {
                        () = pass(client, server, behaves) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Ok(Self { port, manner, cut })
    }

    /// The port of the relay.
    pub(crate) fn port(&self) -> u64 {
        self.port.into()
    }

    /// Sets the behaviour of future connections, and ends those that are open.
    pub(crate) fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
        // An error means that no connection is open.
        let _ = self.cut.send(());
    }
}

/// Copies bytes in both directions, until one side closes the connection.
async fn pass(client: TcpStream, server: TcpStream, manner: Arc<Mutex<Manner>>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let honest = Arc::new(Mutex::new(Manner::Honest));
    tokio::select! {
        () = copy(from_client, to_server, &honest) => {}
        () = copy(from_server, to_client, &manner) => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    manner: &Mutex<Manner>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { return };
        let manner = *manner.lock().unwrap_or_else(PoisonError::into_inner);
        match manner {
            Manner::Honest => {}
            Manner::Silent => continue,
            Manner::Slow(pause) => tokio::time::sleep(pause).await,
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
