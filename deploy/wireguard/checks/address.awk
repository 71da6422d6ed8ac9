# Addresses and prefixes: holds(PREFIX, ADDRESS) says whether the one, or a range FIRST-LAST, has the other in it. IPv4 and IPv6.

function hex_of(number,    digits) {
    digits = "0123456789abcdef"
    return substr(digits, int(number / 16) + 1, 1) substr(digits, number % 16 + 1, 1)
}

# The address as hexadecimal digits, 8 or 32.
function digits_of(address,    parts, count, i, out, halves, left, right, missing) {
    if (address !~ /:/) {
        count = split(address, parts, ".")
        for (i = 1; i <= count; i++) out = out hex_of(parts[i])
        return out
    }
    if (address ~ /::/) {
        i = index(address, "::")
        left = substr(address, 1, i - 1)
        right = substr(address, i + 2)
        missing = 8 - (left == "" ? 0 : split(left, halves, ":")) - (right == "" ? 0 : split(right, halves, ":"))
        address = left
        while (missing-- > 0) address = address (address == "" ? "" : ":") "0"
        if (right != "") address = address ":" right
    }
    count = split(address, parts, ":")
    for (i = 1; i <= count; i++) out = out substr("0000" tolower(parts[i]), length(parts[i]) + 1)
    return out
}

# The first `count` bits of hexadecimal digits, as digits of two.
function bits_of(digits, count,    i, value, out, bit) {
    for (i = 1; i <= length(digits); i++) {
        value = index("0123456789abcdef", substr(digits, i, 1)) - 1
        for (bit = 8; bit >= 1; bit /= 2) {
            out = out int(value / bit)
            value %= bit
        }
    }
    return substr(out, 1, count)
}

function holds(prefix, address,    parts, length_of, first, given) {
    if (prefix == "all" || prefix == "default") return 1
    if ((prefix ~ /:/) != (address ~ /:/)) return 0
    given = digits_of(address)
    # The x keeps digits from being compared as numbers.
    if (split(prefix, parts, "-") == 2) return "x" digits_of(parts[1]) <= "x" given && "x" given <= "x" digits_of(parts[2])
    split(prefix, parts, "/")
    first = digits_of(parts[1])
    length_of = parts[2] == "" ? 4 * length(first) : parts[2] + 0
    return "x" bits_of(first, length_of) == "x" bits_of(given, length_of)
}
