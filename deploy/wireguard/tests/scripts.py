"""How the scripts behave: each function is a test, named for what holds, and gets a directory for its labs."""

import pathlib
import re
import shutil
import subprocess

from lab import HERE, Lab, catalogue, expect, mended, unchanged


def image(work):
    with Lab(work) as lab:
        mended(lab, [name for name in catalogue() if name.startswith("image-")])


def a_healthy_pair_connects_and_needs_nothing(work):
    with Lab(work, "--healthy") as lab:
        passes, words = lab.connects(wait=2)
        expect(passes, words)
        for side in ("server", "client"):
            expect(lab.diagnose(side)[0] == [], lab.diagnose(side)[1])


def a_dry_run_says_what_a_run_does_and_changes_nothing(work):
    with Lab(work) as lab:
        for side in ("server", "client"):
            state = lab.state(side)
            status, _, told = lab.fix(side, "--dry-run")
            expect(status == 0, f"a dry run ended with {status}")
            unchanged(lab, side, state, f"a dry run changed the {side}")
            told, output = told.splitlines(), lab.fix(side)[2]
            done = re.findall(r"^\[[a-z0-9-]+\] (.*)", output, re.M)[: len(told)]
            expect(done == told and done, f"told {told}, done {output}")


def what_is_kept_holds_after_a_reboot_of_either(work):
    with Lab(work, "--faults", ",".join(name for name in catalogue() if name.startswith("image-")) + ",hosts,listener-loopback") as lab:
        foreign = "192.168.7.0/24"
        lab.on("client", f"""
            sed -i 's/^MTU/PostUp = echo up >>\\/run\\/theirs\\n&/' /etc/wireguard/wg0.conf
            wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips {foreign}""")
        for side in ("server", "client"):
            status, _, output = lab.fix(side, "--persist")
            expect(status == 0, output)
            kept = lab.on(side, "cat /etc/wireguard/wg0.conf")[1]
            expect(lab.fix(side, "--persist")[0] == 0, "keeping it twice fails")
            again = lab.on(side, "cat /etc/wireguard/wg0.conf")[1]
            # wireguard-go tells its peers in any order.
            expect(sorted(again.splitlines()) == sorted(kept.splitlines()), "keeping it twice is not the same as once")
            opened = lab.on(side, "find /etc/wireguard -perm /077")[1]
            expect(not opened, f"others may read what is kept: {opened}")
        for side in ("server", "client"):
            lab.run("lab/lab.sh", "reboot", side)
            passes, words = lab.connects()
            expect(passes, f"after the {side}'s reboot:\n{words}")
        _, theirs = lab.on("client", "wg show wg0 allowed-ips; cat /run/theirs")
        expect(foreign in theirs and theirs.endswith("up\n"), f"what others had in wg0.conf is gone: {theirs}")
        # The tunnel's own line asks for fix.sh while fix.sh waits for the tunnel.
        for side, more in (("server", ["listener-loopback"]), ("client", [])):
            lab.on(side, "wg-quick down wg0")
            status, ran, output = lab.fix(side)
            expect(status == 0 and ran == ["tunnel-missing", *more], f"the {side}'s tunnel does not come back: {output}")
        expect(lab.connects()[0], "the connection test fails after the tunnel came back")


def what_is_kept_goes_where_the_file_is(work):
    move = "mkdir /run/disk; mv /etc/wireguard/wg0.conf /run/disk; ln -s /run/disk/wg0.conf /etc/wireguard/wg0.conf"
    with Lab(work, "--faults", "tunnel-mtu") as lab:
        for change, found in ((move, "/run/disk"), ("rm -r /run/disk /etc/wireguard/wg0.conf*", "/etc/wireguard")):
            lab.run("lab/lab.sh", "enter", "server", change)
            status, _, output = lab.fix("server", "--persist")
            expect(status == 0, output)
            check = f"grep -q '^MTU = 1420' {found}/wg0.conf && test -f {found}/mend/plan && wg-quick strip wg0 >/dev/null"
            status, output = lab.on("server", check + f" && ls -l {found} /etc/wireguard")
            expect(status == 0, f"after {change}: {output}")
        expect("wg0.conf ->" not in output, output)


