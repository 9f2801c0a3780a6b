//! From operations to routes: which scope each method would need, and why; what is unclear, with its place.

use std::collections::{BTreeSet, HashMap};

use super::{
    Api, DeclaredAccess, Operation,
    pattern::{PatternParameter, RoutePattern, route_pattern},
};
use crate::{
    policy::{
        path::TailAllowance,
        project::ProjectPattern,
        route::{Access, Route, RouteTable},
        scope::ScopeSet,
    },
    yaml::{Place, Problem, is_invisible},
};

/// What nobody can know from the description alone.
#[derive(Debug, Clone, Default)]
pub struct ProposalOptions {
    /// The names of parameters that stand for a project; without any, it is guessed from their names.
    pub project_parameters: Vec<String>,
}

/// Routes for an API.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The routes, in the order of the description.
    pub routes: Vec<ProposedRoute>,
    /// What is unclear, was widened or left out.
    pub notes: Vec<Problem>,
}

/// One entry of `routes`.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a path")]
#[derive(Debug, Clone)]
pub struct ProposedRoute {
    /// The pattern of its path.
    pub pattern: String,
    /// Its methods with the scopes they need; without any, all of them, the route is public.
    pub methods: Vec<(String, Vec<String>)>,
    /// Whether it is public.
    pub is_public: bool,
    /// Where it names its project, as `project:` says it.
    pub project: Option<String>,
    /// Whether the path stands with and without a `/` at its end.
    pub either_trailing_slash: bool,
    /// Whether the path stands in several cases.
    pub ignore_case: bool,
    /// Whether its members are projects, so that keys restricted to projects may need it.
    pub lists_projects: bool,
    /// Why, a line each.
    pub reasons: Vec<String>,
    /// Where its first operation stands.
    pub place: Place,
}

/// What a method would need.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MethodAccess {
    /// No key.
    Public,
    /// A key with these scopes.
    Scopes(Vec<String>),
}

/// The operations of one path, however it is spelled.
#[derive(Debug)]
struct Group<'a> {
    pattern: RoutePattern,
    spellings: BTreeSet<String>,
    /// The paths that the pattern is wider than.
    narrower: BTreeSet<&'a str>,
    methods: Vec<Mapped<'a>>,
    place: Place,
}

#[derive(Debug)]
struct Mapped<'a> {
    operation: &'a Operation,
    access: MethodAccess,
    why: String,
}

/// Proposes the routes of `api`. Every operation that is not told in the notes is reached by one of them; none is proposed that
/// the gateway would refuse to load.
///
/// Cost: about linear in the operations.
pub fn propose(api: &Api, options: &ProposalOptions) -> Proposal {
    let mut notes = Vec::new();
    let groups = grouped(api, &mut notes);
    let mut routes: Vec<ProposedRoute> =
        groups.iter().flat_map(|group| routes_of(group, options, &mut notes)).collect();
    mark_lists(&mut routes);
    leave_out_what_cannot_stand(&mut routes, &mut notes);
    if !routes.is_empty() && routes.iter().all(|route| route.project.is_none()) {
        notes.push(Problem::new(
            Place::default(),
            "no parameter looks like a project, so keys that are restricted to projects would see nothing",
            "--project-parameter names the one that is, if there is one",
        ));
    }
    notes.sort_by_key(|note| note.place);
    Proposal { routes, notes }
}

