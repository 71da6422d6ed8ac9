# METADATA
# title: Who may see and set replica counts
# description: |
#   The verdict of scalegate's example policy: roles per namespace (this file), limits per Deployment (limits.rego)
#   and freezes (freeze.rego). Its settings are described in policies/README.md.
#
#   It is written to fail closed. A verdict allows only where each of its conditions is positively met; `reasons` are
#   found separately, so that a reason that cannot be put into words never turns a refusal into a permission.
package scalegate

default verdict := {
	"allow": false,
	"reasons": ["the policy could not decide about this request; ask the platform team"],
	"tags": {},
}

verdict := {"allow": true, "reasons": [], "tags": tags} if allowed

verdict := {"allow": false, "reasons": sort(reasons), "tags": tags} if {
	not allowed
	count(reasons) > 0
}

default tags := {}

tags := {"role": concat(",", sort(roles))} if count(roles) > 0

allowed if {
	well_formed
	granted
	permitted
}

# The roles decide alone about reading.
permitted if input.action in {"get", "describe"}

permitted if {
	input.action == "release"
	settings_known
	unfrozen
}

permitted if {
	input.action == "set"
	settings_known
	unfrozen
	within_limits
}

# --- The document -------------------------------------------------------------------------------------------------

actions := {"get", "set", "release", "describe"}

well_formed if {
	input.apiVersion == "scalegate.dev/v1"
	input.action in actions
	is_named(input.client.id)
	is_array(input.client.groups)
	target_named
}

is_named(name) if {
	is_string(name)
	name != ""
}

# To describe the policies is to ask about no Deployment.
target_named if input.action == "describe"

target_named if {
	is_named(input.target.namespace)
	is_named(input.target.name)
}

reasons contains sprintf("this policy reads documents of scalegate.dev/v1, not of %v", [version]) if {
	version := object.get(input, "apiVersion", "no version")
	version != "scalegate.dev/v1"
}

reasons contains sprintf("this policy knows no action %v", [action]) if {
	action := object.get(input, "action", "at all: the document has none")
	not action in actions
}

reasons contains "the document names no client with an id and groups" if not client_named

client_named if {
	is_named(input.client.id)
	is_array(input.client.groups)
}

reasons contains "the document names no namespace and Deployment" if not target_named

# --- Roles --------------------------------------------------------------------------------------------------------

granted if count(roles) > 0

# The names of the caller's roles that allow the action in the namespace.
roles contains binding.role if {
	some binding in data.settings.bindings
	binds_client(binding)
	binds_namespace(binding)
	input.action in data.settings.roles[binding.role].actions
}

binds_client(binding) if input.client.id in binding.clients

binds_client(binding) if in_groups(binding.groups)

in_groups(groups) if {
	some group in input.client.groups
	group in groups
}

binds_namespace(binding) if {
	some pattern in binding.namespaces
	matches(pattern, namespace)
}

# Only "*" covers an action that is about no namespace.
default namespace := ""

namespace := input.target.namespace

matches(pattern, name) if pattern == name

matches(pattern, name) if {
	endswith(pattern, "*")
	startswith(name, trim_suffix(pattern, "*"))
}

reasons contains sprintf("no role of yours allows %v in namespace %v", [input.action, namespace]) if {
	well_formed
	namespace != ""
	not granted
}

reasons contains sprintf("no role of yours allows %v in every namespace", [input.action]) if {
	well_formed
	namespace == ""
	not granted
}

# --- The settings -------------------------------------------------------------------------------------------------

# A field that is misspelt would silently lift the rule that it names. Reading goes on meanwhile.
settings_known if count(unknown_settings) == 0

unknown_settings contains field if {
	some field in object.keys(data.settings)
	not field in {"roles", "bindings", "minReplicas", "maxReplicas", "fromZero", "freeze", "windows"}
}

reasons contains sprintf("the policy's settings have an unknown field %v; ask the platform team", [field]) if {
	changing
	some field in unknown_settings
}

# The caller may change the count as far as roles go: the point from which further reasons concern the caller.
changing if {
	well_formed
	input.action in {"set", "release"}
	granted
}
