//! A file system that becomes read-only under a server that writes to it.

use std::{fs, path::PathBuf, time::Duration};

use rekey_harness::{Place, Result, Server};

use super::{
    disk::start,
    trial::{Felt, run as execute},
};
use crate::violations::Violations;

/// Simulates what ext4 does when its disk fails: nothing more is written, by any process, until the
/// file system is mounted again. The server is refused all writes; another one continues after the
/// mount with the state of the disk, because the page cache of the old mount is gone.
pub(super) async fn run(violations: &Violations) -> Result<()> {
    let image = match Image::mount() {
        Ok(image) => image,
        Err(why) => {
            println!("skip a file system that becomes read-only: none can be mounted: {why}");
            return Ok(());
        }
    };
    let place = Place::new(Some(image.point().join("rekey.db").display().to_string()))?;
    let mut trial = start(&place, &[], violations).await?;
    trial
        .run(
            "a file system that becomes read-only",
            Felt::Refused,
            async |server| {
                stand_still(server).await?;
                execute("mount", &["-o", "remount,abort", &image.point().display().to_string()])?;
                execute("kill", &["-CONT", &server.id().to_string()])
            },
            async |server| {
                server.kill()?;
                image.mount_anew()?;
                let address = server.address.clone();
                *server = Server::start_at(&place, &address, &[]).await?;
                Ok(())
            },
        )
        .await?;
    trial.end().await?;
    trial.server.kill()?;
    Ok(())
}

/// Stops the server, and waits until no thread of it is in the kernel. Linux (6.18) sometimes
/// reports success for a sync that is under way when the file system becomes read-only, although
/// its data is gone after the mount: no program could detect that.
async fn stand_still(server: &Server) -> Result<()> {
    let id = server.id().to_string();
    execute("kill", &["-STOP", &id])?;
    loop {
        let mut is_still = true;
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let state = fs::read_to_string(thread?.path().join("status"))?;
            is_still &= state.lines().any(|line| line.starts_with("State:\tT"));
        }
        if is_still {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// An ext4 file system in an image file.
struct Image(tempfile::TempDir);

impl Image {
    fn mount() -> Result<Self> {
        let image = Self(tempfile::tempdir()?);
        fs::create_dir(image.point())?;
        fs::File::create(image.file())?.set_len(128 << 20)?;
        execute("mkfs.ext4", &["-q", "-F", &image.file().display().to_string()])?;
        image.attach()?;
        Ok(image)
    }

    fn mount_anew(&self) -> Result<()> {
        execute("umount", &[&self.point().display().to_string()])?;
        self.attach()
    }

    fn attach(&self) -> Result<()> {
        let (file, point) = (self.file().display().to_string(), self.point().display().to_string());
        execute("mount", &["-t", "ext4", "-o", "loop", &file, &point])
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("image")
    }

    fn point(&self) -> PathBuf {
        self.0.path().join("disk")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = execute("umount", &["-l", &self.point().display().to_string()]);
    }
}
