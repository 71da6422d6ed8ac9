# Sends packets through a ruleset, on paper. Reads first packets, a line each, then the output of `nft -a list ruleset`;
# prints the rule that stops a packet, and, with `?` for a name, those of which this cannot tell:
#
#   NAME <tab> FAMILY TABLE CHAIN <tab> HANDLE or `policy` <tab> the rule
#
# A packet's line: NAME in|out DEVICE FAMILY PROTOCOL SOURCE DESTINATION SPORT DPORT STATE [HOOK,...]; for ICMP, SPORT is
# the name of its type; with hooks, it looks so at these alone, and otherwise at others. Each base chain on the way must let it pass, and a rule counts if all that it asks for holds. A rule that asks
# for more than is known here (a rate, a length, a mark) counts against a packet if it names what is the tunnel's own, or
# if its own counter says that it has stopped some.
#
# -v open=" PORT PORT ": what is listened on, for rules that send a packet to another port.

NR == FNR { packet_lines[++packets] = $0; next }

$1 == "table" { family = $2; table = $3; next }
$1 == "chain" { chain = family " " table " " $2; chains[++chain_count] = chain; rules_of[chain] = 0; next }
$1 == "set" || $1 == "map" { set = family " " table " @" $2; next }
set != "" && /elements = / { listing = 1; sub(/.*elements = [{]/, "") }
listing {
    gsub(/[\t ]+/, " ")
    set_of[set] = set_of[set] $0
    if (/[}]/) { sub(/ *[}].*/, "", set_of[set]); listing = 0 }
    next
}
$1 == "type" && / hook / {
    hook_of[chain] = after("hook")
    device_of[chain] = $0
    nat[chain] = $2 == "nat"
    if (/policy drop/) dropped_by_policy[chain] = 1
    next
}
/# handle [0-9]+$/ && chain != "" {
    line = $0
    sub(/^[ \t]+/, "", line)
    handle = line
    sub(/.*# handle /, "", handle)
    sub(/ # handle [0-9]+$/, "", line)
    rule_of[chain, ++rules_of[chain]] = line
    handle_of[chain, rules_of[chain]] = handle
}
/^\t[}]/ { chain = set = "" }

END {
    for (p = 1; p <= packets; p++) {
        delete packet
        split(packet_lines[p], packet, " ")
        for (c = 1; c <= chain_count; c++)
            if (on_the_way(chains[c]) && walk(chains[c], 0) == "drop")
                print packet[1] "\t" stopped_chain "\t" stopped_handle "\t" stopped_rule
    }
    for (i = 1; i <= unclear_count; i++) print unclear[i]
}

function after(word,    i) {
    for (i = 1; i < NF; i++) if ($i == word) return $(i + 1)
    return ""
}

function on_the_way(name,    parts, hook) {
    hook = hook_of[name]
    if (hook == "" || packet[11] != "" && index("," packet[11] ",", "," hook ",") == 0) return 0
    split(name, parts, " ")
    if (parts[1] == "netdev")
        return index(device_of[name], "\"" packet[3] "\"") && hook == (packet[2] == "in" ? "ingress" : "egress")
    if (parts[1] != "inet" && parts[1] != packet[4]) return 0
    # The first packet of a connection alone is asked for a translation.
    if (nat[name] && packet[10] != "new") return 0
    if (packet[2] == "in") return hook == "prerouting" || hook == "input"
    return hook == "output" || hook == "postrouting"
}

# What becomes of the packet in a chain: accept, drop, return, or nothing.
function walk(name, depth,    i, verdict, below, parts) {
    split(name, parts, " ")
    for (i = 1; i <= rules_of[name] && depth < 16; i++) {
        verdict = verdict_of(rule_of[name, i], parts[1] " " parts[2] " ")
        if (verdict == "") continue
        if (verdict ~ /^(jump|goto)/) {
            below = walk(parts[1] " " parts[2] " " substr(verdict, 6), depth + 1)
            if (below == "accept" || below == "drop") return below
            if (verdict ~ /^goto/) return ""
            continue
        }
        if (verdict == "unclear") {
            if (!((name, i) in told)) unclear[++unclear_count] = "?\t" name "\t" handle_of[name, i] "\t" rule_of[name, i]
            told[name, i] = 1
            continue
        }
        if (verdict == "drop") {
            stopped_chain = name
            stopped_handle = handle_of[name, i]
            stopped_rule = rule_of[name, i]
        }
        return verdict
    }
    if (name in dropped_by_policy) {
        stopped_chain = name
        stopped_handle = "policy"
        stopped_rule = "policy drop"
        return "drop"
    }
    return ""
}

# The rule as words: a set is one word, and what only tells or writes is left out.
function plain(rule) {
    gsub(/(comment|prefix) "[^"]*"/, "", rule)
    gsub(/log( (level|group|snaplen|queue-threshold|flags) [^ ]+)*/, "", rule)
    gsub(/(meta|ct) [a-z]+ set [^ ]+/, "", rule)
    gsub(/tcp option maxseg size set [^ ]+( mtu)?/, "", rule)
    gsub(/ : /, "=", rule); gsub(/=jump /, "=jump/", rule); gsub(/=goto /, "=goto/", rule)
    gsub(/[{] /, "{", rule); gsub(/ [}]/, "}", rule); gsub(/, /, ",", rule)
    return rule
}

