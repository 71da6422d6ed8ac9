"""Pairs of machines for the tests, and what a test asks of them."""

import difflib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent.parent
STOPPING = threading.Event()
# Faults that the connection test may pass over: they break what is beside the tunnel, or break it only now and then.
UNSEEN = {"default-route", "default-route-4", "tunnel-ways", "twin-roaming"}
# Faults of the client that the server cannot be rid of before: its peer goes where the last packet came from.
CLIENT_FIRST = {"twin-roaming"}
# Faults that need a person: what fix.sh must say, and what the person then does.
BY_HAND = {
    "port-taken": (r"python3 \(process \d+\) has UDP port 51820\n +by hand: +end python3", "pkill -f '[5]1820)'"),
    "port-taken-since": (r"python3 \(process \d+\) has UDP port 51820; wg0 has 51821\n +by hand: +end python3", "pkill -f '[5]1820)'"),
}
# What wg-quick adds beside the interface, for everything to go through it.
ADDED = """
exec 2>/dev/null
ip rule | grep -e suppress_prefixlength -e 'not from'; ip -6 rule | grep -e suppress_prefixlength -e 'not from'
for table in 51820 119; do ip route show table $table; ip -6 route show table $table; done
nft list tables | grep wg-quick; iptables-save | grep wg-quick; ip6tables-save | grep wg-quick
wg show wg0 fwmark | grep -v off; ip route get 203.0.113.9 | grep wg0; ip -6 route get 2001:db8::9 | grep wg0
"""
# What a machine's state is, as far as the scripts could change it; counters and times left out.
STATE = """
ip -o link; ip addr | grep -v valid_lft; ip rule; ip -6 rule; ip nexthop; ip -6 nexthop; ip xfrm policy; ip route show table all; ip -6 route show table all
nft list ruleset 2>/dev/null | sed -E 's/counter packets [0-9]+ bytes [0-9]+//'
command -v nft >/dev/null || { iptables-save; ip6tables-save; } | sed -E '/^#/d; s/\\[.*//'
timeout 60 wg show wg0 dump 2>/dev/null | cut -f 1-4,8 | sort; cat /etc/hosts /etc/wireguard/wg0.conf; ls -I wireguard-mend.lock /run /etc/wireguard
grep -rs . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/icmp_echo_ignore_all; ss -Hltn
"""


class Failed(Exception):
    """What a case found wrong, in a sentence."""


