//! Routes: which request needs what. A segment trie finds the route of a path, once as the path stands and once for
//! its lax fold; a route is found only where both agree.

mod pattern;
mod trie;

use std::fmt;

use jiff::Timestamp;

pub use self::pattern::parameters;
use self::{
    pattern::{Segment, parse_pattern},
    trie::{Captures, Trie, Walked},
};
use super::{
    path::{RequestPath, TailAllowance, fold_literal},
    project::{ProjectPattern, ProjectSource},
    scope::ScopeSet,
};

/// The most `{name}` segments a route may have.
pub const PARAMETERS_MAX: usize = 16;

/// What a method of a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: anyone may, without a key.
    Public,
    /// A key with these scopes.
    Scopes(ScopeSet),
}

/// One route as configured and checked.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the config")]
#[derive(Debug, Clone)]
pub struct Route {
    /// Its path pattern, as written.
    pub pattern: String,
    /// The hosts it is for, lower case, `*.` for any label; empty for any host.
    pub hosts: Vec<String>,
    /// What each named method needs. Methods are case-sensitive (RFC 9110 §9.1).
    pub methods: Vec<(Box<str>, Access)>,
    /// What every other method needs (`'*'`), if it is mapped.
    pub other_methods: Option<Access>,
    /// Where the request names its project, if it does.
    pub project: Option<ProjectSource>,
    /// What a project id of this route looks like.
    pub project_pattern: ProjectPattern,
    /// Methods that a restricted key may use although the request names no project.
    pub restricted_keys: Vec<Box<str>>,
    /// What its tail may hold beyond what is permitted everywhere.
    pub allow_in_tail: TailAllowance,
    /// Whether the path with a trailing `/` is the same route.
    pub either_trailing_slash: bool,
    /// Whether its literal segments match in any case.
    pub ignore_case: bool,
    /// Whether `X-HTTP-Method-Override` decides the method.
    pub honour_method_override: bool,
    /// Whether GET and HEAD may carry a body.
    pub body_on_get: bool,
    /// Whether CORS preflights are answered here.
    pub answers_preflight: bool,
    /// Until when what it would refuse is forwarded, as nobody's, and recorded; `None`: it enforces.
    pub observed_until: Option<Timestamp>,
    /// What the data path does with permitted requests: an index into the config's forwarding settings.
    pub forwarding: usize,
}

impl Route {
    /// Whether, at `now`, it forwards what it would refuse.
    pub fn observes(&self, now: Timestamp) -> bool {
        self.observed_until.is_some_and(|until| now < until)
    }

    fn named_access(&self, method: &str) -> Option<Access> {
        self.methods.iter().find(|(known, _)| **known == *method).map(|(_, access)| *access)
    }
}

/// The routes of one path: usually one, several where the same path stands with disjoint methods.
#[derive(Debug)]
struct Leaf {
    routes: Vec<usize>,
}

type LeafIndex = usize;

/// Why routes cannot stand together, or one cannot stand at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteProblem {
    /// The route at fault, by its place in the list.
    pub route: usize,
    /// The other route of a conflict.
    pub other: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for RouteProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.message, self.remedy)
    }
}

/// All routes, ready to be searched.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    leaves: Vec<Leaf>,
    tries: Vec<HostTries>,
    /// No pattern folds to something else, so a plain path needs no second look.
    canonical: bool,
    /// The headers that name a project on some route, each once.
    project_headers: Vec<Box<str>>,
}

/// The tries of one host pattern; `None` is any host.
#[derive(Debug, Default)]
struct HostTries {
    host: Option<Box<str>>,
    strict: Trie,
    lax: Trie,
}

/// What a path led to.
#[derive(Debug, Clone)]
pub struct Found<'t> {
    table: &'t RouteTable,
    leaf: LeafIndex,
    captures: Captures,
    tail_start: Option<usize>,
    agreed: bool,
}

impl<'t> Found<'t> {
    /// The route that maps `method`, and what the method needs there: the method by name, else GET for HEAD, else
    /// `'*'`; `None` if it is not mapped.
    pub fn route_for(&self, method: &str) -> Option<(&'t Route, Access)> {
        let named = |name: &str| self.routes().find_map(|route| Some((route, route.named_access(name)?)));
        named(method)
            .or_else(|| if method == "HEAD" { named("GET") } else { None })
            .or_else(|| self.routes().find_map(|route| Some((route, route.other_methods?))))
    }

