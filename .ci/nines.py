"""A running nines for the checks beside this."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request


class Server:
    """A `nines serve` on a data directory."""

    def __init__(self, program, data, *more):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        command = [program, "serve", "--data", data, "--listen", address, "--log.level", "error", *more]
        self.process = subprocess.Popen([str(word) for word in command])

    def __enter__(self):
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/-/ready").close()
                return self
            except urllib.error.URLError:
                time.sleep(0.1)
        raise TimeoutError("nines serve does not become ready")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def json(self, path):
        """What a path answers."""
        with urllib.request.urlopen(f"{self.url}{path}") as reply:
            return json.load(reply)
