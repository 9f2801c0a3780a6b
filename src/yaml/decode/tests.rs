//! What a user is told of values that a type does not take.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::yaml::{Interpolation, Limits, Place, parse};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Config {
    version: Field<u16>,
    listen: OneOrMany<Listen>,
    #[serde(default)]
    upstreams: Map<Field<StringOr<Upstream>>>,
    #[serde(default)]
    routes: List<Route>,
    #[serde(default = "yes")]
    health: Option<Field<bool>>,
    state: Option<Field<String>>,
}

#[allow(clippy::unnecessary_wraps, reason = "the form that serde wants")]
fn yes() -> Option<Field<bool>> {
    Some(Field::unplaced(true))
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Listen {
    address: Field<String>,
    port: Option<Field<u16>>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Upstream {
    url: Field<String>,
    weight: Option<Field<f64>>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Route {
    path: Field<RoutePath>,
    #[serde(default)]
    access: Option<Field<Access>>,
    #[serde(default)]
    methods: Map<Field<String>>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Access {
    Public,
    Key,
    Limited { rate: Field<u32> },
    Named(String),
}

/// A type that is parsed, not validated.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
struct RoutePath(String);

impl TryFrom<String> for RoutePath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        if path.starts_with('/') {
            Ok(Self(path))
        } else {
            Err(format!("{path:?} is no path; begin it with `/`"))
        }
    }
}

fn refusals<T: DeserializeOwned + Debug>(text: &str) -> Vec<String> {
    let document = parse(text, &Limits::default()).unwrap();
    decode::<T>(&document).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_config_is_decoded_with_places() {
    let text = "version: 1\nlisten: {address: a}\nupstreams:\n  api: http://x\n  web:\n    url: http://y\n    weight: \
                1\nroutes:\n  - path: /\n    access: public\n    methods: {GET: read, 404: x}\n  - {path: /x, access: \
                {limited: {rate: 3}}}\n  - {path: /y, access: {named: z}}\n";
    let document = parse(text, &Limits::default()).unwrap();
    let config: Config = decode(&document).unwrap();
    assert_eq!((*config.version, config.version.place()), (1, Place { line: 1, column: 10 }));
    assert_eq!(config.listen.items[0].address.value(), "a");
    assert_eq!(config.upstreams.entries[1].0.place(), Place { line: 5, column: 3 });
    assert_eq!(config.upstreams.get("api").unwrap().value(), &StringOr::String("http://x".into()));
    assert_eq!(
        config.routes.items[0].methods.iter().map(|(name, _)| name.value()).collect::<Vec<_>>(),
        ["GET", "404"]
    );
    let access: Vec<_> = config.routes.iter().map(|route| route.access.as_ref().unwrap().value()).collect();
    let limited = Access::Limited { rate: Field::unplaced(3) };
    assert_eq!(access, [&Access::Public, &limited, &Access::Named("z".into())]);
    assert_eq!((config.health, config.state), (yes(), None));
}

#[test]
fn every_problem_is_told_in_one_run() {
    let text = "\
version: '1'
listn: x
listen:
  - addres: a
    port: 99999
  - address: 127
upstreams:
  api: {url: [x], weight: heavy, colour: red}
  web: 7
routes:
  - path: x
    access: pulic
  - - y
  - path: /ok
    methods: {GET: 1, PUT: ok, POST: [w]}
  - access: {limited: {}}
health: yes
state: true
";
    assert_eq!(
        refusals::<Config>(text),
        [
            "1:10: expected a whole number from 0 to 65535, found a string; remove the quotes",
            "2:1: unknown field `listn`; did you mean `listen`?",
            "4:5: unknown field `addres`; did you mean `address`?",
            "4:5: missing field `address`; add `address: …`",
            "5:11: expected a whole number from 0 to 65535, found a number; write a whole number from 0 to 65535",
            "6:14: expected a string, found a number; put it in quotes",
            "8:14: expected a string, found a list; write one value, without [ ] or `- `",
            "8:27: expected a number, found a string; write a number, in digits",
            "8:34: unknown field `colour`; known are `url`, `weight`",
            "9:8: expected a string, found a number; put it in quotes",
            "11:11: \"x\" is no path; begin it with `/`",
            "12:13: unknown value `pulic`; did you mean `public`?",
            "13:5: expected a mapping, found a list; remove the `- `: write `name: value` lines",
            "15:20: expected a string, found a number; put it in quotes",
            "15:38: expected a string, found a list; write one value, without [ ] or `- `",
            "16:5: missing field `path`; add `path: …`",
            "16:23: missing field `rate`; add `rate: …`",
            "17:9: expected true or false, found a string; write true",
            "18:8: expected a string, found a boolean; put it in quotes",
        ]
    );
}

#[test]
fn each_wrong_type_has_its_remedy() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "decoding it is the test")]
    struct Types {
        string: Option<Field<String>>,
        strict: Option<Field<NonNull>>,
        list: Option<Field<Vec<Field<String>>>>,
        pair: Option<Field<(u8, u8)>>,
        map: Option<Map<Field<u8>>>,
        number: Option<Field<i64>>,
        positive: Option<Field<std::num::NonZeroU32>>,
        float: Option<Field<f64>>,
        flag: Option<Field<bool>>,
        access: Option<Field<Access>>,
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "decoding it is the test")]
    struct NonNull {
        name: Field<String>,
    }
    let table = [
        ("string: {a: b}", "1:9: expected a string, found a mapping; write one value instead of a mapping"),
        (
            "strict: {name: }",
            "1:15: expected a string, found nothing (null); write a value, or \"\" for an empty string",
        ),
        ("strict: {name: ~}", "1:16: expected a string, found nothing (null); put it in quotes"),
        ("strict: x", "1:9: expected a mapping, found a string; write `name: value` lines, indented below"),
        ("list: x", "1:7: expected a list, found a string; put it in brackets: [one] or [one, two]"),
        ("list: 7", "1:7: expected a list, found a number; write a list: [one, two], or [] for none"),
        ("list: {a: b}", "1:7: expected a list, found a mapping; begin each item with `- `"),
        ("list: [a, ~]", "1:11: expected a string, found nothing (null); put it in quotes"),
        ("pair: [1]", "1:7: expected a list of 2, found a list; write a list of 2"),
        ("map: [a]", "1:6: expected a mapping, found a list; remove the `- `: write `name: value` lines"),
        (
            "map: {a: 256}",
            "1:10: expected a whole number from 0 to 255, found a number; write a whole number from 0 to 255",
        ),
        (
            "number: 1.5",
            "1:9: expected a whole number from -9223372036854775808 to 9223372036854775807, found a number with a \
             fraction; write a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        (
            "positive: 0",
            "1:11: expected a whole number above 0, found a number; write a whole number above 0",
        ),
        ("float: '1'", "1:8: expected a number, found a string; remove the quotes"),
        ("flag: 'true'", "1:7: expected true or false, found a string; remove the quotes"),
        ("flag: 1", "1:7: expected true or false, found a number; write true or false"),
        ("flag: off", "1:7: expected true or false, found a string; write false"),
        ("access: zzz", "1:9: unknown value `zzz`; known are `public`, `key`, `limited`, `named`"),
        ("access: {zzz: 1}", "1:10: unknown value `zzz`; known are `public`, `key`, `limited`, `named`"),
        ("access: {limited: {rte: 1}}", "1:19: missing field `rate`; add `rate: …`"),
        (
            "access: []",
            "1:9: expected a name, or a mapping with one name, found a list; write one value, without [ ] or `- `",
        ),
    ];
    for (text, expected) in table {
        assert!(
            refusals::<Types>(text).iter().any(|problem| problem == expected),
            "{text}: {:?}",
            refusals::<Types>(text)
        );
    }
}

