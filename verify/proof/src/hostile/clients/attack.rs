//! The behaviour of one hostile client on one connection.

use std::{io::ErrorKind, net::Ipv4Addr, time::Duration};

use rekey_harness::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

/// How long a test waits to see that a connection was ended.
const ENDED_BY: Duration = Duration::from_secs(2);

/// The source address of an attacker's network: all of 127.0.0.0/8 belongs to this machine.
pub(super) fn network(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 7, 1).to_bits() + number)
}

pub(super) async fn connect(address: &str, own: Ipv4Addr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // With a small receive buffer, unread answers pile up in the server.
    socket.set_recv_buffer_size(4096)?;
    socket.bind((own, 0).into())?;
    socket.set_nodelay(true)?;
    Ok(socket.connect(address.parse()?).await?)
}

/// Sends requests endlessly. Reads no answers, or one byte of them after each `pause`, until the
/// server ends the connection.
pub(super) async fn never_reads(
    address: &str,
    own: Ipv4Addr,
    pause: Option<Duration>,
) -> Result<()> {
    let (mut reader, mut writer) = connect(address, own).await?.into_split();
    // 64 bytes a request, and 8 KiB in each write: the server's reads end between two requests,
    // never within a head, whose time limit would end the connection for another reason.
    let requests = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", "r".repeat(31)).repeat(128);
    let sending = async {
        while writer.write_all(requests.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    let reading = async {
        let Some(pause) = pause else { return std::future::pending().await };
        while reader.read_u8().await.is_ok() {
            sleep(pause).await;
        }
    };
    tokio::select! {
        () = sending => {}
        () = reading => {}
    }
    Ok(())
}

/// The head of a request that needs no authentication and announces a body of 1000 bytes.
pub(super) fn slow_body() -> Vec<u8> {
    b"POST /oauth/token HTTP/1.1\r\nHost: rekey\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n".to_vec()
}

/// Whether the server has ended the connection.
pub(super) async fn is_ended(mut stream: TcpStream) -> bool {
    match timeout(ENDED_BY, stream.read_u8()).await {
        Ok(Err(error)) => {
            matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        }
        Ok(Ok(_)) | Err(_) => false,
    }
}
