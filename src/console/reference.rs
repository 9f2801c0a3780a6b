//! `/api/v1/docs`: the reference of the admin API, made from its description, with forms that send requests for real.

use std::sync::OnceLock;

use askama::Template;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{answer::html, page::Page, visitor::Visitor};
use crate::admin::{api, origin::Origin};

/// Where it is.
pub const PATH: &str = "/api/v1/docs";

/// How deep examples go: beyond, an object is shown empty.
const DEPTH_MAX: usize = 6;

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    page: Page,
    version: String,
    groups: Vec<OperationGroup>,
}

struct OperationGroup {
    id: String,
    title: String,
    about: String,
    operations: Vec<OperationView>,
}

struct OperationView {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: String,
    parameters: Vec<ParameterView>,
    body: Option<String>,
    answers: Vec<AnswerView>,
    curl_id: String,
    curl: String,
}

struct ParameterView {
    name: String,
    place: String,
    required: bool,
    kind: String,
    about: String,
    example: String,
}

struct AnswerView {
    status: String,
    about: String,
    example: Option<String>,
}

/// The reference.
pub async fn show(visitor: Visitor, Origin(origin): Origin) -> Response {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    let document = DESCRIPTION.get_or_init(|| serde_json::to_value(api::document()).unwrap_or_default());
    html(&ReferencePage {
        page: visitor.page("API reference", "reference"),
        version: text(&document["info"]["version"]),
        groups: Description { document, origin: &origin }.groups(),
    })
}

/// The description of the API, to be shown to whoever reaches it at `origin`.
struct Description<'d> {
    document: &'d Value,
    origin: &'d str,
}

impl Description<'_> {
    fn groups(&self) -> Vec<OperationGroup> {
        let tags = self.document["tags"].as_array().into_iter().flatten();
        tags.map(|tag| {
            let name = text(&tag["name"]);
            OperationGroup {
                title: capitalized(&name),
                about: text(&tag["description"]),
                operations: self.operations(&name),
                id: name,
            }
        })
        .collect()
    }

    fn operations(&self, tag: &str) -> Vec<OperationView> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let all = paths.flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().map(move |(method, operation)| (method, path, operation))
        });
        all.filter(|(_, _, operation)| operation["tags"][0] == tag)
            .map(|(method, path, operation)| self.operation(&method.to_uppercase(), path, operation))
            .collect()
    }

    fn operation(&self, method: &str, path: &str, operation: &Value) -> OperationView {
        let id = text(&operation["operationId"]);
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = (!schema.is_null()).then(|| self.example(schema, 0));
        let answers = operation["responses"].as_object().into_iter().flatten();
        OperationView {
            method: method.to_owned(),
            path: path.to_owned(),
            summary: text(&operation["summary"]).trim_end_matches('.').to_owned(),
            about: text(&operation["description"]),
            parameters: parameters.map(|parameter| self.parameter(parameter)).collect(),
            answers: answers.map(|(status, answer)| self.answer(status, answer)).collect(),
            curl_id: format!("{id}-curl"),
            curl: self.curl(method, path, body.as_ref()),
            body: body.map(|body| indented(&body)),
            id,
        }
    }

    fn parameter(&self, parameter: &Value) -> ParameterView {
        let schema = &parameter["schema"];
        let example = match self.example(schema, 0) {
            _ if !parameter["example"].is_null() => text(&parameter["example"]),
            _ if schema["default"].is_null() => String::new(),
            _ => schema["default"].to_string(),
        };
        let choices = schema["enum"].as_array().map(|choices| choices.iter().map(text).collect::<Vec<_>>());
        ParameterView {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            required: parameter["required"] == true,
            kind: choices.map_or_else(|| kind(schema).to_owned(), |choices| choices.join(" or ")),
            about: text(&parameter["description"]),
            example,
        }
    }

    fn answer(&self, status: &str, answer: &Value) -> AnswerView {
        let schema = &answer["content"]["application/json"]["schema"];
        AnswerView {
            status: status.to_owned(),
            about: text(&answer["description"]),
            example: (!schema.is_null()).then(|| indented(&self.example(schema, 0))),
        }
    }

    fn curl(&self, method: &str, path: &str, body: Option<&Value>) -> String {
        let verb = if method == "GET" { String::new() } else { format!(" -X {method}") };
        let json = body.map(|body| format!(" \\\n  -H 'Content-Type: application/json' -d '{body}'"));
        format!(
            "curl{verb} {}{path} -H \"Authorization: Bearer $KEYGATE_KEY\"{}",
            self.origin,
            json.unwrap_or_default()
        )
    }

    /// A value that fits `schema`.
    fn example(&self, schema: &Value, depth: usize) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.example(self.document.pointer(&reference[1..]).unwrap_or(&Value::Null), depth);
        }
        let said = [&schema["example"], &schema["examples"][0], &schema["const"], &schema["enum"][0]];
        if let Some(said) = said.into_iter().find(|said| !said.is_null()) {
            return said.clone();
        }
        let alternatives = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
        if let Some(alternatives) = alternatives {
            let real = alternatives.iter().find(|alternative| alternative["type"] != "null");
            return real.map_or(Value::Null, |real| self.example(real, depth));
        }
        match kind(schema) {
            "object" if depth < DEPTH_MAX => {
                let properties = schema["properties"].as_object().into_iter().flatten();
                let fields: Map<_, _> = properties
                    .map(|(name, schema)| (name.clone(), self.example(schema, depth + 1)))
                    .collect();
                fields.into()
            }
            "object" => json!({}),
            "array" if depth < DEPTH_MAX => json!([self.example(&schema["items"], depth + 1)]),
            "array" => json!([]),
            "integer" | "number" => json!(1),
            "boolean" => json!(false),
            _ => json!("…"),
        }
    }
}

/// The type of a value that is there.
fn kind(schema: &Value) -> &str {
    let one = schema["type"].as_str();
    let of_several =
        || schema["type"].as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
    one.or_else(of_several).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

fn indented(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