#[test]
fn a_list_of_the_wrong_length_has_a_remedy() {
    assert_eq!(
        refusals::<(u8, u8)>("[1, 2, 3]"),
        ["1:1: expected a list of 2, found a list; write a list of 2"]
    );
}

#[test]
fn all_missing_fields_are_told_with_the_place_of_their_mapping() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only what is missing is looked at")]
    struct Door {
        #[serde(rename = "opens")]
        access: Field<Access>,
    }
    assert_eq!(
        refusals::<Door>("{}"),
        ["1:1: missing field `opens`; add `opens: …`, one of `public`, `key`, `limited`, `named`"]
    );
    assert_eq!(refusals::<Upstream>("# nothing\nweight: 1\n"), ["2:1: missing field `url`; add `url: …`"]);
    assert_eq!(
        refusals::<Config>("state: x\n"),
        ["1:1: missing field `version`; add `version: …`", "1:1: missing field `listen`; add `listen: …`"]
    );
}

#[test]
fn null_is_no_value_and_turns_off_what_is_on_by_default() {
    let document = parse("version: 1\nlisten: []\nhealth: null\n", &Limits::default()).unwrap();
    assert_eq!(decode::<Config>(&document).unwrap().health, None);
}

/// A document with `values` put into `text`.
fn interpolated<T: DeserializeOwned>(text: &'static str, values: &[(&str, &str)]) -> Result<T, Vec<String>> {
    let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut document = parse(text, &Limits::default()).unwrap();
    document
        .interpolate(&|asked| {
            let name = match asked {
                Interpolation::Variable(name) => name.to_owned(),
                Interpolation::File("/denied") => return Err("permission denied".into()),
                Interpolation::File(path) => format!("file {path}"),
            };
            Ok(values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        })
        .map_err(told)?;
    decode(&document).map_err(told)
}

#[test]
fn interpolation_replaces_values_and_their_meaning() {
    type Values = BTreeMap<String, serde_json::Value>;
    let text = "a: ${A}\nb: '${A}'\nc: x${A}y${B:-z}\nd: ${NO:-5}\ne: $$ $ $x $${A}\nf: ${file:/f}\n${A}: g\nh: |\n  \
                ${A}\ni: ${E:-d}\nj: ${E}\nk: [\"${A}\", '${STRUCTURE}']\n";
    let set = [("A", "80"), ("E", ""), ("file /f", "true"), ("STRUCTURE", "[x]: {")];
    let values: Values = interpolated(text, &set).unwrap();
    let expected = serde_json::json!({
        "a": 80, "b": "80", "c": "x80yz", "d": 5, "e": "$ $ $x ${A}", "f": true, "${A}": "g", "h": "80\n", "i": "d",
        "j": null, "k": ["80", "[x]: {"],
    });
    assert_eq!(serde_json::to_value(values).unwrap(), expected);
}

#[test]
fn what_cannot_be_interpolated_is_told_at_its_value() {
    let text = "a: ${A}\nb: '${B'\nc: ${1x}\nd: ${file:/x}\ne: ${file:/denied}\nf: ${file:}\ng: ${}\n";
    assert_eq!(
        interpolated::<serde_json::Value>(text, &[]).unwrap_err(),
        [
            "1:4: the environment variable `A` is not set; set it, or give a default: `${A:-default}`",
            "2:4: `${` is not closed; add the `}`, or write `$${` for the text `${`",
            "3:4: `${1x}` is no interpolation; write `${NAME}`, `${NAME:-default}` or `${file:/path}`; for the text itself, \
             double the `$`",
            "4:4: the file `/x` is not there; create it, or correct the path",
            "5:4: `file:/denied` cannot be interpolated: permission denied; mend the source",
            "6:4: `${file:}` names no file; write `${file:/path}`",
            "7:4: `${}` is no interpolation; write `${NAME}`, `${NAME:-default}` or `${file:/path}`; for the text itself, \
             double the `$`",
        ]
    );
}

#[test]
fn an_interpolated_value_is_never_shown() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "decoding it is the test")]
    struct Secrets {
        path: Field<RoutePath>,
        access: Field<Access>,
        port: Field<u16>,
        when: Field<jiff::Timestamp>,
        whole: Field<Whole>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "BTreeMap<String, String>")]
    struct Whole;
    impl TryFrom<BTreeMap<String, String>> for Whole {
        type Error = String;
        fn try_from(map: BTreeMap<String, String>) -> Result<Self, String> {
            Err(format!("wrong: {map:?}"))
        }
    }
    let text = "path: ${S}\naccess: ${S}\nport: ${S}\nwhen: ${S}\nwhole: {a: \"${S}\"}\n";
    let told = interpolated::<Secrets>(text, &[("S", "hunter2")]).unwrap_err();
    assert_eq!(told.len(), 5);
    assert!(!told.join("\n").contains("hunter"), "{told:#?}");
    let field: Vec<Field<String>> = interpolated("['${S}', 'open']", &[("S", "hunter2")]).unwrap();
    assert_eq!(format!("{field:?} {}", field[0].is_interpolated()), "[(interpolated), \"open\"] true");
}

