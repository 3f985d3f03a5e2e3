//! Maps a directory's result codes to faults (RFC 4511, appendix A).

use std::time::Duration;

use super::{
    message::Answer,
    ppolicy::{self, Refusal},
};
use crate::{Fault, FaultKind, Outcome, Rejection, said::Said};

/// Messages of OpenLDAP 2.5 and 2.6, of its modules, of 389 Directory Server and of Active
/// Directory, in the form that [`Said`] matches.
const KNOWN: &[&str] = &[
    // OpenLDAP's ppolicy overlay.
    "Operations are restricted to bind/unbind/abandon/StartTLS/modify password",
    "connection restricted to password changing only",
    "Must supply correct old password to change to new one",
    "Must supply old password to be changed as well as new one",
    "Password fails quality checking policy",
    "Password is in history of old passwords",
    SAME,
    "Password is too young to change",
    "Password policy only allows one password value",
    "User alteration of password is not allowed",
    // OpenLDAP's module ppm.
    "Password for dn=\"…\" contains tokens from the RDN",
    "Password for dn=\"…\" does not pass required number of strength checks (… of …)",
    // slapd's Password Modify operation.
    "Invalid DN",
    "data decoding error",
    "modify/delete: pwdHistory: no such value",
    "new password value is empty",
    "no password is associated with the Root DSE",
    "only authenticated users may change passwords",
    "operation not supported for current user",
    "password hash failed",
    "use bind to verify old password",
    "user must change own password",
    "user specified passwords disallowed",
    // The rest of slapd.
    "SASL confidentiality required",
    "TLS confidentiality required",
    "TLS confidentiality required for update",
    "anonymous bind disallowed",
    "confidentiality required",
    "confidentiality required for update",
    "extended operation restricted",
    "no global superior knowledge",
    "operation restricted",
    "read operations restricted",
    "shadow context; no update referral",
    "stronger TLS confidentiality required",
    "stronger confidentiality required",
    "unauthenticated bind (DN with no password) disallowed",
    "unwilling to perform simple authentication",
    // 389 Directory Server.
    "Password contains a monotonic sequence",
    "Password contains a restricted word",
    "Password contains repeated identical sequences",
    "Password contains too many repeated characters from the same character class",
    "Password failed dictionary check: …",
    "Password is a palindrome",
    "invalid password syntax - a character cannot be repeated more than … times",
    "invalid password syntax - password must be at least … characters long",
    "invalid password syntax - password must contain at least … …-bit characters",
    "invalid password syntax - password must contain at least … alphabetic characters",
    "invalid password syntax - password must contain at least … character categories (valid \
     categories are digit, uppercase, lowercase, special, and …-bit characters)",
    "invalid password syntax - password must contain at least … digit characters",
    "invalid password syntax - password must contain at least … lowercase characters",
    "invalid password syntax - password must contain at least … special characters",
    "invalid password syntax - password must contain at least … uppercase characters",
    "invalid password syntax - passwords with storage scheme are not allowed",
    "password in history",
    "user is not allowed to change password",
    "within password minimum age",
    // Active Directory and Samba: the password does not meet the domain's policy.
    "0000052D: …",
];

/// The part of a directory's text that rekey repeats.
pub(super) fn said(text: &str) -> Said {
    Said::of(text, KNOWN)
}

/// The fault for a failed request.
pub(super) fn fault(answer: &Answer) -> Fault {
    let (kind, advice) = match answer.code {
        3 | 11 | 51 => (FaultKind::Throttled, "the directory is busy or a limit was reached"),
        4 => (
            FaultKind::Misconfigured,
            "the directory's size limit was reached: give bindDn unlimited results (limits … \
             size=unlimited in OpenLDAP)",
        ),
        8 | 13 => (
            FaultKind::Misconfigured,
            "the directory wants TLS: set tls to \"ldaps\" or \"starttls\"",
        ),
        10 => (
            FaultKind::Misconfigured,
            "the directory refers to another server: referrals are not followed, give the one \
             that accepts changes",
        ),
        12 => (FaultKind::Unsupported, "the directory does not support what was asked"),
        16 | 17 | 18 | 20 => (FaultKind::Misconfigured, "the directory does not know an attribute"),
        32 | 34 => (FaultKind::NoAccount, "the account is not in the directory"),
        48 | 49 => (FaultKind::Denied, "the directory refused rekey's own account"),
        50 => (
            FaultKind::NotPermitted,
            "rekey's own account may not do this: grant bindDn write access to userPassword",
        ),
        53 => (FaultKind::NotPermitted, "the directory is unwilling to do this"),
        1 | 52 | 80 => (FaultKind::Unreachable, "the directory cannot do this at the moment"),
        _ => (FaultKind::Misconfigured, "the directory refused"),
    };
    let own = answer.said.after(", ");
    let mut fault = Fault::new(kind, format!("{advice} ({}{own})", name(answer.code)));
    if kind == FaultKind::Throttled {
        fault.retry_after = Some(Duration::from_secs(1));
    }
    fault
}

