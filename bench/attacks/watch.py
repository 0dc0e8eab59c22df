"""What every attack here shares: where it goes, and what becomes of the server meanwhile."""
import argparse
import resource
import socket
import threading
import time
from urllib.parse import urlsplit


def arguments(description, **numbers):
    """Reads --url, --pid, --seconds and --NAME for each number, whose default is given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway or node, plain HTTP")
    parser.add_argument("--pid", type=int, help="of the server: its memory is shown where this is given")
    for name, default in numbers.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=default)
    parsed = parser.parse_args()
    url = urlsplit(parsed.url)
    parsed.address = (url.hostname, url.port or 80)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection is a file
    return parsed


def ask(address, request, timeout=5.0):
    """The status of a raw request's answer; 0 where the connection is closed without one, None where none came in time."""
    try:
        with socket.create_connection(address, timeout) as connection:
            connection.sendall(request)
            head = connection.recv(64)
            return int(head.split(b" ")[1]) if head.startswith(b"HTTP/1.1 ") else 0
    except TimeoutError:
        return None
    except OSError:
        return 0


class Watch:
    """Asks for health on a new connection again and again, and reads the server's memory."""

    def __init__(self, parsed):
        self.parsed, self.times, self.failures, self.most = parsed, [], 0, 0
        self.first = self.memory()
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()

    def run(self):
        request = f"GET /health/live HTTP/1.1\r\nHost: {self.parsed.address[0]}\r\nConnection: close\r\n\r\n".encode()
        while not self.ends.wait(0.2):
            began = time.monotonic()
            if ask(self.parsed.address, request) == 200:
                self.times.append(time.monotonic() - began)
            else:
                self.failures += 1
            self.most = max(self.most, self.memory())

    def memory(self):
        """MiB that are resident; 0 without a pid."""
        if self.parsed.pid is None:
            return 0
        with open(f"/proc/{self.parsed.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

    def report(self):
        times = sorted(self.times)
        median, most = (times[len(times) // 2], times[-1]) if times else (float("nan"), float("nan"))
        print(f"health   {len(times)} answered (median {median * 1000:.0f} ms, most {most * 1000:.0f} ms), {self.failures} not")
        if self.parsed.pid is not None:
            print(f"memory   {self.first:.0f} MiB before, {self.most:.0f} MiB at most")
