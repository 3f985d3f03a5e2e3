//! A relay before a connected system, which makes it hang or answer slowly.

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

/// How the system behind it seems to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it is.
    Honest,
    /// It takes connections and what is sent, and never answers.
    Silent,
    /// It answers each time after this long.
    Slow(Duration),
}

/// A relay; it ends with the process.
pub(crate) struct Relay {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    /// Ends the connections that are open.
    cut: broadcast::Sender<()>,
}

impl Relay {
    /// Listens on a free port, and passes on to `upstream`.
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

    /// Where it listens.
    pub(crate) fn port(&self) -> u64 {
        self.port.into()
    }

    /// From now on, on connections that begin: those that are open end.
    pub(crate) fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
        // An error says that none is open.
        let _ = self.cut.send(());
    }
}

/// Both ways, until one side hangs up.
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
