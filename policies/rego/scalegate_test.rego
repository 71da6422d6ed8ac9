package scalegate_test

import data.scalegate

# Requests that the tests vary: the operator asks for 6 replicas of demo/web, which has 3.
settings := {
	"roles": {
		"viewer": {"actions": ["get"]},
		"operator": {"actions": ["get", "set", "release", "describe"]},
		"ci": {"actions": ["get", "set"]},
	},
	"bindings": [
		{"role": "viewer", "clients": ["uri:spiffe://t/viewer"], "groups": ["viewers"], "namespaces": ["*"]},
		{"role": "operator", "clients": ["uri:spiffe://t/operator"], "groups": ["operators"], "namespaces": ["*"]},
		{"role": "ci", "clients": ["uri:spiffe://t/ci"], "groups": [], "namespaces": ["demo", "team-*"]},
	],
	"minReplicas": 1,
	"maxReplicas": 20,
	"fromZero": 2,
}

question := {
	"apiVersion": "scalegate.dev/v1",
	"client": {
		"id": "uri:spiffe://t/operator",
		"groups": [],
		"serial": "0a",
		"notAfter": "2026-12-01T00:00:00Z",
	},
	"action": "set",
	"target": {
		"namespace": "demo",
		"name": "web",
		"labels": {},
		"annotations": {},
		"namespaceLabels": null,
	},
	"current": {
		"replicas": 3,
		"ready": 3,
		"available": 3,
		"updated": 3,
		"rollout": "complete",
		"target": null,
		"owners": [],
	},
	"request": {"replicas": 6, "durationSeconds": null, "reason": "load"},
}

patched(patches) := json.patch(question, patches)

at(path, value) := [{"op": "add", "path": path, "value": value}]

without(path) := json.patch(question, [{"op": "remove", "path": path}])

verdict(document) := decided(document, {})

under(changes) := decided(question, changes)

# The verdict while some settings are others.
decided(document, changes) := given if {
	given := scalegate.verdict with input as document with data.settings as object.union(settings, changes)
}

allows(verdict) if {
	verdict.allow == true
	verdict.reasons == []
}

refuses(verdict, reason) if {
	verdict.allow == false
	verdict.reasons == [reason]
}

asks(client, groups, action, namespace) := verdict(patched([
	{"op": "replace", "path": "/client/id", "value": client},
	{"op": "replace", "path": "/client/groups", "value": groups},
	{"op": "replace", "path": "/action", "value": action},
	{"op": "replace", "path": "/target/namespace", "value": namespace},
]))

# Of a Deployment that has `now` replicas and these annotations, `wanted` are asked for.
scales(now, wanted, annotations) := verdict(patched([
	{"op": "replace", "path": "/current/replicas", "value": now},
	{"op": "replace", "path": "/request/replicas", "value": wanted},
	{"op": "replace", "path": "/target/annotations", "value": annotations},
]))

between(least, most) := {"scalegate.dev/min-replicas": least, "scalegate.dev/max-replicas": most}

# --- Roles --------------------------------------------------------------------------------------------------------

test_an_operator_may_do_everything_everywhere if {
	every action in ["get", "set", "release", "describe"] {
		allows(asks("uri:spiffe://t/operator", [], action, "anywhere"))
	}
}

test_a_viewer_may_only_get if {
	allows(asks("uri:spiffe://t/viewer", [], "get", "demo"))
	every action in ["set", "release", "describe"] {
		refuses(
			asks("uri:spiffe://t/viewer", [], action, "demo"),
			sprintf("no role of yours allows %s in namespace demo", [action]),
		)
	}
}

test_a_group_binds_as_well_as_an_id if {
	allows(asks("uri:spiffe://t/anyone", ["others", "viewers"], "get", "demo"))
	refuses(
		asks("uri:spiffe://t/anyone", ["others"], "get", "demo"),
		"no role of yours allows get in namespace demo",
	)
}

test_ci_may_set_in_its_namespaces_alone if {
	allows(asks("uri:spiffe://t/ci", [], "set", "demo"))
	allows(asks("uri:spiffe://t/ci", [], "set", "team-blue"))
	refuses(asks("uri:spiffe://t/ci", [], "set", "prod"), "no role of yours allows set in namespace prod")
	refuses(asks("uri:spiffe://t/ci", [], "set", "demo2"), "no role of yours allows set in namespace demo2")
	refuses(asks("uri:spiffe://t/ci", [], "release", "demo"), "no role of yours allows release in namespace demo")
}