def iptables_is_enough_where_there_is_no_nft(work):
    names = ["image-http-dropped", "image-udp-dropped", "udp-dropped-out", "udp-dropped-legacy", "http-dropped-legacy",
             "neighbour-dropped", "answers-dropped", "established-dropped", "http-diverted", "listener-port", "6pn-open"]
    with Lab(work, "--faults", ",".join(names)) as lab:
        for side in ("server", "client"):
            lab.run("lab/lab.sh", "enter", side, ': >/run/none; mount --bind /run/none "$(command -v nft)"')
        mended(lab, names)
        expect("only the packet filters of iptables" in lab.diagnose("server")[1], "it does not say what it cannot see")


def the_other_machine_is_not_mended(work):
    with Lab(work) as lab:
        state = lab.state("server")
        status, output = lab.on("server", f"./fix.sh --plan {lab.plan} client")
        expect(status == 2 and "this is not the client" in output, output)
        unchanged(lab, "server", state, "it changed something")


def a_plan_of_broken_machines_asks_for_what_they_lost(work):
    with Lab(work, "--faults", "6pn-no-route") as lab:
        told = "".join(lab.on(side, f"./diagnose.sh --facts {side}")[1] for side in ("server", "client"))
        expect("# server_gateway= is for you to fill in" in told, told)
        plan = lab.directory / "told"
        plan.write_text(told)
        status, output = lab.on("server", f"./fix.sh --plan {plan} server")
        expect(status == 2 and "has no server_gateway" in output, output)
        plan.write_text(told + "server_gateway=fdaa:0:1:a7b:5::1\n")
        for side in ("server", "client"):
            status, output = lab.on(side, f"./fix.sh --plan {plan} {side}")
            expect(status == 0, output)
        passes, words = lab.connects()
        expect(passes, words)


def a_gateway_that_nobody_is_gets_a_note(work):
    with Lab(work, "--faults", "6pn-gateway") as lab:
        plan = lab.directory / "told"
        plan.write_text("".join(lab.on(side, f"./diagnose.sh --facts {side}")[1] for side in ("server", "client")))
        expect(not lab.connects(wait=2)[0], "the connection test passes")
        status, output = lab.on("client", f"./diagnose.sh --plan {plan} client")
        expect(status == 0 and "the plan's gateway is wrong: fdaa:0:1:a7b:6::9" in output, output)


def what_cannot_be_judged_is_said_at_the_end(work):
    with Lab(work, "--healthy") as lab:
        lab.run("lab/lab.sh", "enter", "client", """set -e
ip rule add ipproto tcp dport 8080 blackhole pref 70; tc qdisc add dev wg0 root tbf rate 8kbit burst 2k latency 1ms
nft 'add table ip6 hard; add chain ip6 hard out { type filter hook postrouting priority 0; }; add rule ip6 hard out udp dport 51820 ip6 hoplimit set 1'
ip6tables-legacy -t mangle -A POSTROUTING -o eth0 -j HL --hl-set 1
ip xfrm policy add dir out src ::/0 dst fdaa:0:1:a7b:5::2/128 tmpl proto esp mode transport
tc qdisc add dev eth0 clsact""")
        ids, output = lab.diagnose("client")
        for words in ("dport 8080", "queue that is not judged, tbf", "ip6 hoplimit set 1", "HL", "IPsec takes packets",
                      "tc filter show dev eth0"):
            expect(re.search(f"^note: .*{words}", output, re.M), f"{words} is not noted:\n{output}")
        expect(not ids and output.endswith("see the notes above\n"), output)


def ipsec_that_may_serve_others_is_left_to_a_person(work):
    with Lab(work, "--healthy") as lab:
        for policy in ("policy add dir out src 192.168.0.0/24 dst 0.0.0.0/0 proto tcp dport 8080 action block",
                       "policy deleteall", "policy setdefault in block", "policy setdefault in accept",
                       "policy add dir out dst 192.168.0.1/32 proto tcp dport 22 action block"):
            lab.run("lab/lab.sh", "enter", "client", f"ip xfrm {policy}")
            ids, output = lab.diagnose("client")
            broken = policy.endswith("block") and "dport 22" not in policy
            expect(ids == ["ipsec"] * broken and ("by hand:  " in output) == broken, f"after {policy}:\n{output}")
            expect(lab.connects(wait=2)[0] != broken, f"after {policy} the connection test says otherwise")


