//! The kustomizations: what each renders to is valid, restricted, consistent, and fits the gateway that it starts.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use keygate::{config::Config, telemetry::names};
use regex_lite::Regex;
use serde_json::{Value, json};

use super::{drained_within, parsed, psql_file, root, script};
use crate::harness::{Postgres, run};

const OVERLAYS: [&str; 3] = ["stand-alone", "sidecar", "postgres"];
/// Made by the operator, as docs/kubernetes.md says.
const SECRET_OF_THE_OPERATOR: &str = "keygate-database";

/// The objects of one overlay.
struct Rendered(Vec<Value>);

/// A pod of one of them, with the name of what makes it.
struct Pod<'r> {
    name: &'r str,
    labels: &'r Value,
    spec: &'r Value,
}

impl Rendered {
    fn of(overlay: &str) -> Self {
        let run = script("kustomize.py", &[folder(overlay).to_str().unwrap()], "").expect_success();
        Self(serde_json::from_str(&run.stdout).unwrap())
    }

    fn kind<'r>(&'r self, kind: &'r str) -> impl Iterator<Item = &'r Value> {
        self.0.iter().filter(move |one| one["kind"] == kind)
    }

    fn named(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name).unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name)
    }

    fn pods(&self) -> Vec<Pod<'_>> {
        let makers = self.0.iter().filter(|one| one["spec"]["template"]["spec"].is_object());
        makers
            .map(|maker| Pod {
                name: text(&maker["metadata"]["name"]),
                labels: &maker["spec"]["template"]["metadata"]["labels"],
                spec: &maker["spec"]["template"]["spec"],
            })
            .collect()
    }

    /// The config that a pod reads.
    fn config(&self, pod: &Pod<'_>) -> &str {
        let volume = pod.volume("config").unwrap();
        let map = self.named("ConfigMap", text(&volume["configMap"]["name"]));
        text(&map["data"]["keygate.yaml"])
    }

    fn parsed_config(&self, pod: &Pod<'_>) -> Config {
        parsed(Path::new("/etc/keygate/config"), self.config(pod))
    }
}

impl<'r> Pod<'r> {
    fn containers(&self) -> impl Iterator<Item = &'r Value> {
        let init = self.spec["initContainers"].as_array().into_iter().flatten();
        init.chain(self.spec["containers"].as_array().into_iter().flatten())
    }

    fn container(&self, name: &str) -> Option<&'r Value> {
        self.containers().find(|container| container["name"] == name)
    }

    fn volume(&self, name: &str) -> Option<&'r Value> {
        self.spec["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name)
    }

    /// The gateway that serves in it, if one does.
    fn gateway(&self) -> Option<&'r Value> {
        self.container("keygate").filter(|container| container["args"][0] == "serve")
    }
}

fn folder(overlay: &str) -> PathBuf {
    root().join("deploy/kubernetes").join(overlay)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(value.as_u64().unwrap_or_else(|| panic!("{value} is no number of seconds")))
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// Whether labels are those that a selector asks for.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.into_iter().all(|(name, value)| labels[name] == *value)
        && expressions.all(|one| {
            assert_eq!(one["operator"], "In");
            list(&one["values"]).contains(&labels[text(&one["key"])].as_str().unwrap_or_default())
        })
}

fn problems(objects: &[Value]) -> String {
    script("validate.py", &[], &serde_json::to_string(objects).unwrap()).expect_success().stdout
}

#[test]
fn every_object_is_valid_for_kubernetes_and_prometheus() {
    for overlay in OVERLAYS {
        assert_eq!(problems(&Rendered::of(overlay).0), "", "{overlay}");
    }
}

#[test]
fn what_they_would_refuse_is_found() {
    let Rendered(mut objects) = Rendered::of("stand-alone");
    for one in &mut objects {
        match one["kind"].as_str() {
            Some("Deployment") => one["spec"]["template"]["spec"]["hostPorts"] = json!(true),
            Some("Service") => one["spec"]["ports"][0]["port"] = json!("eighty"),
            Some("PrometheusRule") => one["spec"]["groups"][0]["rules"][0]["expr"] = json!("rate(("),
            _ => {}
        }
    }
    let found = problems(&objects);
    for kind in ["Deployment", "Service", "PrometheusRule"] {
        assert!(found.lines().any(|line| line.starts_with(kind)), "nothing about the {kind} in\n{found}");
    }
}