    /// The methods this path maps, for an `Allow` field: sorted, HEAD where GET is; empty if every method is.
    pub fn mapped_methods(&self) -> Vec<&'t str> {
        if self.routes().any(|route| route.other_methods.is_some()) {
            return Vec::new();
        }
        let mut names: Vec<&str> =
            self.routes().flat_map(|route| route.methods.iter().map(|(name, _)| name.as_ref())).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The routes of this path.
    pub fn routes(&self) -> impl Iterator<Item = &'t Route> + use<'t> {
        self.table.routes_of(self.leaf)
    }

    /// The routes that the lax reading of `path`, the path this was found for on `host`, leads to; `None` if to none.
    /// Cost: a walk of the trie.
    pub fn folded_routes(
        &self,
        host: Option<&str>,
        path: &RequestPath<'_>,
    ) -> Option<impl Iterator<Item = &'t Route> + use<'t>> {
        let lax = self.table.walk(host, path.fold(), Reading::Folded)?;
        Some(self.table.routes_of(lax.leaf))
    }

    /// Where the part of the path begins that `{*rest}` matched, in bytes.
    pub fn tail_start(&self) -> Option<usize> {
        self.tail_start
    }

    /// The text of the `{name}` segment number `at` in `path`, the path this was found for.
    pub fn segment<'b>(&self, path: &RequestPath<'b>, at: usize) -> Option<&'b str> {
        let &(start, end) = self.captures.get(at)?;
        path.as_str().get(usize::from(start)..usize::from(end))
    }

    /// Whether the lax reading of the path leads here too, with the same project (case aside).
    pub fn readings_agree(&self) -> bool {
        self.agreed
    }
}

impl RouteTable {
    /// Builds the table of `routes`, in their order.
    ///
    /// # Errors
    /// Every [`RouteProblem`]: bad patterns, and pairs that contradict each other or that a lax back end would confuse.
    pub fn build(routes: Vec<Route>) -> Result<Self, Vec<RouteProblem>> {
        let mut builder = Builder::default();
        for (at, route) in routes.iter().enumerate() {
            builder.add(at, route, &routes);
        }
        if !builder.problems.is_empty() {
            return Err(builder.problems);
        }
        // Exact hosts first, then the longest wildcard, then any host.
        builder.tries.sort_by_key(|tries| match &tries.host {
            Some(host) if !host.starts_with('*') => (0, 0),
            Some(host) => (1, usize::MAX - host.len()),
            None => (2, 0),
        });
        let project_headers = project_headers(&routes);
        Ok(Self {
            routes,
            leaves: builder.leaves,
            tries: builder.tries,
            canonical: builder.canonical,
            project_headers,
        })
    }

    /// The routes in the order of the config.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The headers that name a project on some route, lower case.
    pub fn project_headers(&self) -> impl Iterator<Item = &str> {
        self.project_headers.iter().map(AsRef::as_ref)
    }

    /// Whether some route decides by the method that a request overrides its own with.
    pub fn honours_method_override(&self) -> bool {
        self.routes.iter().any(|route| route.honour_method_override)
    }

    /// How many routes forward, at `now`, what they would refuse.
    pub fn routes_observing(&self, now: Timestamp) -> u64 {
        self.routes.iter().filter(|route| route.observes(now)).count() as u64
    }

    /// Whether any route is for particular hosts.
    pub fn uses_hosts(&self) -> bool {
        self.tries.iter().any(|tries| tries.host.is_some())
    }

    /// What `path` leads to on `host` (without port; `None` for an HTTP/1.0 request without Host).
    ///
    /// Cost: one walk of the trie, a second one where the path is not its own fold; no heap memory.
    pub fn find(&self, host: Option<&str>, path: &RequestPath<'_>) -> Option<Found<'_>> {
        let strict = self.walk(host, path.as_str().as_bytes(), Reading::AsItStands)?;
        let mut found = Found {
            table: self,
            leaf: strict.leaf,
            captures: strict.captures,
            tail_start: strict.tail_start,
            agreed: true,
        };
        if !(self.canonical && path.is_plain()) {
            found.agreed = self.lax_agrees(host, path, &found);
        }
        Some(found)
    }

    /// The route that the lax fold of `path` leads to on `host`, whatever the path as it stands leads to; for
    /// explanations.
    pub fn find_folded(&self, host: Option<&str>, path: &RequestPath<'_>) -> Option<&Route> {
        let lax = self.walk(host, path.fold(), Reading::Folded)?;
        self.leaves[lax.leaf].routes.first().map(|&at| &self.routes[at])
    }

    fn routes_of(&self, leaf: LeafIndex) -> impl Iterator<Item = &Route> + use<'_> {
        self.leaves[leaf].routes.iter().map(|&at| &self.routes[at])
    }

