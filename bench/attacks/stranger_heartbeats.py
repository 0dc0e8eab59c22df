#!/usr/bin/env python3
"""Heartbeats, usage reports and an enrolment that nobody signed, each with a large body: who reads before it judges holds them all."""
import base64
import collections
import os
import socket
import threading
import time

from watch import Watch, arguments

PATHS = ("/v1/nodes/heartbeat", "/v2/usage-reports", "/v1/nodes/enrolment")


def main():
    parsed = arguments(__doc__, messages=600, kibibytes=1023, seconds=20)
    body = os.urandom(parsed.kibibytes * 1024)
    statuses, sent = collections.Counter(), [0]
    ends = time.monotonic() + parsed.seconds

    def send(path):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {parsed.address[0]}\r\nContent-Type: application/json\r\nContent-Length: {len(body) + 1}\r\n"
            f"Authorization: Bearer cce_aaaaaaaa_{'A' * 43}\r\nConfidential-Node: 1\r\nConfidential-Node-Key: {base64.b64encode(bytes(32)).decode()}\r\n"
            f"Confidential-Node-Time: {int(time.time() * 1000)}\r\nContent-Digest: sha-256=:{base64.b64encode(bytes(32)).decode()}:\r\n"
            f"Confidential-Node-Signature: {base64.b64encode(bytes(64)).decode()}\r\nConfidential-Node-Code: {base64.b64encode(bytes(32)).decode()}\r\n\r\n")
        answer, at = b"", 0
        try:
            with socket.create_connection(parsed.address, 5) as connection:
                connection.settimeout(max(1.0, ends - time.monotonic()))
                connection.sendall(head.encode())
                connection.setblocking(False)
                while time.monotonic() < ends:  # the last byte never comes
                    try:
                        at += connection.send(body[at:at + 65536]) if at < len(body) else 0
                    except BlockingIOError:
                        pass
                    try:
                        piece = connection.recv(4096)
                        answer += piece
                        if not piece:
                            break
                    except BlockingIOError:
                        time.sleep(0.02)
        except OSError:
            pass
        sent[0] += at
        statuses[answer[9:12].decode() or "no answer"] += 1

    with Watch(parsed) as watch:
        threads = [threading.Thread(target=send, args=(PATHS[i % len(PATHS)],)) for i in range(parsed.messages)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"strange  {dict(statuses)}, {sent[0] / 1048576:.0f} MiB taken by the system")
    watch.report()


if __name__ == "__main__":
    main()
