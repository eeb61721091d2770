#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A thousand programs of four LPARs come at once: all are served, and ismd has nothing
left of them when they are gone.

LPAR_CROWD is how many.
"""

import os
import resource
import select
import subprocess
import sys
import time

from box import BUILD, address, box, case, check, fds_of, main, netns_new, run, wait_for

CROWD = os.environ.get("CROWD", os.path.join(BUILD, "tests", "lpar-crowd"))
LPARS = 4
FDS_EACH = 14  # of ismd, for a program and its link group


def how_many():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    return min(int(os.environ.get("LPAR_CROWD", "1000")), hard // FDS_EACH) // LPARS * LPARS


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def line_of(p, seconds):
    check(select.select([p.stdout], [], [], seconds)[0], f"nothing said within {seconds} s")
    return p.stdout.readline().decode().strip()


def step(p):
    p.stdin.write(b"\n")
    p.stdin.flush()


@case
def a_thousand_at_once():
    n = how_many()
    with box("quota = { claims_per_second = 0; };") as x:
        wire = netns_new("br")
        run("ip", "-n", wire, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", wire, "link", "set", "br0", "up")
        names, servers = [], []
        for i in range(LPARS):
            netns = netns_new(f"n{i}")
            run("ip", "-n", wire, "link", "add", f"p{i}", "type", "veth", "peer", "name", "v0",
                "netns", netns)
            run("ip", "-n", wire, "link", "set", f"p{i}", "master", "br0", "up")
            address(netns, "v0", f"10.7.0.{i + 1}/24")
            servers.append(x.end_of(netns).listen(f"10.7.0.{i + 1}", 7000))
            names.append(netns)
        pid = x.ismd_pid
        wait_for(lambda: len(x.smcss()) == LPARS, 5, "servers are not listed")
        wait_for(lambda: x.info()["clients"] == LPARS + 1, 5, "who is there?")
        fds = fds_of(pid)
        for turn in range(2):
            rss = rss_kib(pid)
            begin = time.monotonic()
            crowds = [x.start(x.command([CROWD, str(n // LPARS), f"10.7.0.{(i + 1) % LPARS + 1}",
                                         "7000"], netns),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                      for i, netns in enumerate(names)]
            for p in crowds:
                check(line_of(p, 60) == "ready", "a crowd does not start")
            started = time.monotonic()
            cpu, tables = cpu_s(pid), x.info()["tables"]
            check(tables == LPARS, f"{tables} families before")
            for p in crowds:
                step(p)
            wait_for(lambda: x.info()["tables"] == LPARS + n, 60,
                     lambda: f"{x.info()['tables']} families are registered")
            registered, cpu_registered = time.monotonic(), cpu_s(pid)
            for p in crowds:
                check(line_of(p, 60) == "registered", "a crowd cannot register")
                step(p)
            said = [line_of(p, 60).split() for p in crowds]
            done = time.monotonic()
            check(all(s[1] == str(n // LPARS) for s in said), f"{said}")
            check(fds_of(pid) > fds + 2 * n, "the count of descriptors says nothing")
            print(f"# {n} programs in {LPARS} LPARs: started in {started - begin:.1f} s, "
                  f"registered in {registered - started:.2f} s (ismd works "
                  f"{cpu_registered - cpu:.2f} s), connected, married and answered in "
                  f"{done - registered:.2f} s (ismd {cpu_s(pid) - cpu_registered:.2f} s); "
                  f"ismd has {fds_of(pid)} descriptors, {rss} KiB before, {rss_kib(pid)} KiB now")
            for p in crowds:
                step(p)
                check(p.wait(30) == 0, "a crowd does not end")
            wait_for(lambda: fds_of(pid) <= fds, 20,
                     lambda: f"ismd has {fds_of(pid)} descriptors, {fds} before")
            wait_for(lambda: len(x.smcss()) == LPARS, 5, "rows are left")
            check(not x.request(op="linkgroups")["linkgroups"], "link groups are left")
        # the heap keeps some of it in pieces, less and less with each turn
        check(rss_kib(pid) < rss + 16384, f"ismd grows: {rss} KiB, {rss_kib(pid)} KiB")
        servers[0].connect(servers[1], "10.7.0.2", 7000).is_smc()


if __name__ == "__main__":
    sys.exit(main())
