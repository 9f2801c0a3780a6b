//! `keygate schema`: the JSON Schema of a file.

use clap::{Args, ValueEnum};

use super::{Exit, cases, output::answer_json};
use crate::{config, store::key_file_schema};

/// Print the JSON Schema (2020-12) of a file, for editors that complete and check by it.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate schema config > keygate.schema.json
and in keygate.yaml: # yaml-language-server: $schema=keygate.schema.json")]
pub(super) struct Schema {
    /// Of which file.
    #[arg(value_enum, default_value_t)]
    of: File,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum File {
    /// The configuration, keygate.yaml.
    #[default]
    Config,
    /// A key file.
    Keys,
    /// The cases of `keygate test`.
    Cases,
}

impl Schema {
    pub(super) fn run(&self) -> Exit {
        match self.of {
            File::Config => answer_json(&config::schema()),
            File::Keys => answer_json(&key_file_schema()),
            File::Cases => answer_json(&cases::schema()),
        }
        Exit::Done
    }
}