def what_a_command_said_in_vain_is_told(work):
    with Lab(work, "--faults", "tunnel-missing") as lab:
        stub = "printf '%s\\n' '#!/bin/sh' 'echo [#] tries >&2' 'echo no luck today >&2' 'exit 3' >/run/wg-quick; chmod +x /run/wg-quick"
        lab.run("lab/lab.sh", "enter", "server", f'{stub}; mount --bind /run/wg-quick "$(command -v wg-quick)"')
        status, ran, output = lab.fix("server")
        expect(status == 1 and ran == ["tunnel-missing"] * 2, f"it ran {ran}: {output}")
        expect(output.count("it ended with 3; no luck today") == 2 and "by hand" in output, output)
        lab.run("lab/lab.sh", "enter", "server", 'umount "$(command -v wg-quick)"')
        expect(lab.fix("server")[0] == 0, "what was in vain is not tried again")
        expect(*lab.connects())


def what_kept_the_tunnel_down_is_not_kept(work):
    with Lab(work, "--faults", "dns-line,conf-hook") as lab:
        for side in ("server", "client"):
            status, _, output = lab.fix(side, "--persist")
            expect(status == 0, output)
            lab.run("lab/lab.sh", "reboot", side)
        expect(*lab.connects())


def a_process_that_is_stopped_goes_on(work):
    with Lab(work, "--healthy") as lab:
        if lab.on("client", "pkill -STOP -x wireguard-go")[0] != 0:
            return
        expect(not lab.connects(wait=2)[0], "the connection test passes")
        told = lab.on("client", "./diagnose.sh --facts client")[1]
        expect("# client_key= is for you to fill in" in told, told)
        status, ran, output = lab.fix("client")
        expect(status == 0 and ran == ["tunnel-stopped"], f"it ran {ran}: {output}")
        expect(*lab.connects())


def a_port_that_was_taken_when_wg0_came_up_is_taken_again(work):
    with Lab(work, "--healthy") as lab:
        lab.on("server", """ip link set wg0 down; python3 -c '
import socket, subprocess, time
taken = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
taken.bind(("::", 51820))
subprocess.run(["ip", "link", "set", "wg0", "up"])
time.sleep(1)'""")
        expect(not lab.connects(wait=2)[0], "the connection test passes")
        status, _, output = lab.fix("server")
        expect(status == 0, output)
        expect(*lab.connects())


def a_server_that_does_not_run_is_left_to_a_person(work):
    with Lab(work, "--healthy") as lab:
        lab.run("lab/lab.sh", "enter", "server", "pkill -KILL -f http-server")
        status, ran, output = lab.fix("server")
        expect(status == 1 and not ran and "by hand:  start the HTTP server, on port 8080" in output, f"it ran {ran}: {output}")


def filters_that_wg_quick_made_without_nft_go(work):
    nft = shutil.which("nft")
    with Lab(work, "--healthy") as lab:
        lab.run("lab/lab.sh", "enter", "client", "mkdir /run/tools; ln -s /usr/bin/* /usr/sbin/* /run/tools 2>/dev/null; rm /run/tools/nft")
        # Once it stays away, and once it comes back before the mend.
        for before in ("", f"umount {nft}"):
            lab.run("lab/lab.sh", "enter", "client", rf"""set -e
: >/run/none; mount --bind /run/none {nft}; sed -i 's/^AllowedIPs.*/AllowedIPs = 0.0.0.0\/0, ::\/0/' /etc/wireguard/wg0.conf
export PATH=/run/tools; wg-quick down wg0; while pgrep -x wireguard-go; do sleep 0.1; done; wg-quick up wg0; iptables-save | grep -q 'wg-quick(8)'; {before}""")
            status, _, output = lab.fix("client")
            expect(status == 0, output)
            left = lab.on("client", "iptables-save; ip6tables-save; nft list ruleset")[1]
            expect("wg-quick" not in left, left)
            lab.on("client", f"mountpoint -q {nft} && umount {nft}")
        expect(*lab.connects())


