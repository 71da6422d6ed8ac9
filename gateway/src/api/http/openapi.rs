//! The description of the API over HTTP, made of the routes and of the types of the answers: `OpenAPI` 3.1.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::request::SetBody;
use super::route::{PATTERNS, Pattern};
use super::version::VersionView;
use crate::api::health::HealthView;
use crate::api::view::{HistoryView, ListView, ReplicasView};
use crate::policy::PolicyStatus;
use crate::workload::WorkloadKind;

/// The errors that any request can end with: their status, and the codes that it comes with.
const ANY: [(u16, &str); 9] = [
    (400, "invalid_parameter, invalid_name, invalid_host, unexpected_body: change the request as `detail` says"),
    (403, "refused, identity_refused, cross_site"),
    (408, "request_timeout"),
    (415, "unsupported_media_type"),
    (417, "expectation_failed"),
    (429, "too_many_requests, rate_limited"),
    (500, "internal"),
    (504, "deadline_exceeded"),
    (505, "http2_required"),
];
/// Where names are in the path, or what they name can be missing.
const NOT_FOUND: (u16, &str) = (404, "deployment_not_found, no_such_route");
/// Where a decision is made.
const DECIDED: (u16, &str) = (503, "policy_unavailable, busy, cache_stale, version_not_reached");
/// Where a change is made.
const CHANGED: [(u16, &str); 5] = [
    (
        400,
        "invalid_replicas, invalid_reason, invalid_body, unexpected_body, invalid_parameter, invalid_name, \
           invalid_if_match, invalid_idempotency_key, unsupported_condition, invalid_host",
    ),
    (409, "owned_by_autoscaler, conflict"),
    (412, "version_mismatch"),
    (500, "internal, write_rejected"),
    (503, "policy_unavailable, busy, audit_unavailable, kubernetes_unavailable, cache_stale"),
];

/// The document, as JSON.
pub(super) fn document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    &TEXT
}

/// The document's text, as `gateway/openapi.json` has it.
pub fn text() -> String {
    let mut schemas = SchemaSettings::draft2020_12().with(|it| it.definitions_path = "/components/schemas".into());
    schemas.meta_schema = None;
    let mut schemas = schemas.into_generator();
    let mut paths = Map::new();
    for (path, pattern) in PATTERNS {
        if path.contains("{plural}") {
            for kind in WorkloadKind::ALL {
                paths.insert(path.replace("{plural}", kind.plural()), described(pattern, kind.as_str(), &mut schemas));
            }
        } else {
            paths.insert(path.to_owned(), described(pattern, "", &mut schemas));
        }
    }
    let schemas = schemas.take_definitions(true);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "scalegate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sees and sets how many replicas workloads run. The client certificate of the TLS connection \
                            says who asks; the gateway's policies say whether they may.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "mtls": { "type": "mutualTLS" } },
        },
        "security": [{ "mtls": [] }],
    });
    format!("{document:#}\n")
}

/// What can be done at one path.
fn described(pattern: Pattern, kind: &str, schemas: &mut SchemaGenerator) -> Value {
    match pattern {
        Pattern::Replicas => replicas(kind, schemas),
        Pattern::History => {
            let answer = json_of::<HistoryView>("the changes that its target remembers, the latest first", schemas);
            let names = [parameter("namespace"), parameter("name")];
            let summary = format!("The last changes of a {kind}'s count");
            let errors = [NOT_FOUND, DECIDED];
            json!({ "get": read(&format!("list{kind}Changes"), &summary, &names, answer, &errors, schemas) })
        }
        Pattern::Workloads => list(kind, "listInNamespace", &[parameter("namespace")], schemas),
        Pattern::AllWorkloads => list(kind, "list", &[], schemas),
        Pattern::Policies => {
            let answer = json_of::<PolicyStatus>("which policies decide", schemas);
            json!({ "get": read("listPolicies", "Which policies decide", &[], answer, &[DECIDED], schemas) })
        }
        Pattern::Version => {
            let answer = json_of::<VersionView>("the versions", schemas);
            json!({ "get": read("version", "The gateway's version", &[], answer, &[], schemas) })
        }
        Pattern::Description => {
            let answer = json!({
                "description": "this document",
                "content": { "application/json": { "schema": { "type": "object" } } },
            });
            json!({ "get": read("describe", "This document", &[], answer, &[], schemas) })
        }
        Pattern::Health => {
            let answer = json_of::<HealthView>("in contact with Kubernetes", schemas);
            let mut get =
                read("health", "Whether the gateway is in contact with Kubernetes", &[], answer, &[], schemas);
            let mut lost = json_of::<HealthView>("out of contact: reads go on, writes are refused", schemas);
            lost["content"]["application/problem+json"] = json!({ "schema": schemas.subschema_for::<Problem>() });
            get["responses"]["503"] = lost;
            json!({ "get": get })
        }
    }
}