/// Where kubectl is not installed, the overlays are rendered by `tests/deploy/kustomize.py` alone.
#[test]
fn kubectl_renders_the_same() {
    let has_kubectl =
        Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|run| run.status.success());
    for overlay in OVERLAYS.iter().filter(|_| has_kubectl) {
        let folder = folder(overlay);
        let theirs = run::run(Command::new("kubectl").arg("kustomize").arg(&folder), "").expect_success();
        script("kustomize.py", &["--compare", folder.to_str().unwrap()], &theirs.stdout).expect_success();
    }
}

/// The profile "restricted" of the Pod Security Standards, and more.
#[test]
fn no_container_gets_a_right_that_it_does_not_need() {
    for overlay in OVERLAYS {
        for Pod { name, spec, .. } in Rendered::of(overlay).pods() {
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            assert_eq!(spec["enableServiceLinks"], false, "{name}");
            for host in ["hostNetwork", "hostPID", "hostIPC", "serviceAccountName"] {
                assert!(spec[host].is_null(), "{name} {host}");
            }
            let pod = &spec["securityContext"];
            assert_eq!(pod["runAsNonRoot"], true, "{name}");
            assert_eq!(
                (&pod["runAsUser"], &pod["runAsGroup"], &pod["fsGroup"]),
                (&json!(65532), &json!(65532), &json!(65532))
            );
            assert_eq!(pod["seccompProfile"], json!({"type": "RuntimeDefault"}), "{name}");
            for volume in spec["volumes"].as_array().into_iter().flatten() {
                let kinds: Vec<_> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
                assert!(["configMap", "secret", "emptyDir"].contains(&kinds[0].as_str()), "{name} {volume}");
            }
        }
    }
}

#[test]
fn every_container_is_closed_and_bounded() {
    for overlay in OVERLAYS {
        let rendered = Rendered::of(overlay);
        for pod in rendered.pods() {
            for container in pod.containers() {
                let who = format!("{overlay} {} {}", pod.name, container["name"]);
                let closed = json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                });
                assert_eq!(container["securityContext"], closed, "{who}");
                for bound in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
                    assert!(container["resources"].pointer(bound).is_some(), "{who} {bound}");
                }
                let image = text(&container["image"]);
                let tag = image.rsplit_once(':').map(|(_, tag)| tag);
                assert!(tag.is_some_and(|tag| tag != "latest") && image.contains('/'), "{who} {image}");
                for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                    assert!(mount["subPath"].is_null(), "{who}: a file mounted alone never changes");
                    let is_state = mount["name"] == "state";
                    assert_eq!(mount["readOnly"].as_bool().unwrap_or(false), !is_state, "{who} {mount}");
                }
            }
        }
    }
}

#[test]
fn what_is_named_is_there() {
    for overlay in OVERLAYS {
        let rendered = Rendered::of(overlay);
        for pod in rendered.pods() {
            for volume in pod.spec["volumes"].as_array().unwrap() {
                if let Some(name) = volume["configMap"]["name"].as_str() {
                    rendered.named("ConfigMap", name);
                }
                if let Some(name) =
                    volume["secret"]["secretName"].as_str().filter(|name| *name != SECRET_OF_THE_OPERATOR)
                {
                    rendered.named("Secret", name);
                }
            }
            for container in pod.containers() {
                for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                    assert!(pod.volume(text(&mount["name"])).is_some(), "{overlay} {} {mount}", pod.name);
                }
            }
        }
        let pods = rendered.pods();
        let finds = |selector: &Value| pods.iter().any(|pod| selects(selector, pod.labels));
        for service in rendered.kind("Service") {
            assert!(finds(&json!({"matchLabels": service["spec"]["selector"]})), "{service}");
        }
        for budget in rendered.kind("PodDisruptionBudget").chain(rendered.kind("PodMonitor")) {
            assert!(finds(&budget["spec"]["selector"]), "{budget}");
        }
        for deployment in rendered.kind("Deployment") {
            let spec = &deployment["spec"];
            assert!(selects(&spec["selector"], &spec["template"]["metadata"]["labels"]), "{deployment}");
            for spread in
                spec["template"]["spec"]["topologySpreadConstraints"].as_array().into_iter().flatten()
            {
                assert_eq!(spread["labelSelector"], spec["selector"]);
            }
        }
    }
}

