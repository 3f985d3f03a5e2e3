//! The directory: OpenLDAP's own tools for its administrator, and a hand-written LDAP bind.

use std::{collections::HashMap, fmt::Write as _, fs, process::Command};

use rekey_harness::{Result, text};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::run;

/// An OpenLDAP server.
pub(crate) struct Directory {
    described: Value,
}

/// An account's state that is visible only in the directory.
#[derive(Default)]
pub(crate) struct Kept {
    /// The hashes of former passwords, with their times.
    pub(crate) history: Vec<String>,
    /// The number of failed sign-ins that count towards a lock-out.
    pub(crate) failures: usize,
}

/// The numbers of successful and refused writes to an account.
#[derive(Default, Clone, Copy)]
pub(crate) struct Writes {
    pub(crate) done: u64,
    /// Writes refused with result code 19: a violation of the password policy, including its
    /// history.
    pub(crate) refused: u64,
}

impl Directory {
    pub(super) fn of(described: Value) -> Self {
        Self { described }
    }

    /// The address of the TLS listener.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", text(&self.described, "host"), self.port("port"))
    }

    /// The attributes of a source that connects at `port` and reads the accounts that match
    /// `filter`.
    pub(crate) fn attributes(&self, port: u64, filter: &str) -> Value {
        self.attributes_as("bindDn", "bindPassword", port, filter)
    }

    /// The same attributes with the manager's credentials, which the password policy exempts.
    pub(crate) fn attributes_of_manager(&self, port: u64, filter: &str) -> Value {
        self.attributes_as("adminDn", "adminPassword", port, filter)
    }

    fn attributes_as(&self, dn: &str, password: &str, port: u64, filter: &str) -> Value {
        let own = |name: &str| text(&self.described, name);
        json!({
            "host": "127.0.0.1", "port": port, "tls": "ldaps",
            "caCertificate": own("caCertificate"), "bindDn": own(dn), "bindPassword": own(password),
            "baseDn": own("baseDn"), "accountFilter": filter, "nameAttribute": "uid",
            "correlation": {"accountAttribute": "uid", "identityAttribute": "alias"},
        })
    }

    /// The port of the TLS listener.
    pub(crate) fn tls_port(&self) -> u64 {
        self.port("port")
    }

    /// The address of the listener without TLS.
    pub(crate) fn plain_address(&self) -> String {
        format!("{}:{}", text(&self.described, "host"), self.port("startTlsPort"))
    }

    /// The attributes of a source that connects at `port` without TLS.
    pub(crate) fn plain_attributes(&self, port: u64, filter: &str) -> Value {
        let mut attributes = self.attributes(port, filter);
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.remove("caCertificate");
            attributes.insert("tls".into(), "none".into());
            attributes.insert("allowInsecure".into(), true.into());
        }
        attributes
    }

    /// The path of the server's log.
    pub(crate) fn log(&self) -> String {
        text(&self.described, "log")
    }

    /// Creates an account for each name.
    pub(crate) async fn add(&self, names: &[String], password: &str) -> Result<()> {
        let mut ldif = String::new();
        for name in names {
            let dn = self.dn(name);
            write!(
                ldif,
                "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\nuserPassword: {password}\n\n"
            )?;
        }
        self.tool("ldapadd", &[], ldif).await.map(drop)
    }

    /// Applies LDIF change records.
    pub(crate) async fn modify(&self, ldif: &str) -> Result<()> {
        self.tool("ldapmodify", &[], ldif.to_owned()).await.map(drop)
    }

    /// Removes accounts, if they exist.
    pub(crate) async fn remove(&self, names: &[&str]) {
        for name in names {
            // An account that does not exist needs no removal.
            let _ = self.tool("ldapdelete", &[&self.dn(name)], String::new()).await;
        }
    }

    /// Returns the state of every account that matches `filter`, by name.
    pub(crate) async fn kept(&self, filter: &str) -> Result<HashMap<String, Kept>> {
        let base = text(&self.described, "baseDn");
        let words = [
            "-LLL",
            "-o",
            "ldif-wrap=no",
            "-b",
            &base,
            filter,
            "uid",
            "pwdHistory",
            "pwdFailureTime",
        ];
        let found = self.tool("ldapsearch", &words, String::new()).await?;
        let mut kept = HashMap::new();
        for entry in found.split("\n\n") {
            let values = |name: &str| -> Vec<String> {
                let of = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
                entry.lines().filter_map(of).collect()
            };
            if let [name] = values("uid").as_slice() {
                let (history, failures) = (values("pwdHistory"), values("pwdFailureTime").len());
                kept.insert(name.trim().to_owned(), Kept { history, failures });
            }
        }
        Ok(kept)
    }

    /// Whether a simple bind with this password succeeds (RFC 4511, section 4.2).
    pub(crate) async fn signs_in(&self, name: &str, password: &str) -> Result<bool> {
        let mut bind = vec![0x02, 0x01, 0x03];
        bind.extend(element(0x04, self.dn(name).as_bytes())?);
        bind.extend(element(0x80, password.as_bytes())?);
        let mut message = vec![0x02, 0x01, 0x01];
        message.extend(element(0x60, &bind)?);
        let address = format!("127.0.0.1:{}", self.port("startTlsPort"));
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&element(0x30, &message)?).await?;
        let mut answer = vec![0; 64];
        let length = stream.read(&mut answer).await?;
        answer.truncate(length);
        // The answer is a SEQUENCE of message id 1 and a BindResponse, which begins with its
        // resultCode.
        let code = answer.windows(3).find_map(|at| match at {
            [0x0a, 0x01, code] => Some(*code),
            _ => None,
        });
        match code {
            Some(0) => Ok(true),
            Some(49) => Ok(false),
            other => Err(format!("the bind of {name} was answered by {other:?}").into()),
        }
    }

    /// Counts the password writes in the server's log, by the account's name.
    pub(crate) fn writes(log: &str) -> HashMap<String, Writes> {
        let mut under_way = HashMap::new();
        let mut writes: HashMap<String, Writes> = HashMap::new();
        for line in log.lines() {
            let Some(operation) = line.find("conn=").and_then(|at| line.get(at..)) else {
                continue;
            };
            let mut words = operation.splitn(3, ' ');
            let (Some(connection), Some(number), Some(rest)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if let Some(rest) = rest.strip_prefix("PASSMOD id=\"uid=") {
                let name = rest.split([',', '"']).next().unwrap_or_default().to_owned();
                under_way.insert((connection, number), name);
            } else if rest.starts_with("RESULT ")
                && let Some(name) = under_way.remove(&(connection, number))
            {
                let writes = writes.entry(name).or_default();
                writes.done += u64::from(rest.contains(" err=0 "));
                writes.refused += u64::from(rest.contains(" err=19 "));
            }
        }
        writes
    }

    /// The DN of an account.
    pub(crate) fn dn(&self, name: &str) -> String {
        format!("uid={name},{}", text(&self.described, "baseDn"))
    }

    fn port(&self, name: &str) -> u64 {
        self.described.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Runs one of OpenLDAP's tools with the administrator's credentials.
    async fn tool(&self, program: &str, words: &[&str], input: String) -> Result<String> {
        // `-y` takes the file's whole content as the password: it must not end with a newline.
        let folder = tempfile::tempdir()?;
        let secret = folder.path().join("password");
        fs::write(&secret, text(&self.described, "adminPassword"))?;
        let mut command = Command::new(program);
        command.args(["-x", "-H", &format!("ldap://127.0.0.1:{}", self.port("startTlsPort"))]);
        command.args(["-D", &text(&self.described, "adminDn"), "-y"]).arg(&secret).args(words);
        let said = run(command, input).await?;
        if said.well { Ok(said.out) } else { Err(format!("{program}: {}", said.errors).into()) }
    }
}

fn element(tag: u8, content: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(content.len())?.to_be_bytes();
    Ok([&[tag, 0x82], &length[..], content].concat())
}
