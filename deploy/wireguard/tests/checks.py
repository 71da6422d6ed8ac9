#!/usr/bin/env python3
"""The parts of diagnose.sh that need no machine: addresses, packets through rulesets, iptables' rules, plans.

Needs bash and an awk, runs with each awk that is here (mawk, gawk, busybox), takes seconds and no root.
"""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent.parent
AWKS = [words for words in (["mawk"], ["gawk"], ["busybox", "awk"]) if shutil.which(words[0])] or [["awk"]]

# What the packets are called in the tables below.
PACKETS = """\
http in wg0 ip tcp 192.168.0.2 192.168.0.1 40000 8080 new
answer out wg0 ip tcp 192.168.0.1 192.168.0.2 8080 40000 established
udp in eth0 ip6 udp fdaa::6:2 fdaa::5:2 51820 51820 new
neighbour in eth0 ip6 icmpv6 fdaa::6:1 fdaa::5:2 nd-neighbor-solicit 0 untracked
ping in wg0 ip icmp 192.168.0.2 192.168.0.1 echo-request 0 new
"""

# A base chain for incoming packets, its rules, and the packets that each rule stops.
NFT = [
    ("inet", "drop", "http udp neighbour ping"),
    ("ip", "drop", "http ping"),
    ("ip6", "reject", "udp neighbour"),
    ("inet", "reject with icmpv6 admin-prohibited", "udp neighbour"),
    ("inet", "reject with icmp port-unreachable", "http ping"),
    ("inet", "reject with tcp reset", "http"),
    ("inet", 'iifname "wg0" drop', "http ping"),
    ("inet", 'iifname "w*" drop', "http ping"),
    ("inet", 'iifname != "eth0" drop', "http ping"),
    ("inet", 'iifname { "lo", "eth0" } drop', "udp neighbour"),
    ("inet", 'oifname "wg0" drop', ""),
    ("inet", "tcp dport 8080 drop", "http"),
    ("inet", "tcp dport { 22, 8000-9000 } counter packets 0 bytes 0 drop", "http"),
    ("inet", "tcp dport != 8080 drop", ""),
    ("inet", "tcp dport ! 22 drop", "http"),
    ("inet", "meta l4proto { tcp, udp } th dport 51820 drop", "udp"),
    ("inet", "ip saddr 192.168.0.0/24 drop", "http ping"),
    ("inet", "ip saddr 192.168.0.2-192.168.0.9 drop", "http ping"),
    ("inet", "ip saddr 192.168.0.128/25 drop", ""),
    ("inet", "ip6 saddr fdaa::/16 meta l4proto ipv6-icmp drop", "neighbour"),
    ("inet", "icmpv6 type { nd-router-advert, nd-neighbor-solicit } drop", "neighbour"),
    ("inet", "icmp type echo-request drop", "ping"),
    ("inet", "ct state established,related drop", ""),
    ("inet", "ct state { invalid, new } drop", "http udp ping"),
    ("inet", "ct state vmap { established : accept, new : drop }", "http udp ping"),
    ("inet", "tcp dport vmap { 22 : accept, 8080 : jump other }", ""),
    ("inet", "tcp dport accept drop", ""),
    ("inet", "udp dport @ports drop", "udp"),
    ("inet", "udp dport @unknown drop", ""),
    ("inet", 'log prefix "say drop { x }" tcp dport 8080 drop comment "accept"', "http"),
    ("inet", "jump other", ""),
    # What is not understood counts if it names the tunnel's own, or has stopped something.
    ("inet", "meta mark 0x00000001 drop", ""),
    ("inet", "meta mark 0x00000001 counter packets 3 bytes 9 drop", "http udp neighbour ping"),
    ("inet", "tcp dport 8080 limit rate over 5/second burst 3 packets drop", "http"),
    ("inet", "tcp dport { 80, 8080 } meta length 100-2000  counter packets 0 bytes 0 drop", "http"),
    ("inet", "tcp flags syn / fin,syn,rst drop", ""),
    ("inet", "ip6 saddr fdaa::6:2 fib saddr . iif oif 0 drop", "udp"),
    ("inet", "ip saddr . tcp dport { 10.0.0.1 . 22 } drop", ""),
    ("inet", "queue to 1", "http udp neighbour ping"),
    ("inet", "queue flags bypass to 1", ""),
    ("ip", "dnat to 10.0.0.1:80", "http ping"),
    ("ip", "tcp dport 8080 redirect to :8081", ""),
    ("ip", "tcp dport 8080 redirect to :8082", "http"),
]

