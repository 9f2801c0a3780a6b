//! The scrape: `OpenMetrics` text for `GET /metrics`, summed over the workers when it is asked for.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet, text},
    registry::Registry as Exposition,
};

use super::{
    metrics::{
        ControlState, DURATION_BOUNDS_US, DurationHistogram, DurationTotals, Metrics, Registry,
        RequestCounters, StatusClasses, UpstreamError, WorkerCounters,
    },
    named_cells::{Cells, Named, UpstreamCounters},
    names::{self, Metric},
    outcome::{AbortedBy, Door},
    process::ProcessReading,
};
use crate::{
    keys::tally::KeyTally,
    policy::{plan::Limit, reason::Reason},
};

impl Metrics {
    /// The `Content-Type` of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Everything as `OpenMetrics` 1.0 text, which Prometheus reads. Cost: about 25 µs; takes no lock that a request
    /// could meet.
    pub fn render(&self) -> String {
        let mut exposition = Exposition::default();
        exposition.register_collector(Box::new(Arc::clone(&self.0)));
        let mut out = String::with_capacity(16 * 1024);
        // Writing to a String cannot fail; an error would leave what was written so far.
        let _ = text::encode(&mut out, &exposition);
        out
    }
}

impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let workers = self.workers();
        let encoder = &mut encoder;
        encode_build(encoder, self)?;
        gauge(encoder, &names::WORKERS, &(workers.len() as u64))?;
        encode_requests(encoder, &workers)?;
        encode_connections(encoder, &workers)?;
        encode_limits(encoder, &workers)?;
        encode_upstreams(encoder, &workers)?;
        encode_losses(encoder, self, &workers)?;
        encode_control(encoder, &self.control())?;
        encode_process(encoder, self)
    }
}

fn encode_build(encoder: &mut DescriptorEncoder, registry: &Registry) -> fmt::Result {
    let build = registry.build;
    let labels = [("version", build.version), ("revision", build.revision), ("target", build.target)];
    family(encoder, &names::BUILD)?.encode_info(&labels)
}

fn encode_requests(encoder: &mut DescriptorEncoder, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
    let mut requests = family(encoder, &names::REQUESTS)?;
    let mut row = |outcome, code, value: &dyn Fn(&WorkerCounters) -> u64| {
        sample(&mut requests, &[("outcome", outcome), ("code", code)], sum(workers, value))
    };
    for (at, class) in StatusClasses::NAMES.into_iter().enumerate() {
        row("forwarded", class, &|worker| worker.requests.forwarded.get(at))?;
    }
    for (at, class) in StatusClasses::NAMES.into_iter().enumerate() {
        row("answered", class, &|worker| worker.requests.answered.get(at))?;
    }
    row("permitted", StatusClasses::NAMES[1], &|worker| worker.requests.permitted.get(1))?;
    for (at, reason) in Reason::ALL.into_iter().enumerate() {
        row("refused", reason.code(), &|worker| worker.requests.refused[at].get())?;
    }
    for (at, by) in AbortedBy::ALL.into_iter().enumerate() {
        row("aborted", by.as_str(), &|worker| worker.requests.aborted[at].get())?;
    }
    encode_doors(encoder, workers)?;
    encode_observed(encoder, workers)?;
    let duration = total(workers.iter().map(|worker| &worker.duration));
    histogram(&mut family(encoder, &names::REQUEST_DURATION)?, &duration)
}

/// Samples only for reasons that occurred.
fn encode_observed(encoder: &mut DescriptorEncoder, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
    let mut observed = family(encoder, &names::OBSERVED)?;
    for (route, cells) in &by_name(workers, |worker| &worker.routes) {
        for reason in Reason::OBSERVABLE {
            let count = sum_named(cells, |cells| cells.observed[reason as usize].get());
            if count > 0 {
                sample(&mut observed, &[("route", &**route), ("reason", reason.code())], count)?;
            }
        }
    }
    Ok(())
}

/// Refusals have samples only for reasons that occurred.
fn encode_doors(encoder: &mut DescriptorEncoder, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
    let mut doors = family(encoder, &names::DOOR_REQUESTS)?;
    for door in Door::ALL {
        let at_door = |worker: &WorkerCounters, value: &dyn Fn(&RequestCounters) -> u64| {
            value(&worker.doors[door as usize])
        };
        let mut row = |outcome, code, value: &dyn Fn(&RequestCounters) -> u64| {
            let count = sum(workers, |worker| at_door(worker, value));
            if count == 0 && outcome != "permitted" {
                return Ok(());
            }
            sample(&mut doors, &[("door", door.as_str()), ("outcome", outcome), ("code", code)], count)
        };
        row("permitted", StatusClasses::NAMES[1], &|door| door.permitted.get(1))?;
        row("answered", StatusClasses::NAMES[1], &|door| door.answered.get(1))?;
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            row("refused", reason.code(), &|door| door.refused[at].get())?;
        }
        for (at, by) in AbortedBy::ALL.into_iter().enumerate() {
            row("aborted", by.as_str(), &|door| door.aborted[at].get())?;
        }
    }
    Ok(())
}

