//! How a secret gets in: by `KEYGATE_KEY` or standard input, never as an argument.

use std::io::{self, Read as _};

use zeroize::Zeroizing;

use crate::keys::{
    credential::SECRET_BYTES_MAX,
    secret::{KeySecret, SecretForm},
};

/// The variable that may hold a secret.
const VARIABLE: &str = "KEYGATE_KEY";

/// What is said where a secret stands among the arguments.
pub(super) const POLITE_REFUSAL: &str = "a secret among the arguments is seen by everybody on this machine, and the \
    shell remembers it; please give it by standard input or in the variable KEYGATE_KEY, and replace this one if it \
    is in use";

/// Whether an argument is a key of the form that Keygate makes.
pub(super) fn looks_secret(argument: &str) -> bool {
    SecretForm::parse(argument.as_bytes()).is_some()
}

/// The secret in `KEYGATE_KEY`, else the one that standard input holds, without the line break at its end.
///
/// # Errors
/// Why there is none; never with anything of it.
pub(super) fn read() -> Result<KeySecret, String> {
    let text = match std::env::var(VARIABLE) {
        Ok(text) => Zeroizing::new(text),
        Err(std::env::VarError::NotPresent) => read_standard_input()?,
        Err(std::env::VarError::NotUnicode(_)) => return Err(not_a_secret()),
    };
    if text.is_empty() {
        return Err(format!("no secret was given; pipe it in, or set {VARIABLE}"));
    }
    KeySecret::import(text).ok_or_else(not_a_secret)
}

fn read_standard_input() -> Result<Zeroizing<String>, String> {
    // Room for one byte too many and a line break, so that nothing grows and leaves a copy behind.
    const MOST: usize = SECRET_BYTES_MAX + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST));
    io::stdin()
        .lock()
        .take(MOST as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("standard input cannot be read: {error}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| not_a_secret())?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

fn not_a_secret() -> String {
    format!(
        "what was given cannot be a secret; it is 1 to {SECRET_BYTES_MAX} visible ASCII characters without spaces and commas"
    )
}