#[test]
fn a_type_never_sees_a_bad_field() {
    #[derive(Debug, Deserialize)]
    struct Raw {
        name: Field<String>,
        items: OneOrMany<String>,
        map: Map<Field<u8>>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Raw")]
    struct Checked;
    impl TryFrom<Raw> for Checked {
        type Error = String;
        fn try_from(raw: Raw) -> Result<Self, String> {
            let items: Vec<_> = raw.items.iter().map(|item| item.value().clone()).collect();
            Err(format!("{} {items:?} {}", raw.name.value(), raw.map.entries.len()))
        }
    }
    assert_eq!(
        refusals::<Vec<Field<Checked>>>(
            "- {name: 1, items: a, map: {}}\n- {items: [1], map: {a: b}}\n- {name: n, items: a, map: {}}\n"
        ),
        [
            "1:10: expected a string, found a number; put it in quotes",
            "2:3: missing field `name`; add `name: …`",
            "2:12: expected a string, found a number; put it in quotes",
            "2:25: expected a whole number from 0 to 255, found a string; write a whole number from 0 to 255, in digits",
            "3:3: n [\"a\"] 0; give a valid value",
        ]
    );
}

#[test]
fn the_json_schema_is_that_of_the_content() {
    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "its schema is the test")]
    #[schemars(rename = "Plain")]
    struct Placed {
        name: Field<String>,
        access: Option<Field<bool>>,
        ports: OneOrMany<u16>,
        map: Map<Field<String>>,
        projects: Field<StringOr<Vec<Field<String>>>>,
    }
    let schema = serde_json::to_value(schema_for!(Placed)).unwrap();
    assert_eq!(schema["properties"]["name"], serde_json::json!({"type": "string"}));
    assert_eq!(schema["properties"]["access"], serde_json::json!({"type": ["boolean", "null"]}));
    assert_eq!(schema["properties"]["ports"]["anyOf"][1]["items"]["maximum"], 65535);
    assert_eq!(
        schema["properties"]["map"],
        serde_json::json!({"type": "object", "additionalProperties": {"type": "string"}})
    );
    assert_eq!(schema["required"], serde_json::json!(["name", "ports", "map", "projects"]));
    let all_or_list =
        serde_json::json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    assert_eq!(schema["properties"]["projects"], all_or_list);
}

#[test]
fn the_types_decode_from_json_too() {
    let config: Config =
        serde_json::from_str(r#"{"version": 1, "listen": [{"address": "a"}], "routes": [{"path": "/"}]}"#)
            .unwrap();
    assert_eq!((config.routes.items.len(), config.version.place()), (1, Place::default()));
    assert!(serde_json::from_str::<Config>(r#"{"version": 1}"#).is_err());
}

#[test]
fn a_list_of_wrong_items_is_not_read_to_its_end() {
    use std::cell::Cell;
    thread_local!(static DECODED: Cell<usize> = const { Cell::new(0) });
    #[derive(Debug)]
    struct Counted;
    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            DECODED.set(DECODED.get() + 1);
            Err(serde::de::Error::custom("wrong"))
        }
    }
    let text = format!("[{}]", "a, ".repeat(100_000));
    let document = parse(&text, &Limits::default()).unwrap();
    let problems = decode::<Vec<Field<Counted>>>(&document).unwrap_err();
    assert!(problems.last().unwrap().message.starts_with("at least "), "{:?}", problems.last());
    assert_eq!(DECODED.get(), 1001);
}