fn encode_connections(encoder: &mut DescriptorEncoder, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
    counter(encoder, &names::RECEIVED, sum(workers, |worker| worker.received_bytes.get()))?;
    counter(encoder, &names::SENT, sum(workers, |worker| worker.sent_bytes.get()))?;
    gauge(encoder, &names::CONNECTIONS, &sum(workers, |worker| worker.connections.get()))?;
    counter(encoder, &names::CONNECTIONS_ACCEPTED, sum(workers, |worker| worker.connections_accepted.get()))?;
    counter(encoder, &names::CONNECTIONS_LIMITED, sum(workers, |worker| worker.connections_limited.get()))?;
    counter(encoder, &names::TLS_FAILURES, sum(workers, |worker| worker.tls_failures.get()))?;
    gauge(encoder, &names::STREAMS, &sum(workers, |worker| worker.streams.get()))?;
    let mut cut = family(encoder, &names::STREAMS_CUT)?;
    for reason in Reason::ENDING {
        let count = sum(workers, |worker| worker.streams_cut[reason as usize].get());
        sample(&mut cut, &[("reason", reason.code())], count)?;
    }
    Ok(())
}

fn encode_limits(encoder: &mut DescriptorEncoder, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
    let mut limited = family(encoder, &names::RATE_LIMITED)?;
    for (name, cells) in &by_name(workers, |worker| &worker.plans) {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            let count = sum_named(cells, |cells| cells.exceeded[at].get());
            sample(&mut limited, &[("plan", &**name), ("limit", limit.as_str())], count)?;
        }
    }
    let failed = sum(workers, |worker| worker.failed_attempts_limited.get());
    counter(encoder, &names::FAILED_ATTEMPTS_LIMITED, failed)
}

/// The cells of every worker, by name.
type ByName<C> = BTreeMap<Box<str>, Vec<Cells<C>>>;

fn by_name<C>(workers: &[Arc<WorkerCounters>], of: impl Fn(&WorkerCounters) -> &Named<C>) -> ByName<C> {
    let mut by_name = ByName::new();
    for cells in workers.iter().flat_map(|worker| of(worker).all()) {
        by_name.entry(cells.0.clone()).or_default().push(cells);
    }
    by_name
}

fn encode_upstreams(encoder: &mut DescriptorEncoder, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
    let upstreams = by_name(workers, |worker| &worker.upstreams);
    encode_upstream_exchanges(encoder, &upstreams)?;
    encode_upstream_durations(encoder, &names::UPSTREAM_FIRST_BYTE, &upstreams, |cells| &cells.first_byte)?;
    encode_upstream_durations(encoder, &names::UPSTREAM_CONNECT, &upstreams, |cells| &cells.connect)?;
    let mut connections = family(encoder, &names::UPSTREAM_CONNECTIONS)?;
    for (name, cells) in &upstreams {
        let in_use = sum_named(cells, |cells| cells.in_use.get());
        let idle = sum_named(cells, |cells| cells.idle.get());
        sample_gauge(&mut connections, &[("upstream", &**name), ("state", "in_use")], &in_use)?;
        sample_gauge(&mut connections, &[("upstream", &**name), ("state", "idle")], &idle)?;
    }
    Ok(())
}

fn encode_upstream_exchanges(
    encoder: &mut DescriptorEncoder,
    upstreams: &ByName<UpstreamCounters>,
) -> fmt::Result {
    let mut responses = family(encoder, &names::UPSTREAM_RESPONSES)?;
    for (name, cells) in upstreams {
        for (at, class) in StatusClasses::NAMES.into_iter().enumerate() {
            let count = sum_named(cells, |cells| cells.responses.get(at));
            sample(&mut responses, &[("upstream", &**name), ("status", class)], count)?;
        }
    }
    let mut errors = family(encoder, &names::UPSTREAM_ERRORS)?;
    for (name, cells) in upstreams {
        for (at, kind) in UpstreamError::ALL.into_iter().enumerate() {
            let count = sum_named(cells, |cells| cells.errors[at].get());
            sample(&mut errors, &[("upstream", &**name), ("kind", kind.as_str())], count)?;
        }
    }
    let mut retries = family(encoder, &names::UPSTREAM_RETRIES)?;
    for (name, cells) in upstreams {
        sample(&mut retries, &[("upstream", &**name)], sum_named(cells, |cells| cells.retries.get()))?;
    }
    Ok(())
}

fn encode_upstream_durations(
    encoder: &mut DescriptorEncoder,
    metric: &'static Metric,
    upstreams: &ByName<UpstreamCounters>,
    cell: impl Fn(&UpstreamCounters) -> &DurationHistogram,
) -> fmt::Result {
    let mut durations = family(encoder, metric)?;
    for (name, cells) in upstreams {
        let labels = [("upstream", &**name)];
        histogram(&mut durations.encode_family(&labels)?, &total(cells.iter().map(|cells| cell(&cells.1))))?;
    }
    Ok(())
}

