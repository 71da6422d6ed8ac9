# Writes the output of `iptables-save -c` as `nft -a list ruleset` would show it, for checks/packets.awk: where there is no
# nft, and for the rules of the older iptables, which nft does not see. A rule's handle is its line's number.
#
# -v tool=iptables|ip6tables|… : it becomes part of the tables' names.

BEGIN {
    family = tool ~ /^ip6/ ? "ip6" : "ip"
    type[8] = "echo-request"; type[0] = "echo-reply"; type[128] = "echo-request"; type[129] = "echo-reply"
    type[135] = "nd-neighbor-solicit"; type[136] = "nd-neighbor-advert"
}

/^[*]/ { table = substr($1, 2) "@" tool; count = 0; delete policy; delete rules; next }
/^:/ { chain = substr($1, 2); order[++count] = chain; policy[chain] = $2; next }
/ -A / {
    line = $0
    # What is in quotes may hold anything.
    gsub(/"([^"\\]|\\.)*"/, "text", line)
    words_count = split(line, words, " ")
    rules[words[3]] = rules[words[3]] "\t\t" counted(words[1]) rule() " # handle " NR "\n"
}
/^COMMIT/ {
    print "table " family " " table " {"
    for (i = 1; i <= count; i++) {
        chain = order[i]
        print "\tchain " chain " {"
        if (chain ~ /^(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/)
            print "\t\ttype " (table ~ /^nat@/ ? "nat" : "filter") " hook " tolower(chain) " priority 0; policy " tolower(policy[chain]) ";"
        printf "%s", rules[chain]
        print "\t}"
    }
    print "}"
}

function counted(word) {
    gsub(/[][]/, "", word)
    sub(/:/, " bytes ", word)
    return "counter packets " word " "
}

function rule(    i, word, value, not, out, verdict) {
    for (i = 4; i <= words_count; i++) {
        not = ""
        if (words[i] == "!") { not = "!= "; i++ }
        word = words[i]
        value = words[i + 1]
        if (word == "-m") { i++; continue }
        if (word == "--comment") { i++; continue }
        if (word == "-j" || word == "-g") { verdict = target(word, i); break }
        if (word == "-i" || word == "-o") { sub(/[+]$/, "*", value); out = out word "ifname " not value " "; i++ }
        else if (word == "-s" || word == "-d") { out = out family " " substr(word, 2) "addr " not value " "; i++ }
        else if (word == "-p") { out = out "meta l4proto " not value " "; i++ }
        else if (word ~ /^--[sd]ports?$/) {
            gsub(/:/, "-", value)
            sub(/^--/, "", word); sub(/s$/, "", word)
            out = out "th " word " " not "{" value "} "
            i++
        }
        else if (word == "--ctstate" || word == "--state") { out = out "ct state " not "{" tolower(value) "} "; i++ }
        else if (word ~ /^--icmp(v6)?-type$/) {
            out = out (family == "ip6" ? "icmpv6" : "icmp") " type " not (value in type ? type[value] : value) " "
            i++
        }
        else out = out "more "
    }
    gsub(/-iifname/, "iifname", out); gsub(/-oifname/, "oifname", out)
    return out verdict
}

# The target, and for a translation where it leads.
function target(word, i,    name) {
    name = words[i + 1]
    if (word == "-g") return "goto " name
    if (name ~ /^(ACCEPT|DROP|REJECT|RETURN|MASQUERADE)$/) return tolower(name)
    if (name == "NFQUEUE") return "queue" (words[words_count] == "--queue-bypass" ? " bypass" : "")
    if (name ~ /^(DNAT|SNAT|REDIRECT)$/) return tolower(name) " to " words[i + 3]
    if (name in policy) return "jump " name
    return "xt target " name
}
