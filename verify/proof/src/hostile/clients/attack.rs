//! What one hostile client does with one connection.

use std::{io::ErrorKind, net::Ipv4Addr, time::Duration};

use rekey_harness::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

/// By when an ended connection is known to be.
const ENDED_BY: Duration = Duration::from_secs(2);

/// The address of a network of an attacker's own: the whole of 127.0.0.0/8 is this machine.
pub(super) fn network(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 7, 1).to_bits() + number)
}

pub(super) async fn connect(address: &str, own: Ipv4Addr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Answers that are not read stay with the server.
    socket.set_recv_buffer_size(4096)?;
    socket.bind((own, 0).into())?;
    socket.set_nodelay(true)?;
    Ok(socket.connect(address.parse()?).await?)
}

/// Sends requests without end and reads no answers, or a byte of them after each `pause`, until the
/// server ends the connection.
pub(super) async fn never_reads(
    address: &str,
    own: Ipv4Addr,
    pause: Option<Duration>,
) -> Result<()> {
    let (mut reader, mut writer) = connect(address, own).await?.into_split();
    // 64 bytes each, 8 KiB at once and not sooner than they are read: so no read of the server ends
    // within a head, whose time would end the connection for another reason.
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

/// The head of a request that anyone may send, whose body is to follow.
pub(super) fn slow_body() -> Vec<u8> {
    b"POST /oauth/token HTTP/1.1\r\nHost: rekey\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n".to_vec()
}

/// Whether the server has ended it.
pub(super) async fn is_ended(mut stream: TcpStream) -> bool {
    match timeout(ENDED_BY, stream.read_u8()).await {
        Ok(Err(error)) => {
            matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        }
        Ok(Ok(_)) | Err(_) => false,
    }
}
