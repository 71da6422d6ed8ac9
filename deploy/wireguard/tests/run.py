#!/usr/bin/env python3
"""Breaks the lab in every way that it knows, and has diagnose.sh and fix.sh mend it.

    tests/run.py                    all: each fault alone, 50 triples, the image's faults together, and how the scripts behave
    tests/run.py NAME...            these cases alone: a fault, `seed-N` for any N, or a test's name
    JOBS=N                          cases at once (default 16; they wait more than they work)

Prints a line for each case that fails, with how to repeat it, and closes with counts. Exits with 0 if none failed.
"""

import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from lab import BY_HAND, HERE, STOPPING, Failed, Lab, catalogue, left_to_a_person, mended, take_down
from scripts import TESTS

TRIPLES = 50


def planted(work, names):
    with Lab(work, "--faults", ",".join(names)) as lab:
        if len(names) == 1 and names[0] in BY_HAND:
            left_to_a_person(lab, names[0])
        else:
            mended(lab, names)


def triple(seed):
    """Three faults whose findings differ, so that each must be named."""
    faults = catalogue()
    names = sorted(name for name in faults if not name.startswith("image-") and name not in BY_HAND)
    chance = random.Random(seed)
    while True:
        chosen = chance.sample(names, 3)
        if not any(apart(chosen[a], chosen[b], faults) for a, b in ((0, 1), (0, 2), (1, 2))):
            return chosen


# Where wg0 is missing from the start, what would break it late cannot be planted, and what wg0.conf has is not looked at.
NO_TUNNEL = ("conf-", "dns-line", "endpoint-name", "tunnel-missing", "default-route-orphaned")
ON_TUNNEL = re.compile(r"peer-|tunnel-(?!firewall|missing)|wg-quick-left|rp-filter|tunnel-missing")

# What makes a machine lose what another fault has planted there before diagnose.sh can see it.
HIDES = {
    "link-mtu": ("ipv6-off", "6pn-unreachable", "6pn-no-route", "6pn-neighbour", "6pn-route-hops"),
    "ipv6-off": ("6pn-unreachable", "6pn-no-route", "6pn-neighbour", "6pn-route-hops"),
    "6pn-route-hops": ("6pn-no-route", "6pn-address"),
    "peer-key": ("endpoint-address", "endpoint-port", "allowed-ips-client", "preshared-none", "default-route", "twin-roaming"),
    "peer-removed": ("allowed-ips-server", "preshared-other", "twin"),
    "peer-stranger": ("twin-roaming",),
    "allowed-ips-client": ("default-route-halves",),
    "allowed-ips-server": ("default-route-4", "default-route-narrowed"),
    "default-route": ("default-route-halves",),
    "tunnel-down": ("tunnel-blackhole",),
    "tunnel-address-taken": ("tunnel-blackhole", "tunnel-route-gateway", "tunnel-nexthop", "tunnel-ways", "tunnel-local", "peer-key"),
    "6pn-address-taken": ("6pn-blackhole", "6pn-rule", "6pn-nexthop"),
    "tunnel-rule": ("tunnel-no-route", "strict-source"),
    "tunnel-source": ("tunnel-blackhole", "tunnel-route-gateway", "tunnel-nexthop", "tunnel-ways", "tunnel-local"),
    "tunnel-route-mtu": ("tunnel-nexthop-group", "tunnel-nexthop-none"),
    "tunnel-local-wide": ("tunnel-no-route", "tunnel-rule", "tunnel-rule-source", "tunnel-route-mtu", "tunnel-own-route", "strict-source"),
    "listener-port": ("listener-loopback", "listener-address"),
    "listener-address": ("listener-loopback",),
    "link-down": ("6pn-neighbour", "link-noarp", "6pn-own-route"),
}


def apart(one, other, faults):
    """Whether two faults cannot be told apart, or one takes the other's trace away."""
    hides = other in HIDES.get(one, ()) or one in HIDES.get(other, ())
    for gone, there in ((one, other), (other, one)):
        hides = hides or gone.startswith(NO_TUNNEL) and any(ON_TUNNEL.match(finding) for _, finding in faults[there])
    return hides or bool(set(faults[one]) & set(faults[other]))


def cases():
    found = {test.__name__: test for test in TESTS}
    for name in catalogue():
        found[name] = lambda work, name=name: planted(work, [name])
    found.update((f"seed-{seed}", of_seed(seed)) for seed in range(TRIPLES))
    return found


def of_seed(seed):
    return lambda work: planted(work, triple(seed))


def main():
    missing = subprocess.run([HERE / "lab/lab.sh", "missing"], capture_output=True, text=True, check=True).stdout.strip()
    known = cases()
    if missing:
        print(f"wireguard: skipped: {missing}")
        print(f"0 passed, 0 failed, {len(known)} skipped")
        return 0
    begun = time.monotonic()
    chosen = sys.argv[1:] or list(known)
    for name in chosen:
        if name.startswith("seed-") and name[5:].isdigit():
            known[name] = of_seed(int(name[5:]))
        if name not in known:
            print(f"run.py: there is no case {name}", file=sys.stderr)
            return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = tempfile.mkdtemp(prefix="wireguard-test-")
    failed, done, lock = [], [0], threading.Lock()

    def one(name):
        try:
            known[name](work)
        # Whatever a case ends with is told of that case, and the others go on.
        except Exception as error:  # pylint: disable=broad-exception-caught
            if not isinstance(error, Failed):
                error = traceback.format_exc()
            with lock:
                failed.append(name)
                what = f"{name} ({', '.join(triple(int(name[5:])))})" if name.startswith("seed-") else name
                print(f"FAILED  {what}: {error}\n        again: deploy/wireguard/tests/run.py {name}", flush=True)
        with lock:
            done[0] += 1

    pool = concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "16")))
    try:
        list(pool.map(one, chosen))
    finally:
        STOPPING.set()
        pool.shutdown(cancel_futures=True)
        for directory in pathlib.Path(work).iterdir():
            take_down(directory)
        shutil.rmtree(work)
    alone = sum(1 for name in chosen if name in catalogue())
    triples = sum(1 for name in chosen if name.startswith("seed-"))
    print(f"wireguard: {alone} faults alone, {triples} triples, {len(chosen) - alone - triples} tests of the scripts, "
          f"in {time.monotonic() - begun:.0f} s")
    print(f"{done[0] - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