def two_at_once_do_what_one_does(work):
    with Lab(work) as lab:
        command = f"./fix.sh --plan {lab.plan} client"
        status, output = lab.on("client", f"{command} & one=$!; {command} & two=$!; wait $one && wait $two")
        expect(status == 0, output)
        ran = re.findall(r"^\[([a-z0-9-]+)\]", output, re.M)
        expect(len(ran) == len(set(ran)) == 6, f"they ran {ran}:\n{output}")
        expect(output.count("nothing is wrong") == 2, output)


def a_mend_that_was_killed_can_be_done_again(work):
    # A wg that stops where it should set something, until it is killed with all that runs.
    stuck = """mkdir /run/stuck; mkfifo /run/stuck/reached; cat >/run/stuck/wg <<'END'
#!/bin/bash
if [ "$1" = set ]; then echo here >/run/stuck/reached; sleep infinity; fi
exec /usr/bin/wg "$@"
END
chmod +x /run/stuck/wg
PATH=/run/stuck:$PATH ./fix.sh --plan PLAN client >/run/stuck/told 2>&1 &
read -r _ </run/stuck/reached; kill -9 -- -$!; wait; cat /run/stuck/told"""
    with Lab(work) as lab:
        _, output = lab.on("client", "set -m; " + stuck.replace("PLAN", str(lab.plan)))
        first = re.findall(r"^\[([a-z0-9-]+)\]", output, re.M)
        expect(first == ["underlay-firewall", "tunnel-mtu", "peer-endpoint"], f"it ran {first}: {output}")
        status, ran, output = lab.fix("client")
        expect(status == 0 and ran == ["peer-endpoint", "peer-allowed-ips", "wg-quick-left", "tunnel-route-wrong"], f"then {ran}: {output}")


def names_that_a_shell_would_run_are_only_names(work):
    plant = """set -e
ip link add 'x;>hit' type veth peer name y; ip link set 'x;>hit' up; ip route replace 192.168.0.1/32 dev 'x;>hit'
iptables -N 'a;>hit'; iptables -A 'a;>hit' -p tcp --sport 8080 -m comment --comment '"; >hit' -j DROP; iptables -A INPUT -j 'a;>hit'
iptables-legacy -A INPUT -i wg0 -p tcp --sport 8080 -m comment --comment '$(>hit) `>hit`' -j DROP"""
    with Lab(work, "--faults", "hosts") as lab:
        lab.run("lab/lab.sh", "enter", "client", plant)
        lab.on("client", f"mkdir /run/empty; cd /run/empty; $OLDPWD/fix.sh --plan {lab.plan} client")
        left, words = lab.diagnose("client")
        expect(left == ["tunnel-firewall"] and "by hand" in words, words)
        expect(lab.on("client", "ls /run/empty")[1] == "", "a name was run")
        lab.on("client", "iptables -F INPUT")
        expect(lab.connects()[0], "the connection test fails")


def the_lab_says_why_it_cannot_be(work):
    status, output = Lab.call_anywhere("unshare", "--user", "lab/lab.sh", "missing")
    expect("must run as root" in output and status == 0, output)
    tools = pathlib.Path(work) / "tools"
    tools.mkdir()
    for name in ("bash", "id", "dirname", "realpath", "cksum", "cut"):
        (tools / name).symlink_to(shutil.which(name))
    status, output = Lab.call_anywhere("lab/lab.sh", "up", PATH=str(tools), LAB=f"{work}/none")
    expect("apt-get install" in output and status == 1, output)
    status, output = Lab.call_anywhere("unshare", "--mount", "bash", "-c", "mount -t tmpfs none /dev/net; lab/lab.sh missing")
    kernel = subprocess.run(["unshare", "--net", "ip", "link", "add", "wg0", "type", "wireguard"], capture_output=True, check=False)
    expect(kernel.returncode == 0 or "needs /dev/net/tun" in output, output)
    shutil.rmtree(tools)