test_an_id_is_compared_whole_and_with_its_type if {
	every id in ["spiffe://t/operator", "cn:uri:spiffe://t/operator", "uri:spiffe://t/operator2", "URI:spiffe://t/operator"] {
		refuses(asks(id, [], "get", "demo"), "no role of yours allows get in namespace demo")
	}
}

test_a_group_is_not_an_id_and_an_id_is_not_a_group if {
	refuses(
		asks("operators", ["uri:spiffe://t/operator"], "get", "demo"),
		"no role of yours allows get in namespace demo",
	)
}

test_a_stranger_learns_nothing_of_limits_or_freezes if {
	document := patched([
		{"op": "replace", "path": "/client/id", "value": "uri:spiffe://t/stranger"},
		{"op": "replace", "path": "/request/replicas", "value": 1000},
	])
	refuses(
		decided(document, {"freeze": {"enabled": true}, "typo": 1}),
		"no role of yours allows set in namespace demo",
	)
}

test_the_tags_name_every_role_that_allows if {
	verdict(question).tags == {"role": "operator"}
	asks("uri:spiffe://t/operator", ["viewers"], "get", "demo").tags == {"role": "operator,viewer"}
	asks("uri:spiffe://t/stranger", [], "get", "demo").tags == {}
}

test_to_describe_needs_no_deployment_but_a_role_in_every_namespace if {
	document := patched([
		{"op": "replace", "path": "/action", "value": "describe"},
		{"op": "replace", "path": "/target", "value": null},
		{"op": "replace", "path": "/current", "value": null},
		{"op": "replace", "path": "/request", "value": null},
	])
	allows(verdict(document))
	refuses(
		decided(document, {"bindings": [{
			"role": "operator",
			"clients": ["uri:spiffe://t/operator"],
			"namespaces": ["demo"],
		}]}),
		"no role of yours allows describe in every namespace",
	)
}

test_a_role_that_is_not_defined_allows_nothing if {
	refuses(
		under({"bindings": [{"role": "root", "clients": ["uri:spiffe://t/operator"], "namespaces": ["*"]}]}),
		"no role of yours allows set in namespace demo",
	)
}

test_a_malformed_binding_allows_nothing if {
	every bindings in [
		null, "all", {}, [null], [{}],
		[{"role": "operator", "clients": "uri:spiffe://t/operator", "namespaces": ["*"]}],
		[{"role": "operator", "clients": ["uri:spiffe://t/operator"], "namespaces": "*"}],
		[{"role": "operator", "clients": ["uri:spiffe://t/operator"], "namespaces": [1, null]}],
	] {
		refuses(under({"bindings": bindings}), "no role of yours allows set in namespace demo")
	}
}

test_without_settings_nobody_may_do_anything if {
	every nothing in [null, {}, [], "all", 7] {
		refused := scalegate.verdict with input as question with data.settings as nothing
		refuses(refused, "no role of yours allows set in namespace demo")
	}
}

test_a_setting_with_a_misspelt_name_stops_changes_but_not_reads if {
	refuses(
		under({"freezes": {"enabled": true}}),
		"the policy's settings have an unknown field freezes; ask the platform team",
	)
	allows(decided(patched(at("/action", "get")), {"freezes": {"enabled": true}}))
}

# --- Limits -------------------------------------------------------------------------------------------------------

test_a_set_within_the_limits_is_allowed if {
	every wanted in [1, 2, 3, 4, 6] { allows(scales(3, wanted, {})) }
}

test_more_than_twice_is_refused_and_the_reason_names_the_most if {
	refuses(scales(3, 7, {}), "7 is more than twice the current 3; ask for at most 6")
	refuses(scales(3, 12, {}), "12 is more than twice the current 3; ask for at most 6")
}

test_the_most_that_the_step_reason_names_respects_the_maximum if {
	scales(15, 31, {}).reasons == [
		"31 is more than twice the current 15; ask for at most 20",
		"web allows between 1 and 20 replicas (the default without annotation scalegate.dev/max-replicas)",
	]
}

test_downward_any_step_is_allowed if allows(scales(20, 1, {}))

