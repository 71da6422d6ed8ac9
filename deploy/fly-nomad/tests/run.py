#!/usr/bin/env python3
"""Builds the machine's image on stand-ins, boots it in namespaces of its own, and checks what it promises.

    tests/run.py             all
    tests/run.py NAME...     these tests alone

Needs Debian and root; without, it says so and passes. A test that fails tells why, and the last line counts.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))
import check  # noqa: E402

PASSWORD = "correct-horse-battery"
USERS = {"elasticsearch": 9200, "filebeat": 5044, "nomad": 4646, "kibana": 5601}
SERVERS = [*USERS, "sweep"]
DATASETS = ("nomad", "generator", "decisions")
# How long anything may take on a loaded machine, in seconds.
LIMIT = 180


class Failed(Exception):
    """What a test found wrong, in a sentence."""


def expect(condition, sentence):
    if not condition:
        raise Failed(sentence)


def run(*command, **options):
    """The output of a command that must succeed."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)
    expect(done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def until(what, probe):
    """What a probe gives, as soon as that is true."""
    deadline = time.monotonic() + LIMIT
    while True:
        found = probe()
        if found:
            return found
        expect(time.monotonic() < deadline, f"not within {LIMIT} s: {what}")
        time.sleep(0.5)


def build():
    """The image's id. What the stand-ins and the build print comes up only if they fail."""
    arguments = run(HERE / "stand-ins/build.sh").split()
    with tempfile.NamedTemporaryFile(mode="r") as name:
        run("buildah", "bud", "--isolation=chroot", "--format=docker", "--layers", "--force-rm", "--tag=localhost/scalegate-fly-nomad:test",
            f"--iidfile={name.name}", *arguments, HERE)
        return name.read().removeprefix("sha256:")


class Machine:
    """The image, booted on a volume (None: without one)."""

    image = ""

    def __init__(self, volume, **secrets):
        self.container = run("buildah", "from", "--pull-never", self.image).strip()
        root = run("buildah", "mount", self.container).strip()
        config = json.loads(run("buildah", "inspect", "--type=image", self.image))["OCIv1"]["config"]
        self.lines, self.changed, self.started = [], threading.Condition(), time.monotonic()
        self.process = subprocess.Popen(
            [HERE / "tests/boot.sh", root, volume or "-", "/usr/bin/env", *config["Env"],
             *(f"{name}={value}" for name, value in secrets.items()), *config["Entrypoint"]],
            text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()
        self.process.wait()
        with self.changed:
            self.changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        run("buildah", "rm", self.container)

    def said(self, pattern):
        """Waits until the machine says something."""
        found = lambda: any(re.search(pattern, line) for line in self.lines)  # noqa: E731
        with self.changed:
            self.changed.wait_for(lambda: found() or self.process.poll() is not None, LIMIT)
            expect(found(), f"the machine does not say {pattern!r}, but:\n" + "\n".join(self.lines[-25:]))

    def ended(self):
        """The exit status, once it has ended, with what it said itself."""
        with self.changed:
            expect(self.changed.wait_for(lambda: self.process.poll() is not None, LIMIT), "the machine does not stop")
        self.reader.join()
        return self.process.returncode, "\n".join(line for line in self.lines if line.startswith("machine: "))

    def stop(self):
        os.kill(self.init(), signal.SIGTERM)
        return self.ended()

    # Processes, by their ids here.

    def children(self, pid):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def init(self):
        return self.children(self.process.pid)[0]

    def entrypoint(self):
        tini = self.children(self.init())[0]
        return self.children(tini)[0]

    def server(self, name):
        """The process that the entrypoint watches under this name."""
        for pid in self.children(self.entrypoint()):
            with contextlib.suppress(FileNotFoundError):
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                user = os.stat(f"/proc/{pid}").st_uid
                if user == USERS.get(name) or (user == 0 and f"./{name}.sh".encode() in command):
                    return pid
        return None

    def descendants(self, pid):
        return [pid, *(found for child in self.children(pid) for found in self.descendants(child))]

    # What is asked of it.

    def inside(self, *command, **environment):
        """The output of a command run in the machine."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        return run("nsenter", f"--target={self.entrypoint()}", "--mount", "--net", "--pid", "--root", "--wd", "env", *variables,
                   *command)

    def curl(self, *arguments, user=f"elastic:{PASSWORD}"):
        """The status and the content of an answer."""
        login = ["--user", user] if user else []
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.init()}/ns/net", "curl", "--silent", "--write-out", "\n%{http_code}", *login,
             *arguments], text=True, stdout=subprocess.PIPE, check=False)
        content, _, status = done.stdout.rpartition("\n")
        return int(status), content

    def elasticsearch(self, path, body=None, method=None):
        arguments = [f"http://127.0.0.1:9200/{path}"]
        if body is not None:
            arguments += ["--header", "Content-Type: application/json", "--data-binary", json.dumps(body)]
        if method:
            arguments += ["--request", method]
        status, content = self.curl(*arguments)
        expect(status < 300, f"Elasticsearch answers {path} with {status}: {content}")
        return json.loads(content)

    def count(self, query):
        self.elasticsearch("machine-*/_refresh", method="POST")
        return self.elasticsearch("machine-*/_count", {"query": {"query_string": {"query": query}}})["count"]

    def kibana(self, path, **options):
        return self.curl("--globoff", f"http://[fdaa:0:1:a7b::2]:5601{path}", **options)

    def documents(self):
        """The file and the offset of each document."""
        self.elasticsearch("machine-*/_refresh", method="POST")
        request = {"size": 5000, "_source": False, "sort": ["log.file.path", "log.offset", "_index"]}
        found = []
        while True:
            hits = self.elasticsearch("machine-*/_search", request)["hits"]["hits"]
            if not hits:
                return found
            found += [tuple(hit["sort"][:2]) for hit in hits]
            request["search_after"] = hits[-1]["sort"]


def lines(volume):
    """The file and the offset of each whole line that was logged."""
    found = set()
    for pattern in ("nomad/log/nomad-*.log", "nomad/alloc/*/alloc/logs/[!.]*.std*"):
        for file in volume.glob(pattern):
            offset = 0
            for line in file.read_bytes().split(b"\n")[:-1]:
                found.add((f"/data/{file.relative_to(volume)}", offset))
                offset += len(line) + 1
    return found


def accounted(machine, volume):
    """Expects that each line logged until now is there, or will be, and is there once; returns how many."""
    logged = lines(volume)
    until("all lines are in Elasticsearch", lambda: logged <= set(machine.documents()))
    documents = machine.documents()
    expect(len(documents) == len(set(documents)), f"{len(documents) - len(set(documents))} of {len(documents)} documents are double")
    expect(set(documents) <= lines(volume), "there are documents of lines that nobody logged")
    return len(logged)


@contextlib.contextmanager
def booted(volume):
    with Machine(volume, KIBANA_PASSWORD=PASSWORD) as machine:
        machine.said("^machine: ready$")
        yield machine


# --- Of a machine that runs ---


def it_boots(volume, then):
    with booted(volume) as machine:
        took = time.monotonic() - machine.started
        then(machine)
        return f"ready {took:.0f} s after power-on"


def all_datasets_arrive(machine):
    for dataset in DATASETS:
        until(f"lines of {dataset}", lambda: machine.count(f"event.dataset:{dataset}"))
    return f"{time.monotonic() - machine.started:.0f} s after power-on"


def a_query_finds_a_line_of_the_job_and_one_of_nomad(machine):
    for query in ('event.dataset:generator AND message:"answered 200" AND generator.status:200',
                  'event.dataset:nomad AND message:"node registration complete"',
                  "event.dataset:nomad AND nomad.task:generator AND nomad.type:Started"):
        until(query, lambda: machine.count(query))


def the_decisions_say_who_scaled_what_allowed_and_refused(machine):
    for outcome in ("allowed", "refused"):
        query = f"scalegate.action:set AND scalegate.outcome:{outcome} AND scalegate.clientId:* AND scalegate.input.request.replicas:*"
        until(query, lambda: machine.count(query))
    until("a change that was stored", lambda: machine.count("scalegate.kind:outcome AND scalegate.outcome:stored"))
    until("a reason", lambda: machine.count("scalegate.outcome:refused AND scalegate.reasons:*"))


def nothing_listens_off_loopback_but_kibana_on_the_private_network(machine):
    table = run("nsenter", f"--net=/proc/{machine.init()}/ns/net", "ss", "-Hltun")
    open_to = {line.split()[4].replace("[::ffff:127.0.0.1]", "127.0.0.1") for line in table.splitlines()}
    off = {address for address in open_to if not address.startswith("127.0.0.1:")}
    expect(off == {"[fdaa:0:1:a7b::2]:5601"}, f"off loopback listen {off}")
    expect({"127.0.0.1:9200", "127.0.0.1:9300", "127.0.0.1:4646"} <= open_to, f"on loopback listen {open_to}")


def elasticsearch_and_kibana_ask_for_the_password(machine):
    for user in (None, "elastic:wrong", f"kibana_system:{PASSWORD}"):
        for status, _ in (machine.curl("http://127.0.0.1:9200/_cat/indices", user=user),
                          machine.kibana("/api/saved_objects/_find", user=user)):
            expect(status == 401, f"{user} is answered with {status}")
    expect(machine.kibana("/api/status", user=None)[0] == 200, "Fly's check is refused")
    expect(machine.kibana("/api/saved_objects/_find")[0] == 200, "the password is refused")


def no_server_is_root_and_no_task_knows_the_password(machine):
    for name in USERS:
        for pid in machine.descendants(until(f"{name} runs", lambda: machine.server(name))):
            with contextlib.suppress(FileNotFoundError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                expect(re.search(r"^Uid:(\s+%d){4}$" % USERS[name], status, re.M), f"{name} has a process of another user")
                expect(re.search(r"^CapEff:\s+0+$", status, re.M), f"{name} has a process with capabilities")
                secrets = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
                expect(PASSWORD.encode() not in secrets, f"{name} has the password in its environment")


def the_saved_objects_are_there_use_fields_that_exist_and_find_documents(machine):
    saved = check.objects(HERE / "provision/saved-objects.ndjson")
    known = set(machine.elasticsearch("machine-*/_field_caps?fields=*")["fields"])
    queries = 0
    for item in saved:
        name = f"{item['type']}/{item['id']}"
        expect(check.used(item) <= known, f"{name} uses {check.used(item) - known}, which no index has")
        if item["type"] in ("search", "visualization"):
            queries += 1
            query = check.query(item)
            until(f"{name} finds something", lambda: machine.count(query))
        if item["type"] == "visualization":
            for aggregation in json.loads(item["attributes"]["visState"])["aggs"]:
                kind, field = aggregation["type"], aggregation["params"].get("field")
                if field:
                    buckets = {kind: {"field": field, **({"fixed_interval": "1m"} if kind == "date_histogram" else {})}}
                    request = {"size": 0, "query": {"query_string": {"query": query}}, "aggs": {"buckets": buckets}}
                    answer = machine.elasticsearch("machine-*/_search", request)
                    expect(answer["aggregations"]["buckets"]["buckets"], f"{name} has nothing to show by {field}")
    for _ in range(2):
        machine.inside("/opt/machine/provision/provision.sh", "kibana", KIBANA_PASSWORD=PASSWORD)
        there = json.loads(machine.kibana("/api/saved_objects/_find?type=dashboard")[1])
        expect(there["total"] == len(saved), f"Kibana has {there['total']} saved objects and not {len(saved)}")
    return f"{len(saved)} objects, {queries} queries"


def provisioning_elasticsearch_again_changes_nothing(machine):
    before = machine.elasticsearch("_index_template/machine")
    # With other passwords it would lock out those who run.
    filebeat, kibana = (pathlib.Path(f"/proc/{machine.server(name)}/environ").read_text() for name in ("filebeat", "kibana"))
    secrets = dict(entry.split("=", 1) for entry in (filebeat + kibana).split("\0") if "_PASSWORD=" in entry)
    machine.inside("/opt/machine/provision/provision.sh", "elasticsearch", KIBANA_PASSWORD=PASSWORD, **secrets)
    expect(machine.elasticsearch("_index_template/machine") == before, "the template has changed")
    logged = machine.count("*")
    until("lines still arrive", lambda: machine.count("*") > logged)


def the_sweep_deletes_old_days_and_when_space_is_short_the_oldest(machine):
    def days():
        return {index["index"] for index in machine.elasticsearch("_cat/indices/machine-*?format=json")}

    def sweep(**environment):
        machine.inside("/opt/machine/sweep.sh", "--once", KIBANA_PASSWORD=PASSWORD, **environment)

    now = days()
    recent = "machine-nomad-" + time.strftime("%Y.%m.%d", time.gmtime(time.time() - 2 * 86400))
    for index in ("machine-nomad-2020.02.02", recent):
        machine.elasticsearch(f"{index}/_doc/1", {"message": "old"}, "PUT")
    sweep(KEEP_DAYS=7)
    expect(days() == now | {recent}, f"after a sweep there are {days()}")
    sweep(KEEP_DAYS=7, FREE_MB=10**9)
    expect(days() == now, f"with too little space there are {days()}")


RUNNING = [all_datasets_arrive, a_query_finds_a_line_of_the_job_and_one_of_nomad,
           the_decisions_say_who_scaled_what_allowed_and_refused,
           nothing_listens_off_loopback_but_kibana_on_the_private_network, elasticsearch_and_kibana_ask_for_the_password,
           no_server_is_root_and_no_task_knows_the_password,
           the_saved_objects_are_there_use_fields_that_exist_and_find_documents,
           provisioning_elasticsearch_again_changes_nothing,
           the_sweep_deletes_old_days_and_when_space_is_short_the_oldest]


# --- Of how it starts and stops ---


def reason(volume):
    return (volume / "stops.log").read_text().splitlines()[-1]


def a_reboot_loses_and_doubles_nothing(volume):
    """SIGTERM, and then the same volume again, twice."""
    for _ in range(2):
        with booted(volume) as machine:
            before = machine.count("event.dataset:generator")
            until("lines of the job", lambda: machine.count("event.dataset:generator") > before)
            status, said = machine.stop()
            expect(status == 0 and "SIGTERM" in reason(volume), f"SIGTERM ends it with {status}: {reason(volume)}")
            expect("in time" not in said and "not all lines" not in said, f"it does not drain: {said}")
    with booted(volume) as machine:
        return f"{accounted(machine, volume)} lines"


def killing_any_server_stops_the_machine_with_a_reason_and_loses_nothing(volume):
    for name in SERVERS:
        with booted(volume) as machine:
            # "ready" may be said before bash has become the last of them.
            os.kill(until(f"{name} runs", lambda: machine.server(name)), signal.SIGKILL)
            status, said = machine.ended()
            for place in (said, reason(volume)):
                expect(status == 1 and f"{name} ended with status 137" in place, f"without {name} it ends with {status}: {place}")
    # And once the machine itself, as when its host fails.
    with booted(volume) as machine:
        os.kill(machine.init(), signal.SIGKILL)
        machine.ended()
    with booted(volume) as machine:
        return f"{len(SERVERS)} killed, {accounted(machine, volume)} lines"


def a_server_that_dies_while_it_is_waited_for_stops_the_machine(volume):
    with Machine(volume, KIBANA_PASSWORD=PASSWORD) as machine:
        machine.said("^machine: starting elasticsearch$")
        os.kill(until("Elasticsearch starts", lambda: machine.server("elasticsearch")), signal.SIGKILL)
        status, said = machine.ended()
        expect(status == 1 and "elasticsearch" in said, f"it ends with {status}: {said}")


def one_that_dies_while_another_is_waited_for_stops_the_machine_too(volume):
    with Machine(volume, KIBANA_PASSWORD=PASSWORD) as machine:
        machine.said("^machine: starting nomad$")
        os.kill(until("Filebeat starts", lambda: machine.server("filebeat")), signal.SIGKILL)
        status, said = machine.ended()
        expect(status == 1 and "filebeat ended with status 137" in said, f"it ends with {status}: {said}")


def sigterm_while_it_starts_stops_it(volume):
    with Machine(volume, KIBANA_PASSWORD=PASSWORD) as machine:
        machine.said("^machine: starting elasticsearch$")
        status, said = machine.stop()
        expect(status == 0 and "SIGTERM" in said, f"it ends with {status}: {said}")


def an_index_that_stays_red_is_named_and_does_not_keep_it_from_starting(volume):
    index = "machine-nomad-" + time.strftime("%Y.%m.%d", time.gmtime(time.time() - 2 * 86400))
    with booted(volume) as machine:
        machine.elasticsearch(f"{index}/_doc/1", {"message": "old"}, "PUT")
        machine.elasticsearch(f"{index}/_flush", method="POST")
        identity = machine.elasticsearch(f"{index}/_settings")[index]["settings"]["index"]["uuid"]
        machine.stop()
    damaged = list((volume / "elasticsearch").glob(f"**/{identity}/0/index/segments_*"))
    expect(damaged, "there is no file to damage")
    for file in damaged:
        file.write_bytes(b"damaged")
    with booted(volume) as machine:
        took = time.monotonic() - machine.started
        machine.said(f"^machine: the index {re.escape(index)} is red")
        expect(machine.elasticsearch("_cluster/health")["status"] == "red", "the index is not red")
        today = "machine-generator-" + time.strftime("%Y.%m.%d", time.gmtime())
        before = machine.elasticsearch(f"{today}/_count")["count"]
        until("new lines arrive", lambda: machine.elasticsearch(f"{today}/_count")["count"] > before)
        status, said = machine.stop()
        expect(status == 0 and "in time" not in said and "not all lines" not in said, f"it does not drain: {said}")
    return f"ready {took:.0f} s after power-on"


def without_a_password_or_a_volume_it_does_not_start(volume):
    for where, secrets, sentence in ((volume, {}, "KIBANA_PASSWORD takes 12 or more"),
                                     (volume, {"KIBANA_PASSWORD": "short"}, "KIBANA_PASSWORD takes 12 or more"),
                                     (volume, {"KIBANA_PASSWORD": 'with "quotes" in it'}, "KIBANA_PASSWORD takes 12 or more"),
                                     (None, {"KIBANA_PASSWORD": PASSWORD}, "there is no volume at /data")):
        with Machine(where, **secrets) as machine:
            status, said = machine.ended()
            expect(status == 2 and sentence in said, f"{secrets} on {where} ends it with {status}: {said}")
    expect(not any(volume.iterdir()), "it wrote to the volume")


# --- Of what is checked without it ---


def the_checkers_find_what_is_wrong(volume):
    toml, objects = (HERE / "fly.toml").read_text(), (HERE / "provision/saved-objects.ndjson").read_text()
    cases = {
        (toml, objects): None,
        (toml + "\n[processes]\nweb = \"x\"\n", objects): "processes is not expected",
        (toml + "\n[http_service]\ninternal_port = 5601\n", objects): "http_service is not expected",
        (toml.replace("grace_period", "graceperiod"), objects): "checks.graceperiod is no key",
        (toml.replace("4gb", "1gb"), objects): "one [[vm]]",
        (toml.replace("SIGTERM", "SIGINT"), objects): "kill_signal must be",
        (toml.replace("120s", "5s"), objects): "kill_timeout must be",
        (toml.replace("\"/data\"", "\"/other\""), objects): "the volume must be",
        (toml.replace("port = 5601", "port = 9200"), objects): "Kibana's port",
        (toml.replace("[env]\n", "[env]\n  KIBANA_PASSWORD = \"x\"\n"), objects): "belongs in a secret",
        (toml.replace("[mounts]", "[mounts"), objects): "fly.toml: ",
        (toml, objects.replace("scalegate.outcome", "scalegate.outcomes")): "scalegate.outcomes, which is not in the template",
        (toml, objects.replace("event.dataset:nomad", "dataset:nomad")): "dataset, which is not in the template",
        (toml, "\n".join(objects.splitlines()[1:])): "there is no index-pattern",
        (toml, objects.replace("lucene", "kuery")): "Lucene's syntax",
        (toml, objects.replace("panel_1", "panel_9", 1)): "panels are not its references",
        (toml, objects[:-20]): "saved-objects.ndjson: ",
    }
    for (fly, saved), sentence in cases.items():
        (volume / "fly.toml").write_text(fly)
        (volume / "saved-objects.ndjson").write_text(saved)
        done = subprocess.run([HERE / "check.py", volume / "fly.toml", volume / "saved-objects.ndjson"],
                              text=True, capture_output=True, check=False)
        expect(done.returncode == (1 if sentence else 0) and (sentence or "") in done.stderr,
               f"where it should say {sentence!r}, check.py ended with {done.returncode}: {done.stderr}")
    expect(subprocess.run([HERE / "check.py", "x"], capture_output=True, check=False).returncode == 2, "usage is not 2")
    return f"{len(cases)} cases"


ALONE = [without_a_password_or_a_volume_it_does_not_start, sigterm_while_it_starts_stops_it,
         a_server_that_dies_while_it_is_waited_for_stops_the_machine,
         one_that_dies_while_another_is_waited_for_stops_the_machine_too, a_reboot_loses_and_doubles_nothing,
         killing_any_server_stops_the_machine_with_a_reason_and_loses_nothing,
         an_index_that_stays_red_is_named_and_does_not_keep_it_from_starting, the_checkers_find_what_is_wrong]


class Results:
    def __init__(self):
        self.passed = self.failed = 0

    def of(self, test, *arguments):
        started = time.monotonic()
        try:
            told = test(*arguments)
        except (Failed, OSError, LookupError, ValueError) as error:
            self.failed += 1
            print(f"FAILED  {test.__name__}: {error}\n        again: deploy/fly-nomad/tests/run.py {test.__name__}", flush=True)
        else:
            self.passed += 1
            print(f"ok      {test.__name__}{f': {told}' if told else ''} ({time.monotonic() - started:.0f} s)", flush=True)


def main():
    known = [test.__name__ for test in [it_boots, *RUNNING, *ALONE]]
    chosen = sys.argv[1:] or known
    for name in chosen:
        if name not in known:
            print(f"run.py: there is no test {name}; there are:", *known, sep="\n    ", file=sys.stderr)
            return 2
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print("fly-nomad: skipped: it needs Debian and root, to make the stand-ins and to boot in namespaces")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    print("fly-nomad: Kibana and Fly itself are not run: Kibana is a stub, and an init of ours boots the image", flush=True)
    started, results = time.monotonic(), Results()
    try:
        Machine.image = build()
    except Failed as error:
        sys.exit(f"fly-nomad: the image cannot be built: {error}")
    print(f"fly-nomad: the image is built ({time.monotonic() - started:.0f} s)", flush=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="fly-nomad-test-"))

    def volume(name):
        made = work / name
        made.mkdir()
        return made

    try:
        running = [test for test in RUNNING if test.__name__ in chosen]
        if running or it_boots.__name__ in chosen:
            results.of(it_boots, volume("running"), lambda machine: [results.of(test, machine) for test in running])
        for test in ALONE:
            if test.__name__ in chosen:
                results.of(test, volume(test.__name__))
    finally:
        shutil.rmtree(work)
    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
