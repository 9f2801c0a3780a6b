//! Listings for people: columns without lines, and no character that could fake, hide or reorder them.

use comfy_table::{Table, presets};

use crate::telemetry::escape::is_deceptive;

/// Rows under names, one line each.
pub(super) fn columns<const N: usize>(
    names: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(names);
    for row in rows {
        table.add_row(row.map(|value| shown(&value)));
    }
    let lines = table.trim_fmt();
    // The first column needs no distance from the edge.
    lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Names and values, one below the other; those without value are left out.
pub(super) fn fields(fields: &[(&str, Option<String>)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, Option<String>)| {
        value.as_ref().map(|value| format!("{name:<width$}  {}", shown(value)))
    };
    fields.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// `text` with deceptive characters spelled out.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// `text`, or a dash for nothing.
pub(super) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}
