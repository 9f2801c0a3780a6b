//! `keygate scan rules`: what other scanners have to know to find our keys.

use clap::{Args, ValueEnum};

use super::Brands;
use crate::{
    cli::{Exit, output::answer},
    keys::secret::{BODY_LENGTH, Brand, specimen},
};

/// Bits per character below which a text is a placeholder: random ones of this length have 4.5 and more.
const ENTROPY: &str = "3.5";

/// Print rules by which another scanner finds keys of a brand. They know the form only; `keygate scan` also verifies the
/// check characters.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate scan rules --format gitleaks --brand acme > .gitleaks.toml")]
pub(super) struct Rules {
    /// For which scanner.
    #[arg(long, value_enum)]
    format: Format,
    #[command(flatten)]
    brands: Brands,
}

/// A scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A configuration of gitleaks (TOML), which also keeps its own rules.
    Gitleaks,
    /// A configuration of trufflehog with custom detectors (YAML).
    Trufflehog,
    /// The fields of a custom pattern of GitHub secret scanning.
    Github,
}

impl Rules {
    pub(super) fn run(&self) -> Exit {
        let brands = match self.brands.named() {
            Ok(brands) if brands.is_empty() => vec![Brand::default()],
            Ok(brands) => brands,
            Err(exit) => return exit,
        };
        answer(rules(self.format, &brands).trim_end());
        Exit::Done
    }
}

fn rules(format: Format, brands: &[Brand]) -> String {
    let (head, rule): (&str, fn(&Brand) -> String) = match format {
        Format::Gitleaks => ("title = \"Keygate keys\"\n\n[extend]\nuseDefault = true\n", gitleaks),
        Format::Trufflehog => ("detectors:\n", trufflehog),
        Format::Github => ("", github),
    };
    brands.iter().fold(head.to_owned(), |text, brand| text + &rule(brand))
}

/// The form of a key. A brand is letters and digits, so nothing has to be escaped.
fn pattern(brand: &Brand) -> String {
    format!("{}_(?:live|test)_[0-9A-Za-z]{{{BODY_LENGTH}}}", brand.as_str())
}

fn gitleaks(brand: &Brand) -> String {
    let (pattern, brand) = (pattern(brand), brand.as_str());
    format!(
        "\n[[rules]]\nid = \"keygate-{brand}\"\ndescription = \"An API key of Keygate ({brand})\"\n\
         regex = '''({pattern})\\b'''\nsecretGroup = 1\nentropy = {ENTROPY}\n\
         keywords = [\"{brand}_live_\", \"{brand}_test_\"]\n"
    )
}

fn trufflehog(brand: &Brand) -> String {
    let (pattern, brand) = (pattern(brand), brand.as_str());
    format!(
        "  - name: keygate-{brand}\n    keywords: [{brand}_live_, {brand}_test_]\n    regex:\n      \
         key: '({pattern})\\b'\n    entropy: {ENTROPY}\n"
    )
}

fn github(brand: &Brand) -> String {
    format!(
        "Pattern name: Keygate API key ({})\nSecret format: {}\nBefore secret: \\A|[^0-9a-z]\n\
         After secret: \\z|[^0-9A-Za-z]\nTest string: {}\n\n",
        brand.as_str(),
        pattern(brand),
        specimen(brand)
    )
}
