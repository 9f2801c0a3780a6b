//! The JSON Schema of `keygate.yaml`, made from the types that read it: what editors complete and check by.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::raw::File;

/// What the schema is called.
pub const SCHEMA_ID: &str = "urn:keygate:schema:config:1";

/// The schema (JSON Schema 2020-12). It is laxer than the gateway where only meaning tells right from wrong, and where a
/// value may be `${…}`, which editors see before it is replaced.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>();
    let mut schema = Value::from(schema);
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".into(), json!(SCHEMA_ID));
    }
    schema
}
