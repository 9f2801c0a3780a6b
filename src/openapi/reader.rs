//! From a document to an [`Api`]: everything that is wrong in one run, each with its place.

use std::collections::HashMap;

use super::{
    Api, DeclaredAccess, LIMITS, Operation,
    reference::{Resolved, resolve},
    security::{extension, requirements},
    server::{Server, first_server},
};
use crate::yaml::{self, Node, Place, Problem, Shape, nearest};

/// The methods of a path item (OpenAPI 3.1 §4.8.9), and `query` of 3.2.
const METHODS: [(&str, &str); 9] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
    ("head", "HEAD"),
    ("patch", "PATCH"),
    ("trace", "TRACE"),
    ("query", "QUERY"),
];

/// What else a path item may hold.
const PATH_FIELDS: [&str; 5] = ["$ref", "summary", "description", "servers", "parameters"];

/// What was found in a document so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) doubts: Vec<Problem>,
}

impl Found {
    pub(super) fn wrong(&mut self, node: Node<'_>, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(node.place(), message, remedy));
    }

    pub(super) fn doubt(&mut self, node: Node<'_>, message: impl Into<String>, remedy: impl Into<String>) {
        self.doubts.push(Problem::new(node.place(), message, remedy));
    }
}

/// The API that `text` describes, as YAML or JSON. `base_path` stands for the paths of all servers.
///
/// Cost: linear in the text, but for the look-up of references.
///
/// # Errors
/// Everything that is wrong; at least one problem.
pub fn parse(text: &[u8], base_path: Option<&str>) -> Result<Api, Vec<Problem>> {
    let document = yaml::parse(text, &LIMITS)?;
    let mut found = Found::default();
    let mut api = read(document.root(), base_path, &mut found);
    let Found { mut problems, mut doubts } = found;
    if problems.is_empty() {
        doubts.sort_by_key(|doubt| doubt.place);
        doubts.dedup();
        api.doubts = doubts;
        return Ok(api);
    }
    problems.sort_by_key(|problem| problem.place);
    problems.dedup();
    Err(problems)
}

fn read(root: Node<'_>, base_path: Option<&str>, found: &mut Found) -> Api {
    let info = |name: &str| {
        let value = root.get("info").and_then(|info| info.get(name)?.text());
        value.unwrap_or_default().to_owned()
    };
    let api = Api {
        title: info("title"),
        version: info("version"),
        openapi: version(root, found),
        operations: Vec::new(),
        doubts: Vec::new(),
    };
    if !is_mapping(root) || api.openapi.is_empty() {
        return api;
    }
    let server = root.get("servers").and_then(|servers| first_server(servers, found)).unwrap_or_default();
    let security = root.get("security").map(|security| requirements(security, root, found));
    let mut reader = Reader {
        root,
        base_path,
        access: security.unwrap_or(DeclaredAccess::Unsaid),
        server,
        ids: HashMap::new(),
        operations: Vec::new(),
        found,
    };
    match root.get("paths") {
        Some(paths) if is_mapping(paths) => reader.paths(paths),
        Some(paths) => reader.found.wrong(paths, "paths is no mapping", "write paths: {/pets: {get: …}}"),
        None => reader.found.wrong(root, "there are no paths", "add paths: with the operations of the API"),
    }
    Api { operations: reader.operations, ..api }
}

/// The version of OpenAPI; empty where it is none that is read.
fn version(root: Node<'_>, found: &mut Found) -> String {
    if let Some(swagger) = root.get("swagger") {
        found.wrong(swagger, "this is Swagger 2", "convert it to OpenAPI 3 first");
        return String::new();
    }
    let Some(version) = root.get("openapi") else {
        found.wrong(
            root,
            "this is no OpenAPI description: the field openapi is not there",
            "add openapi: 3.1.0",
        );
        return String::new();
    };
    let text = version.text().unwrap_or_default();
    if !text.starts_with("3.") {
        found.wrong(
            version,
            "this version of OpenAPI is not known",
            "write 3.0.3 or 3.1.0, in which the description is",
        );
        return String::new();
    }
    text.to_owned()
}

fn is_mapping(node: Node<'_>) -> bool {
    matches!(node.shape(), Shape::Mapping { .. })
}

/// Reads path after path.
struct Reader<'d, 'f> {
    root: Node<'d>,
    base_path: Option<&'d str>,
    access: DeclaredAccess,
    server: Server,
    ids: HashMap<String, Place>,
    operations: Vec<Operation>,
    found: &'f mut Found,
}

/// What a path says for all of its operations.
struct PathItem<'d> {
    template: &'d str,
    names: Vec<String>,
    access: Option<DeclaredAccess>,
    server: Server,
    parameters: Parameters,
}

/// Names of parameters, by where they stand.
#[derive(Debug, Clone, Default)]
struct Parameters {
    path: Vec<String>,
    query: Vec<String>,
    header: Vec<String>,
}

