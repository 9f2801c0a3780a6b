//! Proposed routes as a part of `keygate.yaml`, with the reasons as comments.

use std::fmt::Write as _;

use super::{
    Api,
    proposal::{Proposal, ProposedRoute, shown},
};

/// What the routes say beside what follows from the description.
#[derive(Debug, Clone, Copy, Default)]
pub struct FragmentOptions<'o> {
    /// The name of the file that was read.
    pub source: &'o str,
    /// The name of their upstream, where there are several.
    pub upstream: Option<&'o str>,
    /// Until when they observe.
    pub observe_until: Option<&'o str>,
}

/// The routes of `proposal`, made of `api`, as YAML that `keygate check` accepts once scopes of the API's own are defined.
pub fn write_fragment(api: &Api, proposal: &Proposal, options: &FragmentOptions<'_>) -> String {
    let mut out = String::new();
    let title = if api.title.is_empty() { String::new() } else { format!(", {}", shown(&api.title)) };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "# Proposed by `keygate routes import` from {}{title} (OpenAPI {}): {} routes for {} operations.\n\
         # Read every line before it is in force: only you know what each operation may do.",
        shown(options.source),
        shown(&api.openapi),
        proposal.routes.len(),
        api.operations.len()
    );
    let _ = writeln!(out, "routes:{}", if proposal.routes.is_empty() { " []" } else { "" });
    for route in &proposal.routes {
        write_route(&mut out, route, options);
    }
    out
}

fn write_route(out: &mut String, route: &ProposedRoute, options: &FragmentOptions<'_>) {
    for reason in &route.reasons {
        let _ = writeln!(out, "  # {reason}");
    }
    let _ = writeln!(out, "  - path: {}", scalar(&route.pattern));
    if route.is_public {
        let methods: Vec<_> = route.methods.iter().map(|(method, _)| method.as_str()).collect();
        let _ = writeln!(out, "    access: public\n    methods: [{}]", methods.join(", "));
    } else {
        if let Some(project) = &route.project {
            let _ = writeln!(out, "    project: {}", scalar(project));
        }
        let methods: Vec<_> =
            route.methods.iter().map(|(method, scopes)| format!("{method}: {}", scopes_of(scopes))).collect();
        let _ = writeln!(out, "    methods: {{{}}}", methods.join(", "));
        if route.lists_projects {
            let _ = writeln!(
                out,
                "    # restricted_keys: [GET]   # if the API filters its list by X-Auth-Projects"
            );
        }
        if let Some(until) = options.observe_until {
            let _ = writeln!(out, "    observe: {{until: {until}}}");
        }
    }
    if route.either_trailing_slash {
        out.push_str("    trailing_slash: either\n");
    }
    if route.ignore_case {
        out.push_str("    case: ignore\n");
    }
    if let Some(upstream) = options.upstream {
        let _ = writeln!(out, "    upstream: {}", scalar(upstream));
    }
}

fn scopes_of(scopes: &[String]) -> String {
    match scopes {
        [one] => scalar(one),
        several => format!("[{}]", several.iter().map(|scope| scalar(scope)).collect::<Vec<_>>().join(", ")),
    }
}

/// `text` as a scalar that means it, also to the interpolation of `$`.
fn scalar(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    let begins_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_word = ["null", "true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if begins_plain && text.bytes().all(is_plain) && !is_word {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''").replace('$', "$$"))
}
