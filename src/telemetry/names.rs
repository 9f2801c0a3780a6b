//! Every metric there is: its name, unit, kind, labels and help. No other module spells a metric name.
//!
//! A label never takes a value that a client chose, nor one per key or project: labels are closed lists of the code,
//! names that the operator gave to upstreams, plans and sources, or path patterns of the routes that observe.

use prometheus_client::{metrics::MetricType, registry::Unit};

/// One metric family.
#[derive(Debug)]
pub struct Metric {
    /// The name without the suffixes that unit and kind add to it.
    pub stem: &'static str,
    /// The unit, which is part of the full name.
    pub unit: Option<Unit>,
    /// Counter, gauge, histogram or info.
    pub kind: MetricType,
    /// The label names, in the order they are written.
    pub labels: &'static [&'static str],
    /// One sentence for whoever reads the scrape.
    pub help: &'static str,
}

impl Metric {
    /// The name as it is queried: stem, unit, and the suffix of its kind.
    pub fn full_name(&self) -> String {
        let unit = self.unit.as_ref().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => "",
        };
        format!("{}{unit}{suffix}", self.stem)
    }
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $stem:literal $([$unit:ident])? {$($label:literal),*} $help:literal;)*) => {
        $(#[doc = $help] pub static $constant: Metric = Metric {
            stem: $stem,
            unit: metrics!(@unit $($unit)?),
            kind: MetricType::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// Every metric, in the order of the scrape.
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

metrics! {
    BUILD = Info "keygate_build" {"version", "revision", "target"}
        "The build that is running.";
    WORKERS = Gauge "keygate_workers" {}
        "Worker threads that serve requests.";
    REQUESTS = Counter "keygate_requests" {"outcome", "code"}
        "Requests by how they ended: forwarded, answered or, at a door, permitted with a status class, refused with a reason code, aborted by one side.";
    DOOR_REQUESTS = Counter "keygate_door_requests" {"door", "outcome", "code"}
        "Requests that other proxies asked about, by door and how that ended; each counts among all requests too.";
    OBSERVED = Counter "keygate_observed" {"route", "reason"}
        "Requests that were forwarded, as nobody's, because their route observes, by its path pattern and the reason they would have been refused for.";
    REQUEST_DURATION = Histogram "keygate_request_duration" [Seconds] {}
        "Time from the first byte of a request's head to the last byte of its answer; without upgraded connections.";
    RECEIVED = Counter "keygate_received" [Bytes] {}
        "Body bytes received from clients, upgraded streams included.";
    SENT = Counter "keygate_sent" [Bytes] {}
        "Body bytes sent to clients, upgraded streams included.";
    CONNECTIONS = Gauge "keygate_connections" {}
        "Client connections that are open.";
    CONNECTIONS_ACCEPTED = Counter "keygate_connections_accepted" {}
        "Client connections accepted.";
    CONNECTIONS_LIMITED = Counter "keygate_connections_limited" {}
        "Client connections closed at once because a limit was reached.";
    TLS_FAILURES = Counter "keygate_tls_handshake_failures" {}
        "TLS handshakes with clients that failed or took too long.";
    STREAMS = Gauge "keygate_upgraded_streams" {}
        "Upgraded connections (WebSocket) that are open.";
    STREAMS_CUT = Counter "keygate_streams_cut" {"reason"}
        "Requests under way, streams among them, that were ended because their key was good for them no longer.";
    RATE_LIMITED = Counter "keygate_rate_limited" {"plan", "limit"}
        "Requests answered 429 since their key exceeded a limit of its plan.";
    FAILED_ATTEMPTS_LIMITED = Counter "keygate_failed_attempts_limited" {}
        "Requests with a bad key answered 429 since too many of their address had failed.";
    UPSTREAM_RESPONSES = Counter "keygate_upstream_responses" {"upstream", "status"}
        "Answers of an upstream by status class.";
    UPSTREAM_FIRST_BYTE = Histogram "keygate_upstream_first_byte" [Seconds] {"upstream"}
        "Time from sending a request to an upstream to the head of its answer.";
    UPSTREAM_CONNECT = Histogram "keygate_upstream_connect" [Seconds] {"upstream"}
        "Time to connect to an upstream, TLS included.";
    UPSTREAM_ERRORS = Counter "keygate_upstream_errors" {"upstream", "kind"}
        "Exchanges with an upstream that failed.";
    UPSTREAM_RETRIES = Counter "keygate_upstream_retries" {"upstream"}
        "Requests sent a second time because a pooled connection turned out closed.";
    UPSTREAM_CONNECTIONS = Gauge "keygate_upstream_connections" {"upstream", "state"}
        "Connections to an upstream that are in use or idle.";
    ACCESS_LOG_DROPPED = Counter "keygate_access_log_lines_dropped" {"cause"}
        "Access-log lines lost because the writer was behind or could not write.";
    USAGE_DROPPED = Counter "keygate_usage_dropped" {}
        "Uses of keys that were not recorded because the record was full.";
    REVISION = Gauge "keygate_revision" {}
        "The revision of configuration and keys that is in force.";
    KEYS = Gauge "keygate_keys" {"status"}
        "Keys in force by status.";
    RELOAD_SUCCESS = Gauge "keygate_reload_last_success_timestamp" [Seconds] {"source"}
        "When a source was last taken into force.";
    RELOAD_FAILURE = Gauge "keygate_reload_last_failure_timestamp" [Seconds] {"source"}
        "When a source was last found wrong.";
    SOURCES_WRONG = Gauge "keygate_sources_wrong" {}
        "Sources that are wrong now, so that an older content is in force.";
    REVOCATIONS_UNDONE = Gauge "keygate_revocations_undone" {}
        "Revoked keys that a source lists as good again; they stay refused.";
    ROUTES_OBSERVING = Gauge "keygate_routes_observing" {}
        "Routes that forward what they would refuse.";
    PROCESS_CPU = Counter "process_cpu" [Seconds] {}
        "User and system time the process has used.";
    PROCESS_RESIDENT = Gauge "process_resident_memory" [Bytes] {}
        "Resident memory.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory" [Bytes] {}
        "Virtual memory.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" {}
        "File descriptors that are open.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" {}
        "File descriptors that may be open.";
    PROCESS_START = Gauge "process_start_time" [Seconds] {}
        "When the process started, since the Unix epoch.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_ours() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.full_name()).collect();
        assert!(names.iter().all(|name| name.starts_with("keygate_") || name.starts_with("process_")));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn units_and_kinds_are_in_the_name() {
        assert_eq!(RECEIVED.full_name(), "keygate_received_bytes_total");
        assert_eq!(BUILD.full_name(), "keygate_build_info");
    }

    #[test]
    fn no_label_could_grow_with_keys_or_projects() {
        let allowed = [
            "version", "revision", "target", "outcome", "code", "upstream", "status", "kind", "state",
            "cause", "source", "reason", "door", "plan", "limit", "route",
        ];
        for metric in ALL {
            assert!(metric.labels.iter().all(|label| allowed.contains(label)), "{metric:?}");
        }
    }
}
