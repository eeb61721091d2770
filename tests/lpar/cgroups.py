#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The SYN-option proof costs only those cgroups that clients are in: where the programs
are attached, for how long, and that they serve from one cgroup to another."""

import contextlib
import os
import sys
import time

from box import Failure, Skip, box, case, check, main, pins, two_lpars, wait_for
from killed import smc_again

LINGER = 10


def root():
    with open("/proc/self/mounts") as f:
        for line in f:
            _, where, kind, *_ = line.split()
            if kind == "cgroup2":
                return where
    raise Skip("no cgroup2")


@contextlib.contextmanager
def cgroups(*names):
    made = []
    home = None
    with open("/proc/self/cgroup") as f:
        home = [line.strip()[3:] for line in f if line.startswith("0::")][0]
    try:
        for name in names:
            made.append(os.path.join(root(), f"oism{os.getpid()}-{name}"))
            os.mkdir(made[-1])
        yield made
    finally:
        for path in made:
            with open(os.path.join(path, "cgroup.procs")) as f:
                left = f.read().split()
            for pid in left:
                with contextlib.suppress(OSError):
                    enter(int(pid), root() + home)
            with contextlib.suppress(OSError):
                os.rmdir(path)


def enter(pid, path):
    with open(os.path.join(path, "cgroup.procs"), "w") as f:
        f.write(str(pid))


def end_in(x, netns, path):
    """It has made no socket yet, so ismd sees it where it goes now."""
    end = x.end_of(netns)
    enter(end.pid, path)
    return end


def attached(x):
    """The cgroups (inode numbers) with links of ours, each of both kinds."""
    names = [os.path.basename(p) for p in pins(x.rundir)]
    ops = {int(n[4:], 16) for n in names if n.startswith("ops-")}
    marks = {int(n[5:], 16) for n in names if n.startswith("mark-")}
    check(ops == marks, f"{names}")
    return ops


def ids(*paths):
    return {os.stat(p).st_ino for p in paths}


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
        plain = x.end_of(a, smc=False)
        enter(plain.pid, nobody)
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
        wait_for(lambda: attached(x) == ids(there), LINGER + 5, lambda: f"{attached(x)}")
        x.kill_ismd()
        check(attached(x) == ids(there), f"{attached(x)}")
        x.start_ismd()
        # the server does nothing, and ismd does not know it; time enough to forget
        time.sleep(LINGER + 3)
        check(attached(x) == ids(there), f"{attached(x)}")
        fresh = end_in(x, a, here)
        smc_again(fresh, server, "10.7.0.2", 7000)
        server.end()
        fresh.end()
        wait_for(lambda: not attached(x), LINGER + 5, lambda: f"{attached(x)}")


@case
def cgroup_that_nobody_can_see():
    """Its path is too long for ismd, or it is gone: TCP, and a word in the log."""
    text, a, b = two_lpars()
    long = "/".join(["x" * 120] * 3)
    parts = ["x" * 120, "/".join(["x" * 120] * 2), long]
    with cgroups("a", *parts) as (here, _, _, deep), box(text) as x:
        server = end_in(x, b, deep).listen("10.7.0.2", 7000)
        client = end_in(x, a, here)
        c = client.connect(server, "10.7.0.2", 7000)
        c.echo(100000)
        time.sleep(0.5)
        check(all(r is None or r["mode"] != "SMCD" for r in c.rows()), f"{c.rows()}")
        x.wait_log("no SYN-option proof: cgroup")
        server.end()
        client.end()


if __name__ == "__main__":
    sys.exit(main())
