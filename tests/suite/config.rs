//! `keygate.yaml`: every example loads, every wrong file says what is wrong, where, and what would be right.

use std::{
    fs,
    num::NonZeroUsize,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use keygate::{
    config::{
        Config, ListenAddress, Loaded, Problem, Surroundings, load,
        model::{IdentityHeaders, KeySource, TemplatePart, UpstreamAddress, UpstreamHost},
        parse, schema,
    },
    policy::principal::Role,
    store::{
        key_file_schema,
        key_files::{KeyFiles, Location, Moment},
        read::ReadOptions,
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

/// Loads `path` as a process with a small, fixed environment would.
fn load_file(path: &Path) -> Loaded {
    load(path, &surroundings())
}

/// Loads `text` as the content of a file in `config/`.
fn load_text(text: &str) -> Loaded {
    parse(&root().join("config/test.yaml"), text.as_bytes(), &surroundings())
}

fn surroundings() -> Surroundings<'static> {
    Surroundings {
        variable: &|name| match name {
            "PORT" => Some("9000".into()),
            "SECRET" => Some("hunter2-hunter2".into()),
            _ => None,
        },
        read: &|path, _| fs::read(path),
        exposure: &|_| None,
        via: "keygate-00000000",
        cores: NonZeroUsize::new(2).unwrap(),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension() == Some("yaml".as_ref())).collect();
    files.sort();
    files
}

/// The configuration in `text`, which must have neither problems nor warnings.
fn config(text: &str) -> Config {
    let loaded = load_text(text);
    assert_eq!(loaded.warnings, []);
    loaded.result.unwrap_or_else(|problems| panic!("{}", told(&problems)))
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// One line `# expect: LINE:COLUMN message | remedy` (or `# warn: …`) of a wrong file.
struct Expectation {
    place: String,
    message: String,
    remedy: String,
}

impl Expectation {
    /// Those that begin with `tag` in the header of `text`.
    fn all(text: &str, tag: &str) -> Vec<Self> {
        let start = format!("# {tag}: ");
        text.lines().filter_map(|line| line.strip_prefix(&start)).map(Self::parse).collect()
    }

    fn parse(line: &str) -> Self {
        let (place, rest) = line.split_once(' ').unwrap();
        let (message, remedy) = rest.split_once(" | ").unwrap();
        Self { place: place.into(), message: message.into(), remedy: remedy.into() }
    }

    fn fits(&self, problem: &Problem) -> bool {
        problem.place.to_string() == self.place
            && problem.message.contains(&self.message)
            && problem.remedy.contains(&self.remedy)
    }
}

/// What is not as `expected`, in words.
fn differences(path: &Path, expected: &[Expectation], found: &[Problem]) -> String {
    let mut differences = Vec::new();
    for expectation in expected.iter().filter(|wanted| !found.iter().any(|problem| wanted.fits(problem))) {
        let Expectation { place, message, remedy } = expectation;
        differences.push(format!("{}: not told: {place} {message} | {remedy}\n", path.display()));
    }
    for problem in found.iter().filter(|problem| !expected.iter().any(|wanted| wanted.fits(problem))) {
        differences.push(format!("not expected: {problem}\n"));
    }
    differences.concat()
}

#[test]
fn every_wrong_file_says_where_it_is_wrong_and_what_would_be_right() {
    let files = yaml_files("tests/wrong/config");
    assert!(files.len() >= 60, "{} files", files.len());
    let mut wrong = String::new();
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (problems, warnings) = (Expectation::all(&text, "expect"), Expectation::all(&text, "warn"));
        assert!(problems.len() + warnings.len() > 0, "{} expects nothing", path.display());
        let loaded = load_file(&path);
        let found = loaded.result.err().unwrap_or_default();
        wrong += &differences(&path, &problems, &found);
        // A file that expects problems says of warnings what it likes.
        if problems.is_empty() || !warnings.is_empty() {
            wrong += &differences(&path, &warnings, &loaded.warnings);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_example_loads_without_warnings() {
    let examples: Vec<PathBuf> = yaml_files("config")
        .into_iter()
        .filter(|path| !path.file_name().unwrap().to_string_lossy().ends_with(".keys.yaml"))
        .collect();
    assert!(examples.len() >= 3, "{examples:?}");
    for path in examples {
        let loaded = load_file(&path);
        assert_eq!(told(&loaded.warnings), "");
        if let Err(problems) = loaded.result {
            panic!("{}", told(&problems));
        }
    }
}

#[test]
fn the_keys_of_every_example_are_right_with_it() {
    for (name, keys) in [("minimal", 1), ("full", 3), ("organizations", 2)] {
        let config = load_file(&root().join(format!("config/{name}.yaml"))).result.unwrap();
        let KeySource::File(path) = &config.keys else { panic!("{name}") };
        assert_eq!(*path, root().join(format!("config/{name}.keys.yaml")));
        // A copy, since a checkout may be writable for others, which is another test's subject.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("keys.yaml");
        fs::write(&copy, fs::read(path).unwrap()).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        let mut files = KeyFiles::new(Location::File(copy), ReadOptions::default());
        files.look_once(Moment { monotonic: keygate::clock::monotonic(), wall: jiff::Timestamp::now() });
        let resolution = files.resolve(&config.key_policy()).unwrap();
        assert!(resolution.wrong.is_empty(), "{name}: {:?}", resolution.wrong);
        assert_eq!(resolution.files[0].keys.len(), keys, "{name}");
    }
}

#[test]
fn the_schemas_in_the_repository_are_current() {
    assert_current("keygate.schema.json", &schema());
    assert_current("keys.schema.json", &key_file_schema().into());
}

/// That the file `name` of `config/` holds `schema`; writes it where the environment says UPDATE.
fn assert_current(name: &str, schema: &serde_json::Value) {
    let path = root().join("config").join(name);
    let current = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == current, "run the test again with UPDATE=1 to write {}", path.display());
}

const MINIMAL: &str = "version: 1
listen: {address: 127.0.0.1:8080}
upstreams: {api: {url: http://127.0.0.1:9000}}
keys: {file: keys.yaml}
routes:
  - {path: '/{*rest}', methods: {GET: read, '*': write}}
";

#[test]
fn what_is_not_said_has_the_documented_default() {
    let config = config(MINIMAL);
    let listener = &config.listeners[0];
    assert_eq!(listener.address, ListenAddress::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(listener.limits.head.head_bytes, 32 * 1024);
    assert_eq!(listener.limits.body_bytes, 1 << 30);
    assert_eq!(config.health, Some("127.0.0.1:8082".parse().unwrap()));
    assert_eq!(config.keys, KeySource::File(root().join("config/keys.yaml")));
    assert_eq!(config.brand.as_str(), "kg");
    assert_eq!(config.role_caps.get(Role::Member), config.policy.scopes.get("write").unwrap());
    assert_eq!(config.identity, IdentityHeaders::default());
    assert_eq!(config.workers.get(), 2);
    let upstream = &config.upstreams[0];
    let address = UpstreamAddress::Tcp { host: "127.0.0.1".into(), port: 9000 };
    assert_eq!((&upstream.address, &*upstream.authority), (&address, "127.0.0.1:9000"));
    assert_eq!((&upstream.tls, &upstream.host), (&None, &UpstreamHost::Preserve));
}

#[test]
fn null_turns_off_what_is_on_by_default() {
    assert_eq!(config(&format!("{MINIMAL}health: null\nadmin: null\n")).health, None);
}

#[test]
fn values_come_from_environment_and_files() {
    let text = MINIMAL.replace(
        "http://127.0.0.1:9000}",
        "'http://127.0.0.1:${PORT}', set_headers: {X-Toml: '${file:../rustfmt.toml}', X-Cost: $$5}}",
    );
    let loaded = load_text(&text.replace("rustfmt.toml", "CHANGELOG.md"));
    let told = told(&loaded.result.unwrap_err());
    assert!(told.contains("the value of X-Toml cannot stand in a header"), "{told}");
    assert_eq!(loaded.included, [root().join("config/../CHANGELOG.md")]);
    let config = config(&text.replace("${file:../rustfmt.toml}", "${NONE:-x}"));
    let set: Vec<&str> = config.upstreams[0].set_headers.iter().map(|(_, value)| &*value.0).collect();
    assert_eq!(set, ["x", "$5"]);
    assert_eq!(config.upstreams[0].authority.as_ref(), "127.0.0.1:9000");
}

#[test]
fn the_environment_may_set_the_number_of_workers() {
    let with = |value: &'static str| {
        let variable = move |name: &str| (name == "KEYGATE_WORKERS").then(|| value.to_owned());
        parse(
            Path::new("keygate.yaml"),
            MINIMAL.as_bytes(),
            &Surroundings { variable: &variable, ..surroundings() },
        )
        .result
    };
    assert_eq!(with("7").unwrap().workers.get(), 7);
    let problems = with("seven").unwrap_err();
    assert!(
        told(&problems).starts_with("keygate.yaml: the environment variable KEYGATE_WORKERS"),
        "{problems:?}"
    );
}

#[test]
fn client_copies_of_every_identity_header_are_removed_whatever_names_are_in_use() {
    let kong = config(&format!(
        "{MINIMAL}identity_headers: {{preset: kong, names: {{user: X-Api-User, role: null}}}}\n"
    ));
    assert_eq!(kong.identity.key_id.as_deref(), Some("X-Credential-Identifier"));
    assert_eq!(kong.identity.user.as_deref(), Some("X-Api-User"));
    assert_eq!(kong.identity.role, None);
    for name in
        ["x_api_user", "X-Auth-User", "x.consumer.id", "Remote_User", "X-Forwarded-Groups", "X-Auth-Role"]
    {
        assert!(kong.policy.identity_names.contains(name.as_bytes()), "{name}");
    }
    for name in ["X-Auth-Token", "Authorization", "X-Api-Version"] {
        assert!(!kong.policy.identity_names.contains(name.as_bytes()), "{name}");
    }
}

#[test]
fn a_route_may_turn_off_the_cors_of_all() {
    let text = "cors: {origins: '*'}\n".to_owned() + MINIMAL + "  - {path: /a, access: public, cors: null}\n";
    let config = load_text(&text).result.unwrap();
    let cors: Vec<bool> = config.forwardings.iter().map(|forwarding| forwarding.cors.is_some()).collect();
    assert_eq!(cors, [true, false]);
    let preflights: Vec<bool> =
        config.policy.routes.routes().iter().map(|route| route.answers_preflight).collect();
    assert_eq!(preflights, [true, false]);
}

#[test]
fn error_templates_keep_all_text_around_their_places() {
    let text = format!(
        "{MINIMAL}errors: {{default: '{{\"error\": {{\"code\": \"{{code}}\", \"x\": {{}}}}}}', 404: gone}}\n"
    );
    let config = config(&text);
    let default = &config.error_templates[&None];
    let [TemplatePart::Text(before), TemplatePart::Code, TemplatePart::Text(after)] = &default.parts[..]
    else {
        panic!("{default:?}")
    };
    assert_eq!((before.as_ref(), after.as_ref()), ("{\"error\": {\"code\": \"", "\", \"x\": {}}}"));
    assert_eq!(config.error_templates[&Some(404)].parts, [TemplatePart::Text("gone".into())]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    for (path, message) in [("config/none.yaml", "the file is not there"), ("config", "this is a directory")]
    {
        let surroundings = Surroundings::of_process("keygate-00000000");
        let problems = load(&root().join(path), &surroundings).result.unwrap_err();
        assert!(problems[0].to_string().contains(message), "{problems:?}");
    }
}

#[test]
fn a_huge_file_is_refused_without_being_kept() {
    let huge = "a".repeat(5 << 20);
    let problems = load_text(&huge).result.unwrap_err();
    assert!(told(&problems).contains("5242880 bytes"), "{}", told(&problems));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keygate.yaml");
    fs::write(&path, huge).unwrap();
    let problems = load(&path, &Surroundings::of_process("keygate-00000000")).result.unwrap_err();
    assert!(told(&problems).contains("the file is too large"), "{}", told(&problems));
}

/// The full example, which uses every field.
fn full() -> String {
    fs::read_to_string(root().join("config/full.yaml")).unwrap()
}

#[test]
fn the_full_example_names_every_field() {
    let full = full();
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for object in definitions.chain([&schema]) {
        for name in object["properties"].as_object().into_iter().flat_map(|properties| properties.keys()) {
            let later = ["database", "addresses", "staleness"].contains(&name.as_str());
            let identity =
                ["key_id", "user", "email", "role", "scopes", "projects", "project", "organization"];
            let named = full.contains(&format!("{name}:"));
            assert!(named || later || identity.contains(&name.as_str()), "{name} is not in config/full.yaml");
        }
    }
}

#[test]
fn a_file_cut_short_anywhere_is_never_a_panic_and_never_the_whole() {
    let full = full();
    let whole = load_text(&full).result.unwrap();
    for end in (0..full.len()).step_by(17).filter(|end| full.is_char_boundary(*end)) {
        if let Ok(config) = load_text(&full[..end]).result {
            assert!(config.policy.routes.routes().len() <= whole.policy.routes.routes().len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_are_a_configuration_or_problems(bytes in any::<Vec<u8>>()) {
        let loaded = parse(Path::new("keygate.yaml"), &bytes, &surroundings());
        if let Err(problems) = loaded.result {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn a_mutated_example_is_a_configuration_or_problems_with_places(
        mutations in vec((any::<Index>(), select(MUTATIONS)), 1..6),
    ) {
        let full = full();
        let mut lines: Vec<String> = full.lines().map(str::to_owned).collect();
        for (at, mutation) in mutations {
            mutation.apply(&mut lines, at);
        }
        let loaded = load_text(&lines.join("\n"));
        if let Err(problems) = loaded.result {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.place.line as usize <= lines.len() + 1, "{}", problem);
                prop_assert!(!problem.remedy.is_empty(), "{}", problem);
            }
        }
    }

    #[test]
    fn what_came_from_the_environment_as_a_secret_is_in_no_problem(at in any::<Index>()) {
        let mut lines: Vec<String> = full().lines().map(str::to_owned).collect();
        Mutation::Interpolate.apply(&mut lines, at);
        let loaded = load_text(&lines.join("\n"));
        let line = lines.iter().find(|line| line.contains("${SECRET}")).cloned().unwrap_or_default();
        if let Err(problems) = loaded.result {
            prop_assert!(!told(&problems).contains("hunter2"), "{}\n{}", line, told(&problems));
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Mutation {
    Remove,
    Repeat,
    Indent,
    Dedent,
    EmptyValue,
    Interpolate,
    Bracket,
    Number,
}

const MUTATIONS: &[Mutation] = &[
    Mutation::Remove,
    Mutation::Repeat,
    Mutation::Indent,
    Mutation::Dedent,
    Mutation::EmptyValue,
    Mutation::Interpolate,
    Mutation::Bracket,
    Mutation::Number,
];

impl Mutation {
    fn apply(self, lines: &mut Vec<String>, at: Index) {
        let at = at.index(lines.len());
        let line = lines[at].clone();
        let with_value = |value: &str| match line.split_once(": ") {
            Some((name, _)) => format!("{name}: {value}"),
            None => line.clone(),
        };
        match self {
            Self::Remove => drop(lines.remove(at)),
            Self::Repeat => lines.insert(at, line),
            Self::Indent => lines[at] = format!("  {line}"),
            Self::Dedent => line.strip_prefix("  ").unwrap_or(&line).clone_into(&mut lines[at]),
            Self::EmptyValue => lines[at] = with_value(""),
            Self::Interpolate => lines[at] = with_value("${SECRET}"),
            Self::Bracket => lines[at] = with_value("[{}]"),
            Self::Number => lines[at] = with_value("18446744073709551616"),
        }
    }
}
