"""The site under load: 10,000 requests of mixed pages from 32 clients, on this machine only.

    python -m benchmarks.site ATLAS [--requests N] [--clients N]

The server is a process of its own, so that its memory and its processor time are its alone.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

import neuronym as nym
from neuronym.web.addresses import Addresses
from neuronym.web.view import View


def main() -> None:
    """Start a server, ask, print what came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    given = parser.parse_args()
    command = [sys.executable, "-m", "neuronym", "serve", str(given.atlas), "--no-open"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", server.stdout.readline())
        load(int(address[1]), server.pid, addresses(given.atlas), given.requests, given.clients)
    finally:
        server.terminate()
        server.wait(10)


def addresses(atlas: Path) -> dict[str, list[str]]:
    """Addresses of each kind of page."""
    view = View(re.sub(r"[^\w-]+", "-", atlas.resolve().name).strip("-").lower(), nym.open(atlas))
    at, name, rng = Addresses(), ("a", view.name), random.Random(0)
    units = [(layer, str(u)) for layer, e in view.layers.items() for u in range(e["units"])]
    words = sorted(view.listed) or [view.example]
    some = rng.choices(units, k=400)
    return {
        "home": [at.page(*name)],
        "neuron": [at.page(*name, "unit", *unit) for unit in some],
        "neuron.json": [at.json(*name, "unit", *unit) for unit in some],
        "concept": [at.page(*name, "concept", word) for word in rng.choices(words, k=200)],
        "search": [
            at.page(*name, "search", query={"q": word, "in": "labels,images"})
            for word in rng.choices(words, k=200)
        ],
        "layer": [at.page(*name, "layer", layer) for layer in view.layers],
        "compare": [at.page(*name, "compare", layer) for layer in view.layers],
        "thumbnail": ["/" + view.thumb(image) for image in list(view.thumbs)[:200]],
        "missing": [at.page(*name, "unit", units[0][0], "99999999")],
    }


def load(port: int, pid: int, pages: dict[str, list[str]], requests: int, clients: int) -> None:
    """Ask and print."""
    rng = random.Random(1)
    pages = {kind: found for kind, found in pages.items() if found}
    for found in pages.values():  # what is made once is made now
        ask(http.client.HTTPConnection("127.0.0.1", port, timeout=120), found[0])
    todo = [(kind, rng.choice(pages[kind])) for kind in rng.choices(list(pages), k=requests)]
    seconds: dict[str, list[float]] = {kind: [] for kind in pages}
    wrong: list[tuple[str, object]] = []
    memory, lock = [], threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                if not todo:
                    return
                kind, page = todo.pop()
                if len(todo) % (requests // 10) == 0:
                    memory.append(resident(pid))
            begun = time.perf_counter()
            try:
                status: object = ask(connection, page)
            except OSError as error:
                status = error
                connection.close()
            seconds[kind].append(time.perf_counter() - begun)
            if status != (404 if kind == "missing" else 200):
                wrong.append((page, status))

    used, begun = processor(pid), time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, used = time.perf_counter() - begun, processor(pid) - used
    rate, each = requests / wall, 1000 * used / requests
    print(f"{requests:,} requests of {clients} clients in {wall:.1f} s ({rate:.0f} a second)")
    print(f"processor time of the server: {each:.1f} ms a request")
    for kind, found in seconds.items():
        middle, most = 1000 * np.quantile(found, [0.5, 0.95])
        print(f"{kind:12s} {len(found):6,} times; median {middle:7.1f} ms, 95 % {most:7.1f} ms")
    print("memory of the server, MB:", ", ".join(f"{one:.0f}" for one in memory))
    print(f"errors: {len(wrong)}", *wrong[:5])
    alone = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for kind, found in pages.items():
        times, used = [], processor(pid)
        for page in rng.choices(found, k=40):
            begun = time.perf_counter()
            ask(alone, page)
            times.append(1000 * (time.perf_counter() - begun))
        used = 1000 * (processor(pid) - used) / 40
        middle, most = np.quantile(times, [0.5, 0.95])
        print(
            f"{kind:12s} one client: median {middle:6.1f} ms, 95 % {most:6.1f} ms, "
            f"processor {used:5.1f} ms"
        )


def ask(connection: http.client.HTTPConnection, page: str) -> int:
    """The status of an answer, read to its end."""
    connection.request("GET", page, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def resident(pid: int) -> float:
    """Memory of a process in MB (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor(pid: int) -> float:
    """Seconds of processor time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
