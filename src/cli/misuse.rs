//! What is told of arguments that no command takes, beyond what the parser says.

use std::env;

use clap::{
    CommandFactory as _,
    builder::StyledStr,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use super::Arguments;

/// `error`, with the option that was meant where a configuration stands alone.
pub(super) fn hinted(mut error: Error) -> Error {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && [".yaml", ".yml"].iter().any(|end| argument.ends_with(end))
        && takes_config(env::args().skip(1))
    {
        let tip = StyledStr::from(format!("a configuration is named by '--config {argument}'"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// Whether the command that `arguments` begin with has `--config`.
fn takes_config(arguments: impl Iterator<Item = String>) -> bool {
    let mut command = Arguments::command();
    for argument in arguments {
        let Some(named) = command.find_subcommand(&argument) else { break };
        command = named.clone();
    }
    command.get_arguments().any(|argument| argument.get_long() == Some("config"))
}
