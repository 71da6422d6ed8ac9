package scalegate

# When counts may not be changed: while the freeze is on, and within windows of the week. The time is asked for only
# where windows are configured: a verdict that never asked for it can be cached.

unfrozen if {
	freeze_lifted
	windows_passed
}

# --- The freeze ---------------------------------------------------------------------------------------------------

freeze_lifted if not "freeze" in object.keys(data.settings)

freeze_lifted if data.settings.freeze.enabled == false

freeze_lifted if {
	data.settings.freeze.enabled == true
	in_groups(data.settings.freeze.exceptGroups)
}

reasons contains sprintf("changes are frozen: %v", [why]) if {
	changing
	data.settings.freeze.enabled == true
	not freeze_lifted
	why := object.get(data.settings.freeze, "reason", "no reason was given")
}

reasons contains "the policy's setting freeze.enabled is neither true nor false; ask the platform team" if {
	changing
	not freeze_lifted
	not data.settings.freeze.enabled == true
}

# --- Windows ------------------------------------------------------------------------------------------------------

windows_passed if not "windows" in object.keys(data.settings)

windows_passed if {
	is_array(data.settings.windows)
	every window in data.settings.windows { passes(window) }
}

passes(window) if {
	readable(window)
	in_groups(window.exceptGroups)
}

passes(window) if {
	readable(window)
	local := local_time(window)
	not within(window, local)
}

weekdays := {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

day_before := {"Mon": "Sun", "Tue": "Mon", "Wed": "Tue", "Thu": "Wed", "Fri": "Thu", "Sat": "Fri", "Sun": "Sat"}

readable(window) if {
	every field in object.keys(window) {
		field in {"days", "from", "to", "timezone", "reason", "exceptGroups"}
	}
	count(window.days) > 0
	every day in window.days { day in weekdays }
	minutes(window.from)
	minutes(window.to)
}

# The day and the minute of the day where the window is. Undefined for a timezone that does not exist.
local_time(window) := {"day": day, "minute": (60 * hour) + minute} if {
	zone := object.get(window, "timezone", "UTC")
	now := time.now_ns()
	day := substring(time.weekday([now, zone]), 0, 3)
	[hour, minute, _] := time.clock([now, zone])
}

# "16:05" as minutes of the day. The 1 in front keeps a leading zero from being read as another kind of number.
minutes(text) := (60 * (to_number(concat("", ["1", hour])) - 100)) + (to_number(concat("", ["1", minute])) - 100) if {
	regex.match(`^([01][0-9]|2[0-3]):[0-5][0-9]$`, text)
	[hour, minute] := split(text, ":")
}

# Both named minutes belong to the window, so that 00:00 to 23:59 is a whole day.
within(window, local) if {
	minutes(window.from) <= minutes(window.to)
	local.day in window.days
	local.minute >= minutes(window.from)
	local.minute <= minutes(window.to)
}

# A window over midnight belongs to the day on which it begins.
within(window, local) if {
	minutes(window.from) > minutes(window.to)
	local.day in window.days
	local.minute >= minutes(window.from)
}

within(window, local) if {
	minutes(window.from) > minutes(window.to)
	day_before[local.day] in window.days
	local.minute <= minutes(window.to)
}

reasons contains sprintf("changes are frozen on %s from %s to %s (%s)%s; try again after it", [
	concat(", ", window.days),
	window.from,
	window.to,
	object.get(window, "timezone", "UTC"),
	because(window),
]) if {
	changing
	some window in data.settings.windows
	not passes(window)
	readable(window)
	local_time(window)
}

reasons contains sprintf("the policy's setting windows[%d] cannot be read; ask the platform team", [i]) if {
	changing
	some i, window in data.settings.windows
	not passes(window)
	not timed(window)
}

timed(window) if {
	readable(window)
	local_time(window)
}

reasons contains "the policy's setting windows is no list; ask the platform team" if {
	changing
	not windows_passed
	not is_array(data.settings.windows)
}

default because(_) := ""

because(window) := sprintf(": %s", [window.reason])
