//! A key encryption key in a file: 64 hexadecimal digits and a line feed, accessible to its owner
//! only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::Kek;
use crate::{Error, hex, random};

/// The most bytes to read: more than a valid file has, so that extra bytes are noticed.
const READ: usize = 128;

impl Kek {
    /// Creates a new key and writes it to `path` with mode 0600. When this function returns, the
    /// file and its directory entry are durable.
    ///
    /// # Errors
    ///
    /// [`Error::Kek`] if `path` already exists or cannot be written; [`Error::Random`] if there are
    /// no random bytes.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let kek = Self(Zeroizing::new(random()?));
        let mut text = hex::encode(kek.bytes());
        text.push('\n');
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|fault| refused(path, &fault))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(fault) = written.and_then(|()| sync_folder(path)) {
            // A partial key must not remain. This call created the file, so nothing depends on it
            // yet.
            drop(fs::remove_file(path));
            return Err(cannot("write", path, &fault));
        }
        Ok(kek)
    }

    /// Reads the key from `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Kek`] if the file cannot be read, if anybody but its owner has any access to it, or
    /// if it is not 64 hexadecimal digits.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(|fault| cannot("read", path, &fault))?;
        let metadata = file.metadata().map_err(|fault| cannot("read", path, &fault))?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::Kek(format!(
                "{path} has mode {mode:04o}, so others than its owner have access to the key \
                 encryption key: chmod 600 {path}",
                path = path.display()
            )));
        }
        let mut text = Zeroizing::new([0; READ]);
        let mut length = 0;
        while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(cannot("read", path, &fault)),
            }
        }
        let text = text.get(..length).unwrap_or_default().trim_ascii();
        hex::decode(text).map(Self).ok_or_else(|| {
            Error::Kek(format!(
                "{} is not a key encryption key of 64 hexadecimal digits: restore it from the \
                 backup, since what was sealed under it opens with no other",
                path.display()
            ))
        })
    }
}

fn refused(path: &Path, fault: &io::Error) -> Error {
    if fault.kind() != io::ErrorKind::AlreadyExists {
        return cannot("create", path, fault);
    }
    Error::Kek(format!(
        "{} already exists: a key encryption key is never replaced, since all that was sealed \
         under it would be lost",
        path.display()
    ))
}

fn cannot(verb: &str, path: &Path, fault: &io::Error) -> Error {
    Error::Kek(format!("cannot {verb} the key encryption key {}: {fault}", path.display()))
}

/// Syncs the directory of `path`: a new directory entry is durable only after that.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_key_is_for_its_owner_only_and_loads_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let kek = Kek::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap().len(), 65);
        assert_eq!(Kek::load(&path).unwrap().bytes(), kek.bytes());
        assert_ne!(kek.bytes(), &[0; 32]);
    }

    #[test]
    fn a_key_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let kek = Kek::create(&path).unwrap();
        let refused = Kek::create(&path).err().unwrap().to_string();
        assert!(refused.contains("already exists"), "{refused}");
        assert_eq!(Kek::load(&path).unwrap().bytes(), kek.bytes());
    }

    #[test]
    fn a_file_that_others_have_access_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        Kek::create(&path).unwrap();
        for (mode, sound) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o601, false),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let loaded = Kek::load(&path);
            assert_eq!(loaded.is_ok(), sound, "{mode:o}");
            if let Err(refused) = loaded {
                let told = refused.to_string();
                assert!(told.ends_with(&format!("chmod 600 {}", path.display())), "{told}");
            }
        }
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        Kek::create(&path).unwrap();
        let sound = fs::read_to_string(&path).unwrap();
        for (text, loads) in [
            (sound.clone(), true),
            (sound.trim().to_owned(), true),
            (sound.to_uppercase(), true),
            (String::new(), false),
            (sound[..62].to_owned(), false),
            (format!("{}00", sound.trim()), false),
            (sound.replacen(char::is_alphanumeric, "g", 1), false),
            (format!("+{}", &sound[1..]), false),
            ("0".repeat(1_000), false),
        ] {
            fs::write(&path, &text).unwrap();
            let loaded = Kek::load(&path);
            assert_eq!(loaded.is_ok(), loads, "{} bytes", text.len());
            let told = loaded.err().map(|refused| refused.to_string()).unwrap_or_default();
            assert!(text.trim().is_empty() || !told.contains(text.trim()));
        }
        let missing = Kek::load(&folder.path().join("none")).err().unwrap().to_string();
        assert!(missing.contains("cannot read"), "{missing}");
    }
}