fn grouped<'a>(api: &'a Api, notes: &mut Vec<Problem>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for operation in &api.operations {
        if operation.method == "TRACE" {
            notes.push(Problem::new(operation.place, "TRACE is never served", "remove the operation"));
            continue;
        }
        let pattern = route_pattern(&operation.path);
        if pattern.is_wider {
            let message = format!(
                "the route {} matches more than the path {}",
                shown(&pattern.text),
                shown(&operation.path)
            );
            notes.push(Problem::new(
                operation.place,
                message,
                "routes know whole segments only; check that nothing else is there",
            ));
        }
        let at = *known.entry(pattern.fold.clone()).or_insert_with(|| {
            groups.push(Group {
                pattern: pattern.clone(),
                spellings: BTreeSet::new(),
                narrower: BTreeSet::new(),
                methods: Vec::new(),
                place: operation.place,
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.spellings.insert(literal_spelling(&pattern.text));
        group.narrower.extend(pattern.is_wider.then_some(operation.path.as_str()));
        if operation.access == DeclaredAccess::Optional {
            let message =
                format!("{} may be called without a credential; the route asks for a key", named(operation));
            notes.push(Problem::new(
                operation.place,
                message,
                "write access: public for the method if anyone may",
            ));
        }
        let (access, why) = access_of(operation);
        add_method(group, Mapped { operation, access, why }, notes);
    }
    groups
}

/// The pattern without the names of its parameters.
fn literal_spelling(pattern: &str) -> String {
    let plain = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    pattern.split('/').map(plain).collect::<Vec<_>>().join("/")
}

fn add_method<'a>(group: &mut Group<'a>, new: Mapped<'a>, notes: &mut Vec<Problem>) {
    let Some(old) = group.methods.iter_mut().find(|old| old.operation.method == new.operation.method) else {
        group.methods.push(new);
        return;
    };
    let message = format!(
        "{} and {} are one to a route, {}; first at {}",
        named(old.operation),
        named(new.operation),
        shown(&group.pattern.text),
        old.operation.place
    );
    let remedy = if old.access == new.access {
        "nothing is to be done: both need the same"
    } else {
        "what needs more counts for both"
    };
    notes.push(Problem::new(new.operation.place, message, remedy));
    if rank(&new.access) > rank(&old.access) {
        *old = new;
    }
}

/// From what anyone may to what few may; scopes of the API's own count as the most.
fn rank(access: &MethodAccess) -> usize {
    match access {
        MethodAccess::Public => 0,
        MethodAccess::Scopes(scopes) => match scopes.as_slice() {
            [one] => SCOPES.iter().position(|known| known == one).map_or(SCOPES.len() + 1, |at| at + 1),
            _ => SCOPES.len() + 2,
        },
    }
}

const SCOPES: [&str; 3] = ["read", "write", "admin"];

/// Words in a tag or a path that only administrators use.
const ADMIN_WORDS: [&str; 5] = ["admin", "admins", "administration", "administrator", "superuser"];

/// Words in scopes of OAuth 2, by the scope of ours that they stand for.
const OAUTH_WORDS: [(&str, &[&str]); 3] = [
    ("admin", &["admin", "administration", "administer", "manage", "management", "owner", "superuser"]),
    ("write", &["write", "create", "update", "delete", "edit", "modify", "upload", "rw", "readwrite"]),
    ("read", &["read", "readonly", "view", "list", "get", "search", "ro"]),
];

/// What `operation` would need, and why.
fn access_of(operation: &Operation) -> (MethodAccess, String) {
    let scope = |name: &str| MethodAccess::Scopes(vec![name.to_owned()]);
    match &operation.access {
        DeclaredAccess::Public => return (MethodAccess::Public, "it is declared public".to_owned()),
        DeclaredAccess::Scopes(scopes) => {
            return (MethodAccess::Scopes(scopes.clone()), "x-keygate-scope says so".to_owned());
        }
        DeclaredAccess::Unsaid | DeclaredAccess::Optional | DeclaredAccess::OauthScopes(_) => {}
    }
    if let Some(tag) = operation.tags.iter().find(|tag| words(tag).any(|word| ADMIN_WORDS.contains(&&*word)))
    {
        return (scope("admin"), format!("its tag is {}", shown(tag)));
    }
    let mut segments = operation.path.split('/').filter(|segment| !segment.contains('{'));
    if let Some(segment) = segments.find(|segment| words(segment).any(|word| ADMIN_WORDS.contains(&&*word))) {
        return (scope("admin"), format!("its path says {}", shown(segment)));
    }
    if let DeclaredAccess::OauthScopes(names) = &operation.access {
        let all: Vec<String> = names.iter().flat_map(|name| words(name)).collect();
        let mapped = OAUTH_WORDS.iter().find(|(_, known)| all.iter().any(|word| known.contains(&&**word)));
        if let Some((ours, _)) = mapped {
            let names: Vec<_> = names.iter().map(|name| shown(name)).collect();
            return (scope(ours), format!("it needs the OAuth scope {}", names.join(" and ")));
        }
    }
    match operation.method {
        "GET" | "HEAD" | "OPTIONS" | "QUERY" => (scope("read"), format!("{} reads", operation.method)),
        method => (scope("write"), format!("{method} changes something")),
    }
}

/// The words of a name in lower case, however it joins them.
fn words(name: &str) -> impl Iterator<Item = String> {
    name.split(|character: char| !character.is_ascii_alphanumeric()).map(str::to_ascii_lowercase)
}

/// One route for what needs keys, and one for what is public.
fn routes_of(group: &Group<'_>, options: &ProposalOptions, notes: &mut Vec<Problem>) -> Vec<ProposedRoute> {
    let unslashed = |spelling: &String| spelling.trim_end_matches('/').to_owned();
    let either_trailing_slash = group.spellings.iter().any(|one| one.ends_with('/'))
        && group.spellings.iter().any(|one| !one.ends_with('/'));
    let ignore_case = group.spellings.iter().map(unslashed).collect::<BTreeSet<_>>().len() > 1;
    if either_trailing_slash || ignore_case {
        let message = format!("the path {} stands in several spellings", shown(&group.pattern.text));
        notes.push(Problem::new(group.place, message, "one route stands for all of them"));
    }
    let (public, guarded): (Vec<_>, Vec<_>) = group
        .methods
        .iter()
        .filter(|mapped| !is_covered_by_get(mapped, &group.methods))
        .partition(|mapped| mapped.access == MethodAccess::Public);
    [public, guarded]
        .into_iter()
        .filter(|methods| !methods.is_empty())
        .map(|methods| ProposedRoute {
            pattern: group.pattern.text.clone(),
            is_public: methods[0].access == MethodAccess::Public,
            project: if methods[0].access == MethodAccess::Public {
                None
            } else {
                project(&group.pattern, &methods, options)
            },
            either_trailing_slash,
            ignore_case,
            lists_projects: false,
            reasons: reasons(group, &methods),
            place: methods[0].operation.place,
            methods: methods
                .iter()
                .map(|mapped| {
                    let scopes = match &mapped.access {
                        MethodAccess::Public => Vec::new(),
                        MethodAccess::Scopes(scopes) => scopes.clone(),
                    };
                    (mapped.operation.method.to_owned(), scopes)
                })
                .collect(),
        })
        .collect()
}

/// Why the methods need what they need, and what else is served by the route.
fn reasons(group: &Group<'_>, methods: &[&Mapped<'_>]) -> Vec<String> {
    let wider = group.narrower.iter().map(|path| format!("Look: this serves more than {}", shown(path)));
    methods.iter().map(|mapped| format!("{}: {}", named(mapped.operation), mapped.why)).chain(wider).collect()
}

/// A route that maps GET maps HEAD.
fn is_covered_by_get(mapped: &Mapped<'_>, all: &[Mapped<'_>]) -> bool {
    mapped.operation.method == "HEAD"
        && all.iter().any(|other| other.operation.method == "GET" && other.access == mapped.access)
}

