//! The command line, with flags taken from a TOML file where `--config` names one.
//!
//! A key of the file is a flag without its dashes: `crop = 224`, `exif-orientation = true`, `input = ["a", "b"]`. It is
//! turned into that flag and parsed with the rest, so that names, values and mistakes are the same in both places; a flag
//! that the command line gives wins.

use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::Cli;
use crate::exit::{Exit, Failure};

/// Why there is no command to run.
pub enum Refused {
    /// clap's message, help and version included.
    Clap(clap::Error),
    /// The configuration file is at fault.
    Config(Failure),
}

/// Parses the process's arguments.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, Refused> {
    let mut args: Vec<OsString> = args.collect();
    let matches = Cli::command().try_get_matches_from(&args).map_err(Refused::Clap)?;
    let chosen = matches.subcommand().and_then(|(name, sub)| config_path(sub).map(|path| (name, sub, path)));
    let matches = match chosen {
        None => matches,
        Some((name, sub, path)) => {
            args.extend(flags_of(&path, name, sub).map_err(Refused::Config)?);
            Cli::command().try_get_matches_from(&args).map_err(Refused::Clap)?
        }
    };
    Cli::from_arg_matches(&matches).map_err(Refused::Clap)
}

fn config_path(matches: &ArgMatches) -> Option<std::path::PathBuf> {
    matches.try_get_one::<std::path::PathBuf>("config").ok().flatten().cloned()
}

/// The file's keys as flags, without those that the command line gives.
fn flags_of(path: &Path, command: &str, matches: &ArgMatches) -> Result<Vec<OsString>, Failure> {
    let fail = |what: String| Failure::new(Exit::Usage, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| Failure::io(Exit::Input, path, &e))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| fail(e.to_string()))?;
    let clap_command = Cli::command();
    let known: Vec<&clap::Arg> =
        clap_command.find_subcommand(command).map(|c| c.get_arguments().collect()).unwrap_or_default();
    let mut flags = Vec::new();
    for (key, value) in &table {
        let Some(arg) = known.iter().find(|arg| arg.get_long() == Some(key) && key != "config") else {
            let mut names: Vec<&str> =
                known.iter().filter_map(|arg| arg.get_long()).filter(|name| *name != "config").collect();
            names.sort_unstable();
            return Err(fail(format!("unknown key '{key}'; there are: {}", names.join(", "))));
        };
        if matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
            continue;
        }
        let switch = !arg.get_action().takes_values();
        for value in values(value).ok_or_else(|| fail(format!("'{key}' is neither a value nor a list of values")))? {
            match (switch, value.as_str()) {
                (true, "false") => {}
                (true, "true") => flags.push(format!("--{key}").into()),
                (true, _) => return Err(fail(format!("'{key}' is true or false"))),
                // One word, so that a value that starts with a dash is not taken for a flag.
                (false, value) => flags.push(format!("--{key}={value}").into()),
            }
        }
    }
    Ok(flags)
}

fn values(value: &toml::Value) -> Option<Vec<String>> {
    Some(match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Integer(number) => vec![number.to_string()],
        toml::Value::Float(number) => vec![number.to_string()],
        toml::Value::Boolean(flag) => vec![flag.to_string()],
        toml::Value::Array(items) => {
            let nested = items.iter().map(|item| if item.is_array() { None } else { values(item) });
            nested.collect::<Option<Vec<_>>>()?.concat()
        }
        _ => return None,
    })
}
