#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ismd is killed, restarted, stopped and cleaned up after, under running connections:
they go on, new ones work, and what is left in the kernel is found again or removed."""

import json
import os
import shutil
import subprocess
import sys
import time

from box import (NO_DAEMON, Failure, box, case, check, cleanup, main, pin_dirs, pins, run,
                 two_lpars, wait_for)

TCP, SMCD = 1, 2


def ids(x):
    """(kind, id) of what ismd has attached in the kernel, by its pins."""
    found = []
    for path in pins(x.rundir):
        if os.path.basename(path).startswith(("ops-", "mark-")):
            link = json.loads(run("bpftool", "-j", "link", "show", "pinned", path))
            found += [("link", link["id"]), ("prog", link["prog_id"])]
    return found


def still_there(found):
    return [f"{kind} {n}" for kind, n in found
            if subprocess.run(["bpftool", kind, "show", "id", str(n)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0]


def nothing_in_kernel(x, found):
    check(not pins(x.rundir), f"{pins(x.rundir)}")
    # the kernel frees them a little later
    wait_for(lambda: not still_there(found), 5, lambda: f"in the kernel: {still_there(found)}")


def smc_again(client, server, addr, port, seconds=10):
    """Processes that live on learn of the new ismd by a new socket, once a second."""
    end = time.monotonic() + seconds
    while True:
        c = client.connect(server, addr, port)
        try:
            c.expect("SMCD", "SMCD", 0.5)
            break
        except Failure:
            c.echo(1000)
            c.close()
            if time.monotonic() > end:
                raise
    c.is_smc()
    return c


def goes_on_by_ring(c):
    before = c.stat()[2]
    c.echo(100000)
    check(c.stat()[2] - before >= 100000, f"by ring: {before}, {c.stat()[2]}")


@case
def killed_and_restarted():
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        old = client.connect(server, "10.7.0.2", 7000)
        old.is_smc()
        kept = pins(x.rundir)
        check(kept, "nothing is pinned")
        x.kill_ismd()
        goes_on_by_ring(old)
        for codes in ((0, NO_DAEMON), (NO_DAEMON,)):  # the first one finds out
            new = client.connect(server, "10.7.0.2", 7000)
            new.echo(100000)
            mode, reason, sent = new.stat()
            check((mode, sent) == (TCP, 0) and reason in codes, f"{mode}, 0x{reason:08x}, {sent}")
        check(pins(x.rundir) == kept, f"{kept}, then {pins(x.rundir)}")
        # programs that meet no ismd at all
        alone = x.end_of(a, smc=False)
        alone.connect(server, "10.7.0.2", 7000).echo(100000)
        x.start_ismd()
        check(pins(x.rundir) == kept, f"{kept}, then {pins(x.rundir)}")
        goes_on_by_ring(old)
        smc_again(client, server, "10.7.0.2", 7000)
        server.listen("10.7.0.2", 7001)
        smc_again(client, server, "10.7.0.2", 7001)
        # a program that starts now, with the listener that is older than ismd
        fresh = x.end_of(a)
        smc_again(fresh, server, "10.7.0.2", 7000)
        goes_on_by_ring(old)
        new.echo(100000)
        for end in (client, fresh, server):
            end.end()


@case
def killed_under_load():
    text, a, b = two_lpars()
    with box(text) as x:
        server, steady = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        old = steady.connect(server, "10.7.0.2", 7000)
        old.is_smc()
        storms = [x.end_of(a) for _ in range(2)]
        for s in storms:
            s.tell("storm 10.7.0.2 7000 5")
        steady.tell(f"echo {old.name} 200000000")
        for _ in range(3):
            time.sleep(0.5)
            x.kill_ismd()
            time.sleep(0.5)
            x.start_ismd()
        for s in storms:
            check(int(s.answer(40)) > 50, "next to nothing got through")
        steady.answer(60)
        check(old.stat()[2] > 200000000, f"by ring: {old.stat()}")
        # nothing of all that was left behind
        wait_for(lambda: not [r for r in x.smcss() if r["role"] != "listen"
                              and r["pid"] in [s.pid for s in storms]], 5, "rows are left")
        smc_again(storms[0], server, "10.7.0.2", 7000)


@case
def cleaned_up_after_a_kill():
    if not shutil.which("bpftool"):
        print("# no bpftool here: only the pins are looked at")
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        old = client.connect(server, "10.7.0.2", 7000)
        old.is_smc()
        found = ids(x) if shutil.which("bpftool") else []
        check(not found or len(still_there(found)) == 4, f"{found}")
        x.kill_ismd()
        check(not found or len(still_there(found)) == 4, "the pins do not hold")
        said = cleanup(x.env)
        check("objects removed" in said and " 0 " not in said, said)
        nothing_in_kernel(x, found)
        check(" 0 objects" in cleanup(x.env), "something to clean up for a second time")
        goes_on_by_ring(old)
        client.connect(server, "10.7.0.2", 7000).echo(100000)
        x.start_ismd()
        # its old listener is none of ours any more, and its next socket makes it known
        client.connect(server, "10.7.0.2", 7000).echo(100000)
        time.sleep(1.1)
        client.connect(server, "10.7.0.2", 7000).echo(100000)
        server.listen("10.7.0.2", 7001)
        smc_again(client, server, "10.7.0.2", 7001)
        goes_on_by_ring(old)


@case
def normal_end():
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        old = client.connect(server, "10.7.0.2", 7000)
        old.is_smc()
        found = ids(x) if shutil.which("bpftool") else []
        x.stop_ismd()
        nothing_in_kernel(x, found)
        check(os.listdir(x.rundir) == [], f"left: {os.listdir(x.rundir)}")
        goes_on_by_ring(old)
        client.connect(server, "10.7.0.2", 7000).echo(100000)
        x.start_ismd()
        # its old listener is none of ours any more, and its next socket makes it known
        client.connect(server, "10.7.0.2", 7000).echo(100000)
        time.sleep(1.1)
        client.connect(server, "10.7.0.2", 7000).echo(100000)
        server.listen("10.7.0.2", 7001)
        smc_again(client, server, "10.7.0.2", 7001)


@case
def first_socket_is_a_listener():
    """A server that has not noticed that there is a new ismd."""
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        x.kill_ismd()
        x.start_ismd()
        server.listen("10.7.0.2", 7001)
        smc_again(client, server, "10.7.0.2", 7001, 4)


@case
def start_after_a_crash_of_the_box():
    """What a dead ismd left in the runtime directory is in nobody's way."""
    with box() as x:
        x.kill_ismd()
        for name in ("ismd.sock", "ismd.lock"):
            check(os.path.exists(os.path.join(x.rundir, name)), f"no {name}")
        x.start_ismd()
        code, said = x.tool("ismd", "--system", "--config", x.conf, ok=False)
        check(code == 1 and "already running" in said, f"a second ismd: {code}, {said}")
        check(x.ismd.poll() is None and pin_dirs(x.rundir) and pins(x.rundir), "the first is harmed")


if __name__ == "__main__":
    sys.exit(main())