#[test]
fn a_rollout_never_has_fewer_gateways_than_it_should() {
    for overlay in OVERLAYS {
        for deployment in Rendered::of(overlay).kind("Deployment") {
            let strategy = &deployment["spec"]["strategy"];
            assert_eq!(strategy["type"], "RollingUpdate");
            assert_eq!(strategy["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
        }
    }
}

#[test]
fn gateways_are_probed_where_they_answer_and_given_time_to_drain() {
    for overlay in OVERLAYS {
        let rendered = Rendered::of(overlay);
        let mut gateways = 0;
        for pod in rendered.pods() {
            let Some(gateway) = pod.gateway() else { continue };
            gateways += 1;
            let config = rendered.parsed_config(&pod);
            let port = |name: &str| {
                let ports = gateway["ports"].as_array().unwrap();
                ports.iter().find(|port| port["name"] == name).and_then(|port| port["containerPort"].as_u64())
            };
            let health = config.health.unwrap();
            assert!(health.ip().is_unspecified(), "the kubelet does not come from loopback");
            assert_eq!(port("health"), Some(u64::from(health.port())));
            if let Some(http) = port("http") {
                assert_eq!(config.listeners[0].address.to_string(), format!("0.0.0.0:{http}"));
            }
            for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
                assert_eq!(
                    gateway[probe]["httpGet"],
                    json!({"path": path, "port": "health"}),
                    "{}",
                    pod.name
                );
            }
            let grace = seconds(&pod.spec["terminationGracePeriodSeconds"]);
            assert!(grace > drained_within(&config), "{overlay} {}", pod.name);
        }
        assert!(gateways > 0, "{overlay}");
    }
}

#[test]
fn the_sidecar_starts_before_the_api_and_drains_before_the_api_is_told_to_end() {
    let rendered = Rendered::of("sidecar");
    let pods = rendered.pods();
    let pod = &pods[0];
    let gateway = &pod.spec["initContainers"][0];
    assert_eq!((&gateway["name"], &gateway["restartPolicy"]), (&json!("keygate"), &json!("Always")));
    assert_eq!(gateway["startupProbe"]["httpGet"]["path"], "/readyz");
    // What the hook runs is what the image holds, and a command that there is.
    let hook = list(&gateway["lifecycle"]["preStop"]["exec"]["command"]);
    assert_eq!(hook, ["/keygate", "stop", "--pid", "1"]);
    let api = pod.container("api").unwrap();
    let outlived = seconds(&api["lifecycle"]["preStop"]["sleep"]["seconds"]);
    let config = rendered.parsed_config(pod);
    assert!(outlived > drained_within(&config), "{outlived:?}");
    assert!(seconds(&pod.spec["terminationGracePeriodSeconds"]) > outlived);
    let service = &rendered.named("Service", "api")["spec"]["ports"][0];
    assert_eq!(service["targetPort"], gateway["ports"][0]["containerPort"]);
    assert!(api["ports"].is_null(), "nobody passes by the gateway");
}

/// The command lines as they stand, but for the places where a cluster mounts what they read: `serve` is asked for
/// `check`, with the config and the keys of the overlay.
#[test]
fn the_gateway_accepts_the_command_lines_and_the_files_of_key_files() {
    for overlay in ["stand-alone", "sidecar"] {
        let rendered = Rendered::of(overlay);
        let keys = fs::read_to_string(folder(overlay).join("keys.yaml")).unwrap();
        for pod in rendered.pods() {
            check(&rendered, &pod, &[("keys", "keys.yaml", &keys)], &[]);
        }
    }
}

/// Mounts what a pod mounts below a folder of the test, and has the gateway check it.
fn check(rendered: &Rendered, pod: &Pod<'_>, secrets: &[(&str, &str, &str)], environment: &[(&str, &str)]) {
    let mounted = tempfile::tempdir().unwrap();
    let at = mounted.path().to_str().unwrap();
    let gateway = pod.gateway().unwrap();
    let place = |volume: &str| {
        let mut mounts = gateway["volumeMounts"].as_array().unwrap().iter();
        let mount =
            mounts.find(|mount| mount["name"] == volume).unwrap_or_else(|| panic!("no {volume} is mounted"));
        let place = mounted.path().join(text(&mount["mountPath"]).trim_start_matches('/'));
        fs::create_dir_all(&place).unwrap();
        place
    };
    let config = rendered.config(pod).replace("/etc/", &format!("{at}/etc/"));
    fs::write(place("config").join("keygate.yaml"), config).unwrap();
    for (volume, name, content) in secrets {
        fs::write(place(volume).join(name), content).unwrap();
    }
    let arguments = list(&gateway["args"]);
    let arguments: Vec<_> =
        arguments.iter().map(|argument| argument.replace("/etc/", &format!("{at}/etc/"))).collect();
    let mut as_it_stands: Vec<_> = arguments.iter().map(String::as_str).collect();
    as_it_stands.push("--help");
    run::keygate(root(), &as_it_stands, "").expect_success();
    assert_eq!(arguments[0], "serve");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.arg("check").args(&arguments[1..]).envs(environment.iter().copied());
    let checked = run::run(&mut command, "").expect_success();
    assert!(checked.stdout.contains("ok: 2 routes"), "{checked:?}");
}

#[test]
fn the_job_makes_tables_that_the_gateways_may_use_and_no_more() {
    let rendered = Rendered::of("postgres");
    let roles = tempfile::tempdir().unwrap();
    let file = roles.path().join("roles.sql");
    fs::write(&file, text(&rendered.named("ConfigMap", "keygate-roles")["data"]["roles.sql"])).unwrap();
    let server = Postgres::start();
    let database = server.create_named_database();
    // By hand, as the guide says.
    psql_file(&server, "postgres", &database, &file).expect_success();
    let pods = rendered.pods();
    let job = pods.iter().find(|pod| pod.name == "keygate-migrate").unwrap();
    let migrate = job.container("keygate").unwrap();
    let url = server.url_as("keygate_owner", &database);
    assert_eq!(variable(migrate, "KEYGATE_DATABASE"), "owner-url");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(list(&migrate["args"])).env("KEYGATE_DATABASE", &url).current_dir(roles.path());
    run::run(&mut command, "").expect_success();
    // The command of the other container, with what Kubernetes puts in the place of $(DATABASE_URL).
    let rights = job.container("rights").unwrap();
    assert_eq!(variable(rights, "DATABASE_URL"), "owner-url");
    let line = list(&rights["command"]);
    let line: Vec<_> = line
        .iter()
        .map(|word| {
            word.replace("$(DATABASE_URL)", &url).replace("/roles/", &format!("{}/", roles.path().display()))
        })
        .collect();
    let given = run::run(Command::new(&line[0]).args(&line[1..]), "").expect_success();
    assert_eq!(given.stderr, "");

    for (name, key, role) in
        [("keygate", "gateway-url", "keygate_gateway"), ("keygate-console", "console-url", "keygate_console")]
    {
        let pod = pods.iter().find(|pod| pod.name == name).unwrap();
        assert_eq!(variable(pod.gateway().unwrap(), "DATABASE_URL"), key);
        check(&rendered, pod, &[], &[("DATABASE_URL", &server.url_as(role, &database))]);
    }
    let create = |role: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(["keys", "create", "--name", "a", "--scope", "read", "--all-projects", "--wait", "0"]);
        run::run(
            command.env("KEYGATE_DATABASE", server.url_as(role, &database)).current_dir(roles.path()),
            "",
        )
    };
    let refused = create("keygate_gateway");
    assert!(refused.stderr.contains("this role may not do that"), "{refused:?}");
    create("keygate_console").expect_success();
}

