//! The password policy control of directories: draft-behera-ldap-password-policy-10, section 6.

use super::{
    ber::{Reader, SEQUENCE},
    message::{Answer, Control},
};

const OID: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// The objection of the directory's password policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Expired,
    Locked,
    ChangeAfterReset,
    ModificationNotAllowed,
    MustSupplyOld,
    InsufficientQuality,
    TooShort,
    TooYoung,
    InHistory,
    TooLong,
}

/// Requests the policy's objection; a server without a policy ignores the control.
pub(super) fn request() -> Control {
    Control { oid: OID, value: None }
}

/// Returns the policy's objection in an answer, if there is one.
pub(super) fn refusal(answer: &Answer) -> Option<Refusal> {
    parse(answer.control(OID)?)
}

/// Parses `SEQUENCE { warning [0] CHOICE …, error [1] ENUMERATED }`, both optional.
fn parse(value: &[u8]) -> Option<Refusal> {
    let mut parts = Reader(value).inside(SEQUENCE).ok()?;
    while let Ok((tag, content)) = parts.element() {
        if let (0x81, [code]) = (tag, content) {
            return match code {
                0 => Some(Refusal::Expired),
                1 => Some(Refusal::Locked),
                2 => Some(Refusal::ChangeAfterReset),
                3 => Some(Refusal::ModificationNotAllowed),
                4 => Some(Refusal::MustSupplyOld),
                5 => Some(Refusal::InsufficientQuality),
                6 => Some(Refusal::TooShort),
                7 => Some(Refusal::TooYoung),
                8 => Some(Refusal::InHistory),
                9 => Some(Refusal::TooLong),
                _ => None,
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_openldap_sends_is_understood() {
        assert_eq!(parse(&[0x30, 3, 0x81, 1, 6]), Some(Refusal::TooShort));
        assert_eq!(parse(&[0x30, 3, 0x81, 1, 8]), Some(Refusal::InHistory));
        // A warning (three grace logins left) before the error.
        assert_eq!(parse(&[0x30, 8, 0xa0, 3, 0x81, 1, 3, 0x81, 1, 0]), Some(Refusal::Expired));
        assert_eq!(parse(&[0x30, 0]), None);
    }

    proptest! {
        #[test]
        fn nothing_a_server_sends_can_break_it(value: Vec<u8>) {
            parse(&value);
        }
    }
}
