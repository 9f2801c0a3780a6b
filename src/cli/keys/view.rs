//! A key as the command line shows it.

use crate::{
    cli::table, control::key_view::KeyView, store::record_yaml::instant, telemetry::usage::UseCounts,
};

/// When it was last used, for a column.
pub(super) fn last_used(view: &KeyView) -> String {
    match &view.uses {
        None => "-".to_owned(),
        Some(uses) => uses.last_used.map_or_else(|| "never".to_owned(), |used| instant(used.at)),
    }
}

/// How often it was used with either secret.
pub(super) fn count(view: &KeyView) -> Option<u64> {
    let uses = view.uses.as_ref()?;
    Some(uses.current_secret.sum() + uses.previous_secret.map_or(0, UseCounts::sum))
}

/// Everything, one field to a line.
pub(super) fn fields(view: &KeyView) -> String {
    let labels: Vec<_> = view.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let used = view.uses.as_ref().map(|uses| match uses.last_used {
        Some(used) => format!("{} from {}", instant(used.at), used.client),
        None => {
            uses.since.as_ref().map_or_else(|| "never".to_owned(), |since| format!("never since {since}"))
        }
    });
    let previous_uses = view.uses.as_ref().and_then(|uses| uses.previous_secret).map(UseCounts::sum);
    table::fields(&[
        ("id", Some(view.id.clone())),
        ("name", view.name.clone()),
        ("prefix", view.prefix.clone()),
        ("labels", Some(labels.join(" ")).filter(|labels| !labels.is_empty())),
        ("owner", view.owner.clone()),
        ("organization", view.organization.clone()),
        ("status", Some(view.status.to_owned())),
        ("scopes", Some(listed(&view.scopes))),
        ("effective scopes", Some(listed(&view.effective.scopes))),
        ("projects", Some(view.projects.joined())),
        ("effective projects", Some(view.effective.projects.joined())),
        ("addresses", Some(view.addresses.join(" ")).filter(|addresses| !addresses.is_empty())),
        ("plan", view.plan.clone()),
        ("created", view.created_at.clone()),
        ("not before", view.not_before.clone()),
        ("expires", Some(view.expires_at.clone())),
        ("revoked", view.revoked_at.clone()),
        ("revoked by", view.revoked_by.clone()),
        ("reason", view.revoked_reason.clone()),
        ("known from", view.revocation_kept_in.as_ref().map(|file| format!("{file}, not yet the key file"))),
        ("old secret until", view.previous_secret_until.clone()),
        ("last used", used),
        ("uses", count(view).map(|count| count.to_string())),
        ("uses of old secret", previous_uses.map(|count| count.to_string())),
    ])
}

/// The names on one line.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}
