#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Fallback: whatever is missing, the connection works over TCP, at once and byte for
byte, and smcss says why on both ends. Also: ismd killed, stopped, coming back.

Needs BINDIR; every case has a runtime directory and an ismd of its own.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BINDIR = os.environ.get("BINDIR", os.path.join(os.path.dirname(HERE), "build", "bin"))
PEER = os.path.join(HERE, "e2e", "peer.py")
PY = "/usr/bin/python3"
NO_PEER = 0x03010000
NO_DEVICE = 0x03030000
DECLINED = 0x05000000
NO_MEMORY = 0x01010000
MAX_DMB = 0x030D0000
NO_DAEMON = 0x0A010000
CASES = []


class Failure(Exception):
    pass


def case(fn):
    CASES.append(fn)
    return fn


def check(ok, text):
    if not ok:
        raise Failure(text)


def wait_for(what, seconds, text):
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(text() if callable(text) else text)
        time.sleep(0.01)


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listening(port):
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as f:
            if any(f":{port:04X} " in line and " 0A " in line for line in f):
                return True
    return False


class Pair:
    """An idle server and a client that echoes on demand, each under smc_run or not."""

    def __init__(self, world, smc_client=True, smc_server=True):
        self.world = world
        self.port = free_port()
        self.server = world.start([PY, PEER, "server", "idle", str(self.port)], smc_server)
        wait_for(lambda: listening(self.port), 5, "the server does not start")
        start = time.monotonic()
        self.client = world.start([PY, PEER, "client", "idle", str(self.port)], smc_client,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        check(self.client.stdout.readline() == b"up\n", "the client does not connect")
        self.connect_time = time.monotonic() - start

    def echo(self, size, seconds=3.0):
        """Content is checked by the peers; here: it comes, and it comes soon."""
        start = time.monotonic()
        self.client.stdin.write(b"%d\n" % size)
        self.client.stdin.flush()
        import select
        ready = select.select([self.client.stdout], [], [], seconds)[0]
        check(ready, f"{size} bytes did not come back within {seconds} s")
        check(self.client.stdout.readline() == b"ok\n", "the client has failed")
        return time.monotonic() - start

    def rows(self):
        """(client's, server's) row of smcss, None if not listed."""
        client = server = None
        for c in self.world.smcss():
            if c["lport"] == self.port and c["raddr"] not in ("0.0.0.0", "::", "*", "") \
                    and c["rport"]:
                server = c
            if c["rport"] == self.port:
                client = c
        return client, server

    def expect(self, client, server):
        """Wait until the modes and codes are as wanted: 'SMCD', (reason, peer) or None."""
        def fits(row, want):
            if want is None:
                return row is None
            if row is None:
                return False
            if want == "SMCD":
                return row["mode"] == "SMCD"
            return row["mode"] != "SMCD" and (row["reason"], row["peer_reason"]) == want

        def look():
            c, s = self.rows()
            return fits(c, client) and fits(s, server)

        def text():
            def show(row):
                return "not listed" if row is None else \
                    f'{row["mode"]} 0x{row["reason"]:08x}/0x{row["peer_reason"]:08x}'
            c, s = self.rows()
            return f"client {show(c)}, server {show(s)}"
        wait_for(look, 2, text)

    def close(self):
        self.client.stdin.close()
        for p in (self.client, self.server):
            try:
                check(p.wait(5) == 0, f"{p.args[-3:]} ended with {p.returncode}")
            except subprocess.TimeoutExpired:
                raise Failure(f"{p.args[-3:]} does not end") from None


class World:
    def __init__(self, **env):
        self.dir = tempfile.mkdtemp(prefix="oism-test.")
        self.env = {**os.environ, "ISM_RUNTIME_DIR": os.path.join(self.dir, "run"), **env}
        self.env.pop("LD_PRELOAD", None)
        self.children = []

    def start(self, command, smc=True, **more):
        prefix = [os.path.join(BINDIR, "smc_run")] if smc else []
        p = subprocess.Popen(prefix + command, env=self.env, **more)
        self.children.append(p)
        return p

    def keep(self):
        """Somebody who is there all the time, so that ismd stays."""
        return self.start(["sleep", "100"])

    def tool(self, *command, seconds=1.0, ok=True):
        start = time.monotonic()
        try:
            p = subprocess.run([os.path.join(BINDIR, command[0]), *command[1:]], env=self.env,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10)
        except subprocess.TimeoutExpired:
            raise Failure(f"{command} does not answer") from None
        took = time.monotonic() - start
        check(took < seconds, f"{command} took {took:.2f} s")
        if ok:
            check(p.returncode == 0, f"{command}: {p.returncode}, {p.stdout.decode()}")
        return p.stdout.decode()

    def smcss(self):
        return json.loads(self.tool("smcss", "-a", "--json"))

    def ismd(self):
        mark = f"ISM_RUNTIME_DIR={self.env['ISM_RUNTIME_DIR']}".encode()
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if not f.read().startswith("ismd"):
                        continue
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if mark in f.read().split(b"\0"):
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def the_ismd(self):
        return wait_for(self.ismd, 3, "no ismd")[0]

    def kill_ismd(self):
        pid = self.the_ismd()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.ismd(), 3, "ismd survives SIGKILL")

    def end(self, clean):
        for p in self.children:
            if p.poll() is None:
                with contextlib.suppress(OSError):
                    p.send_signal(signal.SIGCONT)
                p.kill()
            p.wait()
            for stream in (p.stdin, p.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        try:
            if clean:
                wait_for(lambda: not self.ismd(), 10, "ismd does not leave")
        finally:
            for pid in self.ismd():
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.dir, ignore_errors=True)


