//! Tests of each rule: what it forbids, what it allows, and that it reports nothing if it is not
//! set.

use proptest::prelude::*;

use super::*;

fn check(policy: &Policy, about: &About<'_>, password: &str) -> Vec<String> {
    policy.check(&Password::new(password.to_owned()), about)
}

fn refused(policy: &Policy, password: &str) -> bool {
    !check(policy, &About::default(), password).is_empty()
}

fn unset() -> Policy {
    Policy::default()
}

#[test]
fn lengths_are_counted_in_characters() {
    let policy = Policy { min_length: 5, max_length: 6, ..unset() };
    assert_eq!(check(&policy, &About::default(), "äöüß"), ["must have at least 5 characters"]);
    assert!(!refused(&policy, "äöüß€"));
    assert!(!refused(&policy, "äöüß€𝄞"));
    assert_eq!(check(&policy, &About::default(), "äöüß€𝄞7"), ["must have at most 6 characters"]);
    let one = Policy { max_length: 1, ..unset() };
    assert_eq!(check(&one, &About::default(), "ab"), ["must have at most 1 character"]);
}

#[test]
fn classes_are_unicodes() {
    for (policy, enough, too_few, told) in [
        (Policy { min_alpha: 2, ..unset() }, "a漢", "a1-", "2 letters"),
        (Policy { min_upper: 1, ..unset() }, "xÄ", "x漢1", "1 upper-case letter"),
        (Policy { min_lower: 2, ..unset() }, "Xßy", "XY漢ß", "2 lower-case letters"),
        (Policy { min_numeric: 2, ..unset() }, "a1٣", "a1-", "2 digits"),
        (Policy { min_special: 2, ..unset() }, "a €", "a1漢-", "2 special characters"),
    ] {
        assert!(!refused(&policy, enough), "{enough}");
        let violations = check(&policy, &About::default(), too_few);
        assert_eq!(violations, [format!("must have at least {told}")]);
    }
}

#[test]
fn character_types_are_four_at_most() {
    let policy = |least| Policy { min_character_types: least, ..unset() };
    assert!(!refused(&policy(3), "aB3"));
    assert!(refused(&policy(3), "aB漢"));
    assert!(!refused(&policy(4), "aB3-"));
    // An example in the contract requires five of the four types.
    assert!(!refused(&policy(5), "aB3-"));
    assert!(refused(&policy(5), "aB3"));
    assert!(!refused(&policy(-1), "a"));
}

#[test]
fn a_run_is_counted_and_scattered_characters_are_not() {
    let policy = Policy { max_repeated_chars: 2, ..unset() };
    assert!(!refused(&policy, "aabbaab"));
    assert!(!refused(&policy, "aaAA"));
    assert_eq!(
        check(&policy, &About::default(), "baaa"),
        ["must not have the same character more than 2 times in a row"]
    );
    let once = Policy { max_repeated_chars: 1, ..unset() };
    assert_eq!(
        check(&once, &About::default(), "aa"),
        ["must not have the same character more than 1 time in a row"]
    );
}

#[test]
fn the_account_id_or_its_words_are_forbidden() {
    let about =
        About { account_id: "CN=Abby Smith,OU=HR", account_name: "abby.smith", ..About::default() };
    let whole = Policy { validate_against_account_id: true, ..unset() };
    assert!(check(&whole, &about, "Abby-4711").is_empty());
    assert_eq!(check(&whole, &about, "xcn=abby smith,ou=hrx"), ["must not contain the account id"]);
    let words = Policy { account_id_min_word_length: 4, ..whole };
    assert_eq!(
        check(&words, &about, "4ABBY7"),
        ["must not contain a word of the account id that has 4 or more characters"]
    );
    assert!(check(&words, &about, "cn ou hr").is_empty(), "shorter words");
    let switched_off = Policy { validate_against_account_id: false, ..words };
    assert!(check(&switched_off, &about, "4abby7").is_empty());
    let empty = About { account_id: "", ..about };
    let whole = Policy { validate_against_account_id: true, ..unset() };
    assert!(check(&whole, &empty, "anything").is_empty());
}

#[test]
fn the_account_name_or_its_words_are_forbidden() {
    let about = About { account_name: "Jörg.Ärger", ..About::default() };
    let whole = Policy { validate_against_account_name: true, ..unset() };
    assert!(check(&whole, &about, "jörg").is_empty());
    assert_eq!(check(&whole, &about, "1JÖRG.ÄRGER"), ["must not contain the account name"]);
    let words = Policy { account_name_min_word_length: 5, ..whole };
    assert!(check(&words, &about, "jörg").is_empty());
    assert!(!check(&words, &about, "ärger").is_empty());
}

#[test]
fn attribute_values_of_three_characters_and_more_are_forbidden() {
    let account = ["Berlin".to_owned(), "xy".to_owned(), "  R  ".to_owned(), String::new()];
    let identity = ["Wagner".to_owned()];
    let about =
        About { account_attributes: &account, identity_attributes: &identity, ..About::default() };
    let accounts = Policy { use_account_attributes: true, ..unset() };
    let identities = Policy { use_identity_attributes: true, ..unset() };
    assert_eq!(
        check(&accounts, &about, "inBERLIN"),
        ["must not contain the value of an attribute of the account"]
    );
    assert!(check(&accounts, &about, "wagner xy R").is_empty());
    assert_eq!(
        check(&identities, &about, "wagner"),
        ["must not contain the value of an attribute of the identity"]
    );
    assert!(check(&identities, &about, "berlin").is_empty());
}

