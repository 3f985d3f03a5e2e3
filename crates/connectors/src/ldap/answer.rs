//! What a directory's result codes mean (RFC 4511, appendix A).

use std::time::Duration;

use super::{
    message::Answer,
    ppolicy::{self, Refusal},
};
use crate::{Fault, FaultKind, Outcome, Rejection};

/// The fault of a failed request; `text` is the directory's own, scrubbed.
pub(super) fn fault(answer: &Answer, text: &str) -> Fault {
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
    let own = if text.is_empty() { String::new() } else { format!(", {text}") };
    let mut fault = Fault::new(kind, format!("{advice} ({}{own})", name(answer.code)));
    if kind == FaultKind::Throttled {
        fault.retry_after = Some(Duration::from_secs(1));
    }
    fault
}

/// What became of a Password Modify operation; `text` is the directory's own, scrubbed.
pub(super) fn outcome(answer: &Answer, text: &str) -> Outcome {
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
        (_, Some(refusal)) => Outcome::Rejected(rejection(Some(refusal), text)),
        (19, None) => Outcome::Rejected(rejection(None, text)),
        // OpenLDAP's ppolicy overlay, when two writes at once want to forget the same old password.
        (16, None) => Outcome::NotApplied(crate::fault::conflict()),
        // Unlike everywhere else, these are about the operation itself.
        (2, None) => Outcome::NotApplied(Fault::new(
            FaultKind::Unsupported,
            "the directory has no Password Modify operation (RFC 3062)",
        )),
        _ => Outcome::NotApplied(fault(answer, text)),
    }
}

/// OpenLDAP's ppolicy overlay has no code for "equals the one in force", only this text.
const SAME: &str = "not being changed from existing value";

fn rejection(refusal: Option<Refusal>, text: &str) -> Rejection {
    let lower = text.to_lowercase();
    let is_same = lower.contains(SAME);
    let rule = match refusal {
        _ if is_same => "it is the password in force already",
        Some(Refusal::InHistory) => "it was used before (history)",
        Some(Refusal::TooShort) => "it is too short",
        Some(Refusal::TooLong) => "it is too long",
        Some(Refusal::TooYoung) => "the password in force is too young to be changed again",
        Some(Refusal::InsufficientQuality) => "it does not meet the quality rules",
        _ if lower.contains("history") => "it was used before (history)",
        _ => "it does not meet a rule",
    };
    let repeated = is_same || (refusal.is_some() && !lower.contains("quality checking"));
    let own = if text.is_empty() || repeated { String::new() } else { format!(": {text}") };
    Rejection {
        message: format!("the directory refused the password: {rule}{own}"),
        reused: is_same || refusal == Some(Refusal::InHistory) || lower.contains("in history"),
    }
}

/// A result code's name, as RFC 4511 writes it.
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
        _ => return format!("LDAP result {code}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_is_told_from_a_refused_service() {
        let text = "Password is not being changed from existing value";
        let Outcome::Rejected(rejection) = outcome(&Answer::of(19), text) else { panic!() };
        assert!(rejection.reused);
        let Outcome::Rejected(rejection) = outcome(&Answer::of(19), "Password is in history")
        else {
            panic!()
        };
        assert!(rejection.reused && rejection.message.contains("history"));
        for (code, kind) in [
            (49, FaultKind::Denied),
            (50, FaultKind::NotPermitted),
            (32, FaultKind::NoAccount),
            (51, FaultKind::Throttled),
            (52, FaultKind::Unreachable),
            (2, FaultKind::Unsupported),
            (16, FaultKind::Conflict),
        ] {
            let Outcome::NotApplied(fault) = outcome(&Answer::of(code), "") else {
                panic!("{code}")
            };
            assert_eq!(fault.kind, kind);
        }
    }
}
