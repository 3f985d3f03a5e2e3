//! The printed table, in Markdown: each row is printed as soon as it is measured.

use std::fmt::Display;

/// One measured figure.
pub(crate) struct Row {
    figure: String,
    measured: f64,
    unit: &'static str,
    of: Option<f64>,
}

pub(crate) fn title() {
    println!("| figure | measured | ratio | goal | reached |");
    println!("|---|---:|---:|---:|---|");
}

/// Prints that a figure could not be measured, and why.
pub(crate) fn skip(figure: &str, why: impl Display) {
    println!("| {figure} | skipped: {why} | | | |");
}

impl Row {
    pub(crate) fn new(figure: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { figure: figure.into(), measured, unit, of: None }
    }

    pub(crate) fn per_second(figure: impl Into<String>, measured: f64) -> Self {
        Self::new(figure, measured, "/s")
    }

    /// Relates the figure to another one of the same run; goals then apply to the ratio.
    pub(crate) fn of(mut self, whole: f64) -> Self {
        self.of = Some(self.measured / whole);
        self
    }

    pub(crate) fn print(&self) {
        self.line("", "");
    }

    pub(crate) fn at_least(&self, goal: f64) {
        self.line(&format!("≥ {}", figures(goal)), yes(self.judged() >= goal));
    }

    pub(crate) fn at_most(&self, goal: f64) {
        self.line(&format!("≤ {}", figures(goal)), yes(self.judged() <= goal));
    }

    fn judged(&self) -> f64 {
        self.of.unwrap_or(self.measured)
    }

    fn line(&self, goal: &str, reached: &str) {
        let Self { figure, measured, unit, of } = self;
        let ratio = of.map_or_else(String::new, |of| format!("{of:.3}"));
        println!("| {figure} | {}{unit} | {ratio} | {goal} | {reached} |", figures(*measured));
    }
}

fn yes(reached: bool) -> &'static str {
    if reached { "yes" } else { "no" }
}

/// A number with as many digits as are meaningful.
fn figures(number: f64) -> String {
    if number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 1.0 && number.fract() != 0.0 {
        format!("{number:.1}")
    } else if number.fract() == 0.0 {
        format!("{number}")
    } else {
        format!("{number:.2}")
    }
}
