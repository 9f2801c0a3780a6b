//! What is shipped besides the binary: that `deploy/` and the Dockerfile fit the gateway and one another.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use keygate::{
    config::{self, Config, Surroundings},
    store::file::parse_key_file,
    yaml::{Document, Limits, Node, parse},
};

use crate::harness::run;

const FOLDER: &str = "deploy/kubernetes";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One YAML file of the Kubernetes example.
fn manifest(name: &str) -> Document<'static> {
    let text: &'static str = read(&format!("{FOLDER}/{name}")).leak();
    parse(text.as_bytes(), &Limits::default()).unwrap_or_else(|problems| panic!("{name}: {problems:?}"))
}

fn at<'d>(node: Node<'d>, path: &str) -> Node<'d> {
    path.split('.').fold(node, |node, key| node.get(key).unwrap_or_else(|| panic!("no {key} of {path}")))
}

fn text<'d>(node: Node<'d>, path: &str) -> &'d str {
    at(node, path).text().unwrap_or_else(|| panic!("{path} is no scalar"))
}

fn seconds(node: Node<'_>, path: &str) -> Duration {
    Duration::from_secs(text(node, path).parse().unwrap())
}

fn named<'d>(list: Node<'d>, name: &str) -> Node<'d> {
    let found = list.items().find(|item| item.get("name").and_then(Node::text) == Some(name));
    found.unwrap_or_else(|| panic!("nothing is called {name}"))
}

/// The config of the Kubernetes example; its one warning is that an ingress must end TLS.
fn kubernetes_config() -> Config {
    let path = Path::new("/etc/keygate/config/keygate.yaml");
    let loaded = config::parse(
        path,
        read(&format!("{FOLDER}/keygate.yaml")).as_bytes(),
        &Surroundings::of_process("keygate-00000000"),
    );
    let warnings: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, ["keys cross the network in clear: 0.0.0.0:8080 has no tls"]);
    loaded.result.unwrap()
}

#[test]
fn the_kubernetes_example_names_only_what_is_there() {
    let kustomization = manifest("kustomization.yaml");
    for list in ["resources", "configMapGenerator", "secretGenerator"] {
        for item in at(kustomization.root(), list).items() {
            let files: Vec<_> = item.get("files").map_or(vec![item], |files| files.items().collect());
            for file in files.into_iter().filter_map(Node::text) {
                assert!(root().join(FOLDER).join(file).is_file(), "{list} names {file}");
            }
        }
    }
    let deployment = manifest("deployment.yaml");
    let pod = at(deployment.root(), "spec.template.spec");
    let volumes = at(pod, "volumes");
    let generated = |kind: &str| {
        at(kustomization.root(), kind).items().filter_map(|item| item.get("name")?.text()).collect::<Vec<_>>()
    };
    let name = text(named(volumes, "config"), "configMap.name");
    assert!(generated("configMapGenerator").contains(&name), "{name}");
    let name = text(named(volumes, "keys"), "secret.secretName");
    assert!(generated("secretGenerator").contains(&name), "{name}");
    for mount in at(named(at(pod, "containers"), "keygate"), "volumeMounts").items() {
        named(volumes, text(mount, "name"));
        assert!(mount.get("subPath").is_none(), "a file mounted alone never changes");
    }
}

#[test]
fn the_kubernetes_example_reads_its_files_where_they_are_mounted() {
    let config = kubernetes_config();
    let deployment = manifest("deployment.yaml");
    let gateway = named(at(deployment.root(), "spec.template.spec.containers"), "keygate");
    let mounted = |name: &str, file: &str| {
        PathBuf::from(text(named(at(gateway, "volumeMounts"), name), "mountPath")).join(file)
    };
    let arguments: Vec<_> = at(gateway, "args").items().filter_map(Node::text).collect();
    assert_eq!(arguments, ["serve", "--config", mounted("config", "keygate.yaml").to_str().unwrap()]);
    assert_eq!(config.keys, config::model::KeySource::File(mounted("keys", "keys.yaml")));
    let keys = read(&format!("{FOLDER}/keys.yaml"));
    parse_key_file(Path::new("keys.yaml"), keys.as_bytes(), &Limits::default()).unwrap();
}

