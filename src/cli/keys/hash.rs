//! `keygate keys hash`: the digest of a secret, as a key file holds it.

use clap::Args;

use crate::{
    cli::{
        Exit,
        output::{answer, tell},
        secret_input,
    },
    keys::{
        digest::KeyDigest,
        secret::{Brand, ENTROPY_BITS_WANTED, KeySecret, SecretForm, ShapeHint},
    },
};

/// Print the digest of a secret that comes by standard input or in `KEYGATE_KEY`: what stands under `hash:` in a key file.
#[derive(Debug, Args)]
#[command(after_help = "Example: printf %s \"$SECRET\" | keygate keys hash")]
pub(super) struct Hash {
    /// The first part of this deployment's keys, to notice one that was cut short or mistyped.
    #[arg(long, value_parser = Brand::parse, default_value = "kg")]
    brand: Brand,
    /// Takes what must not be given here, so that it is not repeated in an error.
    #[arg(hide = true, value_name = "SECRET")]
    misplaced: Vec<std::ffi::OsString>,
}

impl Hash {
    pub(super) fn run(self) -> Exit {
        if !self.misplaced.is_empty() {
            tell(secret_input::POLITE_REFUSAL);
            return Exit::WrongInput;
        }
        match secret_input::read() {
            Ok(secret) => {
                self.warn(&secret);
                answer(&KeyDigest::of(secret.expose().as_bytes()).to_text());
                Exit::Done
            }
            Err(message) => {
                tell(&message);
                Exit::WrongInput
            }
        }
    }

    fn warn(&self, secret: &KeySecret) {
        let bytes = secret.expose().as_bytes();
        if let Some(hint) = ShapeHint::of(bytes, &self.brand) {
            tell(&format!(
                "warning: for a key of the brand {}, this one is odd: {hint}",
                self.brand.as_str()
            ));
        }
        let bits = secret.estimated_entropy_bits();
        if SecretForm::parse(bytes).is_none() && bits < ENTROPY_BITS_WANTED {
            tell(&format!(
                "warning: about {bits} bits of entropy, but a key should have {ENTROPY_BITS_WANTED}: whoever reads the digest could find it"
            ));
        }
    }
}