test_from_zero_the_first_step_is_small if {
	allows(scales(0, 2, {}))
	refuses(scales(0, 3, {}), "3 is too many at once for web, which has none now; ask for at most 2")
}

test_the_minimum_can_always_be_reached if {
	allows(scales(0, 5, between("5", "10")))
	allows(scales(1, 5, between("5", "10")))
	refuses(scales(1, 6, between("5", "10")), "6 is more than twice the current 1; ask for at most 5")
}

test_annotations_bound_the_count if {
	allows(scales(5, 2, between("2", "10")))
	allows(scales(5, 10, between("2", "10")))
	refuses(
		scales(5, 1, between("2", "10")),
		"web allows between 2 and 10 replicas (annotation scalegate.dev/min-replicas)",
	)
	refuses(
		scales(6, 11, between("2", "10")),
		"web allows between 2 and 10 replicas (annotation scalegate.dev/max-replicas)",
	)
}

test_annotations_may_widen_the_default if {
	allows(scales(30, 40, between("0", "40")))
	allows(scales(30, 0, between("0", "40")))
}

test_without_annotations_the_settings_bound_the_count if {
	refuses(
		scales(3, 0, {}),
		"web allows between 1 and 20 replicas (the default without annotation scalegate.dev/min-replicas)",
	)
	refuses(
		scales(15, 21, {}),
		"web allows between 1 and 20 replicas (the default without annotation scalegate.dev/max-replicas)",
	)
}

test_without_settings_for_them_the_limits_have_defaults if {
	allows(unlimited(40, 50))
	not unlimited(40, 51).allow
	not unlimited(3, 0).allow
	allows(unlimited(0, 2))
	not unlimited(0, 3).allow
}

unlimited(now, wanted) := given if {
	document := patched(array.concat(at("/current/replicas", now), at("/request/replicas", wanted)))
	given := scalegate.verdict with input as document
		with data.settings as {"roles": settings.roles, "bindings": settings.bindings}
}

test_a_malformed_annotation_refuses_and_is_never_ignored if {
	every text in ["", "ten", "1.5", "03", "+3", "-1", " 3", "3 ", "3e0", "0x3", "2147483648", "99999999999999999999"] {
		every annotation in ["scalegate.dev/min-replicas", "scalegate.dev/max-replicas"] {
			refuses(scales(3, 4, {annotation: text}), sprintf(
				"annotation %s of web is %s, which is no count of replicas; correct the annotation",
				[annotation, text],
			))
		}
	}
}

test_an_annotation_that_is_no_text_refuses if {
	every value in [3, null, false, true, [], {}] {
		not scales(3, 4, {"scalegate.dev/max-replicas": value}).allow
		not scales(3, 4, {"scalegate.dev/min-replicas": value}).allow
	}
}

test_limits_that_contradict_refuse_everything if {
	every wanted in [1, 3, 4, 5] {
		refuses(scales(3, wanted, between("5", "3")), concat("", [
			"web cannot be set: its minimum of 5 replicas (annotation scalegate.dev/min-replicas)",
			" is above its maximum of 3 (annotation scalegate.dev/max-replicas)",
		]))
	}
}

test_a_malformed_limit_in_the_settings_refuses if {
	every field in ["minReplicas", "maxReplicas"] {
		every value in [null, "5", -1, 1.5, 2147483648, [], {}, true, false] {
			refuses(
				under({field: value}),
				sprintf("the policy's setting %s is no count of replicas; ask the platform team", [field]),
			)
		}
	}
}

test_a_malformed_first_step_in_the_settings_refuses_from_zero if {
	refused := decided(patched(at("/current/replicas", 0)), {"fromZero": "2"})
	refuses(refused, "the policy's setting fromZero is no count of replicas; ask the platform team")
}

test_the_largest_count_is_in_reach_without_overflow if {
	allows(scales(2000000000, 2147483647, between("0", "2147483647")))
}

test_what_does_not_exist_is_decided_by_role_and_freeze if {
	absent := patched(at("/current", null))
	allows(verdict(absent))
	refuses(
		verdict(json.patch(absent, at("/client/id", "uri:spiffe://t/stranger"))),
		"no role of yours allows set in namespace demo",
	)
	refuses(
		decided(absent, {"freeze": {"enabled": true, "reason": "audit"}}),
		"changes are frozen: audit",
	)
}

