//! The command behind `cargo xtask simulate`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Parser;
use rekey_simulation::{CONTROLS, Control, Simulator, describe};

/// Simulates the pipeline, and then the pipelines that are wrong on purpose.
#[derive(Parser)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, with everything that happens.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this wrong pipeline.
    #[arg(long)]
    control: Option<String>,
    /// No wrong pipelines.
    #[arg(long)]
    no_controls: bool,
    /// Threads; one a processor unless given.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn run(options: &Options) -> Result<bool> {
    let control = match &options.control {
        Some(name) => Some(Control::parse(name).ok_or("there is no such control")?),
        None => None,
    };
    if let Some(seed) = options.seed {
        let simulator = Simulator::new().map_err(|e| e.to_string())?;
        let outcome = simulator.run(seed, control, true).map_err(|e| e.to_string())?;
        for line in &outcome.story {
            println!("{line}");
        }
        println!("{}", describe(seed, &outcome));
        return Ok(outcome.broken.is_empty());
    }
    if control.is_some() {
        return Ok(found(options, control)? > 0);
    }
    let mut well = found(options, None)? == 0;
    if !options.no_controls {
        for control in CONTROLS {
            well &= found(options, Some(*control))? > 0;
        }
    }
    Ok(well)
}

/// Returns the number of seeds that broke a promise; a control stops at the first one.
fn found(options: &Options, control: Option<Control>) -> Result<u64> {
    let threads = options
        .threads
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let (next, found, effects) =
        (AtomicU64::new(options.from), AtomicU64::new(0), AtomicU64::new(0));
    let until = options.from + options.seeds;
    let failed = Mutex::new(None);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let work = || -> std::result::Result<(), Box<dyn std::error::Error>> {
                    let simulator = Simulator::new()?;
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= until || (control.is_some() && found.load(Ordering::Relaxed) > 0)
                        {
                            return Ok(());
                        }
                        let outcome = simulator.run(seed, control, false)?;
                        effects.fetch_add(outcome.effects as u64, Ordering::Relaxed);
                        if !outcome.broken.is_empty() {
                            found.fetch_add(1, Ordering::Relaxed);
                            print!("{}", describe(seed, &outcome));
                        }
                    }
                };
                if let (Err(error), Ok(mut failed)) = (work(), failed.lock()) {
                    *failed = Some(error.to_string());
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error.into());
    }
    let (ms, found) = (begun.elapsed().as_millis().max(1), found.into_inner());
    let done = next.into_inner().min(until) - options.from;
    let name = control.map_or("the pipeline", Control::name);
    println!(
        "{name}: {done} seeds, {} passwords in force, {found} seeds that broke a promise, {} seeds/s",
        effects.into_inner(),
        u128::from(done) * 1000 / ms
    );
    if control.is_some() && found == 0 {
        println!("{name}: NOT FOUND, so the simulation proves nothing");
    }
    Ok(found)
}
