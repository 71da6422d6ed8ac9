//! What no module may call, and why.

const NETWORK: &str = "a policy reaches no network: what it decides by belongs in its data";
const RANDOM: &str = "a policy has no randomness: the same question gets the same verdict";
const CERTIFICATES: &str =
    "the gateway verifies certificates itself, and the input names the client; compare input.client";
const SIGNATURES: &str =
    "tokens are not verified in policies: mTLS authenticates the client, and the input names it; see input.client";
const GRAPHQL: &str = "policy inputs contain no GraphQL, and the gateway has no parser for it";
const YAML: &str = "YAML's scalars depend on the parser's version: give the policy JSON, as data or in its settings";
const SCHEMAS: &str =
    "the validator of JSON Schema is not in the gateway: check the shape with rules, such as is_string(x)";
const COMPILER: &str = "Rego's compiler is not in the gateway";

/// Names, with the reason of all of them.
pub(super) const REFUSED: &[(&[&str], &str)] = &[
    (&["http.send", "net.lookup_ip_addr"], NETWORK),
    (&["providers.aws.sign_req"], "it signs requests, and a policy reaches no network"),
    (&["rand.intn", "uuid.rfc4122"], RANDOM),
    (
        &["opa.runtime"],
        "a policy sees neither the environment nor the configuration: put what it needs in its settings",
    ),
    (
        &[
            "crypto.parse_private_keys",
            "crypto.x509.parse_and_verify_certificates",
            "crypto.x509.parse_and_verify_certificates_with_options",
            "crypto.x509.parse_certificate_request",
            "crypto.x509.parse_certificates",
            "crypto.x509.parse_keypair",
            "crypto.x509.parse_rsa_private_key",
        ],
        CERTIFICATES,
    ),
    (
        &[
            "io.jwt.decode_verify",
            "io.jwt.verify_eddsa",
            "io.jwt.verify_es256",
            "io.jwt.verify_es384",
            "io.jwt.verify_es512",
            "io.jwt.verify_ps256",
            "io.jwt.verify_ps384",
            "io.jwt.verify_ps512",
            "io.jwt.verify_rs256",
            "io.jwt.verify_rs384",
            "io.jwt.verify_rs512",
        ],
        SIGNATURES,
    ),
    (&["io.jwt.encode_sign", "io.jwt.encode_sign_raw"], "a policy has no key that it could keep secret"),
    (
        &[
            "graphql.is_valid",
            "graphql.parse",
            "graphql.parse_and_verify",
            "graphql.parse_query",
            "graphql.parse_schema",
            "graphql.schema_is_valid",
        ],
        GRAPHQL,
    ),
    (&["yaml.is_valid", "yaml.marshal", "yaml.unmarshal"], YAML),
    (&["json.match_schema", "json.verify_schema"], SCHEMAS),
    (&["rego.parse_module"], COMPILER),
    (&["strings.render_template"], "Go's template language is not in the gateway: use sprintf"),
    (&["trace"], "nobody reads the trace of a decision: use print, which the log shows at debug level"),
    (&["internal.test_case"], "it is for opa test alone"),
];
