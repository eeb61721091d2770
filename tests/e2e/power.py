#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The function's power is switched while a connection runs: it goes on by TCP, comes back
to shared memory, and no byte is lost, twice there or out of order on the way."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

BINDIR = os.environ["BINDIR"]
ROUNDS = int(os.environ.get("POWER_ROUNDS", "12"))

# Both directions at full speed, each by a thread of its own; each end prints the digest
# of what it sent and of what it got.
TALK = """
import hashlib, random, socket, sys, threading
def send(s, seed, stop, out):
    r, h = random.Random(seed), hashlib.sha256()
    block = r.randbytes(1 << 20)
    while not stop.is_set():
        n = r.choice((1, 100, 5000, 70000)); at = r.randrange(len(block) - n)
        s.sendall(block[at:at + n]); h.update(block[at:at + n])
    s.shutdown(socket.SHUT_WR); out["sent"] = h.hexdigest()
def talk(s, seed, stop):
    out, h = {}, hashlib.sha256()
    t = threading.Thread(target=send, args=(s, seed, stop, out)); t.start()
    while True:
        d = s.recv(60000)
        if not d: break
        h.update(d)
    stop.set(); t.join(); print(out["sent"], h.hexdigest(), flush=True)
stop = threading.Event()
if sys.argv[1] == "server":
    l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen(); print(l.getsockname()[1], flush=True)
    talk(l.accept()[0], 1, stop)
else:
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    talk(s, 2, stop)
"""


def tool(*args):
    r = subprocess.run([f"{BINDIR}/{args[0]}", *args[1:]], capture_output=True, text=True,
                       check=True)
    return r.stdout


def sockets():
    return sorted(json.loads(tool("smcss", "--json")), key=lambda s: s["role"])


def expect(what, seconds=5):
    """Wait until both ends are as @what says."""
    end = time.monotonic() + seconds
    while True:
        now = sockets()
        if len(now) == 2 and all(what(s) for s in now):
            return now
        if time.monotonic() > end:
            raise RuntimeError(f"not as expected: {now}")
        time.sleep(0.01)


def by_tcp(s):
    return s["mode"] == "TCP" and (s["reason"], s["peer_reason"]) == (0x03030000, 0)


def moved(before, after):
    return all(a["tx_smc_bytes"] > b["tx_smc_bytes"] for a, b in zip(after, before))


def run():
    server = subprocess.Popen([f"{BINDIR}/smc_run", sys.executable, "-c", TALK, "server"],
                              stdout=subprocess.PIPE, text=True)
    port = server.stdout.readline().strip()
    client = subprocess.Popen([f"{BINDIR}/smc_run", sys.executable, "-c", TALK, port],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(ROUNDS):
            first = expect(lambda s: s["mode"] == "SMCD" and s["tx_smc_bytes"] > 0)
            time.sleep(0.05)
            assert moved(first, sockets()), "nothing goes by shared memory"
            tool("smc_rnics", "-d", "1")
            expect(by_tcp)
            time.sleep(0.05)
            still = sockets()
            time.sleep(0.1)
            later = sockets()
            for a, b in zip(still, later):
                assert a["tx_smc_bytes"] == b["tx_smc_bytes"], "still by shared memory"
                assert a["tx_tcp_bytes"] < b["tx_tcp_bytes"], "it stands still"
            tool("smc_rnics", "-e", "1")
            end = time.monotonic() + 5
            while not moved(later, sockets()):
                assert time.monotonic() < end, "it does not come back"
                time.sleep(0.01)
        client.stdin.close()
        c = client.stdout.readline().split()
        s = server.stdout.readline().split()
        assert client.wait(10) == 0 and server.wait(10) == 0, "an end failed"
        assert len(c) == 2 and c == s[::-1], f"content differs: {c} {s}"
    finally:
        for p in (client, server):
            p.kill()
            p.wait()


def main():
    work = tempfile.mkdtemp(prefix="oism-power.")
    os.environ["ISM_RUNTIME_DIR"] = f"{work}/run"
    keeper = subprocess.Popen([f"{BINDIR}/smc_run", "sleep", "600"])
    try:
        run()
        print(f"ok - {ROUNDS} times off and on under a running connection")
        return 0
    except (AssertionError, RuntimeError) as e:
        print(f"not ok - {e}")
        return 1
    finally:
        keeper.kill()
        keeper.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
