#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server that lives long meets many clients, each a process of its own. What it kept
for those that are gone must not grow: descriptors, mappings, link groups."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BINDIR = os.environ["BINDIR"]
CLIENTS = int(os.environ.get("PEERS", "120"))

SERVER = """
import socket, threading
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64)
print(s.getsockname()[1], flush=True)
def serve(c):
    while True:
        d = c.recv(65536)
        if not d: break
        c.sendall(d)
    c.close()
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"""

# Long enough to be married and to use the rings.
CLIENT = """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for i in range(12):
    s.sendall(b"x" * 1000)
    n = 0
    while n < 1000: n += len(s.recv(1000))
    time.sleep(0.004)
s.close()
"""


def held(pid):
    """Descriptors and mapped segments of a process."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as f:
        maps = sum("ism-seg" in line for line in f)
    return len(os.listdir(f"/proc/{pid}/fd")), maps


def smcd(*args):
    r = subprocess.run([f"{BINDIR}/smcd", *args], capture_output=True, text=True, check=True)
    return r.stdout


def main():
    work = tempfile.mkdtemp(prefix="oism-peers.")
    os.environ["ISM_RUNTIME_DIR"] = f"{work}/run"
    server = subprocess.Popen([f"{BINDIR}/smc_run", sys.executable, "-c", SERVER],
                              stdout=subprocess.PIPE, text=True)
    bad = 0
    try:
        port = server.stdout.readline().strip()

        def meet(count):
            for _ in range(count // 4):
                batch = [subprocess.Popen([f"{BINDIR}/smc_run", sys.executable, "-c", CLIENT,
                                           port]) for _ in range(4)]
                for p in batch:
                    if p.wait() != 0:
                        raise RuntimeError("a client failed")
        meet(12)
        before = held(server.pid)
        meet(CLIENTS)
        time.sleep(2.5)  # what is over is kept for two seconds
        meet(4)
        time.sleep(0.5)
        after = held(server.pid)
        stats = smcd("stats")
        print(f"# {CLIENTS} clients: {before} -> {after} (descriptors, mapped segments)")
        carried = [l for l in stats.splitlines() if l.strip()]
        if not any(w.isdigit() and int(w) > CLIENTS for l in carried for w in l.split()):
            print("not ok - nothing went by shared memory")
            bad += 1
        if after[0] > before[0] + 8 or after[1] > before[1] + 16:
            print("not ok - the server has kept what was its peers'")
            bad += 1
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(work, ignore_errors=True)
    print("ok - peers come and go" if not bad else f"{bad} failed")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