    fn lax_agrees(&self, host: Option<&str>, path: &RequestPath<'_>, found: &Found<'_>) -> bool {
        let folded = path.fold();
        let Some(lax) = self.walk(host, folded, Reading::Folded) else { return false };
        if lax.leaf != found.leaf {
            return false;
        }
        found.routes().all(|route| match route.project {
            Some(ProjectSource::Path(at)) => {
                let strict = found.segment(path, at).unwrap_or_default();
                let lax =
                    lax.captures.get(at).map(|&(start, end)| &folded[usize::from(start)..usize::from(end)]);
                lax.is_some_and(|lax| strict.as_bytes().eq_ignore_ascii_case(lax))
            }
            Some(ProjectSource::Query(_) | ProjectSource::Header(_) | ProjectSource::HostLabel(_)) | None => {
                true
            }
        })
    }

    fn walk(&self, host: Option<&str>, path: &[u8], reading: Reading) -> Option<Walked> {
        self.tries.iter().filter(|tries| host_matches(tries.host.as_deref(), host)).find_map(|tries| {
            let trie = match reading {
                Reading::AsItStands => &tries.strict,
                Reading::Folded => &tries.lax,
            };
            trie.walk(path)
        })
    }
}

fn project_headers(routes: &[Route]) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = routes
        .iter()
        .filter_map(|route| match &route.project {
            Some(ProjectSource::Header(name)) => Some(name.clone()),
            Some(ProjectSource::Path(_) | ProjectSource::Query(_) | ProjectSource::HostLabel(_)) | None => {
                None
            }
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[derive(Clone, Copy)]
enum Reading {
    AsItStands,
    Folded,
}

fn host_matches(pattern: Option<&str>, host: Option<&str>) -> bool {
    let (Some(pattern), Some(host)) = (pattern, host) else { return pattern.is_none() };
    match pattern.strip_prefix('*') {
        Some(suffix) => host
            .len()
            .checked_sub(suffix.len())
            .is_some_and(|at| at > 0 && host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

#[derive(Default)]
struct Builder {
    leaves: Vec<Leaf>,
    tries: Vec<HostTries>,
    problems: Vec<RouteProblem>,
    canonical: bool,
    any: bool,
}

impl Builder {
    fn add(&mut self, at: usize, route: &Route, routes: &[Route]) {
        if !self.any {
            (self.any, self.canonical) = (true, true);
        }
        let segments = match parse_pattern(&route.pattern) {
            Ok(segments) => segments,
            Err((message, remedy)) => {
                self.problems.push(RouteProblem { route: at, other: None, message, remedy });
                return;
            }
        };
        if route.hosts.is_empty() {
            self.add_to_host(at, route, routes, None, &segments);
        }
        for host in &route.hosts {
            self.add_to_host(at, route, routes, Some(host), &segments);
        }
    }

    fn add_to_host(
        &mut self,
        at: usize,
        route: &Route,
        routes: &[Route],
        host: Option<&str>,
        segments: &[Segment],
    ) {
        let known = self.tries.iter().position(|tries| tries.host.as_deref() == host);
        let at_host = known.unwrap_or_else(|| {
            self.tries.push(HostTries { host: host.map(Into::into), ..HostTries::default() });
            self.tries.len() - 1
        });
        let tries = &mut self.tries[at_host];
        let is_rest = segments.last() == Some(&Segment::Rest);
        let leaf = *tries.strict_slot(segments, route.ignore_case, is_rest).get_or_insert_with(|| {
            self.leaves.push(Leaf { routes: Vec::new() });
            self.leaves.len() - 1
        });
        if let Some((message, other)) = clash(&self.leaves[leaf], route, routes) {
            self.problems.push(RouteProblem {
                route: at,
                other: Some(other),
                message,
                remedy:
                    "map each method of a path once; the same path may stand twice only with disjoint methods"
                        .into(),
            });
            return;
        }
        self.leaves[leaf].routes.push(at);
        if route.either_trailing_slash && !is_rest {
            let mut other = segments.to_vec();
            match other.last() {
                Some(Segment::Literal(last)) if last.is_empty() && other.len() > 1 => drop(other.pop()),
                _ => other.push(Segment::Literal(Vec::new())),
            }
            let twin = *tries.strict_slot(&other, route.ignore_case, false).get_or_insert(leaf);
            if twin != leaf {
                let other = self.leaves[twin].routes[0];
                self.problems.push(confused(at, other, route, &routes[other]));
            }
        }
        let folded = fold_segments(segments);
        self.canonical &= folded == segments && !route.ignore_case;
        let lax = *tries.lax_slot(&folded, is_rest).get_or_insert(leaf);
        if lax != leaf {
            let other = self.leaves[lax].routes[0];
            self.problems.push(confused(at, other, route, &routes[other]));
        }
    }
}

impl HostTries {
    fn strict_slot(
        &mut self,
        segments: &[Segment],
        ignore_case: bool,
        is_rest: bool,
    ) -> &mut Option<LeafIndex> {
        let node = self.strict.node_for(segments, ignore_case);
        self.strict.nodes[node].slot(is_rest)
    }

    fn lax_slot(&mut self, folded: &[Segment], is_rest: bool) -> &mut Option<LeafIndex> {
        let node = self.lax.node_for(folded, false);
        self.lax.nodes[node].slot(is_rest)
    }
}

fn confused(at: usize, other: usize, route: &Route, twin: &Route) -> RouteProblem {
    RouteProblem {
        route: at,
        other: Some(other),
        message: format!(
            "a lax back end reads the paths {:?} and {:?} as the same",
            route.pattern, twin.pattern
        ),
        remedy:
            "keep one of them, with `case: ignore` or `trailing_slash: either` if both spellings are in use"
                .into(),
    }
}

/// Folds literals and drops a trailing empty segment, as the lax reading does to paths.
fn fold_segments(segments: &[Segment]) -> Vec<Segment> {
    let mut folded: Vec<Segment> = segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(text) => Segment::Literal(fold_literal(&String::from_utf8_lossy(text))),
            Segment::Parameter(_) | Segment::Rest => segment.clone(),
        })
        .collect();
    if folded.len() > 1 && folded.last() == Some(&Segment::Literal(Vec::new())) {
        folded.pop();
    }
    folded
}

/// The first method that both a route of `leaf` and `route` map, as a message, and the other route.
fn clash(leaf: &Leaf, route: &Route, routes: &[Route]) -> Option<(String, usize)> {
    leaf.routes.iter().find_map(|&other| {
        let twin = &routes[other];
        if twin.other_methods.is_some() && route.other_methods.is_some() {
            return Some((format!("\"*\" of the path {:?} is mapped twice", route.pattern), other));
        }
        let (method, _) =
            route.methods.iter().find(|(method, _)| twin.methods.iter().any(|(known, _)| known == method))?;
        Some((format!("{method} of the path {:?} is mapped twice", route.pattern), other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn route(pattern: &str) -> Route {
        Route {
            pattern: pattern.into(),
            hosts: Vec::new(),
            methods: Vec::new(),
            other_methods: Some(Access::Public),
            project: None,
            project_pattern: ProjectPattern::Default,
            restricted_keys: Vec::new(),
            allow_in_tail: TailAllowance::default(),
            either_trailing_slash: false,
            ignore_case: false,
            honour_method_override: false,
            body_on_get: false,
            answers_preflight: false,
            observed_until: None,
            forwarding: 0,
        }
    }

    fn find(table: &RouteTable, host: Option<&str>, path: &str) -> String {
        let path = RequestPath::parse(path.as_bytes()).unwrap();
        match table.find(host, &path) {
            None => "none".into(),
            Some(found) if !found.readings_agree() => "differ".into(),
            Some(found) => found.routes().next().unwrap().pattern.clone(),
        }
    }

    #[test]
    fn literal_beats_name_beats_rest_with_backtracking() {
        let table = RouteTable::build(
            ["/", "/a/b/c", "/a/{x}/d", "/{x}/b/e", "/a/{*rest}", "/z/{*rest}", "/q/"].map(route).into(),
        )
        .unwrap();
        let cases = [
            ("/", "/"),
            ("/a/b/c", "/a/b/c"),
            ("/a/b/d", "/a/{x}/d"),
            ("/a/b/e", "/a/{*rest}"),
            ("/y/b/e", "/{x}/b/e"),
            ("/a", "/a/{*rest}"),
            ("/a/", "/a/{*rest}"),
            ("/a/b", "/a/{*rest}"),
            ("/zz", "none"),
            ("/z", "/z/{*rest}"),
            ("/q/", "/q/"),
            ("/q", "none"),
            ("/A/b/c", "none"),
        ];
        for (path, expected) in cases {
            assert_eq!(find(&table, None, path), expected, "{path}");
        }
    }

    #[test]
    fn a_catch_all_never_serves_what_a_stricter_route_guards() {
        let table = RouteTable::build(["/admin/{x}", "/{*rest}"].map(route).into()).unwrap();
        assert_eq!(find(&table, None, "/admin/1"), "/admin/{x}");
        assert_eq!(find(&table, None, "/other/%7Efoo;jsessionid=1/"), "/{*rest}");
        for path in [
            "/Admin/1",
            "/%61dmin/1",
            "/admin;x/1",
            "//admin/1",
            "/admin//1",
            "/admin/1/",
            "/admin%2F1",
            "/%2561dmin/1",
            "/admin%5c1",
            "/ADMIN%2f1",
            "/admin/1%3fx/y",
            "/%EF%BC%A1dmin/1",
        ] {
            assert_eq!(find(&table, None, path), "differ", "{path}");
        }
    }

    #[test]
    fn the_folded_project_is_the_project() {
        let mut projects = route("/p/{project}/{*rest}");
        projects.project = Some(ProjectSource::Path(0));
        let table = RouteTable::build(vec![projects]).unwrap();
        for (path, expected) in [
            ("/p/Alpha/x", "/p/{project}/{*rest}"),
            ("/p/alpha/x;y/", "/p/{project}/{*rest}"),
            ("/p/alpha;v=1/x", "differ"),
            ("/p/alph%61/x", "differ"),
            ("/p//alpha/x", "none"),
        ] {
            assert_eq!(find(&table, None, path), expected, "{path}");
        }
    }

    #[test]
    fn spellings_a_route_makes_its_own() {
        let mut either = route("/a/b");
        either.either_trailing_slash = true;
        let mut caseless = route("/Users/{x}");
        caseless.ignore_case = true;
        let table = RouteTable::build(vec![either, caseless]).unwrap();
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b"),
            ("/A/b", "none"),
            ("/USERS/1", "/Users/{x}"),
            ("/users/1", "/Users/{x}"),
        ] {
            assert_eq!(find(&table, None, path), expected, "{path}");
        }
    }

    #[test]
    fn hosts_go_from_exact_to_any() {
        let hosted = |pattern: &str, host: &str| Route { hosts: vec![host.into()], ..route(pattern) };
        let table = RouteTable::build(vec![
            route("/{*any}"),
            hosted("/{*wild}", "*.example.com"),
            hosted("/x/{*exact}", "api.example.com"),
        ])
        .unwrap();
        for (host, path, expected) in [
            (Some("api.example.com"), "/x/1", "/x/{*exact}"),
            (Some("api.example.com"), "/y", "/{*wild}"),
            (Some("b.example.com"), "/x/1", "/{*wild}"),
            (Some("example.com"), "/x/1", "/{*any}"),
            (None, "/x/1", "/{*any}"),
        ] {
            assert_eq!(find(&table, host, path), expected, "{host:?} {path}");
        }
    }

    #[test]
    fn wrong_routes_are_refused() {
        for (patterns, message) in [
            (&["a"][..], "does not begin"),
            (&["/a//b"], "\"//\" stands"),
            (&["/{*rest}/a"], "before the end"),
            (&["/{x}/{x}"], "stands twice"),
            (&["/v{x}"], "mixes text"),
            (&["/{}"], "no name"),
            (&["/a;b"], "holds one of"),
            (&["/../a"], "can never match"),
            (&["/%7e"], "not canonical"),
            (&["/a%2Fb"], "not canonical"),
            (&["/a", "/a"], "mapped twice"),
            (&["/{x}", "/{y}"], "mapped twice"),
            (&["/a", "/A"], "reads the paths"),
            (&["/a", "/a/"], "reads the paths"),
        ] {
            let problems = RouteTable::build(patterns.iter().copied().map(route).collect()).unwrap_err();
            assert!(problems[0].message.contains(message), "{patterns:?}: {problems:?}");
        }
    }

    #[test]
    fn one_path_may_stand_twice_with_disjoint_methods() {
        let with = |methods: &[&str]| Route {
            methods: methods.iter().map(|name| ((*name).into(), Access::Public)).collect(),
            other_methods: None,
            ..route("/a")
        };
        let mut rest = with(&["POST"]);
        rest.other_methods = Some(Access::Public);
        let table = RouteTable::build(vec![rest, with(&["GET", "PUT"])]).unwrap();
        let path = RequestPath::parse(b"/a").unwrap();
        let found = table.find(None, &path).unwrap();
        let index = |method: &str| found.route_for(method).map(|(route, _)| route.methods.len());
        assert_eq!(index("HEAD"), Some(2), "GET by name beats '*' for HEAD");
        assert_eq!(index("DELETE"), Some(1));
        assert!(RouteTable::build(vec![with(&["GET"]), with(&["GET", "POST"])]).is_err());
    }
}
