"""Whether the studio grows: requests and pages that come and break off, against the memory and the files that it holds.

    python benchmarks/studio_soak.py [--requests 10000] [--pages 1000]

Prints resident memory, open files and threads of the server before, after a first tenth, and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import websockets


def held(process: int) -> str:
    """Of a process: megabytes, open files, threads."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    told = {
        line.partition(":")[0]: line.split()[1]
        for line in status
        if ":" in line and len(line.split()) > 1
    }
    files = len(os.listdir(f"/proc/{process}/fd"))
    return f"{int(told['VmRSS']) / 1024:.0f} MB, {files} files, {told['Threads']} threads"


async def come_and_go(host: str, cookie: str, times: int) -> None:
    """Pages that ask and then break off."""
    for number in range(times):
        headers = {"Cookie": cookie}
        async with websockets.connect(
            f"ws://{host}/live",
            additional_headers=headers,
            origin=f"http://{host}",
            max_size=1 << 26,
        ) as page:
            box = [[10, 60], [number % 100, 50 + number % 100]]
            question = {
                "kind": "occlude",
                "network": "n0",
                "picture": "s0",
                "box": box,
                "fill": "grey",
            }
            await page.send(json.dumps({"channel": "a", "number": 1, **question}))
            if number % 2:
                await page.recv()
            page.transport.abort()


def main() -> None:
    """Soak, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=1_000)
    asked = parser.parse_args()
    command = [sys.executable, "-m", "striate", "studio", "--no-browser", "efficientnet-lite0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        host, _, query = server.stdout.readline().split()[-1].removeprefix("http://").partition("/")
        first = http.client.HTTPConnection(host)
        first.request("GET", f"/{query}")
        cookie = str(first.getresponse().getheader("set-cookie")).split(";")[0]
        first.close()
        time.sleep(5)  # until the network is open
        print(f"at the start: {held(server.pid)}", flush=True)
        for share in (0.1, 0.9):
            for _ in range(round(share * asked.requests)):
                one = http.client.HTTPConnection(host)
                one.request("GET", "/studio.css", headers={"Cookie": cookie})
                assert one.getresponse().read()
                one.close()
            asyncio.run(come_and_go(host, cookie, round(share * asked.pages)))
            time.sleep(2)
            print(f"after {share:.0%} more: {held(server.pid)}", flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