# --- Hostile documents --------------------------------------------------------------------------------------------

test_a_count_that_is_none_is_refused if {
	every value in [null, "6", -1, 1.5, 2147483648, 1e300, [], {}, true, false] {
		every current in [question.current, null] {
			refuses(
				verdict(patched(array.concat(at("/request/replicas", value), at("/current", current)))),
				"replicas must be a whole number from 0 to 2147483647",
			)
		}
	}
	refuses(verdict(without("/request/replicas")), "replicas must be a whole number from 0 to 2147483647")
	refuses(verdict(without("/request")), "replicas must be a whole number from 0 to 2147483647")
	refuses(verdict(patched(at("/request", null))), "replicas must be a whole number from 0 to 2147483647")
}

test_a_present_count_that_is_none_is_refused if {
	every value in [null, "3", -1, 1.5, [], false] {
		refuses(
			verdict(patched(at("/current/replicas", value))),
			"the document does not tell the Deployment's current replicas",
		)
	}
	every path in ["/current/replicas", "/current"] {
		refuses(verdict(without(path)), "the document does not tell the Deployment's current replicas")
	}
}

test_another_version_of_the_document_is_refused if {
	refuses(
		verdict(patched(at("/apiVersion", "scalegate.dev/v2"))),
		"this policy reads documents of scalegate.dev/v1, not of scalegate.dev/v2",
	)
	refuses(
		verdict(without("/apiVersion")),
		"this policy reads documents of scalegate.dev/v1, not of no version",
	)
}

test_an_unknown_action_is_refused if {
	refuses(verdict(patched(at("/action", "delete"))), "this policy knows no action delete")
	refuses(verdict(without("/action")), "this policy knows no action at all: the document has none")
	not verdict(patched(at("/action", null))).allow
	not verdict(patched(at("/action", ["set"]))).allow
	not verdict(patched(at("/action", "*"))).allow
}

test_a_document_without_a_client_is_refused if {
	every path in ["/client", "/client/id", "/client/groups"] {
		refuses(verdict(without(path)), "the document names no client with an id and groups")
	}
	every value in [null, "", 7, [], {}, ["uri:spiffe://t/operator"]] {
		refuses(verdict(patched(at("/client/id", value))), "the document names no client with an id and groups")
	}
	refuses(
		verdict(patched(at("/client/groups", "operators"))),
		"the document names no client with an id and groups",
	)
}

test_a_document_without_a_target_is_refused if {
	every path in ["/target", "/target/namespace", "/target/name"] {
		refuses(verdict(without(path)), "the document names no namespace and Deployment")
	}
	every value in [null, "", 7, ["demo"]] {
		refuses(
			verdict(patched(at("/target/namespace", value))),
			"the document names no namespace and Deployment",
		)
	}
}

test_a_document_without_annotations_is_refused if {
	refuses(verdict(without("/target/annotations")), "the document does not tell the Deployment's annotations")
	every value in [null, [], "none", 0] {
		refuses(
			verdict(patched(at("/target/annotations", value))),
			"the document does not tell the Deployment's annotations",
		)
	}
}

# A document of any shape is refused in words: the gateway cannot use a refusal without reasons.
test_any_other_document_is_refused_with_reasons if {
	every document in [null, true, 7, "set", [], [question], {}, {"input": question}, {"allow": true}] {
		refused := verdict(document)
		refused.allow == false
		count(refused.reasons) > 0
	}
}

test_each_field_that_is_decided_on_is_needed_and_its_absence_told if {
	every path in [
		"/apiVersion", "/client", "/client/id", "/client/groups", "/action",
		"/target", "/target/namespace", "/target/name", "/target/annotations",
		"/current", "/current/replicas", "/request", "/request/replicas",
	] {
		refused := verdict(without(path))
		refused.allow == false
		count(refused.reasons) == 1
		not contains(refused.reasons[0], "could not decide")
	}
}

test_a_field_that_is_not_decided_on_may_be_absent if {
	every path in [
		"/client/serial", "/client/notAfter", "/target/labels", "/target/namespaceLabels",
		"/current/owners", "/current/target", "/request/reason", "/request/durationSeconds",
	] {
		allows(verdict(without(path)))
	}
}
