"""Reads Kubernetes objects as a JSON list from standard input and prints what is wrong with each, a line each: against the
schemas of Kubernetes, strictly; and of those kinds that Prometheus's operator brings, the expressions."""

import json
import sys

import kubernetes_validate
import promql_parser

VERSION = "1.32"
OPERATOR = "monitoring.coreos.com/v1"


def problems(one):
    if one["apiVersion"] == OPERATOR:
        return operator_problems(one)
    try:
        kubernetes_validate.validate(one, VERSION, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [f"{error}"]
    return []


def operator_problems(one):
    if one["kind"] == "PodMonitor":
        spec = one["spec"]
        known = set(spec) == {"selector", "podMetricsEndpoints"} and spec["podMetricsEndpoints"]
        return [] if known else ["a PodMonitor of another shape"]
    if one["kind"] != "PrometheusRule":
        return ["a kind that nobody checks"]
    wrong = []
    for rule in (rule for group in one["spec"]["groups"] for rule in group["rules"]):
        unknown = set(rule) - {"alert", "expr", "for", "labels", "annotations"}
        if unknown or rule["labels"].get("severity") not in ("warning", "critical") or "summary" not in rule["annotations"]:
            wrong.append(f'{rule["alert"]}: of another shape {unknown}')
        try:
            promql_parser.parse(rule["expr"])
        except ValueError as error:
            wrong.append(f'{rule["alert"]}: {error}')
    return wrong


for one in json.load(sys.stdin):
    for problem in problems(one):
        print(one["kind"], one["metadata"]["name"], problem.replace("\n", " "))
