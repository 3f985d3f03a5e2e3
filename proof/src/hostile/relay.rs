//! A relay before a connected system, which makes it hang or answer slowly.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rekey_drive::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
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
}

impl Relay {
    /// Listens on a free port, and passes on to `upstream`.
    pub(crate) async fn start(upstream: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let manner = Arc::new(Mutex::new(Manner::Honest));
        let behaves = manner.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, behaves) = (upstream.clone(), behaves.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(&upstream).await {
                        pass(client, server, behaves).await;
                    }
                });
            }
        });
        Ok(Self { port, manner })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u64 {
        self.port.into()
    }

    /// From now on, on connections that are open, too.
    pub(crate) fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
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
