#!/usr/bin/env python3
"""Writes JSON schemas for kubeconform from the sources of Kubernetes and of the operators whose objects the chart makes.

    schemas.py kubernetes SWAGGER.JSON DIRECTORY    DIRECTORY/KIND-GROUP-VERSION.json for every kind of Kubernetes
    schemas.py crds DIRECTORY CRD.YAML...           DIRECTORY/GROUP/KIND_VERSION.json

They are strict: a field that the API does not know is an error.
"""

import json
import pathlib
import sys

PREFIX = "#/definitions/"
INT_OR_STRING = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
QUANTITY = {"anyOf": [{"type": "string"}, {"type": "number"}]}
# What Swagger cannot say of them.
SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QUANTITY,
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": {},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": {},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": {},
}


def strict(schema):
    """The schema without words, refusing unknown fields, with Kubernetes' extensions in the terms of JSON Schema."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    made = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: strict(field) for name, field in value.items()}
        elif key not in ("description", "format", "default") and not key.startswith("x-"):
            made[key] = strict(value)
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def references(schema):
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, list):
        return {name for item in schema for name in references(item)}
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"][len(PREFIX) :]} if isinstance(schema.get("$ref"), str) else set()
    return own | {name for value in schema.values() for name in references(value)}


def reachable(name, definitions):
    """All definitions that one needs, itself included."""
    found, open_names = {}, {name}
    while open_names:
        name = open_names.pop()
        found[name] = definitions[name]
        open_names |= references(definitions[name]) - found.keys()
    return found


def write(path, schema):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema))


def kubernetes(swagger, directory):
    source = json.loads(pathlib.Path(swagger).read_text())["definitions"]
    definitions = {name: SPECIAL[name] if name in SPECIAL else strict(schema) for name, schema in source.items()}
    for name, schema in source.items():
        kinds = schema.get("x-kubernetes-group-version-kind", [])
        if len(kinds) != 1 or "metadata" not in schema.get("properties", {}):
            continue
        kind = kinds[0]
        parts = [kind["kind"], kind["group"].split(".")[0], kind["version"]]
        file = "-".join(part for part in parts if part).lower() + ".json"
        whole = {"$ref": PREFIX + name, "definitions": reachable(name, definitions)}
        write(pathlib.Path(directory) / file, whole)


def crds(directory, files):
    import yaml

    for file in files:
        spec = yaml.safe_load(pathlib.Path(file).read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            name = f"{spec['names']['kind'].lower()}_{version['name']}.json"
            write(pathlib.Path(directory) / spec["group"] / name, schema)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["kubernetes", swagger, directory]:
            kubernetes(swagger, directory)
        case ["crds", directory, *files]:
            crds(directory, files)
        case _:
            sys.exit(__doc__)
