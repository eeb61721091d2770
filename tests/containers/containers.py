#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs in containers, with the ismd of the box outside: between containers, with
the host, in a pod, with each engine that is here; and what needs no ismd or finds none."""

import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lpar"))
sys.path.insert(0, HERE)

from box import CASES, NO_DAEMON, box, check, main, run, two_lpars, wait_for  # noqa: E402
from engines import ENGINES, PREFIX, Contained, engine  # noqa: E402

TCP, SMCD = 1, 2  # enum openism_mode


def world(text=""):
    """A box with a folder for what containers are to have."""
    class World:
        def __enter__(self):
            self.inner = box(text)
            self.box = self.inner.__enter__()
            os.mkdir(self.box.path("share"), 0o755)
            return self.box

        def __exit__(self, *why):
            for e in ENGINES:
                e.remove(self.box)
            return self.inner.__exit__(*why)
    return World()


def case_of_each(fn):
    """A case for each engine."""
    for e in ENGINES:
        def one(e=e):
            fn(engine(e.name))
        one.__name__ = f"{fn.__name__}_{e.name.replace(', ', '_')}"
        CASES.append(one)
    return fn


def only(fn):
    CASES.append(fn)
    return fn


def at_wire(server, client):
    server.listen("0.0.0.0", 7000)
    return client.connect(server, "10.7.0.2", 7000)


@case_of_each
def between_containers(e):
    _, a, b = two_lpars()
    with world() as x:
        client, server = Contained(x, e, a), Contained(x, e, b)
        client.is_locked_in()
        server.is_locked_in()
        c = at_wire(server, client)
        c.is_smc()
        check(c.stat()[0] == SMCD, f"the library says {c.stat()}")
        c.close()


@case_of_each
def with_the_host(e):
    """The container's network namespace and another that is not a container's."""
    _, a, b = two_lpars()
    with world() as x:
        client, server = Contained(x, e, a, preload=True), x.end_of(b)
        at_wire(server, client).is_smc()
        client.listen("0.0.0.0", 7002)
        server.connect(client, "10.7.0.1", 7002).is_smc()


@case_of_each
def host_network(e):
    with world() as x:
        client, server = Contained(x, e), Contained(x, e)
        server.listen("127.0.0.1", 7003)
        client.connect(server, "127.0.0.1", 7003).is_smc()


@case_of_each
def pod(e):
    """Two containers in one network namespace."""
    _, a, _ = two_lpars()
    with world() as x:
        client, server = Contained(x, e, a), Contained(x, e, a, preload=True)
        server.listen("127.0.0.1", 7004)
        client.connect(server, "127.0.0.1", 7004).is_smc()


@only
def different_engines():
    _, a, b = two_lpars()
    with world() as x:
        client = Contained(x, engine("bwrap, rootless"), a)
        server = Contained(x, engine("runc"), b)
        at_wire(server, client).is_smc()


@only
def ismd_is_not_mounted():
    """Without /run/ism the program runs all the same, on TCP."""
    e = engine("bwrap, rootless")
    _, a, b = two_lpars()
    with world() as x:
        client, server = Contained(x, e, a, rundir=None, preload=True), Contained(x, e, b)
        c = at_wire(server, client)
        for n in (1, 100000):
            c.echo(n)
        mode, reason, by_ring = c.stat()
        check((mode, reason, by_ring) == (TCP, NO_DAEMON, 0), f"{mode} 0x{reason:08x} {by_ring}")


@only
def ismd_comes_later():
    """The directory is mounted, not the socket: a new ismd is found in it."""
    e = engine("bwrap, rootless")
    _, a, b = two_lpars()
    with world() as x:
        client, server = Contained(x, e, a), Contained(x, e, b)
        c = at_wire(server, client)
        c.is_smc()
        x.kill_ismd()
        c.echo(100000)
        x.start_ismd()
        end = time.monotonic() + 10
        while True:  # a process learns of it by a new socket, once a second
            c = client.connect(server, "10.7.0.2", 7000)
            c.echo(1000)
            time.sleep(0.3)
            if c.stat()[0] == SMCD or time.monotonic() > end:
                break
            c.close()
        c.is_smc()


@only
def a_socket_of_its_own():
    """match = "socket": who comes by that directory belongs to that LPAR."""
    e = engine("bwrap, rootless")
    _, a, b = two_lpars()
    with world() as x:
        own = x.path("web")
        os.mkdir(own, 0o755)
        x.configure(f'lpars = ( {{ name = "web"; socket = "{own}/ismd.sock"; }} );')
        os.kill(x.ismd_pid, 1)
        wait_for(lambda: os.path.exists(f"{own}/ismd.sock"), 5, "no socket of its own")
        client, server = Contained(x, e, a, rundir=own), Contained(x, e, b)
        c = at_wire(server, client)
        c.is_smc()
        client_row, _ = c.rows()
        check(client_row["lpar"] == "web", f'LPAR {client_row["lpar"]}')


# ------------------------------------------------------------- real programs


def start(x, e, netns, *command):
    return x.start(e.command(x, list(command), x.rundir, netns, {}), stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def listens(netns, port):
    return f":{port} " in run("ip", "netns", "exec", netns, "ss", "-Hltn")


def ring_bytes(x):
    return sum(r["tx_smc_bytes"] for r in x.smcss())


@case_of_each
def http_and_curl(e):
    _, a, b = two_lpars()
    with world() as x:
        with open(x.path("share/file"), "wb") as f:
            f.write(os.urandom(3 << 20) * 4)
        start(x, e, b, f"{PREFIX}/smc_run", "/usr/bin/python3", "-m", "http.server", "--directory",
              "/srv", "7005")
        wait_for(lambda: listens(b, 7005), 20, "no HTTP server")
        command = e.command(x, [f"{PREFIX}/smc_run", "curl", "-sS", "--limit-rate", "40M",
                                "http://10.7.0.2:7005/file"], x.rundir, a, {})
        p = x.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        rows = []

        def married():
            rows[:] = [r for r in x.smcss() if r["mode"] == "SMCD"]
            return len(rows) == 2
        # it is read only from here on, so the connection stays
        wait_for(married, 10, lambda: f"not married: {x.smcss()}")
        data = p.stdout.read()
        check(p.wait(20) == 0, "curl fails")
        with open(x.path("share/file"), "rb") as f:
            check(data == f.read(), "another file came")
        check({r["proof"] for r in rows} == {"syn-option"}, f"{rows}")


@case_of_each
def redis(e):
    _, a, b = two_lpars()
    with world() as x:
        start(x, e, b, f"{PREFIX}/smc_run", "redis-server", "--port", "7006", "--bind", "10.7.0.2",
              "--save", "", "--protected-mode", "no")
        wait_for(lambda: listens(b, 7006), 20, "no redis server")
        command = e.command(x, [f"{PREFIX}/smc_run", "redis-cli", "-h", "10.7.0.2", "-p", "7006"],
                            x.rundir, a, {})
        p = x.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        value = b"v" * 50000

        def ask(line):
            p.stdin.write(line + b"\n")
            p.stdin.flush()
            return p.stdout.readline().strip()
        check(ask(b"SET k " + value) == b"OK", "SET")
        wait_for(lambda: len([r for r in x.smcss() if r["mode"] == "SMCD"]) == 2, 10,
                 lambda: f"not married: {x.smcss()}")
        before = ring_bytes(x)
        for _ in range(10):
            check(ask(b"GET k") == value, "GET")
        wait_for(lambda: ring_bytes(x) - before >= 9 * len(value), 5, "not by shared memory")
        p.stdin.close()


if __name__ == "__main__":
    sys.exit(main())
