//! The JSON Schema of `keygate.yaml`, made from the types that read it: what editors complete and check by.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::File;

/// What the schema is called.
pub const SCHEMA_ID: &str = "urn:keygate:schema:config:1";

/// The schema (JSON Schema 2020-12). It is laxer than the gateway where only meaning tells right from wrong; every
/// scalar may also be `${…}`, which editors see before it is replaced.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>();
    let mut schema = Value::from(schema);
    admit_interpolation(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".into(), json!(SCHEMA_ID));
    }
    schema
}

/// Lets every scalar below `schema` that cannot be any text be `${…}` too.
fn admit_interpolation(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(admit_interpolation),
        Value::Object(object) if is_narrow_scalar(object) => {
            let description = object.remove("description");
            let narrow = Value::Object(std::mem::take(object));
            object.extend(description.map(|text| ("description".to_owned(), text)));
            object.insert("anyOf".into(), json!([narrow, { "type": "string", "pattern": r"\$\{" }]));
        }
        Value::Object(object) => object.values_mut().for_each(admit_interpolation),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a schema is for numbers, switches, or text of a form. Names of an enum stay as they are: editors offer them.
fn is_narrow_scalar(schema: &Map<String, Value>) -> bool {
    let types = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    types.iter().any(|name| ["integer", "boolean"].contains(name))
        || (types.contains(&"string") && schema.contains_key("pattern"))
}