def catalogue():
    """The faults: name -> the findings that name it, on either side."""
    faults = {}
    for line in (HERE / "lab/faults.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, side, _, finding, _ = line.split(maxsplit=4)
            faults.setdefault(name, []).append((side, finding))
    return faults


class Lab:
    """A pair of machines in a directory of its own."""

    def __init__(self, work, *options):
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=work))
        self.plan = self.directory / "plan"
        self.environment = {"LAB": str(self.directory), "LC_ALL": "C"}
        self.run("lab/lab.sh", "up", *options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        take_down(self.directory)

    @staticmethod
    def call_anywhere(*command, **environment):
        """The exit status and the output of a script of ours."""
        if STOPPING.is_set():
            raise Failed("stopped")
        done = subprocess.run(
            command, cwd=HERE, env={**os.environ, **environment}, text=True, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout

    def call(self, *command, **environment):
        return self.call_anywhere(*command, **{**self.environment, **environment})

    def run(self, *command):
        status, output = self.call(*command)
        if status != 0:
            raise Failed(f"{' '.join(command)} ended with {status}: {output[-2000:]}")
        return output

    def on(self, side, command):
        return self.call("lab/lab.sh", "enter", side, command)

    def connects(self, wait=60):
        """Whether the connection test passes, and its words."""
        at = {side.upper(): f"lab/lab.sh enter {side}" for side in ("server", "client")}
        status, output = self.call("./test-connection.sh", "--plan", str(self.plan), "--wait", str(wait), **at)
        if status not in (0, 1):
            raise Failed(f"test-connection.sh ended with {status}: {output}")
        return status == 0, output

    def diagnose(self, side):
        """What diagnose.sh finds: the ids, and all that it says."""
        status, output = self.on(side, f"./diagnose.sh --plan {self.plan} {side}")
        ids = re.findall(r"^\d+\. ([a-z0-9-]+):", output, re.M)
        if status != (1 if ids else 0):
            raise Failed(f"diagnose.sh ended with {status} after {ids}: {output}")
        return ids, output

    def fix(self, side, *options):
        """What fix.sh ran, and its exit status."""
        status, output = self.on(side, f"./fix.sh --plan {self.plan} {' '.join(options)} {side}")
        return status, re.findall(r"^\[([a-z0-9-]+)\]", output, re.M), output

    def state(self, side):
        return self.on(side, STATE)[1]

    def server_process(self):
        """The HTTP server's pid, with the time when it started."""
        pid = (self.directory / "server/http.pid").read_text().strip()
        status, output = self.on("server", f"cut -d ' ' -f 1,22 /proc/{pid}/stat")
        expect(status == 0, f"the HTTP server has ended: {output}")
        return output


def unchanged(lab, side, state, sentence):
    """Fails with what differs if the state of a machine is another than it was."""
    lines = difflib.unified_diff(state.splitlines(), lab.state(side).splitlines(), lineterm="", n=0)
    difference = "\n".join(list(lines)[2:])
    expect(not difference, f"{sentence}:\n{difference}")


def take_down(directory):
    """Stops the machines of a lab, wherever it was left, and removes it."""
    subprocess.run([HERE / "lab/lab.sh", "down"], env={**os.environ, "LAB": str(directory)}, check=True)
    shutil.rmtree(directory)


def expect(condition, sentence):
    if not condition:
        raise Failed(sentence)


def mended(lab, names):
    """Goes the whole way with a broken lab: broken, named, mended, and nothing more to do."""
    faults = [fault for name in names for fault in catalogue()[name]]
    before, words = lab.connects(wait=2)
    expect(not before or set(names) <= UNSEEN, f"the connection test passes although {names} are planted:\n{words}")
    process = lab.server_process()
    named = {}
    for side in ("server", "client"):
        state = lab.state(side)
        named[side], _ = lab.diagnose(side)
        unchanged(lab, side, state, f"diagnose.sh changed the {side}")
    said = ""
    for side in ("client", "server") if CLIENT_FIRST & set(names) else ("server", "client"):
        status, ran, output = lab.fix(side)
        expect(status == 0, f"fix.sh ended with {status} on the {side}:\n{output}")
        # One fault can hide another, which a later round names.
        named[side] += ran
        said += output
    for side, finding in faults:
        expect(finding in named[side], f"{finding} is not named on the {side}, but {named}")
    after, words = lab.connects()
    expect(after, f"the connection test fails after the mend:\n{said}\n{words}")
    expect(lab.server_process() == process, "the HTTP server was started anew")
    for side in ("server", "client"):
        state = lab.state(side)
        status, ran, output = lab.fix(side)
        expect(status == 0 and not ran, f"a second fix.sh on the {side} runs {ran}: {output}")
        unchanged(lab, side, state, f"a second fix.sh changed the {side}")
        left = lab.on(side, ADDED)[1]
        expect(not left, f"what wg-quick added is still on the {side}:\n{left}")


def left_to_a_person(lab, name):
    """What no command mends is said, with what to do; and once that is done, the rest is mended."""
    [(side, finding)] = catalogue()[name]
    pattern, done = BY_HAND[name]
    before, words = lab.connects(wait=2)
    expect(not before, f"the connection test passes although {name} is planted:\n{words}")
    state = lab.state(side)
    status, ran, output = lab.fix(side)
    expect(status == 1 and not ran and re.search(rf"{finding}: .*\n.*{pattern}", output), f"fix.sh ended with {status}:\n{output}")
    unchanged(lab, side, state, "fix.sh changed something")
    lab.run("lab/lab.sh", "enter", side, done)
    status, _, output = lab.fix(side)
    expect(status == 0, f"fix.sh ended with {status}:\n{output}")
    expect(*lab.connects())