@contextlib.contextmanager
def world(clean=True, **env):
    w = World(**env)
    good = False
    try:
        yield w
        good = True
    finally:
        w.end(clean and good)


SIZES = (1, 1000, 70000, 2000000)


def works(pair):
    for n in SIZES:
        pair.echo(n)


@case
def plain_client():
    with world() as w:
        w.keep()
        p = Pair(w, smc_client=False)
        works(p)
        p.expect(None, (NO_PEER, 0))
        check(f"127.0.0.1:{p.port}" in w.tool("smcss"), "smcss does not list it")
        p.close()


@case
def plain_server():
    with world() as w:
        w.keep()
        p = Pair(w, smc_server=False)
        works(p)
        p.expect((NO_PEER, 0), None)
        p.close()


@case
def idle_pair_is_bound_at_once():
    """Neither side says a word: shown as SMCD within milliseconds of the accept."""
    with world() as w:
        w.keep()
        p = Pair(w)
        start = time.monotonic()
        p.expect("SMCD", "SMCD")
        check(time.monotonic() - start < 0.5, "bound only after half a second")
        works(p)
        client, server = p.rows()
        check(client["tx_smc_bytes"] > 1000000, f"client sent {client['tx_smc_bytes']} by ring")
        check(server["tx_smc_bytes"] > 1000000, f"server sent {server['tx_smc_bytes']} by ring")
        p.close()


@case
def function_off():
    with world() as w:
        w.keep()
        before = Pair(w)
        before.expect("SMCD", "SMCD")
        w.tool("smc_rnics", "-d", "1")
        p = Pair(w)
        works(p)
        p.expect((NO_DEVICE, 0), (DECLINED, NO_DEVICE))
        text = w.tool("smcss")
        check("0x03030000" in text and "0x05000000/0x03030000" in text, text)
        works(before)  # what runs goes on
        w.tool("smc_rnics", "-e", "1")
        again = Pair(w)
        again.expect("SMCD", "SMCD")
        works(again)
        works(p)
        for x in (before, p, again):
            x.close()


@case
def function_off_is_remembered():
    """It is switched off for the box, not for one ismd's life."""
    with world() as w:
        k = w.keep()
        w.the_ismd()
        w.tool("smc_rnics", "-d", "1")
        k.kill()
        k.wait()
        wait_for(lambda: not w.ismd(), 10, "ismd does not leave")
        w.keep()
        p = Pair(w)
        works(p)
        p.expect((NO_DEVICE, 0), (DECLINED, NO_DEVICE))
        w.tool("smc_rnics", "-e", "1")
        p.close()