fn replicas(kind: &str, schemas: &mut SchemaGenerator) -> Value {
    let names = [parameter("namespace"), parameter("name")];
    let with = |more: &[Value]| [names.as_slice(), more].concat();
    let state = |what: &str, schemas: &mut SchemaGenerator| {
        let mut answer = json_of::<ReplicasView>(what, schemas);
        answer["headers"]["ETag"] =
            json!({ "description": "the version, for If-Match", "schema": { "type": "string" } });
        answer
    };
    let mut shown = state("its state, or with `watch` a stream of changes", schemas);
    shown["content"]["text/event-stream"] = json!({ "schema": { "type": "string" } });
    let reading = with(&[
        query("atLeastVersion", "waits until the gateway has seen this version", &json!({ "type": "string" })),
        watch(),
    ]);
    let get = read(&format!("get{kind}"), &format!("One {kind}"), &reading, shown, &[NOT_FOUND, DECIDED], schemas);
    let if_match = json!({
        "name": "If-Match", "in": "header", "description": "only if the version is this one",
        "schema": { "type": "string", "examples": ["\"96a4aa57-fab1-4c4d-a6bc-18326bfdb529:3\"", "*"] },
    });
    let dry_run = query("dryRun", "decides only", &json!({ "type": "boolean", "default": false }));
    let wait = query(
        "wait",
        "answers once the replicas are ready, or cannot become so, or this time is over: 1s to 50s unless the gateway is \
         configured otherwise, and not with `dryRun`",
        &json!({ "type": "string", "examples": ["30s"] }),
    );
    let key = json!({
        "name": "Idempotency-Key", "in": "header",
        "description": "a key of the client's for this request, with or without double quotes: a set is stored once under \
                        it; the target remembers the last eight",
        "schema": {
            "type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[!#-\[\]-~]([ !#-\[\]-~]*[!#-\[\]-~])?$",
            "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        },
    });
    let mut put = read(
        &format!("set{kind}"),
        &format!("Sets how many replicas a {kind} runs"),
        &with(&[if_match.clone(), key, dry_run.clone(), wait]),
        state("decided only, or waited for and ready", schemas),
        &[&CHANGED[..], &[NOT_FOUND, (413, "body_too_large"), (422, "idempotency_key_reused")]].concat(),
        schemas,
    );
    put["responses"]["202"] = state("stored; `progress` says how far it is", schemas);
    put["requestBody"] = json!({
        "required": true,
        "content": { "application/json": {
            "schema": schemas.subschema_for::<SetBody>(),
            "examples": { "launch": { "value": { "replicas": 6, "reason": "launch" } } },
        } },
    });
    let delete = read(
        &format!("release{kind}"),
        &format!("Stops managing a {kind}; its count stays"),
        &with(&[if_match, dry_run]),
        state("released, or decided only", schemas),
        &[&CHANGED[..], &[NOT_FOUND]].concat(),
        schemas,
    );
    json!({ "get": get, "put": put, "delete": delete })
}

fn list(kind: &str, id: &str, names: &[Value], schemas: &mut SchemaGenerator) -> Value {
    let parameters = [
        names,
        &[
            query(
                "labelSelector",
                "such as `app=web,tier!=db`, of at most 32 terms",
                &json!({ "type": "string", "examples": ["app=web"] }),
            ),
            query(
                "limit",
                "how many at most",
                &json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 500 }),
            ),
            query("continue", "from the part before", &json!({ "type": "string" })),
            watch(),
        ],
    ];
    let mut shown = json_of::<ListView>("a part of the list, or with `watch` a stream of changes", schemas);
    shown["content"]["text/event-stream"] = json!({ "schema": { "type": "string" } });
    let errors = [
        NOT_FOUND,
        DECIDED,
        (400, "invalid_parameter, invalid_name, invalid_cursor, narrow_it, invalid_host, unexpected_body"),
    ];
    let summary = format!("The {kind}s that the client may get");
    json!({ "get": read(&format!("{id}{kind}s"), &summary, &parameters.concat(), shown, &errors, schemas) })
}

/// One operation with its errors; `errors` replace those of [`ANY`] with the same status.
fn read(
    id: &str,
    summary: &str,
    parameters: &[Value],
    answer: Value,
    errors: &[(u16, &str)],
    schemas: &mut SchemaGenerator,
) -> Value {
    let problem = schemas.subschema_for::<Problem>();
    let mut responses = Map::from_iter([("200".to_owned(), answer)]);
    for (status, codes) in ANY.iter().chain(errors) {
        let mut response = json!({
            "description": codes,
            "content": { "application/problem+json": { "schema": problem } },
        });
        if matches!(status, 409 | 429 | 503 | 504) {
            response["headers"]["Retry-After"] = json!({ "description": "seconds", "schema": { "type": "integer" } });
        }
        responses.insert(status.to_string(), response);
    }
    json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses })
}

fn json_of<T: JsonSchema>(description: &str, schemas: &mut SchemaGenerator) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": schemas.subschema_for::<T>() } },
        "headers": {
            "x-request-id": { "description": "the request's name in the gateway's log", "schema": { "type": "string" } },
        },
    })
}

/// A name in the path.
fn parameter(name: &str) -> Value {
    let (most, example) = if name == "namespace" { (63, "demo") } else { (253, "web") };
    json!({
        "name": name, "in": "path", "required": true,
        "schema": { "type": "string", "minLength": 1, "maxLength": most, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "examples": [example] },
    })
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn watch() -> Value {
    let events = "a stream of Server-Sent Events: `replicas` (a workload as it is now), `gone`, `synced` (everything was \
                  shown), `heartbeat`, `end` (a problem); at most 1,000 workloads, and no other parameter but \
                  `labelSelector`";
    query("watch", events, &json!({ "type": "boolean", "default": false }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_committed_document_is_the_served_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        assert!(std::fs::read_to_string(path).unwrap() == text(), "run `make schema`");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for operation in
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
        {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{}", operation["operationId"]);
        }
        let mut references = 0;
        let mut rest = vec![&document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Array(values) => rest.extend(values),
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
                        references += 1;
                    }
                    rest.extend(fields.values());
                }
                _ => {}
            }
        }
        assert!(references > 20);
    }
}
