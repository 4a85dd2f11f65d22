"""Serve an encoder, and ask it for one image at a time over connections that stay open.

    python serving.py --folder WORK/served --seconds 20 --form json --data-dir DIR
    python serving.py --folder WORK/served --seconds 600 --share 0.5 --rate 800 --data-dir DIR

The server is a process of its own, and the client shares its cores. Without a rate every connection
sends its next request when it has the answer; with one, requests are sent at that rate times the
share, whether or not answers are there, and the memory of the server is read every few seconds.
"""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mnist import arguments, read_images, tell

import reparam as rp

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024

N_READINGS = 60
"""The number of times that the memory of the server is read."""


def trained(folder: Path, data_dir: str) -> Path:
    """Return a run whose encoder is 784-400-20; its weights hardly matter."""
    if not (folder / "model.safetensors").exists():
        data = rp.data.load("mnist", data_dir=data_dir, validation=0)
        recipe = rp.variants.vae(data.spec, latent_dim=20, hidden=[400])
        rp.fit(recipe, data, steps=2, lr=1e-3, out=folder, progress=False)
    return folder


def bodies(data_dir: str, form: str) -> list[bytes]:
    """Return requests, each with one binarized image."""
    images = read_images(data_dir, "test")[:200] >= 128
    found = []
    for image in images.reshape(-1, 1, 784):
        stream = io.BytesIO()
        if form == "npy":
            np.save(stream, image.astype(np.float32))
        else:
            stream.write(json.dumps({"x": image.astype(int).tolist()}).encode())
        kind = "x-npy" if form == "npy" else "json"
        body = stream.getvalue()
        head = (
            "POST /runs/served/encode HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/{kind}\r\nAccept: application/{kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


class Load:
    """What the connections of a client send and measure together.

    Arguments:
        port: The port of the server.
        requests: The requests, sent in turn.
        until: When the last is sent.
        rate: The requests a second of all connections; 0 for as many as there are answers to.
        n_connections: The number of connections.
    """

    def __init__(
        self, port: int, requests: Sequence[bytes], until: float, rate: float, n_connections: int
    ) -> None:
        self.port, self.requests, self.until = port, requests, until
        self.pause = n_connections / rate if rate else 0.0
        self.seconds: list[float] = []
        self.n_errors = 0

    async def connection(self, number: int) -> None:
        """Send requests over one connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        due = time.perf_counter() + number * self.pause / 100
        turn = number
        while (now := time.perf_counter()) < self.until:
            if self.pause and now < due:
                await asyncio.sleep(due - now)
            # Of a request that could not be sent in time, the wait counts too.
            began = due if self.pause else time.perf_counter()
            due += self.pause
            writer.write(self.requests[turn % len(self.requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            self.seconds.append(time.perf_counter() - began)
            self.n_errors += head[9:12] != b"200"
            turn += 17
        writer.close()


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process, in KiB."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_KIB


def processor_s(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")


async def watched(pid: int, until: float, every: float) -> list[int]:
    """Return the memory of a process at even times, in KiB."""
    found = [memory_kib(pid)]
    while time.perf_counter() + every < until:
        await asyncio.sleep(every)
        found.append(memory_kib(pid))
    return found


async def asked(port: int, pid: int, requests: Sequence[bytes], options: Any) -> dict[str, Any]:
    """Ask for some seconds, and return what was measured."""
    rate, n = options.rate * options.share, options.connections
    # What is measured begins after the first second, in which the server becomes warm.
    await everyone(Load(port, requests, time.perf_counter() + 1, rate, n), n)
    began, used = time.perf_counter(), processor_s(pid)
    load = Load(port, requests, began + options.seconds, rate, n)
    watching = asyncio.create_task(watched(pid, load.until, options.seconds / N_READINGS))
    await everyone(load, n)
    elapsed, used = time.perf_counter() - began, processor_s(pid) - used
    p50, p99 = np.quantile(load.seconds, [0.5, 0.99])
    return {
        "per_second": len(load.seconds) / elapsed,
        "p50_ms": 1000 * p50,
        "p99_ms": 1000 * p99,
        "largest_ms": 1000 * max(load.seconds),
        "n_requests": len(load.seconds),
        "n_errors": load.n_errors,
        "processor_ms": 1000 * used / len(load.seconds),
        "memory_kib": await watching,
        "seconds": elapsed,
    }


async def everyone(load: Load, n: int) -> None:
    """Wait for all connections."""
    await asyncio.gather(*(load.connection(number) for number in range(n)))


def main() -> None:
    """Serve, ask, and print what was measured."""
    options = arguments(
        __doc__, folder="served", seconds=20.0, rate=0.0, share=1.0, form="json", connections=16
    )
    folder = trained(Path(options.folder), options.data_dir)
    command = [sys.executable, "-m", "reparam", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:  # noqa: S603
        try:
            port = None
            for line in server.stderr or ():
                if (port := re.search(r"http://127\.0\.0\.1:(\d+)", line)) is not None:
                    break
            if port is None:
                sys.exit("the server has not started")
            requests = bodies(options.data_dir, options.form)
            found = asyncio.run(asked(int(port[1]), server.pid, requests, options))
        finally:
            server.send_signal(signal.SIGTERM)
    tell(**found)


if __name__ == "__main__":
    main()
