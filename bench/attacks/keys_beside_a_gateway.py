#!/usr/bin/env python3
"""Makes API keys, several at once, beside a gateway that is under lock requests.

Says the longest latency of a lock request with and without the commands, how long the commands took and how they ended. A command that
holds the database's write lock shows as a lock request that waits for it.

    python3 bench/attacks/keys_beside_a_gateway.py [--cchat PATH] [--parallel 8] [--rounds 3]

Needs Python 3 alone, and a cchat that is built (Release).
"""

import argparse
import http.client
import json
import pathlib
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAUSE = 0.005  # seconds between two lock requests of one client: the path is busy and the processor is not
LOCK_SECONDS = 1  # so that the stack never has its thousand open locks


class LockClient(threading.Thread):
    """Asks for locks, one after the other, over one connection."""

    def __init__(self, gateway, key, model):
        super().__init__(daemon=True)
        self.gateway = urllib.parse.urlsplit(gateway)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.body = json.dumps({"model": model, "timeout": LOCK_SECONDS})
        self.ends = threading.Event()
        self.samples = []  # (when it was asked, seconds, status)

    def run(self):
        connection = http.client.HTTPConnection(self.gateway.hostname, self.gateway.port, timeout=60)
        while not self.ends.is_set():
            asked = time.monotonic()
            connection.request("POST", "/v1/nodes/lock", self.body, self.headers)
            answer = connection.getresponse()
            answer.read()
            self.samples.append((asked, time.monotonic() - asked, answer.status))
            time.sleep(PAUSE)


def make_keys(cchat, data, count):
    """Runs the commands at once; gives each one's exit code and what it said of a failure."""
    commands = [
        subprocess.Popen([cchat, "keys", "create", "--data", data, "--user", f"user-{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for i in range(count)
    ]
    return [(command.communicate()[1], command.returncode) for command in commands]


def describe(title, samples):
    latencies = sorted(seconds for _, seconds, _ in samples)
    statuses = {}
    for _, _, status in samples:
        statuses[status] = statuses.get(status, 0) + 1
    print(f"{title:<10} {len(latencies):>6} lock requests {statuses}, median {latencies[len(latencies) // 2] * 1000:.1f} ms, longest {latencies[-1] * 1000:.0f} ms")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--cchat", default=str(ROOT / "artifacts/bin/ConfidentialChat.Cli/release/cchat"))
    arguments.add_argument("--parallel", type=int, default=8, help="commands at once")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--clients", type=int, default=2, help="connections that ask for locks")
    options = arguments.parse_args()

    with tempfile.TemporaryDirectory(prefix="cchat-bench-") as data:
        stack = subprocess.Popen(
            [options.cchat, "up", "--fixture", "--json", "--gateway-port", "0", "--node-port", "0", "--data", data],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            ready = json.loads(stack.stdout.readline())
            clients = [LockClient(ready["gateway"], ready["api_key"], ready["model"]) for _ in range(options.clients)]
            for client in clients:
                client.start()
            time.sleep(2)
            begun, took, outcomes = time.monotonic(), [], []
            for _ in range(options.rounds):
                started = time.monotonic()
                outcomes += make_keys(options.cchat, data, options.parallel)
                took.append(time.monotonic() - started)
            ended = time.monotonic()
            for client in clients:
                client.ends.set()
                client.join()
        finally:
            stack.terminate()
            stack.wait()

    samples = [sample for client in clients for sample in client.samples]
    describe("quiet", [sample for sample in samples if sample[0] < begun and clients[0].samples[0][0] + 1 < sample[0]])  # the first second is of the start
    describe("with keys", [sample for sample in samples if begun <= sample[0] + sample[1] and sample[0] <= ended])
    failures = [(said, code) for said, code in outcomes if code != 0]
    print(f"{len(outcomes)} keys, {options.parallel} at once: {max(took):.2f} s a round at most, {len(failures)} failed")
    for said, code in failures:
        print(f"  exit code {code}: {said.strip().splitlines()[0] if said.strip() else ''}")


if __name__ == "__main__":
    main()
