package scalegate_freeze_test

import data.scalegate_test as common

frozen(freeze, action, groups) := common.decided(document, {"freeze": freeze}) if {
	document := common.patched(array.concat(common.at("/action", action), common.at("/client/groups", groups)))
}

on(windows, instant) := asked_on(common.question, windows, instant)

asked_on(document, windows, instant) := given if {
	now := time.parse_rfc3339_ns(instant)
	given := common.decided(document, {"windows": windows}) with time.now_ns as now
}

# A clock that answers with no number makes every question about the time undefined.
without_clock(document, windows) := given if {
	given := common.decided(document, {"windows": windows}) with time.now_ns as "no clock"
}

reading := common.patched(common.at("/action", "get"))

friday := {"days": ["Fri"], "from": "16:00", "to": "23:59"}

friday_reason := "changes are frozen on Fri from 16:00 to 23:59 (UTC); try again after it"

night := {"days": ["Fri", "Sat"], "from": "22:00", "to": "05:59", "timezone": "Europe/Berlin", "reason": "batch runs"}

night_reason := concat("", [
	"changes are frozen on Fri, Sat from 22:00 to 05:59 (Europe/Berlin): batch runs;",
	" try again after it",
])

# --- The freeze ---------------------------------------------------------------------------------------------------

test_a_freeze_refuses_changes_and_says_why if {
	freeze := {"enabled": true, "reason": "release freeze until the incident is closed"}
	every action in ["set", "release"] {
		common.refuses(
			frozen(freeze, action, []),
			"changes are frozen: release freeze until the incident is closed",
		)
	}
}

test_a_freeze_leaves_reads_alone if {
	every action in ["get", "describe"] { common.allows(frozen({"enabled": true}, action, [])) }
}

test_a_freeze_that_is_off_refuses_nothing if {
	common.allows(frozen({"enabled": false, "reason": "later"}, "set", []))
}

test_groups_can_be_excepted_from_a_freeze if {
	freeze := {"enabled": true, "exceptGroups": ["oncall"]}
	common.allows(frozen(freeze, "set", ["dev", "oncall"]))
	common.refuses(frozen(freeze, "set", ["dev"]), "changes are frozen: no reason was given")
}

test_an_exception_from_the_freeze_gives_no_role if {
	freeze := {"enabled": true, "exceptGroups": ["oncall"]}
	stranger := common.patched(array.concat(
		common.at("/client/id", "uri:spiffe://t/stranger"),
		common.at("/client/groups", ["oncall"]),
	))
	common.refuses(common.decided(stranger, {"freeze": freeze}), "no role of yours allows set in namespace demo")
}

test_a_malformed_freeze_refuses if {
	every freeze in [null, true, false, "off", [], {}, {"enabled": "false"}, {"enabled": null}, {"enable": true}] {
		common.refuses(
			frozen(freeze, "set", ["oncall"]),
			"the policy's setting freeze.enabled is neither true nor false; ask the platform team",
		)
	}
	common.refuses(
		frozen({"enabled": true, "exceptGroups": "oncall"}, "set", ["oncall"]),
		"changes are frozen: no reason was given",
	)
}

# --- Windows ------------------------------------------------------------------------------------------------------

test_within_a_window_changes_are_refused if {
	common.refuses(on([friday], "2026-11-20T16:00:00Z"), friday_reason)
	common.refuses(on([friday], "2026-11-20T23:59:59Z"), friday_reason)
}

test_outside_a_window_changes_are_allowed if {
	every instant in ["2026-11-20T15:59:59Z", "2026-11-21T00:00:00Z", "2026-11-19T18:00:00Z"] {
		common.allows(on([friday], instant))
	}
}

test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins if {
	every instant in [
		"2026-11-20T22:00:00+01:00", "2026-11-21T03:00:00+01:00",
		"2026-11-21T05:59:59+01:00", "2026-11-22T05:00:00+01:00",
	] {
		common.refuses(on([night], instant), night_reason)
	}
	every instant in [
		"2026-11-20T05:00:00+01:00", "2026-11-20T21:59:00+01:00",
		"2026-11-21T06:00:00+01:00", "2026-11-23T05:00:00+01:00",
	] {
		common.allows(on([night], instant))
	}
}

test_a_window_keeps_to_its_timezone_also_in_summer if {
	common.refuses(on([night], "2026-07-24T20:00:00Z"), night_reason)
	common.allows(on([night], "2026-11-20T20:59:00Z"))
}

test_every_window_counts if {
	common.refuses(on([night, friday], "2026-11-20T17:00:00Z"), friday_reason)
	common.allows(on([], "2026-11-20T17:00:00Z"))
}

test_groups_can_be_excepted_from_a_window if {
	excepted := object.union(friday, {"exceptGroups": ["oncall"]})
	oncall := common.patched(common.at("/client/groups", ["oncall"]))
	common.allows(asked_on(oncall, [excepted], "2026-11-20T17:00:00Z"))
	common.refuses(on([excepted], "2026-11-20T17:00:00Z"), friday_reason)
}

test_a_window_that_cannot_be_read_refuses_at_any_time if {
	every change in [
		{"days": []}, {"days": ["Friday"]}, {"days": "Fri"}, {"days": null},
		{"from": "16"}, {"from": "24:00"}, {"from": "4:00"}, {"to": null}, {"to": "23:60"},
		{"timezone": "Mars/Olympus"}, {"timezone": 7}, {"tz": "UTC"},
	] {
		common.refuses(
			on([night, object.union(friday, change)], "2026-11-18T12:00:00Z"),
			"the policy's setting windows[1] cannot be read; ask the platform team",
		)
	}
}

test_a_window_without_days_or_hours_refuses if {
	every field in ["days", "from", "to"] {
		common.refuses(
			on([object.remove(friday, [field])], "2026-11-18T12:00:00Z"),
			"the policy's setting windows[0] cannot be read; ask the platform team",
		)
	}
	every window in [null, "Fri", 5, [], {}] {
		common.refuses(
			on([window], "2026-11-18T12:00:00Z"),
			"the policy's setting windows[0] cannot be read; ask the platform team",
		)
	}
}

test_windows_that_are_no_list_refuse if {
	every windows in [null, {}, {"a": friday}, "Fri", true, false] {
		not on(windows, "2026-11-18T12:00:00Z").allow
		"the policy's setting windows is no list; ask the platform team" in on(windows, "2026-11-18T12:00:00Z").reasons
	}
}

test_windows_leave_reads_alone if common.allows(asked_on(reading, [friday], "2026-11-20T17:00:00Z"))

test_the_time_is_asked_for_only_where_a_window_needs_it if {
	common.allows(without_clock(reading, [friday]))
	common.allows(without_clock(common.question, []))
	common.refuses(
		without_clock(common.question, [friday]),
		"the policy's setting windows[0] cannot be read; ask the platform team",
	)
}