fn encode_losses(
    encoder: &mut DescriptorEncoder,
    registry: &Registry,
    workers: &[Arc<WorkerCounters>],
) -> fmt::Result {
    let mut dropped = family(encoder, &names::ACCESS_LOG_DROPPED)?;
    let behind = sum(workers, |worker| worker.access_log_dropped.get());
    sample(&mut dropped, &[("cause", "behind")], behind)?;
    sample(&mut dropped, &[("cause", "write")], registry.access_log_write_dropped.load(Relaxed))?;
    let by_workers = sum(workers, |worker| worker.usage_dropped.get());
    counter(encoder, &names::USAGE_DROPPED, by_workers + registry.usage_unwritten.load(Relaxed))
}

/// The value of the label `status`, and how many keys there are of it.
fn statuses(keys: KeyTally) -> [(&'static str, u64); 5] {
    [
        ("active", keys.active),
        ("not_yet_valid", keys.not_yet_valid),
        ("expired", keys.expired),
        ("revoked", keys.revoked),
        ("owner_disabled", keys.owner_disabled),
    ]
}

fn encode_control(encoder: &mut DescriptorEncoder, control: &ControlState) -> fmt::Result {
    gauge(encoder, &names::REVISION, &control.revision)?;
    let mut keys = family(encoder, &names::KEYS)?;
    for (status, count) in statuses(control.keys) {
        sample_gauge(&mut keys, &[("status", status)], &count)?;
    }
    let mut succeeded = family(encoder, &names::RELOAD_SUCCESS)?;
    for (source, state) in &control.sources {
        if let Some(at) = state.succeeded {
            sample_gauge(&mut succeeded, &[("source", &**source)], &at.as_second())?;
        }
    }
    let mut failed = family(encoder, &names::RELOAD_FAILURE)?;
    for (source, state) in &control.sources {
        if let Some(at) = state.failed {
            sample_gauge(&mut failed, &[("source", &**source)], &at.as_second())?;
        }
    }
    let wrong = control.sources.values().filter(|state| state.wrong.is_some()).count();
    gauge(encoder, &names::SOURCES_WRONG, &(wrong as u64))?;
    gauge(encoder, &names::REVOCATIONS_UNDONE, &control.revocations_undone)?;
    gauge(encoder, &names::ROUTES_OBSERVING, &control.routes_observing)
}

fn encode_process(encoder: &mut DescriptorEncoder, registry: &Registry) -> fmt::Result {
    let reading = ProcessReading::take();
    if let Some(seconds) = reading.cpu_seconds {
        family(encoder, &names::PROCESS_CPU)?.encode_counter::<NoLabelSet, f64, f64>(&seconds, None)?;
    }
    for (metric, value) in [
        (&names::PROCESS_RESIDENT, reading.resident_bytes),
        (&names::PROCESS_VIRTUAL, reading.virtual_bytes),
        (&names::PROCESS_OPEN_FDS, reading.open_fds),
        (&names::PROCESS_MAX_FDS, reading.max_fds),
    ] {
        if let Some(value) = value {
            gauge(encoder, metric, &value)?;
        }
    }
    gauge(encoder, &names::PROCESS_START, &registry.started.as_second())
}

fn sum<T>(cells: &[Arc<T>], value: impl Fn(&T) -> u64) -> u64 {
    cells.iter().fold(0, |sum, cell| sum.wrapping_add(value(cell)))
}

fn sum_named<C>(cells: &[Cells<C>], value: impl Fn(&C) -> u64) -> u64 {
    sum(cells, |cells| value(&cells.1))
}

fn total<'c>(histograms: impl Iterator<Item = &'c DurationHistogram>) -> DurationTotals {
    let mut total = DurationTotals::default();
    histograms.for_each(|histogram| histogram.add_to(&mut total));
    total
}

fn family<'e>(
    encoder: &'e mut DescriptorEncoder,
    metric: &'static Metric,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(metric.stem, metric.help, metric.unit.as_ref(), metric.kind)
}

fn counter(encoder: &mut DescriptorEncoder, metric: &'static Metric, value: u64) -> fmt::Result {
    family(encoder, metric)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

fn gauge(
    encoder: &mut DescriptorEncoder,
    metric: &'static Metric,
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    family(encoder, metric)?.encode_gauge(value)
}

fn sample(encoder: &mut MetricEncoder, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    encoder.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

fn sample_gauge(
    encoder: &mut MetricEncoder,
    labels: &impl EncodeLabelSet,
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    encoder.encode_family(labels)?.encode_gauge(value)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds stay below 2^52 for a century")]
fn histogram(encoder: &mut MetricEncoder, total: &DurationTotals) -> fmt::Result {
    let bounds = DURATION_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(total.buckets).collect();
    let count = total.buckets.iter().sum();
    encoder.encode_histogram::<NoLabelSet>(total.sum_us as f64 / 1e6, count, &buckets, None)
}