@case
def no_more_dmbs():
    with world(ISM_MAX_DMBS="2") as w:
        w.keep()
        first = Pair(w)
        first.expect("SMCD", "SMCD")
        second = Pair(w)
        works(second)
        second.expect((DECLINED, MAX_DMB), (MAX_DMB, 0))
        works(first)
        first.close()
        wait_for(lambda: sum(r["mode"] == "SMCD" for r in w.smcss()) == 0, 3,
                 "the first connection is still listed")
        third = Pair(w)
        third.expect("SMCD", "SMCD")
        works(third)
        second.close()
        third.close()


@case
def no_memory():
    with world(ISM_MAX_DMB_BYTES="8192") as w:
        w.keep()
        p = Pair(w)
        works(p)
        p.expect((DECLINED, NO_MEMORY), (NO_MEMORY, 0))
        p.close()


@case
def ismd_killed():
    with world() as w:
        w.keep()
        old = Pair(w)
        old.expect("SMCD", "SMCD")
        works(old)
        server = w.start([PY, PEER, "server", "select", str(free_port())])
        server_port = int(server.args[-1])
        wait_for(lambda: listening(server_port), 5, "the server does not start")
        w.kill_ismd()
        works(old)  # goes on by its rings
        plain = subprocess.run([PY, PEER, "client", "socket", str(server_port)], env=w.env,
                               timeout=20)
        check(plain.returncode == 0, "a server whose ismd is gone does not serve")
        server.wait(5)
        # the next smc_run starts a new one; both worlds work
        new = Pair(w)
        new.expect("SMCD", "SMCD")
        works(new)
        works(old)
        old.close()
        new.close()


@case
def new_sockets_find_the_new_ismd():
    """A process that saw its ismd die meets the next one with its next socket."""
    with world() as w:
        w.keep()
        port = free_port()
        server = w.start([PY, "-c", """
import socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c, _ = l.accept()
    while True:
        b = c.recv(65536)
        if not b: break
        c.sendall(b)
    c.close()
""", str(port)])
        wait_for(lambda: listening(port), 5, "the server does not start")

        def client(expect_ring):
            p = w.start([PY, PEER, "client", "idle", str(port)], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE)
            check(p.stdout.readline() == b"up\n", "no connection")
            pair = Pair.__new__(Pair)
            pair.world, pair.port, pair.client, pair.server = w, port, p, server
            works(pair)
            try:
                pair.expect("SMCD", "SMCD")
                works(pair)
            except Failure:
                check(not expect_ring, "not SMCD")
                return False
            finally:
                p.stdin.close()
                check(p.wait(5) == 0, "the client has failed")
            return True

        client(True)
        w.kill_ismd()
        w.keep()  # starts a new ismd
        # the server learns of it with a new socket, and may not ask every time
        wait_for(lambda: client(False), 8, "the server stays on TCP")
        client(True)
        server.kill()


