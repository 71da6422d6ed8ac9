package scalegate

default verdict := {"allow": false, "reasons": ["operators may set 1 to 10 replicas; everybody may look"]}

verdict := {"allow": true, "reasons": []} if permitted

permitted if input.action in {"get", "describe"}

permitted if {
	input.action == "set"
	"operators" in input.client.groups
	input.request.replicas >= 1
	input.request.replicas <= 10
}
