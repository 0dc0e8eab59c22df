#!/usr/bin/env python3
"""Opens connections and says nothing on them. A server that waits for them has no place for anybody else."""
import socket
import time

from watch import Watch, arguments


def main():
    parsed = arguments(__doc__, connections=5000, seconds=30)
    held, refused = [], 0
    with Watch(parsed) as watch:
        ends = time.monotonic() + parsed.seconds
        for i in range(parsed.connections):
            connection = socket.socket()
            connection.settimeout(2)
            if parsed.address[0].startswith("127."):
                connection.bind((f"127.0.{i // 20000}.1", 0))  # an address has only so many ports
            try:
                connection.connect(parsed.address)
                held.append(connection)
            except OSError:
                refused += 1
            if time.monotonic() > ends:
                break
        print(f"silent   {len(held)} opened, {refused} not")
        while time.monotonic() < ends:
            time.sleep(1)
    print(f"silent   {sum(is_open(connection) for connection in held)} still open after {parsed.seconds} s")
    watch.report()


def is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
