#!/usr/bin/env python3
"""Checks what can be checked without starting anything: fly.toml, and the saved objects against the index template.

    check.py                           the files beside it
    check.py FLY.TOML OBJECTS.NDJSON   others

Prints what is wrong, a line each, and exits with 1 if anything is. Before Python 3.11, which reads TOML, fly.toml is left
out.
"""

import json
import pathlib
import re
import sys

try:
    import tomllib
except ModuleNotFoundError:
    tomllib = None

HERE = pathlib.Path(__file__).resolve().parent


# What fly.toml has. Of flyctl's sections that are not here, each would make another machine or something public; a key that
# flyctl does not know, it passes over.
SECTIONS = {
    "build": {"dockerfile"},
    "deploy": {"strategy"},
    "mounts": {"source", "destination", "initial_size", "snapshot_retention"},
    "vm": {"size", "memory"},
    "restart": {"policy", "retries"},
    "checks": {"type", "port", "method", "path", "interval", "timeout", "grace_period"},
}
KEYS = {"app", "primary_region", "kill_signal", "kill_timeout", "env", *SECTIONS}


def seconds(text):
    match = re.fullmatch(r"(\d+)(s|m)", str(text))
    return int(match[1]) * (60 if match[2] == "m" else 1) if match else None


def fly(path):
    """What is wrong with fly.toml: the machine is one, private, and has time to drain."""
    if not tomllib:
        print(f"{path.name}: not checked, without Python 3.11", file=sys.stderr)
        return
    config = tomllib.loads(path.read_text())
    for key in sorted(config.keys() - KEYS):
        yield f"{key} is not expected: more than one machine, or something public?"
    for key in sorted(KEYS - config.keys()):
        yield f"{key} is missing"
    for section, keys in SECTIONS.items():
        parts = config.get(section, {})
        parts = parts.values() if section == "checks" else parts if isinstance(parts, list) else [parts]
        for key in sorted({key for part in parts for key in part} - keys):
            yield f"{section}.{key} is no key of it"
    if config.get("kill_signal") != "SIGTERM":
        yield "kill_signal must be SIGTERM, at which entrypoint.sh drains"
    if not 115 <= (seconds(config.get("kill_timeout")) or 0) <= 300:
        yield "kill_timeout must be from 115 s, which draining may take, to 300 s, Fly's limit"
    if config.get("mounts", {}).get("destination") != "/data":
        yield "the volume must be at /data"
    if config.get("deploy", {}).get("strategy") not in ("immediate", "rolling"):
        yield "deploy.strategy must be immediate or rolling: a volume cannot be on two machines"
    machines = config.get("vm", [])
    if len(machines) != 1 or machines[0].get("memory") != "4gb":
        yield "there must be one [[vm]], with memory = \"4gb\""
    if [restart.get("policy") for restart in config.get("restart", [])] != ["on-failure"]:
        yield "there must be one [[restart]], on-failure"
    if any("PASSWORD" in name for name in config.get("env", {})):
        yield "a password belongs in a secret, not in env"
    ports = re.findall(r"^server\.port: (\d+)$", (HERE / "config/kibana.yml").read_text(), re.M)
    for name, check in config.get("checks", {}).items():
        if check.get("type") not in ("http", "tcp") or str(check.get("port")) not in ports:
            yield f"checks.{name} must be http or tcp, at Kibana's port {ports}"
        for key in ("interval", "timeout", "grace_period"):
            if not seconds(check.get(key)):
                yield f"checks.{name}.{key} must be a duration"


def whitelist():
    """The fields of the index template."""

    def fields(properties, prefix=""):
        for name, field in properties.items():
            if "properties" in field:
                yield from fields(field["properties"], f"{prefix}{name}.")
            else:
                yield prefix + name

    template = json.loads((HERE / "provision/template.json").read_text())
    return set(fields(template["template"]["mappings"]["properties"]))


def objects(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def query(saved):
    """The Lucene query of a saved object."""
    source = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    if source["query"]["language"] != "lucene":
        raise ValueError("its query must be in Lucene's syntax, in which the tests can replay it")
    return source["query"]["query"] or "*"


def used(saved):
    """The fields that a saved object names."""
    attributes = saved["attributes"]
    if saved["type"] == "index-pattern":
        return {attributes["timeFieldName"]}
    names = set(re.findall(r"([a-z@][\w.@]*):", query(saved)))
    if saved["type"] == "search":
        names |= set(attributes["columns"]) | {field for field, _ in attributes["sort"]}
    if saved["type"] == "visualization":
        aggregations = json.loads(attributes["visState"])["aggs"]
        names |= {aggregation["params"]["field"] for aggregation in aggregations if "field" in aggregation["params"]}
    return names


def saved_objects(path):
    """What is wrong with the saved objects."""
    found = objects(path)
    fields = whitelist()
    names = [(saved["type"], saved["id"]) for saved in found]
    if len(set(names)) != len(names):
        yield "two saved objects have the same name"
    for kind in ("index-pattern", "search", "visualization", "dashboard"):
        if kind not in (name for name, _ in names):
            yield f"there is no {kind}"
    for saved in found:
        name = f"{saved['type']}/{saved['id']}"
        try:
            for field in sorted(used(saved) - fields):
                yield f"{name} uses {field}, which is not in the template"
            for reference in saved["references"]:
                if (reference["type"], reference["id"]) not in names:
                    yield f"{name} refers to {reference['type']}/{reference['id']}, which is not there"
            references = {reference["name"] for reference in saved["references"]}
            if saved["type"] == "dashboard":
                panels = json.loads(saved["attributes"]["panelsJSON"])
                if {f"{panel['panelIndex']}:{panel['panelRefName']}" for panel in panels} != references:
                    yield f"{name}'s panels are not its references"
            elif saved["type"] != "index-pattern":
                if json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["indexRefName"] not in references:
                    yield f"{name} has no data view"
        except (KeyError, ValueError) as error:
            yield f"{name}: {type(error).__name__}: {error}"


def main():
    if len(sys.argv) not in (1, 3):
        print(__doc__, file=sys.stderr)
        return 2
    paths = [pathlib.Path(path) for path in sys.argv[1:]] or [HERE / "fly.toml", HERE / "provision/saved-objects.ndjson"]
    wrong = 0
    for path, check in zip(paths, (fly, saved_objects)):
        try:
            problems = list(check(path))
        except (OSError, ValueError) as error:
            problems = [str(error)]
        for problem in problems:
            print(f"{path.name}: {problem}", file=sys.stderr)
        wrong += len(problems)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
