//! The check that a policy is consistent.

use super::Policy;

impl Policy {
    /// Checks for numbers out of range and for requirements that contradict `maxLength`.
    ///
    /// # Errors
    ///
    /// A sentence that names the member: a number is below -1, or more is required than `maxLength`
    /// allows.
    pub fn validate(&self) -> Result<(), String> {
        for (name, number) in self.numbers() {
            if number < -1 {
                return Err(format!("{name} is {number}, and must be -1 or more"));
            }
        }
        if self.max_length <= 0 {
            return Ok(());
        }
        let most = i64::from(self.max_length);
        if i64::from(self.min_length) > most {
            return Err(format!(
                "minLength is {}, and must not be more than maxLength, which is {most}",
                self.min_length
            ));
        }
        let least = self.least_by_classes();
        if least > most {
            return Err(format!(
                "minAlpha, minUpper, minLower, minNumeric and minSpecial together require {least} \
                 characters, and must not require more than maxLength, which is {most}"
            ));
        }
        Ok(())
    }

    /// The number of characters that the classes require. Letters of either case count for
    /// `minAlpha` as well.
    fn least_by_classes(&self) -> i64 {
        let [alpha, upper, lower, numeric, special] =
            [self.min_alpha, self.min_upper, self.min_lower, self.min_numeric, self.min_special]
                .map(|number| i64::from(number.max(0)));
        alpha.max(upper + lower) + numeric + special
    }

    fn numbers(&self) -> [(&'static str, i32); 11] {
        [
            ("accountIdMinWordLength", self.account_id_min_word_length),
            ("accountNameMinWordLength", self.account_name_min_word_length),
            ("maxLength", self.max_length),
            ("maxRepeatedChars", self.max_repeated_chars),
            ("minAlpha", self.min_alpha),
            ("minCharacterTypes", self.min_character_types),
            ("minLength", self.min_length),
            ("minLower", self.min_lower),
            ("minNumeric", self.min_numeric),
            ("minSpecial", self.min_special),
            ("minUpper", self.min_upper),
        ]
    }
}