def commands_of(page):
    """The commands of a page's console blocks, each with the output that the page shows, `…` for what may be anything."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            lines = part.splitlines()
            # A command goes on where its line ends with a backslash.
            end = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
            yield "\n".join(lines[: end + 1]), lines[end + 1:]


def the_commands_of_the_notes_mend_a_fresh_pair(work):
    with Lab(work) as lab:
        clone = pathlib.Path(work) / "a clone"
        shutil.copytree(HERE, clone / "deploy/wireguard", ignore=shutil.ignore_patterns("plan"))
        commands = list(commands_of((HERE / "NOTES.md").read_text()))
        script = "".join(f"{command}\necho \"@@ $?\"\n" for command, _ in commands)
        status, output = lab.call("bash", "-c", f"cd '{clone}'\n{script}")
        parts = re.split(r"^@@ (\d+)\n", output, flags=re.M)
        answers, statuses = parts[:-1:2], parts[1::2]
        expect(len(answers) == len(commands) and status == 0, output)
        for (command, shown), answer in zip(commands, answers, strict=True):
            pattern = "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in shown)
            expect(re.fullmatch(pattern, answer), f"{command}\nsays\n{answer}instead of\n" + "\n".join(shown))
        tests = [status for (command, _), status in zip(commands, statuses, strict=True) if "test-connection.sh" in command]
        expect(len(tests) >= 2 and tests[0] == "1" and set(tests[1:]) == {"0"}, f"the connection test ended with {tests}")


def without_keeping_it_a_reboot_breaks_it_again(work):
    with Lab(work) as lab:
        for side in ("server", "client"):
            lab.fix(side)
        lab.run("lab/lab.sh", "reboot", "server")
        expect(not lab.connects(wait=2)[0], "the connection test passes")


def what_is_not_the_tunnels_is_left_alone(work):
    names = [name for name in catalogue() if name.startswith("image-")] + ["hosts", "6pn-rule-wide", "6pn-unreachable"]
    foreign = """
