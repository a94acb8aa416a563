//! The simulation as a program: `cargo xtask sim`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use evenkeel_sim::{Bug, Sight, live, run};

/// Lives lives of simulated fleets, and says what was wrong in them.
#[derive(Parser)]
#[command(name = "cargo xtask sim", disable_version_flag = true)]
struct Arguments {
    /// How many lives.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first life's seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Print what happens in each.
    #[arg(long)]
    trace: bool,
    /// Make this mistake in the cores; `list` lists them all.
    #[arg(long)]
    bug: Option<String>,
    /// Print how often each interesting state was come to.
    #[arg(long)]
    coverage: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let bug = match arguments.bug.as_deref() {
        None => None,
        Some("list") => {
            for bug in Bug::ALL {
                eprintln!("{:<24} {}", bug.name(), bug.words().trim());
            }
            return ExitCode::SUCCESS;
        }
        Some(name) => match Bug::ALL.iter().copied().find(|bug| bug.name() == name) {
            Some(bug) if cfg!(feature = "planted-bugs") => Some(bug),
            Some(_) => {
                eprintln!("this build has no planted bugs; `cargo xtask sim` has");
                return ExitCode::FAILURE;
            }
            None => {
                eprintln!("there is no bug {name}; `--bug list` lists them");
                return ExitCode::FAILURE;
            }
        },
    };
    match arguments.trace {
        true => trace(&arguments, bug),
        false => campaign(&arguments, bug),
    }
}

fn trace(arguments: &Arguments, bug: Option<Bug>) -> ExitCode {
    #[cfg(feature = "planted-bugs")]
    evenkeel_sim::plant(bug);
    #[cfg(not(feature = "planted-bugs"))]
    let _ = bug;
    let mut out = io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        let account = live(seed, true);
        for line in &account.lines {
            // Who reads it may have gone.
            let _ = writeln!(out, "{line}");
        }
        let _ = writeln!(
            out,
            "seed {seed}: {} steps, trace {:016x}",
            account.steps, account.hash
        );
        if let Some(wrong) = &account.wrong {
            let _ = writeln!(out, "seed {seed}: {wrong}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn campaign(arguments: &Arguments, bug: Option<Bug>) -> ExitCode {
    let began = Instant::now();
    let campaign = run(arguments.from, arguments.seeds, 10, bug);
    eprintln!(
        "{} lives, {} steps, {:?}",
        campaign.lives,
        campaign.steps,
        began.elapsed()
    );
    if arguments.coverage {
        for sight in Sight::ALL {
            eprintln!("{:>8}  {}", campaign.coverage.of(*sight), sight.words());
        }
    }
    for failure in &campaign.failures {
        eprintln!("seed {}: {}", failure.seed, failure.wrong);
        eprintln!(
            "  cargo xtask sim --seeds 1 --from {} --trace",
            failure.seed
        );
    }
    match campaign.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
