package scalegate

# How many replicas a Deployment may be given: between its bounds, and upward in steps that at most double, so that a
# slip of the finger or a runaway script meets somebody's eyes before it meets the cluster's capacity.

min_annotation := "scalegate.dev/min-replicas"

max_annotation := "scalegate.dev/max-replicas"

# Kubernetes' own limit of `spec.replicas`, an int32.
most_replicas := 2147483647

within_limits if {
	input.current == null # There is no such Deployment: the gateway answers "not found" to those who may set.
	wanted
}

within_limits if {
	wanted >= minimum
	wanted <= maximum
	wanted <= reach
}

# Undefined where the document holds no count there, as are all rules that are made of them.
wanted := input.request.replicas if is_count(input.request.replicas)

present := input.current.replicas if is_count(input.current.replicas)

annotations := input.target.annotations if is_object(input.target.annotations)

is_count(n) if {
	is_number(n)
	n >= 0
	n <= most_replicas
	floor(n) == n
}

# --- Bounds -------------------------------------------------------------------------------------------------------

# The fewest and the most replicas: the Deployment's annotation, else the setting, else the default. None of them is
# defined while its source is malformed, and then nothing is within limits.

# Zero replicas are an outage, so somebody has to have said that they are welcome.
minimum := bound(min_annotation, "minReplicas", 1)

maximum := bound(max_annotation, "maxReplicas", 50)

bound(annotation, _, _) := n if {
	annotated(annotation)
	n := parsed(annotations[annotation])
}

bound(annotation, setting, fallback) := n if {
	annotations
	not annotated(annotation)
	n := object.get(data.settings, setting, fallback)
	is_count(n)
}

annotated(annotation) if annotation in object.keys(annotations)

# Only the plain decimal form: "3", not "03", "+3", "3.0", "3e0" or " 3".
parsed(text) := n if {
	n := to_number(text)
	is_count(n)
	format_int(n, 10) == text
}

# --- Steps --------------------------------------------------------------------------------------------------------

# The most replicas that one step may lead to. The minimum can always be reached, or a Deployment far below it could
# never be set at all. Twice nothing is nothing, so `fromZero` says how a Deployment that was off comes back: with a few
# replicas that can prove themselves, before the load of the whole fleet.
reach := max([2 * present, minimum]) if present > 0

reach := max([from_zero, minimum]) if present == 0

from_zero := n if {
	n := object.get(data.settings, "fromZero", 2)
	is_count(n)
}

# --- Reasons ------------------------------------------------------------------------------------------------------

setting if {
	changing
	input.action == "set"
}

reasons contains sprintf("replicas must be a whole number from 0 to %d", [most_replicas]) if {
	setting
	not wanted
}

reasons contains "the document does not tell the Deployment's current replicas" if {
	setting
	not input.current == null
	not present
}

# The Deployment exists and the request is a count: its limits apply.
measured if {
	setting
	wanted
	present
}

reasons contains "the document does not tell the Deployment's annotations" if {
	measured
	not annotations
}

reasons contains sprintf(
	"annotation %s of %s is %v, which is no count of replicas; correct the annotation",
	[annotation, input.target.name, annotations[annotation]],
) if {
	measured
	some annotation in [min_annotation, max_annotation]
	annotated(annotation)
	not parsed(annotations[annotation])
}

reasons contains sprintf("the policy's setting %s is no count of replicas; ask the platform team", [field]) if {
	measured
	some field in ["minReplicas", "maxReplicas", "fromZero"]
	field in object.keys(data.settings)
	not is_count(data.settings[field])
}

reasons contains sprintf(
	"%s cannot be set: its minimum of %d replicas (%s) is above its maximum of %d (%s)",
	[input.target.name, minimum, source(min_annotation), maximum, source(max_annotation)],
) if {
	measured
	minimum > maximum
}

reasons contains outside(min_annotation) if {
	measured
	minimum <= maximum
	wanted < minimum
}

reasons contains outside(max_annotation) if {
	measured
	minimum <= maximum
	wanted > maximum
}

reasons contains sprintf(
	"%d is more than twice the current %d; ask for at most %d",
	[wanted, present, min([reach, maximum])],
) if {
	measured
	minimum <= maximum
	present > 0
	wanted > reach
}

reasons contains sprintf(
	"%d is too many at once for %s, which has none now; ask for at most %d",
	[wanted, input.target.name, min([reach, maximum])],
) if {
	measured
	minimum <= maximum
	present == 0
	wanted > reach
}

outside(annotation) := sprintf(
	"%s allows between %d and %d replicas (%s)",
	[input.target.name, minimum, maximum, source(annotation)],
)

source(annotation) := sprintf("annotation %s", [annotation]) if annotated(annotation)

source(annotation) := sprintf("the default without annotation %s", [annotation]) if not annotated(annotation)