nft 'add table inet own; add chain inet own in { type filter hook input priority 5; }; add rule inet own in tcp dport 22 drop; add rule inet own in meta skuid 7 drop; add rule inet own in ip saddr 10.9.0.0/16 counter drop'
ip route add 10.9.0.0/16 dev eth0; ip route add blackhole 10.8.0.0/16; ip rule add to 10.7.0.0/16 lookup 77 pref 70
ip -6 route add unreachable fdbb::/16; ip -6 rule add from fdcc::/16 prohibit pref 70
wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 192.168.7.0/24 endpoint '[fdaa:0:2::9]:51820'
echo '10.9.0.1 elsewhere' >>/etc/hosts; echo '10.9.0.2 my-server.wg server.wg nas' >>/etc/hosts
ip -6 rule add from fdaa::/16 to fdee::/16 lookup 77 pref 71; ip link add own type veth peer name own2; ip link set own up
ip rule add not fwmark 82 table 82 pref 74; ip route add default dev own table 82; ip rule add table main suppress_prefixlength 0 pref 73
ip route add 192.168.0.0/17 dev own; ip rule add to 192.168.0.0/23 lookup 78 pref 72; ip route add default dev own table 78"""
    with Lab(work, "--faults", ",".join(names)) as lab:
        for side in ("server", "client"):
            expect(lab.on(side, foreign)[0] == 0, "the foreign things cannot be made")
            expect(lab.fix(side)[0] == 0, f"the {side} is not mended")
            found = lab.state(side)
            for sign in ("tcp dport 22 drop", "meta skuid 7 drop", "10.9.0.0/16 dev eth0", "blackhole 10.8.0.0/16",
                         "to 10.7.0.0/16 lookup 77", "unreachable fdbb::/16", "from fdcc::/16 prohibit",
                         "192.168.7.0/24", "my-server.wg  nas", "to 192.168.0.0/23 lookup 78", "192.168.0.0/17 dev own",
                         "from fdaa::/16 to fdee::/16 lookup 77", "not from all fwmark 0x52 lookup 82", "lookup main suppress_prefixlength 0", "10.9.0.1 elsewhere", "ip saddr 10.9.0.0/16"):
                expect(sign in found, f"{sign} is gone from the {side}:\n{found}")
        passes, words = lab.connects()
        expect(passes, words)


def what_no_command_mends_is_said_and_not_kept(work):
    with Lab(work, "--faults", "own-key") as lab:
        lab.on("server", "rm /etc/wireguard/private.key; sed -i /^PrivateKey/d /etc/wireguard/wg0.conf")
        status, ran, output = lab.fix("server", "--persist")
        expect(status == 1 and "nothing is kept while something is wrong" in output, f"{status}: {output}")
        expect("tunnel-key" in output and "by hand" in output and not ran, output)


def bad_input_is_refused_with_what_to_do(work):
    with Lab(work, "--healthy") as lab:
        good = lab.plan.read_text()
        cases = {
            "./diagnose.sh": "usage: diagnose.sh",
            "./fix.sh": "usage: fix.sh",
            "./diagnose.sh neither": "usage: diagnose.sh",
            "./fix.sh --plan": "usage: fix.sh",
            "./diagnose.sh --vain": "usage: diagnose.sh",
            "./fix.sh --force server": "usage: fix.sh",
            "./diagnose.sh --plan /nowhere server": "there is no plan at /nowhere",
            "SERVER= ./test-connection.sh": "usage: SERVER=COMMAND",
            "SERVER=a CLIENT=b ./test-connection.sh --wait soon": "usage: SERVER=COMMAND",
            "lab/lab.sh up --faults no-such": "there is no fault no-such",
            "lab/lab.sh up --seed x": "--seed takes a number",
            "lab/lab.sh enter nobody": "lab.sh enter server|client",
        }
        for text, sentence in {
            good.replace("server_key=", "server_keys="): "is no key of a plan",
            good.replace("server_6pn=", "server_6pn=$(touch /run/run)"): "which it cannot be",
            good.replace("192.168.0.1", "here; reboot"): "which it cannot be",
            "client_6pn=fdaa::1\n": "has no server_6pn",
            "": "has no server_6pn",
        }.items():
            file = lab.directory / f"plan-{len(cases)}"
            file.write_text(text)
            cases[f"./fix.sh --plan {file} server"] = sentence
        elsewhere = f"LAB={lab.directory / 'other'} "
        for command, sentence in cases.items():
            prefix = elsewhere if command.startswith("lab/") else ""
            status, output = lab.call("bash", "-c", prefix + command)
            expect(status == 2 and sentence in output, f"{command} ended with {status}: {output}")
        expect(lab.on("server", "test ! -e /run/run")[0] == 0, "a plan was run")


TESTS = [image, the_commands_of_the_notes_mend_a_fresh_pair,
         a_healthy_pair_connects_and_needs_nothing, a_dry_run_says_what_a_run_does_and_changes_nothing,
         what_is_kept_holds_after_a_reboot_of_either, without_keeping_it_a_reboot_breaks_it_again,
         what_is_kept_goes_where_the_file_is, what_is_not_the_tunnels_is_left_alone,
         what_no_command_mends_is_said_and_not_kept, iptables_is_enough_where_there_is_no_nft, the_other_machine_is_not_mended,
         a_plan_of_broken_machines_asks_for_what_they_lost, a_gateway_that_nobody_is_gets_a_note, what_cannot_be_judged_is_said_at_the_end,
         ipsec_that_may_serve_others_is_left_to_a_person, what_a_command_said_in_vain_is_told, what_kept_the_tunnel_down_is_not_kept,
         a_process_that_is_stopped_goes_on, a_port_that_was_taken_when_wg0_came_up_is_taken_again,
         a_server_that_does_not_run_is_left_to_a_person, filters_that_wg_quick_made_without_nft_go,
         two_at_once_do_what_one_does, a_mend_that_was_killed_can_be_done_again,
         names_that_a_shell_would_run_are_only_names, bad_input_is_refused_with_what_to_do, the_lab_says_why_it_cannot_be]
