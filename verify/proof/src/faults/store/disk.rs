//! Faults of a SQLite file, and of the machine under it.

use std::{fs, io::Write as _, path::Path};

use rekey_harness::{Place, Result, Server};

use super::{
    people, torn_off,
    trial::{Felt, Trial, run as execute},
};
use crate::{power, violations::Violations};

/// Runs one fault after another.
pub(super) async fn run(violations: &Violations) -> Result<()> {
    failing_syncs(violations).await?;
    torn_off::run(violations).await?;
    let Some(disk) = Disk::mount() else { return Ok(()) };
    let place = disk.place()?;
    let mut trial = start(&place, &[], violations).await?;
    disk_full(&mut trial, &disk).await?;
    trial
        .run("out of file descriptors", Felt::Unanswered, leave_no_descriptor, async |server| {
            limit_descriptors(server, 1_024)
        })
        .await?;
    trial.end().await?;
    drop(trial);
    read_only(&disk, &place, violations)
}

/// The negative control: a server that answers `202` before it commits loses requests when the disk
/// is full.
pub(super) async fn control(violations: &Violations) -> Result<()> {
    let disk = Disk::mount().ok_or("the negative control needs a small disk")?;
    let place = disk.place()?;
    let mut trial = start(&place, &[("REKEY_PROOF", "early_202")], violations).await?;
    disk_full(&mut trial, &disk).await
}

/// Makes every sync fail for a while. What the disk holds after that is the subject of another
/// proof, `power`.
async fn failing_syncs(violations: &Violations) -> Result<()> {
    let place = Place::new(None)?;
    let journal = place.folder().join("journal");
    fs::create_dir(&journal)?;
    let settings = power::preloaded(&place, &journal)?;
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut trial = start(&place, &settings, violations).await?;
    let failing = power::failing(&place);
    trial
        .run(
            "syncs fail",
            Felt::Refused,
            async |_| fs::File::create(&failing).map(drop).map_err(Into::into),
            async |_| Ok(fs::remove_file(&failing)?),
        )
        .await?;
    trial.end().await
}

pub(super) async fn start<'a>(
    place: &'a Place,
    settings: &'a [(&'a str, &'a str)],
    violations: &'a Violations,
) -> Result<Trial<'a>> {
    let server = Server::start(place, settings).await?;
    let people = people(place, &server).await?;
    Ok(Trial { place, server, people, settings, violations, accepted: Vec::new() })
}

async fn disk_full(trial: &mut Trial<'_>, disk: &Disk) -> Result<()> {
    trial.run("disk full", Felt::Refused, async |_| disk.fill(), async |_| disk.empty()).await
}

/// On a read-only disk the server must refuse to start, and report why.
fn read_only(disk: &Disk, place: &Place, violations: &Violations) -> Result<()> {
    execute("mount", &["-o", "remount,ro", &disk.path().display().to_string()])?;
    let mut command = place.command();
    let out = command.arg("serve").env("REKEY_SERVER__LISTEN", "127.0.0.1:0").output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    if out.status.success() || !said.contains("it may only be read") {
        violations.blame(&format!("on a read-only disk it said: {said}"));
    }
    println!("read-only disk: it did not start, and said why");
    Ok(())
}

/// Sets the limit of file descriptors below any server's number: it keeps those it has, and gets no
/// more.
async fn leave_no_descriptor(server: &Server) -> Result<()> {
    limit_descriptors(server, 8)
}

fn limit_descriptors(server: &Server, most: usize) -> Result<()> {
    // Only the soft limit changes, so that it can be raised again.
    execute("prlimit", &["--pid", &server.id().to_string(), &format!("--nofile={most}:")])
}

/// A small disk in memory, a tmpfs.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts the disk; prints why and returns `None` if this user may not mount one.
    fn mount() -> Option<Self> {
        let mount = || {
            let folder = tempfile::tempdir()?;
            let path = folder.path().display().to_string();
            execute("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs", &path])?;
            Ok::<_, rekey_harness::Error>(Self(folder))
        };
        let why = |error: &rekey_harness::Error| {
            println!("skip faults of the disk: a small one cannot be mounted: {error}");
        };
        mount().inspect_err(why).ok()
    }

    /// A rekey whose store is on the disk.
    fn place(&self) -> Result<Place> {
        Place::new(Some(self.path().join("rekey.db").display().to_string()))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk to the last byte.
    fn fill(&self) -> Result<()> {
        let mut file = fs::File::create(self.path().join("filler"))?;
        let block = vec![0x55; 64 * 1024];
        for size in [block.len(), 4096, 1] {
            while file.write_all(block.get(..size).unwrap_or_default()).is_ok() {}
        }
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.path().join("filler"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = execute("umount", &["-l", &self.path().display().to_string()]);
    }
}
