//! PostgreSQL with TLS and SCRAM: a target system, and a store for the tests.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ca::Ca;
use super::random::secret;
use super::server::{self, Server, free_port};
use super::targets::PEOPLE;
use crate::shell::{self, Result};

pub(crate) struct Postgres {
    _server: Server,
    pub(crate) port: u16,
    pub(crate) admin_password: String,
    /// The password of [`SERVICE`].
    pub(crate) password: String,
    pub(crate) log: PathBuf,
    _elsewhere: Elsewhere,
}

/// A folder outside the run's folder, if one was needed; it is removed after the server has
/// stopped.
struct Elsewhere(Option<PathBuf>);

/// The superuser. The tests of the store create and drop databases in this role.
pub(crate) const ADMIN: &str = "rekey_admin";
/// The role of rekey on the target: it may change roles, and is no superuser.
pub(crate) const SERVICE: &str = "rekey_service";

impl Postgres {
    pub(crate) fn start(folder: &Path, ca: &Ca) -> Result<Self> {
        let programs = programs().ok_or("PostgreSQL 14 or newer is not installed")?;
        // initdb refuses to run as root.
        let user = is_root().then_some("postgres");
        let elsewhere = Elsewhere(if is_open_to(user, folder) {
            None
        } else {
            Some(std::env::temp_dir().join(format!("rekey-test-{}", secret()?)))
        });
        let folder = elsewhere.0.as_deref().unwrap_or(folder);
        shell::make_folder(folder)?;
        let (admin_password, password, port) = (secret()?, secret()?, free_port()?);

        shell::write(&folder.join("pw"), &admin_password)?;
        let identity = ca.issue("postgres")?;
        for (file, name) in [(&identity.certificate, "server.pem"), (&identity.key, "server.key")] {
            std::fs::copy(file, folder.join(name)).map_err(|e| format!("no certificate: {e}"))?;
        }
        shell::output(Command::new("chmod").args(["-R", "go="]).arg(folder))?;
        if let Some(user) = user {
            shell::output(Command::new("chown").args(["-R", user]).arg(folder))?;
        }

        let data = folder.join("data");
        let mut init = server::command(&programs.join("initdb"), "INT", user);
        init.current_dir(folder).arg("-D").arg(&data).arg("--pwfile=pw");
        init.args(["-U", ADMIN, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]);
        shell::output(&mut init)?;

        let log = folder.join("postgres.log");
        let mut command = server::command(&programs.join("postgres"), "INT", user);
        command.current_dir(folder).arg("-D").arg(&data);
        for setting in settings(folder, port) {
            command.arg("-c").arg(setting);
        }
        let mut server = Server::start("postgres", &mut command, &log, "INT")?;
        let mut probe = Command::new(programs.join("pg_isready"));
        probe.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        server.wait_until(|| shell::output(&mut probe).is_ok())?;

        let postgres =
            Self { _server: server, port, admin_password, password, log, _elsewhere: elsewhere };
        postgres.psql(&roles(&postgres.password)?)?;
        Ok(postgres)
    }

    /// The URL with which tests create databases.
    pub(crate) fn admin_url(&self, database: &str) -> String {
        format!("postgres://{ADMIN}:{}@127.0.0.1:{}/{database}", self.admin_password, self.port)
    }

    /// Runs statements as the superuser. They are sent through standard input, since they contain
    /// secrets.
    pub(crate) fn psql(&self, statements: &str) -> Result {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", ADMIN]);
        psql.args(["-p", &self.port.to_string(), "-d", "postgres"]);
        psql.env("PGPASSWORD", &self.admin_password);
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = psql.spawn().map_err(|e| format!("cannot start psql: {e}"))?;
        if let Some(mut input) = child.stdin.take() {
            let _ = input.write_all(statements.as_bytes());
        }
        let out = child.wait_with_output().map_err(|e| format!("psql: {e}"))?;
        if out.status.success() {
            return Ok(());
        }
        Err(format!("psql failed: {}", String::from_utf8_lossy(&out.stderr).trim_end()))
    }
}

/// Creates the service role and the people's roles. The service role creates the latter itself,
/// because from version 16 on a role can change only roles that it administers.
fn roles(service_password: &str) -> Result<String> {
    let mut sql = format!(
        "create role {SERVICE} login createrole password '{service_password}';
         alter role {SERVICE} set log_statement = 'all';
         create extension pg_stat_statements;
         set role {SERVICE};\n"
    );
    for number in 1..=PEOPLE {
        let password = secret()?;
        let _ = writeln!(sql, "create role u{number} login password '{password}';");
    }
    // The statements above are ours and contain passwords, so their statistics are cleared.
    sql.push_str("reset role; select pg_stat_statements_reset();\n");
    Ok(sql)
}

fn settings(folder: &Path, port: u16) -> [String; 10] {
    [
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("port={port}"),
        "max_connections=300".to_owned(),
        "password_encryption=scram-sha-256".to_owned(),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", folder.join("server.pem").display()),
        format!("ssl_key_file={}", folder.join("server.key").display()),
        "log_line_prefix=%m [%p] %u@%d ".to_owned(),
        // The extension stores statements; none of them may contain a password.
        "shared_preload_libraries=pg_stat_statements".to_owned(),
    ]
}

/// The folder of the newest installed server's programs, which Debian keeps off `PATH`.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= 14)
        .max()?;
    let folder = PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"));
    folder.join("initdb").is_file().then_some(folder)
}

/// Whether the server's user can enter the folder: a checkout below `/root` is closed to it.
fn is_open_to(user: Option<&str>, folder: &Path) -> bool {
    user.is_none() || {
        let mut look = server::command(Path::new("test"), "INT", user);
        shell::output(look.arg("-x").arg(folder)).is_ok()
    }
}

pub(crate) fn is_root() -> bool {
    shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