# A rule as iptables-save has it, and the packets that it stops.
IPTABLES = [
    ("iptables", "-A INPUT -i wg0 -p tcp -m tcp --dport 8080 -j DROP", "http"),
    ("iptables", "-A INPUT -i w+ -j REJECT --reject-with icmp-port-unreachable", "http ping"),
    ("iptables", "-A INPUT ! -i wg0 -j DROP", ""),
    ("iptables", "-A INPUT ! -s 10.0.0.0/8 -p tcp -m multiport --dports 22,8000:9000 -j DROP", "http"),
    ("iptables", "-A INPUT -p tcp -m tcp ! --dport 22 -j DROP", "http"),
    ("iptables", "-A INPUT -p icmp -m icmp --icmp-type 8 -j DROP", "ping"),
    ("iptables", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j DROP", ""),
    ("iptables", "-A INPUT -p tcp -m conntrack ! --ctstate ESTABLISHED -j other", "http"),
    ("iptables", '-A INPUT -p tcp -m comment --comment "a -j ACCEPT \\" b" -j DROP', "http"),
    ("iptables", '-A INPUT -p tcp -m string --string "x" --algo bm -j DROP', ""),
    ("iptables", "-A INPUT -p tcp -m tcp --dport 8080 -m length --length 900:1500 -j DROP", "http"),
    ("iptables", '-A INPUT -j LOG --log-prefix "x "', ""),
    ("ip6tables", "-A INPUT -p udp -m udp --dport 51820 -j DROP", "udp"),
    ("ip6tables", "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP", "neighbour"),
    ("ip6tables", "-A INPUT -s fdaa::6:2/128 -j NFQUEUE --queue-num 0", "udp"),
]

PLAN = {"server_6pn": "fdaa::5", "server_tunnel": "192.168.0.1", "server_key": "A" * 43 + "=", "client_6pn": "fdaa::6",
        "client_tunnel": "192.168.0.2", "client_key": "B" * 43 + "="}


def run(awk, *programs, text, variables=()):
    """The output of an awk program on a text."""
    options = [word for value in variables for word in ("-v", value)]
    files = [word for name in programs for word in ("-f", str(HERE / "checks" / name))]
    return subprocess.run([*awk, *options, *files], input=text, text=True, capture_output=True, check=True).stdout


def stopped(awk, ruleset):
    """Which of the packets a ruleset stops."""
    command = ["bash", "-c", 'awk=$1 packets=$2; $awk -v open=" 22 8080 8081 " -f checks/address.awk -f checks/packets.awk '
               '<(printf %s "$packets") -', "-", " ".join(awk), PACKETS]
    done = subprocess.run(command, input=ruleset, text=True, capture_output=True, check=True, cwd=HERE)
    return [line.split("\t")[0] for line in done.stdout.splitlines() if not line.startswith("?")]


def table(family, rule):
    kind = "nat" if "redirect" in rule or "dnat" in rule else "filter"
    return f"""table {family} t {{ # handle 1
\tset ports {{ # handle 2
\t\ttype inet_service
\t\telements = {{ 1, 2,
\t\t\t     51820 }}
\t}}

\tchain other {{ # handle 3
\t\ttcp dport 22 drop # handle 4
\t}}

\tchain in {{ # handle 5
\t\ttype {kind} hook input priority filter; policy accept;
\t\t{rule} # handle 6
\t}}
}}
"""


class Checks(unittest.TestCase):
    """Each table above, with each awk."""

    def test_an_address_is_in_a_prefix_or_is_not(self):
        within = ["10.0.0.0/8 10.255.0.1", "0.0.0.0/0 1.2.3.4", "192.168.0.1 192.168.0.1", "fdaa::/16 fdaa:1::2", "::/0 fdaa::",
                  "fdaa:0:1::/48 fdaa:0:1:a7b:5::2", "fdaa::5:0/112 fdaa::5:2", "FDAA::1 fdaa:0:0:0:0:0:0:1", "all ::1",
                  "10.0.0.1-10.0.0.9 10.0.0.5", "fe80::1-fe80::ff fe80::a"]
        outside = ["10.0.0.0/9 10.128.0.1", "192.168.0.1 192.168.0.2", "fdaa::/16 fdab::1", "fdaa::5:0/112 fdaa::6:2",
                   "0.0.0.0/0 fdaa::", "::/0 10.0.0.1", "10.0.0.1-10.0.0.9 10.0.0.10", "64.0.0.0/2 192.0.0.1"]
        for awk in AWKS:
            program = f'{(HERE / "checks/address.awk").read_text()}\n{{ print holds($1, $2) }}'
            done = subprocess.run([*awk, program], input="\n".join(within + outside), text=True, capture_output=True, check=True)
            answers = done.stdout.split()
            for pair, answer in zip(within + outside, answers, strict=True):
                with self.subTest(awk=awk, pair=pair):
                    self.assertEqual(answer, "1" if pair in within else "0")

    def test_a_rule_of_nft_stops_what_it_says(self):
        for awk in AWKS:
            for family, rule, packets in NFT:
                with self.subTest(awk=awk, rule=rule):
                    self.assertEqual(" ".join(stopped(awk, table(family, rule))), packets)

    def test_a_policy_stops_what_no_rule_lets_pass(self):
        ruleset = table("inet", 'iifname "wg0" accept').replace("policy accept", "policy drop")
        for awk in AWKS:
            self.assertEqual(stopped(awk, ruleset), ["udp", "neighbour"])

    def test_a_rule_of_iptables_stops_what_it_says(self):
        for awk in AWKS:
            for tool, rule, packets in IPTABLES:
                chains = ":INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:other - [0:0]"
                save = f"# x\n*filter\n{chains}\n[0:0] {rule}\n[0:0] -A other -j DROP\nCOMMIT\n"
                with self.subTest(awk=awk, rule=rule):
                    ruleset = run(awk, "iptables.awk", text=save, variables=[f"tool={tool}"])
                    self.assertEqual(" ".join(stopped(awk, ruleset)), packets)

    def test_policies_of_ipsec_become_lines(self):
        text = """\
src 0.0.0.0/0 dst 192.168.0.1/32 proto tcp dport 22 uid 0
\tdir in action block index 8 priority 5 ptype main share any flag  (0x00000000)
\tlifetime config:
\t  limit: soft (INF)(bytes), hard (INF)(bytes)
src ::/0 dst fdaa::2/128 uid 0
\tdir out action allow index 1 priority 0 ptype main share any flag  (0x00000000)
\ttmpl src :: dst ::
\t\tproto esp spi 0x00000000(0) reqid 0(0x00000000) mode transport
src 0.0.0.0/0 dst 0.0.0.0/0 uid 0
\tsocket in action allow index 3 priority 0 ptype main share any flag  (0x00000000)
"""
        program = re.search(r"^in_policies='(.*?)'$", (HERE / "checks/beyond.sh").read_text(), re.M | re.S)[1]
        for awk in AWKS:
            done = subprocess.run([*awk, program], input=text, text=True, capture_output=True, check=True)
            self.assertEqual(done.stdout.splitlines(), ["5 8 in block no 0.0.0.0/0 192.168.0.1/32 tcp - 22",
                                                        "0 1 out allow yes ::/0 fdaa::2/128 - - -"])

    def test_what_names_a_route_is_what_deletes_it(self):
        for route, key in {
            "192.168.0.1 via 172.19.6.1 dev eth0 proto static metric 5": "192.168.0.1 via 172.19.6.1 dev eth0 metric 5",
            "192.168.0.1 nhid 7 via 172.19.6.1 dev eth0 scope link": "192.168.0.1 nhid 7",
            "blackhole 192.168.0.1 nhid 8": "192.168.0.1 nhid 8",
            "blackhole fdaa::2 dev lo metric 1024 error -22 pref medium": "blackhole fdaa::2 dev lo metric 1024",
            "192.168.0.1 nexthop via 172.19.6.1 dev eth0 weight 9 nexthop dev wg0 weight 1": "192.168.0.1",
            "local 192.168.0.1 dev lo scope host": "local 192.168.0.1 dev lo",
            "default dev wg0 table 51820 scope link": "default dev wg0 table 51820",
            "10.0.0.0/8 dev x;>hit scope link": "10.0.0.0/8 dev x\\;\\>hit",
        }.items():
            with self.subTest(route=route):
                script = '. checks/routing.sh; route_key "$1"'
                done = subprocess.run(["bash", "-uc", script, "-", route], text=True, capture_output=True, cwd=HERE, check=True)
                self.assertEqual(done.stdout.strip(), key)

    def test_a_prefix_covers_what_lies_in_it(self):
        for family, wide, narrow, covers in [
            ("-4", "192.168.0.1/24", "192.168.0.0/24", True), ("-4", "192.168.0.1/24", "192.168.0.7", True),
            ("-4", "192.168.0.1/24", "192.168.0.0/16", False), ("-4", "192.168.0.1/24", "default", False),
            ("-4", "0.0.0.0/0", "default", True), ("-6", "0.0.0.0/0", "default", False), ("-6", "::/0", "8000::/1", True),
            ("-4", "(none)", "10.0.0.1", False),
        ]:
            with self.subTest(wide=wide, narrow=narrow):
                script = 'here=.; . checks/plan.sh; . checks/leftovers.sh; family=$1; if covers "$2" "$3"; then echo yes; fi'
                done = subprocess.run(["bash", "-uc", script, "-", family, wide, narrow], text=True, capture_output=True, cwd=HERE, check=True)
                self.assertEqual(done.stdout, "yes\n" if covers else "")

    def test_a_plan_is_read_and_never_run(self):
        good = "".join(f"{key}={value}\n" for key, value in PLAN.items())
        self.assertEqual(self.read_plan(good.replace("\n", "\r\n") + "# a remark\nhttp=80"), (0, "80 1420 fdaa::6"))
        for text, sentence in [
            ("", "has no server_6pn"),
            (good.replace("server_key=", "server_keys="), "line 3: 'server_keys' is no key of a plan"),
            (good + "6pn_mtu=1500\n6pn_mtu=1420\n", "line 8: 6pn_mtu is 1500 further up and 1420 here"),
            (good + "http=80800\n", "http is '80800', but goes from 1 to 65535"),
            (good + "http=08\n", "http is '08', which it cannot be"),
            (good + "6pn_mtu=500\n", "goes from 1280 to 65535"),
            (good + "prefix=33\n", "goes from 1 to 32"),
            (good + "client_name=-x\n", "which it cannot be"),
            (good + "preshared=/etc/$(id)\n", "which it cannot be"),
            (good.replace("192.168.0.1", "192.168.0.256"), "which it cannot be"),
            (good.replace("192.168.0.1", "here; reboot"), "which it cannot be"),
            (good.replace("fdaa::5", "$(touch x)"), "which it cannot be"),
            (good.replace("fdaa::5", "172.19.0.1"), "which it cannot be"),
            (good.replace("fdaa::5", "fdaa:1::5"), "has no server_gateway, the next hop"),
        ]:
            with self.subTest(text=text):
                status, output = self.read_plan(text)
                self.assertEqual(status, 2)
                self.assertIn(sentence, output)

    def read_plan(self, text):
        """The exit status of reading a plan, and the error or what the server has from it."""
        script = 'here=.; . checks/plan.sh; plan_read "$1"; plan_side server; echo "$http $tunnel_mtu $peer_6pn"'
        with tempfile.NamedTemporaryFile("w", newline="") as file:
            file.write(text)
            file.flush()
            done = subprocess.run(["bash", "-c", script, "-", file.name], text=True, capture_output=True, cwd=HERE, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    def test_each_fault_of_the_lab_is_one_that_diagnose_can_name(self):
        code = "".join(path.read_text() for path in (HERE / "checks").glob("*.sh"))
        known = set(re.findall(r"(?:finding |unserved=\()([a-z0-9-]+) ", code)) | {"rp-filter"}
        for prefix in ("6pn", "tunnel"):
            known |= {prefix + suffix for suffix in re.findall(r'finding "\$id(-[a-z-]+)"', code)}
            known |= {f"{prefix}-address-taken"}
        known |= {"underlay-firewall", "tunnel-firewall"}
        for line in (HERE / "lab/faults.txt").read_text().splitlines():
            if line and not line.startswith("#"):
                _, side, when, finding, command = line.split(maxsplit=4)
                with self.subTest(line=line):
                    self.assertIn(side, ("server", "client"))
                    self.assertIn(when, ("disk", "boot", "late"))
                    self.assertIn(finding, known)
                    self.assertEqual(subprocess.run(["bash", "-nc", command], check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
