#!/usr/bin/env python3
"""Fills the room for bodies honestly and reads how much memory the processes really take.

    ./cchat gateway --data DIR --max-buffered-mib 256 & ./cchat node … --max-buffered-mib 256 &     # or: ./cchat up --fixture --data DIR
    for u in a b c d; do ./cchat keys create --data DIR --user $u; done
    bench/attacks/full_budget.py --gateway http://127.0.0.1:8080 --model MODEL --key KEY_A … --pid GATEWAY_PID --pid NODE_PID --mib 256

First, at the gateway: every key uploads bodies of --size MiB at full speed and keeps back their last byte, as many as --mib holds, and
one tenth more. Those beyond the budget are to be answered 429; the others wait there, and VmRSS is read.
Second, at the node: every key locks and sends --rounds of --parallel envelopes at once whose ciphertext is noise. The gateway cannot
tell; the node reads, decodes and decrypts all of each before it refuses it. The largest VmRSS of each process is read meanwhile.
Last, VmRSS ten seconds later: what was used is given back.

Wanted: no process grows by more than the budget and five per cent. Standard library only.
"""
import argparse
import base64
import http.client
import json
import os
import socket
import threading
import time
import urllib.parse

PATH = "/v1/confidential/chat/completions"


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


class Peak:
    """The largest VmRSS of some processes while it is open."""

    def __init__(self, pids):
        self.most, self.ends = {pid: 0.0 for pid in pids}, False
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ends:
            for pid in self.most:
                self.most[pid] = max(self.most[pid], resident(pid))
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()


def hold(host, port, key, size, held):
    """Uploads all but the last byte, and looks whether that was taken."""
    connection = socket.create_connection((host, port), timeout=60)
    head = (f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {size}\r\n\r\n")
    status = "held"
    try:
        connection.sendall(head.encode())
        piece, rest = b" " * 65536, size - 1
        while rest > 0:
            connection.sendall(piece[:rest])
            rest -= min(rest, len(piece))
        connection.settimeout(1)
        status = connection.recv(4096)[9:12].decode()
    except TimeoutError:
        pass
    except OSError:
        try:
            status = connection.recv(4096)[9:12].decode() or "closed"
        except OSError:
            status = "closed"
    held.append((status, connection))


def envelope(host, port, key, model, noise):
    connection = http.client.HTTPConnection(host, port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/nodes/lock", json.dumps({"model": model, "max_num_tokens": 100, "timeout": 60}), headers)
    answer = connection.getresponse()
    lock = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        return None
    fields = {"nonce": 12, "salt": 16, "client_dh_public_key": 32, "plaintext_body_hash": 32}
    outer = {name: base64.b64encode(os.urandom(size)).decode() for name, size in fields.items()}
    outer |= {"node_dh_public_key": lock["public_key"], "stack_small_id": lock["stack_small_id"], "model_name": model, "num_compute_units": 100, "stream": False}
    return json.dumps(outer).encode()[:-1] + b',"ciphertext":"' + noise + b'"}'


def send(host, port, key, model, noise, told):
    body = envelope(host, port, key, model, noise)
    if body is None:
        told.append("no lock")
        return
    connection = http.client.HTTPConnection(host, port, timeout=120)
    try:
        connection.request("POST", PATH, body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        told.append(f"{answer.status} {json.loads(answer.read()).get('error', {}).get('code', '')}")
    except (OSError, http.client.HTTPException) as e:
        told.append(type(e).__name__)
    finally:
        connection.close()


def count(words):
    return ", ".join(f"{words.count(word)} × {word}" for word in sorted(set(words)))


def all_at_once(target, each):
    threads = [threading.Thread(target=target, args=arguments) for arguments in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gateway", required=True)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--key", action="append", required=True, help="four or more: one user has a quarter of the room")
    arguments.add_argument("--pid", action="append", type=int, required=True, help="of the gateway, then of the node")
    arguments.add_argument("--mib", type=int, default=1024, help="the budget")
    arguments.add_argument("--size", type=int, default=30, help="MiB of one body")
    arguments.add_argument("--parallel", type=int, default=24, help="envelopes at once, of all keys")
    arguments.add_argument("--rounds", type=int, default=4)
    given = arguments.parse_args()
    url = urllib.parse.urlsplit(given.gateway)
    host, port = url.hostname, url.port or 80
    before = {pid: resident(pid) for pid in given.pid}
    print("resident before:", {pid: f"{mib:.0f} MiB" for pid, mib in before.items()})

    def tell(what, now):
        print(f"{what}:", {pid: f"{mib:.0f} MiB, {mib - before[pid]:+.0f}" for pid, mib in now.items()}, f"(budget {given.mib})")

    held, wanted = [], int(given.mib * 1.1) // given.size + 1
    with Peak(given.pid) as peak:
        all_at_once(hold, [(host, port, given.key[i % len(given.key)], given.size << 20, held) for i in range(wanted)])
        time.sleep(1)
    counted = sum(status == "held" for status, _ in held) * given.size
    print(f"bodies of {given.size} MiB that wait for their last byte: {count([status for status, _ in held])}; {counted} MiB are counted")
    tell("largest resident", peak.most)
    for _, connection in held:
        connection.close()
    time.sleep(3)

    told, noise = [], base64.b64encode(os.urandom(3 << 20)) * (given.size // 4)
    with Peak(given.pid) as peak:
        for _ in range(given.rounds):
            all_at_once(send, [(host, port, given.key[i % len(given.key)], given.model, noise, told) for i in range(given.parallel)])
    print(f"envelopes of {len(noise) >> 20} MiB through both: {count(told)}")
    tell("largest resident", peak.most)
    time.sleep(10)
    tell("ten seconds later", {pid: resident(pid) for pid in given.pid})


if __name__ == "__main__":
    main()