@case
def no_ismd_at_all():
    """Killed under a running pair: a connection made then says so when asked."""
    with world(clean=False) as w:
        code = """
import ctypes, os, signal, socket, sys, time
me = ctypes.CDLL(None)
class Stat(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in
                ("size", "mode", "reason", "peer_reason", "tx_path", "rx_path")] + \
               [(n, ctypes.c_uint64) for n in ("a", "b", "c", "d")]
l = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
sys.stdin.readline()
c = socket.create_connection(l.getsockname())
s, _ = l.accept()
c.sendall(b"x" * 100000)
n = 0
while n < 100000:
    n += len(s.recv(100000))
st = Stat(ctypes.sizeof(Stat))
assert me.openism_stat(c.fileno(), ctypes.byref(st)) == 0
print(st.mode, hex(st.reason), flush=True)
"""
        p = w.start([PY, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        check(p.stdout.readline() == b"ready\n", "does not start")
        w.kill_ismd()
        p.stdin.write(b"go\n")
        p.stdin.flush()
        line = p.stdout.readline().split()
        check(p.wait(5) == 0, "has failed")
        check(line == [b"1", hex(NO_DAEMON).encode()], f"mode and reason {line}")
        # the socket file of the dead one is replaced
        pair = Pair(w)
        pair.expect("SMCD", "SMCD")
        pair.close()


@case
def ismd_stopped():
    """A daemon that does not answer delays nobody."""
    with world() as w:
        w.keep()
        old = Pair(w)
        old.expect("SMCD", "SMCD")
        pid = w.the_ismd()
        os.kill(pid, signal.SIGSTOP)
        try:
            for n in SIZES:
                check(old.echo(n) < 1.0, "a running connection waits for ismd")
            start = time.monotonic()
            code = f"""
import socket, time
l = socket.create_server(("127.0.0.1", 0))
t = time.monotonic()
for i in range(20):
    c = socket.create_connection(l.getsockname())
    s, _ = l.accept()
    c.sendall(b"x" * 10000); s.sendall(b"y" * 10000)
    n = 0
    while n < 10000: n += len(s.recv(10000))
    n = 0
    while n < 10000: n += len(c.recv(10000))
    c.close(); s.close()
assert time.monotonic() - t < 1.5, time.monotonic() - t
"""
            old_p = w.start([PY, "-c", code])
            check(old_p.wait(15) == 0, "new connections wait for ismd")
            check(time.monotonic() - start < 12, "smc_run waits too long for ismd")
        finally:
            os.kill(pid, signal.SIGCONT)
        new = Pair(w)
        new.expect("SMCD", "SMCD")
        works(new)
        works(old)
        old.close()
        new.close()


@case
def tools_with_stopped_clients():
    with world() as w:
        w.keep()
        pairs = [Pair(w) for _ in range(4)]
        for p in pairs:
            p.expect("SMCD", "SMCD")
        for p in pairs:
            p.client.send_signal(signal.SIGSTOP)
            p.server.send_signal(signal.SIGSTOP)
        for command in (("smcss",), ("smcss", "-a"), ("smcss", "--debug"), ("smcss", "--smcd"),
                        ("smcd", "linkgroup"), ("smcd", "stats", "json"), ("smcd", "device"),
                        ("smcd", "info"), ("smc_rnics",)):
            w.tool(*command, seconds=1.0)
        rows = [r for r in w.smcss() if r["mode"] == "SMCD"]
        check(len(rows) == 8, f"{len(rows)} ends listed as SMCD")
        # a stopped client delays no others either
        p = Pair(w)
        p.expect("SMCD", "SMCD")
        works(p)
        for q in pairs:
            q.client.send_signal(signal.SIGCONT)
            q.server.send_signal(signal.SIGCONT)
        for q in (*pairs, p):
            works(q)
            q.close()


@case
def bad_runtime_directory():
    """Not ours to use: the program runs all the same, over TCP."""
    with world(clean=False) as w:
        elsewhere = os.path.join(w.dir, "elsewhere")
        os.mkdir(elsewhere, 0o777)
        os.chmod(elsewhere, 0o777)
        os.symlink(elsewhere, w.env["ISM_RUNTIME_DIR"])
        p = w.start(["sh", "-c", "exit 7"], stdout=subprocess.PIPE)
        check(p.wait(5) == 7, f"the program's exit status is {p.returncode}")
        pair = Pair(w)
        works(pair)
        pair.close()
        check(os.listdir(elsewhere) == [], "files were made behind a symlink")


def main():
    if not os.access(os.path.join(BINDIR, "smc_run"), os.X_OK):
        print("SKIP: no smc_run in", BINDIR)
        return 77
    failed = 0
    for fn in CASES:
        if len(sys.argv) > 1 and not any(a in fn.__name__ for a in sys.argv[1:]):
            continue
        start = time.monotonic()
        try:
            fn()
            result = "ok"
        except (Failure, BrokenPipeError, subprocess.TimeoutExpired) as e:
            result = "not ok"
            failed += 1
            print(f"# {fn.__name__}: {e}")
        print(f"{result} - {fn.__name__} # {time.monotonic() - start:.1f} s", flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
