//! The passwords that remain in the server's memory after sign-ins.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::Ipv4Addr,
    os::unix::fs::FileExt,
    time::Duration,
};

use rekey_harness::{Place, Result, Server, password::chance};
use rekey_vault::random;
use tokio::time::sleep;

use super::sign_in::attempt;

/// The number of passwords that are tried.
const PASSWORDS: u8 = 20;
/// The time in which the server must close a connection and free its buffers.
const CLOSED: Duration = Duration::from_secs(2);
/// The number of bytes in one read of the memory.
const PIECE: usize = 1 << 20;

/// Once the connections are closed, no password may be left in the process's writable memory.
pub(super) async fn after_sign_ins() -> Result<()> {
    let place = Place::new(None)?;
    let server = Server::start(&place, &[]).await?;
    // Hexadecimal digits need no escaping in a form. All passwords share this prefix, so one search
    // finds them all.
    let begin = random::<12>()?.map(|byte| format!("{byte:02x}")).concat();
    for network in 0..PASSWORDS {
        let (own, password) = (Ipv4Addr::new(127, 1, network, 1), format!("{begin}{}", chance()?));
        attempt(&server.address, own, "admin", &password).await?;
    }
    sleep(CLOSED).await;
    let memory = match File::open(format!("/proc/{}/mem", server.id())) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            println!("  skipped: only root may read the memory of the process");
            return Ok(());
        }
        memory => memory?,
    };
    let (mut bytes, mut copies, zeros) = (0, 0, vec![0; PIECE]);
    for (from, to) in writable(&fs::read_to_string(format!("/proc/{}/maps", server.id()))?) {
        // Successive pieces overlap, so that no copy of the prefix (24 bytes) is split between two.
        for at in (from..to).step_by(PIECE - 23) {
            let mut piece = vec![0; PIECE.min(usize::try_from(to - at)?)];
            let Ok(read) = memory.read_at(&mut piece, at) else { continue };
            let piece = piece.get(..read).unwrap_or_default();
            bytes += read;
            // Most of the memory was reserved and never used.
            if zeros.starts_with(piece) {
                continue;
            }
            copies += piece.windows(begin.len()).filter(|found| *found == begin.as_bytes()).count();
        }
    }
    println!("  {copies} copies of {PASSWORDS} passwords in {} MiB", bytes >> 20);
    if bytes == 0 { Err("nothing of the memory could be read".into()) } else { none(copies) }
}

fn none(copies: usize) -> Result<()> {
    if copies == 0 { Ok(()) } else { Err(format!("{copies} copies are left").into()) }
}

/// The address ranges that are mapped as writable.
fn writable(maps: &str) -> Vec<(u64, u64)> {
    let of = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((number(from)?, number(to)?)).filter(|_| rest.starts_with("rw"))
    };
    maps.lines().filter_map(of).collect()
}