/// Where the requests of a route name their project.
fn project(pattern: &RoutePattern, methods: &[&Mapped<'_>], options: &ProposalOptions) -> Option<String> {
    let chosen = |name: &str| options.project_parameters.iter().any(|known| known == name);
    let is_project = |parameter: &&PatternParameter| {
        if options.project_parameters.is_empty() {
            looks_like_project(parameter)
        } else {
            chosen(&parameter.described) || chosen(&parameter.name)
        }
    };
    if let Some(parameter) = pattern.parameters.iter().find(is_project) {
        return Some(format!("path:{}", parameter.name));
    }
    options.project_parameters.iter().find_map(|name| {
        let all = |has: &dyn Fn(&Operation) -> bool| methods.iter().all(|mapped| has(mapped.operation));
        if all(&|operation| operation.query_parameters.contains(name)) {
            return Some(format!("query:{name}"));
        }
        let is_header = |known: &String| known.eq_ignore_ascii_case(name);
        all(&|operation| operation.header_parameters.iter().any(is_header)).then(|| format!("header:{name}"))
    })
}

/// `project`, `projectId`, `project_slug`, and the `id` behind `projects`.
fn looks_like_project(parameter: &PatternParameter) -> bool {
    const PARTS: [&str; 6] = ["", "id", "slug", "key", "name", "uuid"];
    let plain: String = parameter
        .described
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    match plain.strip_prefix("project") {
        Some(rest) => PARTS.contains(&rest),
        None => parameter.after.eq_ignore_ascii_case("projects") && PARTS.contains(&plain.as_str()),
    }
}

/// A collection whose members are projects.
fn mark_lists(routes: &mut [ProposedRoute]) {
    let members: BTreeSet<String> = routes
        .iter()
        .filter(|route| route.project.is_some())
        .filter_map(|route| {
            let start = route.pattern.find("/{")?;
            Some(route.pattern[..start].to_owned())
        })
        .collect();
    for route in routes.iter_mut().filter(|route| !route.is_public && route.project.is_none()) {
        route.lists_projects = members.contains(route.pattern.trim_end_matches('/'));
    }
}

/// Takes out, with a note, what the gateway would not load: patterns that cannot match, and pairs that a lax back end
/// would confuse.
fn leave_out_what_cannot_stand(routes: &mut Vec<ProposedRoute>, notes: &mut Vec<Problem>) {
    // One round finds all that is wrong by itself; what is left over, at most a pair for each route.
    for _ in 0..=routes.len() {
        let Err(problems) = RouteTable::build(routes.iter().map(as_route).collect()) else { return };
        let mut wrong = BTreeSet::new();
        for problem in problems {
            if wrong.insert(problem.route) {
                let place = routes[problem.route].place;
                let message = format!("there is no route for this path: {}", problem.message);
                notes.push(Problem::new(place, message, problem.remedy));
            }
        }
        let mut at = 0;
        routes.retain(|_| {
            at += 1;
            !wrong.contains(&(at - 1))
        });
    }
}

fn as_route(proposed: &ProposedRoute) -> Route {
    let access = if proposed.is_public { Access::Public } else { Access::Scopes(ScopeSet::EMPTY) };
    Route {
        pattern: proposed.pattern.clone(),
        hosts: Vec::new(),
        methods: proposed.methods.iter().map(|(method, _)| (method.as_str().into(), access)).collect(),
        other_methods: None,
        project: None,
        project_pattern: ProjectPattern::Default,
        restricted_keys: Vec::new(),
        allow_in_tail: TailAllowance::default(),
        either_trailing_slash: proposed.either_trailing_slash,
        ignore_case: proposed.ignore_case,
        honour_method_override: false,
        body_on_get: false,
        answers_preflight: false,
        observed_until: None,
        forwarding: 0,
    }
}

/// `GET listPets`, or the method and the path where the operation has no id.
fn named(operation: &Operation) -> String {
    let name = operation.id.as_ref().unwrap_or(&operation.path);
    format!("{} {}", operation.method, shown(name))
}

/// `text` of the description as it may stand in a comment or a message: short, on one line, and only what is seen.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let plain = |character: char| if is_invisible(character) { '?' } else { character };
    let more = if text.chars().nth(SHOWN_MAX).is_some() { "…" } else { "" };
    text.chars().take(SHOWN_MAX).map(plain).chain(more.chars()).collect()
}
