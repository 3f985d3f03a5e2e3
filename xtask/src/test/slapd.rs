//! OpenLDAP with the password policy overlay, over LDAPS and `StartTLS`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ca::Ca;
use super::random::secret;
use super::server::{self, Server, free_port};
use super::targets::PEOPLE;
use crate::shell::{self, Result, which};

pub(crate) struct Slapd {
    _server: Server,
    /// The port of LDAPS.
    pub(crate) port: u16,
    pub(crate) start_tls_port: u16,
    pub(crate) bind_password: String,
    pub(crate) admin_password: String,
    pub(crate) log: PathBuf,
    /// The audit log: all changes in LDIF.
    pub(crate) changes: PathBuf,
}

pub(crate) const ADMIN: &str = "cn=admin,dc=rekey,dc=test";
/// rekey's own account. It may write `userPassword`, and the password policy applies to it, since
/// it has no `manage` right.
pub(crate) const SERVICE: &str = "cn=rekey,ou=services,dc=rekey,dc=test";
/// The file name of the audit log.
const CHANGES: &str = "changes.ldif";
pub(crate) const BASE: &str = "ou=people,dc=rekey,dc=test";

impl Slapd {
    pub(crate) fn start(folder: &Path, ca: &Ca) -> Result<Self> {
        let slapd = which("slapd").ok_or("slapd is not installed")?;
        let slapadd = which("slapadd").ok_or("slapadd is not installed")?;
        shell::make_folder(&folder.join("db"))?;
        let (port, start_tls_port) = (free_port()?, free_port()?);
        let (bind_password, admin_password) = (secret()?, secret()?);

        let config = folder.join("slapd.conf");
        shell::write(&config, &configuration(folder, ca, &admin_password)?)?;
        let seed = folder.join("seed.ldif");
        shell::write(&seed, &entries(&bind_password)?)?;
        let mut load = Command::new(slapadd);
        shell::output(load.args(["-q", "-f"]).arg(&config).arg("-l").arg(&seed))?;

        let log = folder.join("slapd.log");
        let changes = folder.join(CHANGES);
        shell::write(&changes, "")?;
        let urls = format!("ldap://127.0.0.1:{start_tls_port} ldaps://127.0.0.1:{port}");
        let mut command = server::command(&slapd, "TERM", None);
        command.args(["-d", "stats", "-h", &urls, "-f"]).arg(&config);
        let mut server = Server::start("slapd", &mut command, &log, "TERM")?;
        let url = format!("ldap://127.0.0.1:{start_tls_port}");
        server.wait_until(|| {
            let mut search = Command::new("ldapsearch");
            search.args(["-x", "-H", &url, "-s", "base", "-b", ""]);
            shell::output(&mut search).is_ok()
        })?;
        Ok(Self {
            _server: server,
            port,
            start_tls_port,
            bind_password,
            admin_password,
            log,
            changes,
        })
    }
}

fn configuration(folder: &Path, ca: &Ca, admin_password: &str) -> Result<String> {
    let identity = ca.issue("slapd")?;
    Ok(format!(
        "\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload auditlog
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
password-hash {{SSHA}}
database mdb
suffix dc=rekey,dc=test
rootdn {ADMIN}
rootpw {admin_password}
directory {folder}/db
maxsize 268435456
index objectClass eq
index uid eq
limits dn.exact={SERVICE} size=unlimited
overlay ppolicy
ppolicy_default cn=default,ou=policies,dc=rekey,dc=test
ppolicy_use_lockout
ppolicy_hash_cleartext
overlay auditlog
auditlog {changes}
access to attrs=userPassword
  by dn.exact={SERVICE} write
  by self =xw
  by anonymous auth
  by * none
access to *
  by dn.exact={SERVICE} write
  by * read
",
        folder = folder.display(),
        changes = folder.join(CHANGES).display(),
        ca = ca.certificate().display(),
        certificate = identity.certificate.display(),
        key = identity.key.display(),
    ))
}

fn entries(bind_password: &str) -> Result<String> {
    let mut ldif = format!(
        "\
dn: dc=rekey,dc=test
objectClass: dcObject
objectClass: organization
o: rekey
dc: rekey

dn: {BASE}
objectClass: organizationalUnit
ou: people

dn: ou=services,dc=rekey,dc=test
objectClass: organizationalUnit
ou: services

dn: ou=policies,dc=rekey,dc=test
objectClass: organizationalUnit
ou: policies

dn: {SERVICE}
objectClass: person
cn: rekey
sn: rekey
userPassword: {bind_password}

dn: cn=default,ou=policies,dc=rekey,dc=test
objectClass: person
objectClass: pwdPolicy
cn: default
sn: default
pwdAttribute: userPassword
pwdCheckQuality: 2
pwdMinLength: 8
pwdInHistory: 3
pwdMaxFailure: 5
pwdLockout: TRUE
"
    );
    for number in 1..=PEOPLE {
        let password = secret()?;
        let _ = write!(
            ldif,
            "
dn: uid=u{number},{BASE}
objectClass: inetOrgPerson
uid: u{number}
cn: User {number}
sn: {number}
userPassword: {password}
"
        );
    }
    Ok(ldif)
}
