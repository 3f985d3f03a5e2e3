//! The output of the guide.

use std::time::Instant;

use serde_json::{Value, json};

use super::site::{Facts, GROUP, WORKSHOP};
use crate::{
    model::source::IDENTITY_NOW,
    ops::cli::out::{BOLD, CYAN, DIM, GREEN, PLAIN, say},
};

/// Prints the steps and collects their results.
pub(super) struct Show {
    /// Whether to print nothing, because the output is JSON at the end.
    quiet: bool,
    steps: Vec<Value>,
}

impl Show {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet, steps: Vec::new() }
    }

    pub(super) fn welcome(&self) {
        if self.quiet {
            return;
        }
        say!(
            "\n{BOLD}Welcome to rekey.{PLAIN} This one lives in a temporary folder and leaves nothing behind.\n"
        );
        say!("Meet Abby, Ben and Carla. Abby wants a new password. She uses it on two systems,");
        say!(
            "{IDENTITY_NOW} and {WORKSHOP}: both are in the sync group {GROUP}, so one change is for both."
        );
        say!("All of this is plain HTTP, as every client of SailPoint's password API speaks it.");
    }

    /// Prints the title of a step and returns its start time.
    pub(super) fn step(&self, title: &str) -> Instant {
        if !self.quiet {
            say!("\n{BOLD}{CYAN}{}{PLAIN} {BOLD}{title}{PLAIN}", self.steps.len() + 1);
        }
        Instant::now()
    }

    /// Prints and records that a step succeeded.
    pub(super) fn held(&mut self, began: Instant, what: &str, meaning: &str) {
        let micros = began.elapsed().as_micros();
        if !self.quiet {
            let took = format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
            say!("  {GREEN}✓{PLAIN} {what}  {DIM}{took}{PLAIN}\n    {meaning}");
        }
        self.steps.push(json!({ "step": what, "meaning": meaning, "microseconds": micros }));
    }

    /// Prints a detail of the current step.
    pub(super) fn detail(&self, text: &str) {
        if !self.quiet {
            say!("    {DIM}{text}{PLAIN}");
        }
    }

    /// Prints the commands that do the same by hand.
    pub(super) fn openssl(&self, public_key: &str) {
        self.detail("by hand, with openssl:");
        let key = format!("echo {public_key} | base64 -d");
        self.detail(&format!("  {key} | openssl pkey -pubin -inform DER -out public_key.pem"));
        self.detail(
            "  echo -n \"$PW\" | openssl pkeyutl -encrypt -inkey public_key.pem -pubin | base64",
        );
    }

    /// The results as JSON.
    pub(super) fn told(&self, facts: &Facts, held: bool) -> Value {
        let base = &facts.bootstrap.base_url;
        json!({ "baseUrl": base, "held": held, "steps": self.steps })
    }
}
