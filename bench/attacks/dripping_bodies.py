#!/usr/bin/env python3
"""Several accounts promise large bodies and drip them. Is a small request of somebody else still served?

    ./cchat up --fixture --data DIR &                       # one gateway, one node
    for u in a b c d me; do ./cchat keys create --data DIR --user $u; done
    bench/attacks/dripping_bodies.py --gateway http://127.0.0.1:8080 --key KEY_A --key KEY_B --key KEY_C --key KEY_D --key KEY_ME

All keys but the last one are the attackers': each opens --connections requests with a Content-Length of --promise MiB and sends --rate
bytes a second on each (Kestrel alone asks for 240). The last key sends a request of 500 bytes every half second. It is no envelope, so
the gateway answers 400 where it has read it, and 429 where it had no room for it. Printed: how many small requests were read and how
fast, how many were turned away, what became of the dripping ones, and the gateway's memory where its --pid is given.

Wanted: no small request is turned away; every dripping one is answered 408 within seconds. Standard library only.
"""
import argparse
import http.client
import selectors
import socket
import statistics
import time
import urllib.parse

PATH = "/v1/confidential/chat/completions"


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))


def open_drip(host, port, key, promise):
    drip = socket.create_connection((host, port), timeout=10)
    drip.sendall(
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {promise}\r\n\r\n{{".encode())
    drip.setblocking(False)
    return drip


def probe(host, port, key):
    body = b'{"x":"' + b"y" * 492 + b'"}'
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("POST", PATH, body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        return connection.getresponse().status, time.monotonic() - began
    except OSError as e:
        return type(e).__name__, time.monotonic() - began
    finally:
        connection.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gateway", required=True)
    arguments.add_argument("--key", action="append", required=True)
    arguments.add_argument("--connections", type=int, default=64, help="of each attacker; a gateway lets a user have 64")
    arguments.add_argument("--promise", type=int, default=32, help="MiB")
    arguments.add_argument("--rate", type=int, default=300, help="bytes a second")
    arguments.add_argument("--seconds", type=int, default=30)
    arguments.add_argument("--pid", type=int, help="of the gateway")
    given = arguments.parse_args()
    url = urllib.parse.urlsplit(given.gateway)
    host, port = url.hostname, url.port or 80
    *attackers, mine = given.key

    if given.pid:
        print(f"resident before: {resident(given.pid)} MiB")
    drips, ended = selectors.DefaultSelector(), []
    began = time.monotonic()
    for key in attackers:
        for _ in range(given.connections):
            drips.register(open_drip(host, port, key, given.promise << 20), selectors.EVENT_READ)
    opened = len(drips.get_map())
    print(f"{opened} requests of {len(attackers)} accounts promise {given.promise} MiB each")

    answers, sent_at, probed_at = [], time.monotonic(), 0.0
    while time.monotonic() - began < given.seconds:
        for ready, _ in drips.select(timeout=0.05):
            try:
                answer = ready.fileobj.recv(4096)
            except OSError:
                answer = b""
            ended.append((time.monotonic() - began, answer[9:12].decode() or "closed"))
            drips.unregister(ready.fileobj)
            ready.fileobj.close()
        if time.monotonic() - sent_at >= 1:
            sent_at += 1
            for open_one in list(drips.get_map().values()):
                try:
                    open_one.fileobj.send(b" " * given.rate)
                except OSError:
                    pass  # its answer is read above
        if time.monotonic() - probed_at >= 0.5:
            probed_at = time.monotonic()
            answers.append(probe(host, port, mine))

    read = [seconds * 1000 for status, seconds in answers if status == 400]
    print(f"small requests: {len(answers)}, read {len(read)}, turned away with 429 {sum(status == 429 for status, _ in answers)}, "
          f"other {[status for status, _ in answers if status not in (400, 429)]}")
    if read:
        print(f"  read after {statistics.median(read):.1f} ms (median), {max(read):.1f} ms (slowest)")
    kinds = {kind: sum(k == kind for _, k in ended) for kind in sorted({kind for _, kind in ended})}
    print(f"dripping: {len(drips.get_map())} still open after {given.seconds} s; ended: {kinds or 'none'}")
    if ended:
        print(f"  the first after {ended[0][0]:.1f} s, the last after {ended[-1][0]:.1f} s")
    if given.pid:
        print(f"resident after: {resident(given.pid)} MiB")


if __name__ == "__main__":
    main()
