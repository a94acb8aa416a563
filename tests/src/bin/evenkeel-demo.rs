//! `evenkeel-demo`, which `cargo demo` builds and runs: see [`evenkeel_tests::demo`].

use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_tests::demo::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    match demo::run(Arguments::parse()).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