/// The outcome of a Password Modify operation.
pub(super) fn outcome(answer: &Answer) -> Outcome {
    if answer.code == 0 {
        return Outcome::Applied;
    }
    let refusal = ppolicy::refusal(answer);
    match (answer.code, refusal) {
        (_, Some(Refusal::ModificationNotAllowed)) => Outcome::NotApplied(Fault::new(
            FaultKind::NotPermitted,
            "the directory's policy does not allow this password to be changed",
        )),
        (_, Some(Refusal::MustSupplyOld)) => Outcome::NotApplied(Fault::new(
            FaultKind::NotPermitted,
            "the directory's policy wants the old password with the new one (pwdSafeModify): \
             turn it off for accounts that rekey serves",
        )),
        (_, Some(Refusal::Locked)) => {
            Outcome::NotApplied(Fault::new(FaultKind::Locked, "the account is locked"))
        }
        (_, Some(refusal)) => Outcome::Rejected(rejection(Some(refusal), answer.said)),
        (19, None) => Outcome::Rejected(rejection(None, answer.said)),
        // OpenLDAP's ppolicy overlay: two concurrent writes tried to remove the same old password
        // from the history.
        (16, None) => Outcome::NotApplied(crate::fault::conflict()),
        // Here, `protocolError` means an unsupported extended operation (RFC 4511, section 4.12).
        (2, None) => Outcome::NotApplied(Fault::new(
            FaultKind::Unsupported,
            "the directory has no Password Modify operation (RFC 3062)",
        )),
        _ => Outcome::NotApplied(fault(answer)),
    }
}

/// OpenLDAP's ppolicy overlay has no code for "equals the current password", only this text.
const SAME: &str = "Password is not being changed from existing value";

fn rejection(refusal: Option<Refusal>, said: Said) -> Rejection {
    let is_same = said == Said::Known(SAME);
    let is_in_history = said.contains("in history");
    let rule = match refusal {
        _ if is_same => "it is the password in force already",
        Some(Refusal::InHistory) => "it was used before (history)",
        Some(Refusal::TooShort) => "it is too short",
        Some(Refusal::TooLong) => "it is too long",
        Some(Refusal::TooYoung) => "the password in force is too young to be changed again",
        Some(Refusal::InsufficientQuality) => "it does not meet the quality rules",
        _ if is_in_history => "it was used before (history)",
        _ => "it does not meet a rule",
    };
    let repeated = is_same || (refusal.is_some() && !said.contains("quality checking"));
    let own = if repeated { String::new() } else { said.after(": ") };
    Rejection {
        message: format!("the directory refused the password: {rule}{own}"),
        reused: is_same || refusal == Some(Refusal::InHistory) || is_in_history,
    }
}

/// The name of a result code in RFC 4511. A number of three or more digits is withheld: the server
/// could have taken it from a password.
pub(super) fn name(code: u32) -> String {
    let name = match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        19 => "constraintViolation",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        100.. => "an unknown LDAP result",
        _ => return format!("LDAP result {code}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_is_told_from_a_refused_service() {
        for text in [SAME, "password in history", "Password is in history of old passwords"] {
            let Outcome::Rejected(rejection) = outcome(&Answer::of(19, text)) else { panic!() };
            assert!(rejection.reused, "{text}");
        }
        for (code, kind) in [
            (49, FaultKind::Denied),
            (50, FaultKind::NotPermitted),
            (32, FaultKind::NoAccount),
            (51, FaultKind::Throttled),
            (52, FaultKind::Unreachable),
            (2, FaultKind::Unsupported),
            (16, FaultKind::Conflict),
        ] {
            let Outcome::NotApplied(fault) = outcome(&Answer::of(code, "")) else {
                panic!("{code}")
            };
            assert_eq!(fault.kind, kind);
        }
    }
    #[test]
    fn an_operator_reads_what_a_real_server_says_and_nothing_else() {
        let words = |code, text| match outcome(&Answer::of(code, text)) {
            Outcome::Rejected(rejection) => rejection.message,
            Outcome::NotApplied(fault) => fault.message,
            other @ (Outcome::Applied | Outcome::Unknown(_)) => panic!("{other:?}"),
        };
        let quality = "Password fails quality checking policy";
        assert!(words(19, quality).ends_with(quality));
        let strength = "Password for dn=\"uid=a\" does not pass required number of strength checks \
                        (1 of 3)";
        assert!(words(19, strength).contains("strength checks (… of …)"));
        for (code, text) in [(19, "no: secret1234"), (53, "no: secret1234"), (12_345_678, "")] {
            let words = words(code, text);
            assert!(!words.contains("secret") && !words.contains("1234"), "{words}");
        }
    }
}
