//! A certificate authority for one run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result};

pub(crate) struct Ca {
    folder: PathBuf,
}

/// A server's certificate and its private key.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Ca {
    pub(crate) fn open_or_make(folder: PathBuf, name: &str) -> Result<Self> {
        if folder.join("ca.pem").is_file() {
            return Ok(Self { folder });
        }
        shell::make_folder(&folder)?;
        let mut openssl = openssl(&folder, &["req", "-x509", "-days", "2", "-nodes"]);
        openssl.args(NEW_KEY).args(["-subj", &format!("/CN={name}")]);
        openssl.args(["-keyout", "ca.key", "-out", "ca.pem"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        shell::output(&mut openssl)?;
        Ok(Self { folder })
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Issues a certificate for `localhost` and 127.0.0.1.
    pub(crate) fn issue(&self, server: &str) -> Result<Identity> {
        let file = |end: &str| format!("{server}.{end}");
        let mut request = openssl(&self.folder, &["req", "-nodes", "-subj", "/CN=localhost"]);
        request.args(NEW_KEY).args(["-keyout", &file("key"), "-out", &file("csr")]);
        shell::output(&mut request)?;

        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";
        shell::write(&self.folder.join("names"), names)?;
        let mut sign = openssl(&self.folder, &["x509", "-req", "-days", "2", "-CAcreateserial"]);
        sign.args(["-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "names"]);
        sign.args(["-in", &file("csr"), "-out", &file("pem")]);
        shell::output(&mut sign)?;

        let [certificate, key] = ["pem", "key"].map(|end| self.folder.join(file(end)));
        Ok(Identity { certificate, key })
    }
}

const NEW_KEY: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn openssl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments);
    command
}
