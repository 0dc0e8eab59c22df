#!/usr/bin/env python3
"""Malformed bodies without a key: how much does a stranger write into a server's log?

spec/gateway.md section 8 rule 3. Each connection asks for a path that every server answers and sends a chunked body whose chunk size
is none: not hexadecimal, or above what a server counts to. A stranger is answered by the head alone, and the server meets the chunk size
when it reads the rest away; with --key-variable a user's key goes along, and the body is read. Counted are the lines and the bytes by which the log grows meanwhile, and the escapes in them.

    ./cchat gateway --data /tmp/g --port 8080 2> /tmp/g.log &
    python3 bench/attacks/log_flood.py --url http://127.0.0.1:8080 --log /tmp/g.log --requests 1000

Nothing but the standard library of Python 3.8 or later. Attack your own servers only.
"""
import argparse
import json
import os
import socket
import time
from urllib.parse import urlsplit

PATHS = ["/v1/nodes/heartbeat", "/v1/nodes/enrolment", "/v2/usage-reports", "/v1/confidential/chat/completions", "/v1/nodes/lock", "/health", "/nowhere"]

# Not hexadecimal; one bit more than a signed 32-bit number has; far more; a line that is none, with what a terminal would obey.
CHUNK_SIZES = [b"ZZ", b"80000000", b"FFFFFFFFFFFFFFFF", b"\x1b[2J\x1b]0;owned\x07"]


def ask(address, path, chunk_size, key):
    """One connection; gives the status line, or an empty string where there was none."""
    head = (f"POST {path} HTTP/1.1\r\nHost: {address[0]}\r\nContent-Type: application/json\r\n"
            + (f"Authorization: Bearer {key}\r\n" if key else "")
            + "Transfer-Encoding: chunked\r\n\r\n").encode()
    with socket.create_connection(address, timeout=10) as connection:
        try:
            connection.sendall(head + chunk_size + b"\r\nabc\r\n0\r\n\r\n")
            answer = b""
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass
    return answer.split(b"\r\n", 1)[0].decode("latin-1")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the server (default: %(default)s)")
    parser.add_argument("--log", required=True, metavar="FILE", help="where the server's log goes")
    parser.add_argument("--requests", type=int, default=1000, metavar="N", help="how many to send (default: %(default)s)")
    parser.add_argument("--key-variable", metavar="NAME", help="the environment variable with a user's key (default: no key is sent)")
    options = parser.parse_args()
    key = os.environ[options.key_variable] if options.key_variable else None

    url = urlsplit(options.url)
    address = (url.hostname, url.port or 80)
    before = os.path.getsize(options.log)
    answers = {}
    began = time.monotonic()
    for number in range(options.requests):
        path = PATHS[number % len(PATHS)]
        status = ask(address, path, CHUNK_SIZES[number // len(PATHS) % len(CHUNK_SIZES)], key)
        answers[status] = answers.get(status, 0) + 1
    seconds = time.monotonic() - began
    time.sleep(1)  # what is logged late

    with open(options.log, "rb") as log:
        log.seek(before)
        grown = log.read()
    print(json.dumps({
        "requests": options.requests,
        "seconds": round(seconds, 1),
        "answers": answers,
        "log_lines": grown.count(b"\n"),
        "log_bytes": len(grown),
        "log_bytes_per_request": round(len(grown) / options.requests, 1),
        "log_escapes": grown.count(b"\x1b"),
    }, indent=2))


if __name__ == "__main__":
    main()
