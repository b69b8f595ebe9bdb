//! `lyceum`: the operators' command. `lyceum mesh` is everything in one process.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apart;
mod ask;
mod cli;
mod load;
mod logging;
mod mesh;
mod page;
mod stop;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = logging::start(cli.log_json) {
        complain(&error);
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error.into());
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Mesh(args) => mesh::run(args).await?,
        Command::Control(args) => apart::control(args).await?,
        Command::Edge(args) => apart::edge(args).await?,
        Command::Token(args) => ask::token(args).await?,
        Command::Room(args) => ask::room(args).await?,
        Command::Load(args) => return load::run(args).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says one line to whoever runs the command, or to the program that reads it.
fn say(line: impl std::fmt::Display) {
    // A closed standard output is no reason to stop serving.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr().lock(), "lyceum: {error:#}");
}