impl<'d> Reader<'d, '_> {
    fn paths(&mut self, paths: Node<'d>) {
        for (key, value) in paths.entries() {
            let Some(template) = key.text().filter(|template| !template.starts_with("x-")) else { continue };
            if !template.starts_with('/') || template.contains(['?', '#']) {
                self.found.wrong(
                    key,
                    "this is no path",
                    "begin it with /, and leave out the query; extensions begin with x-",
                );
                continue;
            }
            match resolve(self.root, value, self.found) {
                Resolved::Node(item) if is_mapping(item) => self.path_item(key, template, item),
                Resolved::Node(item) => {
                    self.found.wrong(item, "a path is no mapping", "write the methods of the path below it");
                }
                Resolved::External => self.found.wrong(
                    key,
                    "the path stands in another document, so its operations are not known",
                    "bundle the description into one file first",
                ),
                Resolved::Nowhere => {}
            }
        }
    }

    fn path_item(&mut self, key: Node<'d>, template: &'d str, item: Node<'d>) {
        let Some(names) = template_names(template) else {
            self.found.wrong(key, "the braces of the path do not match", "write each parameter as {name}");
            return;
        };
        let path = PathItem {
            template,
            names,
            access: extension(item, self.found),
            server: self.server_of(item, self.server.clone()),
            parameters: self.parameters(item),
        };
        for (name, value) in item.entries() {
            let name_text = name.text().unwrap_or_default();
            let method = METHODS.iter().find(|(known, _)| *known == name_text).map(|(_, method)| *method);
            match method {
                Some(method) if is_mapping(value) => {
                    // OpenAPI has no references here, but people write them.
                    let operation = match resolve(self.root, value, self.found) {
                        Resolved::Node(operation) => operation,
                        Resolved::External | Resolved::Nowhere => value,
                    };
                    self.operation(&path, name, method, operation);
                }
                Some(_) => {
                    self.found.wrong(value, "an operation is no mapping", "write {responses: …} there");
                }
                None if PATH_FIELDS.contains(&name_text) || name_text.starts_with("x-") => {}
                None => {
                    let known: Vec<_> = METHODS.iter().map(|(name, _)| *name).chain(PATH_FIELDS).collect();
                    let remedy = nearest(name_text, &known).map_or_else(
                        || "write a method in lower case: get, put, post, …".to_owned(),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    self.found.wrong(name, "this is no method of a path", remedy);
                }
            }
        }
    }

    fn operation(&mut self, path: &PathItem<'d>, name: Node<'d>, method: &'static str, value: Node<'d>) {
        let own = self.parameters(value);
        let declared: Vec<&String> = path.parameters.path.iter().chain(&own.path).collect();
        for missing in path.names.iter().filter(|name| !declared.contains(name)) {
            let message = format!("the path parameter {{{missing}}} is not declared");
            self.found.doubt(name, message, "add it to parameters, with in: path");
        }
        for unused in declared.iter().filter(|name| !path.names.contains(name)) {
            let message = format!("the path has no {{{unused}}}, which is declared as in: path");
            self.found.doubt(name, message, "correct the path or the parameter");
        }
        let id = value.get("operationId").and_then(Node::text).map(str::to_owned);
        if let Some(id) = &id {
            if let Some(first) = self.ids.get(id) {
                let message = format!("the operationId is not unique; first at {first}");
                self.found.doubt(name, message, "give each operation its own");
            } else {
                self.ids.insert(id.clone(), name.place());
            }
        }
        let server = self.server_of(value, path.server.clone());
        let base = self.base_path.unwrap_or(&server.base);
        let operation = Operation {
            place: name.place(),
            method,
            path: format!("{}{}", base.trim_end_matches('/'), path.template),
            host: server.host,
            id,
            tags: self.tags(value),
            access: self.access_of(path, value),
            query_parameters: [path.parameters.query.as_slice(), &own.query].concat(),
            header_parameters: [path.parameters.header.as_slice(), &own.header].concat(),
        };
        self.operations.push(operation);
    }

    /// The nearest word on what the operation needs.
    fn access_of(&mut self, path: &PathItem<'d>, operation: Node<'d>) -> DeclaredAccess {
        if let Some(access) = extension(operation, self.found) {
            return access;
        }
        let own = operation.get("security").map(|security| requirements(security, self.root, self.found));
        path.access.clone().or(own).unwrap_or_else(|| self.access.clone())
    }

    fn server_of(&mut self, node: Node<'d>, inherited: Server) -> Server {
        node.get("servers").and_then(|servers| first_server(servers, self.found)).unwrap_or(inherited)
    }

    fn tags(&mut self, operation: Node<'d>) -> Vec<String> {
        let Some(tags) = operation.get("tags") else { return Vec::new() };
        if !matches!(tags.shape(), Shape::Sequence { .. }) {
            self.found.wrong(tags, "tags is no list", "write tags: [pets]");
        }
        tags.items().filter_map(Node::text).map(str::to_owned).collect()
    }

    /// The parameters that `node`, a path or an operation, declares.
    fn parameters(&mut self, node: Node<'d>) -> Parameters {
        let mut parameters = Parameters::default();
        let Some(list) = node.get("parameters") else { return parameters };
        if !matches!(list.shape(), Shape::Sequence { .. }) {
            self.found.wrong(list, "parameters is no list", "write - {name: id, in: path}");
            return parameters;
        }
        for item in list.items() {
            let Resolved::Node(item) = resolve(self.root, item, self.found) else { continue };
            let text = |name: &str| item.get(name).and_then(Node::text).map(str::to_owned);
            let (Some(name), Some(place)) = (text("name"), text("in")) else {
                self.found.wrong(item, "a parameter lacks name or in", "write {name: id, in: path}");
                continue;
            };
            match place.as_str() {
                "path" => parameters.path.push(name),
                "query" | "querystring" => parameters.query.push(name),
                "header" => parameters.header.push(name),
                "cookie" => {}
                _ => self.found.wrong(
                    item.get("in").unwrap_or(item),
                    "a parameter stands in none of path, query, header and cookie",
                    "write one of them",
                ),
            }
        }
        parameters
    }
}

/// The names in the braces of a path; `None` where those do not match.
pub(super) fn template_names(template: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find(['{', '}']) {
        let inner = rest[start..].strip_prefix('{')?;
        let end = inner.find(['{', '}', '/'])?;
        if !inner[end..].starts_with('}') || end == 0 {
            return None;
        }
        names.push(inner[..end].trim_end_matches(['+', '*']).to_owned());
        rest = &inner[end + 1..];
    }
    Some(names)
}