#[test]
fn the_kubernetes_example_is_probed_where_it_answers_and_given_time_to_drain() {
    let config = kubernetes_config();
    let deployment = manifest("deployment.yaml");
    let pod = at(deployment.root(), "spec.template.spec");
    let gateway = named(at(pod, "containers"), "keygate");
    let port = |name: &str| text(named(at(gateway, "ports"), name), "containerPort").parse::<u16>().unwrap();
    let health = config.health.unwrap();
    assert!(health.ip().is_unspecified(), "the kubelet does not come from loopback");
    assert_eq!(port("health"), health.port());
    assert!(config.listeners[0].address.to_string().ends_with(&format!(":{}", port("http"))));
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(text(gateway, &format!("{probe}.httpGet.path")), path);
        assert_eq!(text(gateway, &format!("{probe}.httpGet.port")), "health");
    }
    let drained = config.shutdown.delay + config.shutdown.deadline;
    let outlived = seconds(named(at(pod, "containers"), "api"), "lifecycle.preStop.sleep.seconds");
    assert!(outlived > drained, "{outlived:?} > {drained:?}");
    assert!(seconds(pod, "terminationGracePeriodSeconds") > outlived);
}

#[test]
fn no_container_gets_a_right_that_it_does_not_need() {
    let deployment = manifest("deployment.yaml");
    let pod = at(deployment.root(), "spec.template.spec");
    assert_eq!(text(pod, "securityContext.runAsNonRoot"), "true");
    assert_eq!(text(pod, "securityContext.runAsUser"), "65532");
    for container in at(pod, "containers").items() {
        assert_eq!(text(container, "securityContext.allowPrivilegeEscalation"), "false");
        let dropped: Vec<_> = at(container, "securityContext.capabilities.drop").items().collect();
        assert_eq!(dropped.iter().map(|name| name.text()).collect::<Vec<_>>(), [Some("ALL")]);
    }
    let gateway = named(at(pod, "containers"), "keygate");
    assert_eq!(text(gateway, "securityContext.readOnlyRootFilesystem"), "true");
}

#[test]
fn the_image_runs_as_a_number_and_starts_commands_that_there_are() {
    let dockerfile = read("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last_stage.starts_with("scratch\n"), "{last_stage}");
    let instruction = |name: &str| {
        let lines: Vec<_> = last_stage.lines().filter_map(|line| line.strip_prefix(name)).collect();
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        lines[0].trim()
    };
    assert_eq!(instruction("USER "), "65532:65532");
    assert_eq!(instruction("ENTRYPOINT "), r#"["/keygate"]"#);
    let list = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap();
    let command = list(instruction("CMD "));
    let (_, check) = instruction("HEALTHCHECK ").split_once(" CMD ").unwrap();
    for command in [command.join(" "), list(check)[1..].join(" ")] {
        let mut arguments: Vec<_> = command.split(' ').collect();
        arguments.push("--help");
        run::keygate(root(), &arguments, "").expect_success();
    }
}

#[test]
fn the_service_starts_a_command_that_there_is_and_gets_time_to_drain() {
    let unit = read("deploy/systemd/keygate.service");
    let setting = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}"))
    };
    let mut arguments: Vec<_> = setting("ExecStart").split(' ').skip(1).collect();
    arguments.push("--help");
    run::keygate(root(), &arguments, "").expect_success();
    let default = default_shutdown();
    let stop = setting("TimeoutStopSec").trim_end_matches('s').parse().map(Duration::from_secs).unwrap();
    assert!(stop > default, "{stop:?} > {default:?}");
    assert_eq!(setting("ExecReload"), "/bin/kill -HUP $MAINPID");
    for right in ["DynamicUser", "NoNewPrivileges", "PrivateTmp", "MemoryDenyWriteExecute"] {
        assert_eq!(setting(right), "yes", "{right}");
    }
    assert_eq!(setting("ProtectSystem"), "strict");
}

/// How long the drain may take where the config does not say.
fn default_shutdown() -> Duration {
    let path = root().join("config/minimal.yaml");
    let config = config::load(&path, &Surroundings::of_process("keygate-00000000")).result.unwrap();
    config.shutdown.delay + config.shutdown.deadline
}