# The verdict of a rule for the packet; nothing if it does not concern it. `known`: all that it asks for is understood;
# `ours`: something names the tunnel.
function verdict_of(rule, table,    words, count, i, word, known, ours, hits, value, negated, field) {
    count = split(plain(rule), words, " ")
    known = 1
    ours = hits = 0
    for (i = 1; i <= count; i++) {
        word = words[i]
        if (word == "counter") { if (words[i + 1] == "packets") { hits = words[i + 2] + 0; i += 4 } continue }
        if (word == "accept" || word == "return") return known ? word : ""
        if (word == "reject" && refuses_another(words[i + 2])) return ""
        if (word == "queue" && rule ~ / bypass/) return ""
        if (word ~ /^(drop|reject|queue)$/) return known || ours || hits ? "drop" : "unclear"
        if (word ~ /^(redirect|dnat|snat|masquerade)$/)
            return !known && !ours ? "" : translated(word, words[i + 1] == "ip" || words[i + 1] == "ip6" ? words[i + 3] : words[i + 2])
        if (word == "jump" || word == "goto") return known || ours ? word " " words[i + 1] : ""
        if (word == "fib") {
            known = 0
            while (i < count && words[i] !~ /^(type|oif|oifname|check)$/) i++
            if (words[i + 1] ~ /^[!=]/) i++
            i++
            continue
        }
        if (word == "meta") word = words[++i]
        field = word
        if (word ~ /^(ip|ip6|tcp|udp|th|ct|icmp|icmpv6)$/) field = word " " words[++i]
        if (field ~ /^(ip|ip6) / && substr(field, 1, index(field, " ") - 1) != packet[4]) return ""
        if (field ~ /^(tcp|udp|icmp|icmpv6) / && substr(field, 1, index(field, " ") - 1) != packet[5]) return ""
        if (!understood(field)) { known = 0; continue }
        value = words[++i]
        negated = value == "!=" || value == "!"
        if (negated || value == "==") value = words[++i]
        if (value == "vmap") return verdict_in(elements(words[i + 1], table), field)
        if (value == ".") {
            known = 0
            while (i < count && words[i] !~ /^[{@]/) i++
            continue
        }
        if (value ~ /^@/ && !((table value) in set_of)) { known = 0; continue }
        if (among(elements(value, table), field) == negated) return ""
        if (!negated && names_us(value, field)) ours = 1
    }
    return ""
}

# `reject with KIND` is of one family or protocol, which the listing leaves out.
function refuses_another(kind) {
    return kind == "icmp" && packet[4] == "ip6" || kind == "icmpv6" && packet[4] == "ip" || kind == "tcp" && packet[5] != "tcp"
}

# A packet that is sent to a port where someone listens arrives; one whose source becomes another's is no longer ours.
function translated(word, target,    port) {
    if (word == "masquerade") return "accept"
    if (word == "snat") return target == packet[6] ? "accept" : "drop"
    port = target
    sub(/.*:/, "", port)
    return packet[2] == "in" && index(open, " " (port == "" ? packet[9] : port) " ") ? "accept" : "drop"
}

function understood(field) {
    return field ~ /^(iif|iifname|oif|oifname|l4proto|nfproto|protocol)$/ || field ~ /^ip6? (saddr|daddr|protocol|nexthdr)$/ ||
        field ~ /^(tcp|udp|th) (sport|dport)$/ || field ~ /^icmp(v6)? type$/ || field == "ct state"
}

# What is in a set that is written out, or named.
function elements(value, table) {
    if (value ~ /^@/) value = set_of[table value]
    gsub(/[{}"]/, "", value)
    return value
}

function among(value, field,    list, count, i) {
    count = split(value, list, ",")
    for (i = 1; i <= count; i++) {
        sub(/^ /, "", list[i]); sub(/ .*/, "", list[i])
        if (is(list[i], field)) return 1
    }
    return 0
}

# The verdict that a map has for the packet.
function verdict_in(map, field,    list, count, i, verdict) {
    gsub(/ : /, "=", map); gsub(/=jump /, "=jump/", map); gsub(/=goto /, "=goto/", map)
    count = split(map, list, ",")
    for (i = 1; i <= count; i++) {
        verdict = list[i]
        sub(/.*=/, "", verdict)
        sub(/=[^=]*$/, "", list[i]); sub(/^ /, "", list[i])
        if (is(list[i], field)) return verdict == "continue" ? "" : verdict
    }
    return ""
}

function is(value, field,    ends, port) {
    if (field ~ /^iif/) return packet[2] == "in" && named(value, packet[3])
    if (field ~ /^oif/) return packet[2] == "out" && named(value, packet[3])
    if (field == "nfproto") return value == (packet[4] == "ip" ? "ipv4" : "ipv6")
    if (field == "protocol") return value == packet[4]
    if (field ~ /(protocol|nexthdr|l4proto)$/) return protocol(value) == packet[5]
    if (field ~ / saddr$/) return holds(value, packet[6])
    if (field ~ / daddr$/) return holds(value, packet[7])
    if (field == "ct state") return value == packet[10]
    if (field ~ /type$/) return value == packet[8]
    port = field ~ /sport$/ ? packet[8] : packet[9]
    return split(value, ends, "-") == 2 ? port + 0 >= ends[1] + 0 && port + 0 <= ends[2] + 0 : value == port
}

# Whether a condition names the tunnel, a port of its, or an address of its alone.
function names_us(value, field) {
    gsub(/["{}]/, "", value)
    if (field ~ /^[io]if/) return value == "wg0"
    if (field ~ /(sport|dport)$/) return index("," value ",", "," packet[8] ",") || index("," value ",", "," packet[9] ",")
    return field ~ / [sd]addr$/ && (value == packet[6] || value == packet[7])
}

function named(pattern, name) {
    return pattern ~ /[*]$/ ? index(name, substr(pattern, 1, length(pattern) - 1)) == 1 : pattern == name
}

function protocol(value) {
    if (value == "ipv6-icmp" || value == "58") return "icmpv6"
    return value == "17" ? "udp" : value == "6" ? "tcp" : value == "1" ? "icmp" : value
}