/// The key of the operator's Secret from which a container has a variable.
fn variable<'c>(container: &'c Value, name: &str) -> &'c str {
    let mut all = container["env"].as_array().unwrap().iter();
    let variable =
        all.find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("no variable {name}"));
    let secret = &variable["valueFrom"]["secretKeyRef"];
    assert_eq!(secret["name"], SECRET_OF_THE_OPERATOR);
    text(&secret["key"])
}

#[test]
fn the_console_decides_as_the_gateways_do_and_is_reached_by_nobody_else() {
    let rendered = Rendered::of("postgres");
    let pods = rendered.pods();
    let pod = |name: &str| pods.iter().find(|pod| pod.name == name).unwrap();
    let routes = |name: &str| rendered.config(pod(name)).split_once("\nroutes:").unwrap().1;
    assert_eq!(routes("keygate"), routes("keygate-console"));
    let (gateway, console) =
        (rendered.parsed_config(pod("keygate")), rendered.parsed_config(pod("keygate-console")));
    assert!(gateway.admin.is_none());
    for address in [console.admin.unwrap().address, console.listeners[0].address.clone()] {
        assert!(address.to_string().starts_with("127.0.0.1:"), "{address}");
    }
    let labels = pods.iter().find(|pod| pod.name == "keygate-console").unwrap().labels;
    for service in rendered.kind("Service") {
        assert!(!selects(&json!({"matchLabels": service["spec"]["selector"]}), labels), "{service}");
    }
}

#[test]
fn alerts_name_metrics_that_there_are() {
    let there_are: BTreeSet<_> = names::ALL.iter().map(|metric| metric.full_name()).collect();
    let word = Regex::new(r"\b(?:keygate|process)_[a-z_]+").unwrap();
    let (mut alerts, mut named) = (0, BTreeSet::new());
    for overlay in OVERLAYS {
        let rendered = Rendered::of(overlay);
        for rule in rendered
            .kind("PrometheusRule")
            .flat_map(|rule| rule["spec"]["groups"][0]["rules"].as_array().unwrap())
        {
            alerts += 1;
            for found in word.find_iter(text(&rule["expr"])) {
                let name = found.as_str();
                let whole = ["_bucket", "_count", "_sum"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix))
                    .unwrap_or(name);
                assert!(there_are.contains(whole), "{} names {name}", rule["alert"]);
                named.insert(whole.to_owned());
            }
        }
    }
    assert!(alerts >= 12 && named.len() >= 12, "{alerts} alerts, {named:?}");
}

