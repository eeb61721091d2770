#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The SYN-option proof costs only those cgroups that clients are in: where the programs
are attached, for how long, and that they serve from one cgroup to another."""

import contextlib
import os
import sys
import time

from box import Failure, Skip, box, case, check, main, pins, two_lpars, wait_for

LINGER = 10


def root():
    with open("/proc/self/mounts") as f:
        for line in f:
            _, where, kind, *_ = line.split()
            if kind == "cgroup2":
                return where
    raise Skip("no cgroup2")


def home():
    with open("/proc/self/cgroup") as f:
        return root() + [line.strip()[3:] for line in f if line.startswith("0::")][0]


def enter(pid, path):
    with open(os.path.join(path, "cgroup.procs"), "w") as f:
        f.write(str(pid))


@contextlib.contextmanager
def cgroups(*names):
    made = [os.path.join(root(), f"oism{os.getpid()}-{name}") for name in names]
    try:
        for path in made:
            os.mkdir(path)
        yield made
    finally:
        for path in filter(os.path.exists, reversed(made)):
            with open(os.path.join(path, "cgroup.procs")) as f:
                left = f.read().split()
            for pid in left:
                with contextlib.suppress(OSError):
                    enter(pid, home())
            os.rmdir(path)


def end_in(x, netns, path, **more):
    """It is there from the beginning: ismd knows it before its first line."""
    before = home()
    enter(0, path)
    try:
        return x.end_of(netns, **more)
    finally:
        enter(0, before)


def attached(x):
    """The cgroups (inode numbers) with links of ours, each of both kinds."""
    names = [os.path.basename(p) for p in pins(x.rundir)]
    ops = {int(n[4:], 16) for n in names if n.startswith("ops-")}
    marks = {int(n[5:], 16) for n in names if n.startswith("mark-")}
    check(ops == marks, f"{names}")
    return ops


def ids(*paths):
    return {os.stat(p).st_ino for p in paths}


def smc_in_time(client, server, addr, port, seconds=10):
    """The server has to learn of the new ismd first."""
    end = time.monotonic() + seconds
    while True:
        c = client.connect(server, addr, port)
        with contextlib.suppress(Failure):
            c.expect("SMCD", "SMCD", 0.5)
            break
        check(time.monotonic() < end, "stays TCP")
        c.echo(1000)
        c.close()
    c.is_smc()


@case
def from_one_to_another():
    text, a, b = two_lpars()
    with cgroups("a", "b", "c") as (here, there, nobody), box(text) as x:
        check(not attached(x), f"nobody is there: {attached(x)}")
        server = end_in(x, b, there).listen("10.7.0.2", 7000)
        wait_for(lambda: attached(x) == ids(there), 5, lambda: f"{attached(x)}")
        client = end_in(x, a, here)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        server.listen("fd07::2", 7001)
        client.connect(server, "fd07::2", 7001).is_smc()
        check(attached(x) == ids(here, there), f"{attached(x)}")
        # somebody else's programs in a cgroup of theirs
        plain = end_in(x, a, nobody, smc=False)
        plain.connect(server, "10.7.0.2", 7000).echo(100000)
        check(attached(x) == ids(here, there), f"{attached(x)}")
        client.end()
        plain.end()
        time.sleep(1)
        check(attached(x) == ids(here, there), "it did not wait for another client")
        wait_for(lambda: attached(x) == ids(there), LINGER + 5, lambda: f"{attached(x)}")
        # and again
        client = end_in(x, a, here)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        server.end()
        client.end()


@case
def below_another():
    text, a, b = two_lpars()
    with cgroups("a", "a/b") as (above, below), box(text) as x:
        server = end_in(x, b, below).listen("10.7.0.2", 7000)
        client = end_in(x, a, above)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        check(attached(x) == ids(above, below), f"{attached(x)}")
        server2 = end_in(x, a, above).listen("10.7.0.1", 7000)
        client2 = end_in(x, b, below)
        client2.connect(server2, "10.7.0.1", 7000).is_smc()
        for end in (server, client, server2, client2):
            end.end()


@case
def listener_waits_for_a_new_ismd():
    text, a, b = two_lpars()
    with cgroups("a", "b") as (here, there), box(text) as x:
        server = end_in(x, b, there).listen("10.7.0.2", 7000)
        client = end_in(x, a, here)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        client.end()
        x.kill_ismd()
        x.start_ismd()
        # the server does nothing, and ismd does not know it; time enough to forget
        check(attached(x) == ids(here, there), f"{attached(x)}")
        time.sleep(LINGER + 3)
        check(attached(x) == ids(there), f"{attached(x)}")
        fresh = end_in(x, a, here)
        smc_in_time(fresh, server, "10.7.0.2", 7000)
        server.end()
        fresh.end()


@case
def a_long_way_down():
    text, a, b = two_lpars()
    parts = ["x" * 120, "/".join(["x" * 120] * 2), "/".join(["x" * 120] * 3)]
    with cgroups("a", *parts) as (here, _, _, deep), box(text) as x:
        server = end_in(x, b, deep).listen("10.7.0.2", 7000)
        client = end_in(x, a, here)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        check(attached(x) == ids(here, deep), f"{attached(x)}")
        server.end()
        client.end()


if __name__ == "__main__":
    sys.exit(main())