#[test]
fn dictionary_words_are_forbidden_where_the_policy_says_so() {
    let dictionary = Dictionary::parse("summer\nWinter\n").unwrap();
    let about = About { dictionary: Some(&dictionary), ..About::default() };
    let policy = Policy { use_dictionary: true, ..unset() };
    assert_eq!(
        check(&policy, &about, "midSummer2026"),
        ["must not contain a word of the password dictionary"]
    );
    assert!(check(&policy, &about, "spring").is_empty());
    assert!(check(&policy, &About::default(), "summer").is_empty(), "none uploaded");
    assert!(check(&unset(), &about, "summer").is_empty(), "not asked for");
}

#[test]
fn every_violation_is_told_at_once() {
    let policy = Policy { min_length: 12, min_upper: 1, min_numeric: 1, ..unset() };
    assert_eq!(
        check(&policy, &About::default(), "short"),
        [
            "must have at least 12 characters",
            "must have at least 1 upper-case letter",
            "must have at least 1 digit"
        ]
    );
}

#[test]
fn the_lines_for_clients_are_those_of_the_contract() {
    let policy = Policy {
        max_repeated_chars: 3,
        min_alpha: 1,
        min_length: 5,
        min_numeric: 1,
        use_dictionary: true,
        ..unset()
    };
    let mut lines = policy.rules();
    lines.sort();
    assert_eq!(
        lines,
        [
            "passwordMinAlpha is 1",
            "passwordMinLength is 5",
            "passwordMinNumeric is 1",
            "passwordRepeatedChar is 3"
        ]
    );
    assert!(unset().rules().is_empty());
}

#[test]
fn a_policy_that_cannot_be_met_is_refused_by_name() {
    for (policy, member) in [
        (Policy { min_length: -2, ..unset() }, "minLength"),
        (Policy { account_name_min_word_length: -7, ..unset() }, "accountNameMinWordLength"),
        (Policy { min_length: 9, max_length: 8, ..unset() }, "minLength"),
        (Policy { min_upper: 5, min_lower: 4, max_length: 8, ..unset() }, "minUpper"),
        (Policy { min_alpha: i32::MAX, min_special: 1, max_length: 8, ..unset() }, "minAlpha"),
    ] {
        let told = policy.validate().unwrap_err();
        assert!(told.contains(member), "{told}");
    }
    for sound in [
        unset(),
        Policy { min_alpha: 8, min_upper: 4, min_lower: 4, max_length: 8, ..unset() },
        Policy { min_length: 9, max_length: 0, ..unset() },
        Policy { min_length: -1, max_length: -1, ..unset() },
    ] {
        assert_eq!(sound.validate(), Ok(()));
    }
}

#[test]
fn the_wire_names_are_the_contracts_and_defaults_fill_in() {
    let policy: Policy =
        serde_json::from_str(r#"{"minLength":8,"useDictionary":true,"name":"ignored"}"#).unwrap();
    assert_eq!(policy, Policy { min_length: 8, use_dictionary: true, ..unset() });
    let wire = serde_json::to_value(&policy).unwrap();
    assert_eq!(wire["accountIdMinWordLength"], -1);
    assert_eq!(wire["maxRepeatedChars"], -1);
    assert_eq!(wire["validateAgainstAccountName"], false);
    assert_eq!(wire.as_object().unwrap().len(), 16);
}

fn policies() -> impl Strategy<Value = Policy> {
    (prop::array::uniform11(-1..9_i32), prop::array::uniform5(any::<bool>())).prop_map(
        |(numbers, flags)| {
            let [id, name, most, run, alpha, types, least, lower, digits, special, upper] = numbers;
            Policy {
                account_id_min_word_length: id,
                account_name_min_word_length: name,
                max_length: most * 3,
                max_repeated_chars: run,
                min_alpha: alpha,
                min_character_types: types,
                min_length: least,
                min_lower: lower,
                min_numeric: digits,
                min_special: special,
                min_upper: upper,
                use_account_attributes: flags[0],
                use_dictionary: flags[1],
                use_identity_attributes: flags[2],
                validate_against_account_id: flags[3],
                validate_against_account_name: flags[4],
            }
        },
    )
}

proptest! {
    #[test]
    fn no_password_and_no_policy_make_a_rule_panic(
        policy in policies(), password in ".{0,40}", value in ".{0,12}",
    ) {
        let values = [value.clone()];
        let about = About {
            account_id: &value,
            account_name: &value,
            account_attributes: &values,
            identity_attributes: &values,
            dictionary: None,
        };
        prop_assert!(check(&policy, &about, &password).len() <= RULES.len());
        prop_assert!(check(&unset(), &about, &password).is_empty(), "nothing is set");
    }

    #[test]
    fn folding_never_outgrows_its_buffer(text in "\\PC{0,40}") {
        let capacity = text.chars().count() * 12;
        prop_assert!(subject::fold(&text).len() <= capacity);
    }
}