/// Who may reach a port of the pods with these labels, as the names of namespaces or pods; `None`: everybody.
fn admitted(rendered: &Rendered, labels: &Value, port: &[Value]) -> Option<Vec<String>> {
    let policies: Vec<_> = rendered
        .kind("NetworkPolicy")
        .filter(|policy| list(&policy["spec"]["policyTypes"]).contains(&"Ingress"))
        .filter(|policy| selects(&policy["spec"]["podSelector"], labels))
        .collect();
    let rules = policies.iter().flat_map(|policy| policy["spec"]["ingress"].as_array().into_iter().flatten());
    let rules = rules
        .filter(|rule| rule["ports"].as_array().unwrap().iter().any(|open| port.contains(&open["port"])));
    let peers = rules.flat_map(|rule| rule["from"].as_array().unwrap());
    let named = peers.map(|peer| {
        let labels = [&peer["namespaceSelector"]["matchLabels"], &peer["podSelector"]["matchLabels"]];
        let labels = labels.into_iter().flat_map(|labels| labels.as_object().into_iter().flatten());
        labels.map(|(_, value)| text(value)).collect::<Vec<_>>().join("/")
    });
    (!policies.is_empty()).then(|| named.collect())
}

#[test]
fn each_port_is_open_to_those_who_need_it_alone() {
    let (http, health, admin) = ([json!("http"), json!(8080)], [json!("health"), json!(8082)], [json!(8081)]);
    let nobody = Some(Vec::new());
    let only = |who: &str| Some(vec![who.to_owned()]);
    for (overlay, pod, clients) in [
        ("stand-alone", "keygate", only("ingress-nginx")),
        ("postgres", "keygate", only("ingress-nginx")),
        ("postgres", "keygate-console", nobody.clone()),
        ("sidecar", "api", only("ingress-nginx")),
    ] {
        let rendered = Rendered::of(overlay);
        let pods = rendered.pods();
        let labels = pods.iter().find(|one| one.name == pod).unwrap().labels;
        assert_eq!(admitted(&rendered, labels, &http), clients, "{overlay} {pod}");
        assert_eq!(admitted(&rendered, labels, &health), only("monitoring"), "{overlay} {pod}");
        assert_eq!(admitted(&rendered, labels, &admin), nobody, "{overlay} {pod}");
    }
    let stand_alone = Rendered::of("stand-alone");
    let api = json!({"app.kubernetes.io/name": "api"});
    assert_eq!(admitted(&stand_alone, &api, &[json!(9000)]), only("gateway/keygate"));
}

/// Where the pods with these labels may go, as ports; `None`: everywhere.
fn leads_to(rendered: &Rendered, labels: &Value) -> Option<BTreeSet<u64>> {
    let policies: Vec<_> = rendered
        .kind("NetworkPolicy")
        .filter(|policy| list(&policy["spec"]["policyTypes"]).contains(&"Egress"))
        .filter(|policy| selects(&policy["spec"]["podSelector"], labels))
        .collect();
    let rules = policies.iter().flat_map(|policy| policy["spec"]["egress"].as_array().into_iter().flatten());
    let ports = rules.flat_map(|rule| {
        assert!(rule["to"].as_array().is_some_and(|to| !to.is_empty()), "{rule}");
        rule["ports"].as_array().unwrap()
    });
    (!policies.is_empty()).then(|| ports.map(|port| port["port"].as_u64().unwrap()).collect())
}

#[test]
fn gateways_reach_names_the_api_and_their_database_and_nothing_else() {
    for (overlay, pod, ports) in [
        ("stand-alone", "keygate", &[53, 9000][..]),
        ("postgres", "keygate", &[53, 5432, 9000]),
        ("postgres", "keygate-console", &[53, 5432]),
        ("postgres", "keygate-migrate", &[53, 5432]),
    ] {
        let rendered = Rendered::of(overlay);
        let pods = rendered.pods();
        let labels = pods.iter().find(|one| one.name == pod).unwrap().labels;
        assert_eq!(leads_to(&rendered, labels), Some(ports.iter().copied().collect()), "{overlay} {pod}");
    }
}
