#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Around ismd things are not as they should be: clients that never listen or are
stopped, a disk that is full, a container that has next to no memory."""

import os
import signal
import subprocess
import sys
import time

from box import (BUILD, DECLINED, NO_DEVICE, Skip, box, case, check, main, run,
                 two_lpars, wait_for)

LIAR = os.environ.get("LIAR", os.path.join(BUILD, "tests", "lpar-liar"))


@case
def clients_that_never_listen():
    """They ask and ask, and never read an answer. Who is married with one of them has
    his data go by TCP; all others notice nothing."""
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        mutes = [x.start(x.command([LIAR, "mute", "10.7.0.2", "7000"], a, False),
                         stdout=subprocess.PIPE) for _ in range(3)]
        for m in mutes:
            check(m.stdout.readline() == b"ready\n", "liar does not start")
        for _ in range(3):
            client.connect(server, "10.7.0.2", 7000).is_smc()
        x.wait_log("message lost")
        check(len(x.tool("smcss", "-a").splitlines()) > 4, "smcss")
        for m in mutes:
            m.kill()
            m.wait()
        wait_for(lambda: {r["pid"] for r in x.smcss()} == {server.pid, client.pid}, 5,
                 "what the dead had is listed")
        client.connect(server, "10.7.0.2", 7000).is_smc()


@case
def stopped_programs():
    """The connections of a stopped one can be made, and wait as on TCP."""
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        stopped = x.end_of(b).listen("10.7.0.2", 7001)
        os.kill(stopped.pid, signal.SIGSTOP)
        waiting = client.connect(stopped, "10.7.0.2", 7001)
        client.tell(f"echo {waiting.name} 300000")
        other = x.end_of(a)
        for _ in range(3):
            other.connect(server, "10.7.0.2", 7000).is_smc()
        x.tool("smcss", "-a")
        os.kill(stopped.pid, signal.SIGCONT)
        client.answer()
        waiting.is_smc()


class Tmpfs:
    def __init__(self, path, size):
        os.makedirs(path, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "oism-test", path)
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run("umount", "-l", self.path)

    def fill(self):
        with open(os.path.join(self.path, "full"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass


@case
def full_disk():
    """What a tool changes counts, and it says that it will not last."""
    text, a, b = two_lpars()
    with box(start=False) as x, Tmpfs(x.path("disk"), "64k") as disk:
        x.configure(text, state_dir=disk.path)
        x.start_ismd()
        disk.fill()
        code, said = x.tool("smc_rnics", "-d", "1", "-N", "a", "--persist", ok=False)
        check(code == 7 and "No space left" in said, f"{code}, {said}")
        functions = x.request(op="functions", lpar="a")["functions"]
        check(not functions[0]["power"], f"{functions}")
        check(os.listdir(disk.path) == ["full"], f"{os.listdir(disk.path)}")
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        client.connect(server, "10.7.0.2", 7000).is_tcp((NO_DEVICE, 0), (DECLINED, NO_DEVICE))
        # again, with room; now it lasts
        os.unlink(os.path.join(disk.path, "full"))
        x.tool("smc_rnics", "-e", "1", "-N", "a", "--persist")
        x.tool("smc_rnics", "-d", "1", "-N", "a", "--persist")
        disk.fill()
        code, said = x.tool("smc_rnics", "-e", "1", "-N", "a", "--persist", ok=False)
        check(code == 7, f"{code}, {said}")
        x.stop_ismd()
        x.start_ismd()
        functions = x.request(op="functions", lpar="a")["functions"]
        check(not functions[0]["power"], f"the old file is not read: {functions}, {x.log()}")
        x.stop_ismd()  # before its disk goes


class Cgroup:
    """Of memory, version 1 or 2."""

    def __init__(self, name, limit=None):
        v1, v2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
        self.path = None
        if os.path.exists(os.path.join(v1, "memory.limit_in_bytes")):
            self.make(v1, name)
            self.usage = "memory.usage_in_bytes"
            names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        elif os.path.exists(os.path.join(v2, "cgroup.subtree_control")):
            try:
                with open(os.path.join(v2, "cgroup.subtree_control"), "w") as f:
                    f.write("+memory")
            except OSError as e:
                raise Skip(f"no memory controller to be had: {e}") from e
            self.make(v2, name)
            self.usage = "memory.current"
            names = ("memory.max", "memory.swap.max")
        else:
            raise Skip("no memory controller here")
        for n, value in zip(names, (limit, limit if names[0].endswith("bytes") else 0)):
            if limit and os.path.exists(os.path.join(self.path, n)):
                with open(os.path.join(self.path, n), "w") as f:
                    f.write(str(value))

    def make(self, root, name):
        self.path = os.path.join(root, f"oism{os.getpid()}-{name}")
        os.mkdir(self.path)

    def prefix(self):
        return ["sh", "-c", f'echo $$ >{self.path}/cgroup.procs; exec "$@"', "sh"]

    def used(self):
        with open(os.path.join(self.path, self.usage)) as f:
            return int(f.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)


@case
def container_without_memory():
    """Rings of 80 MB for a program that may have 48 MB: they are not on its bill."""
    limit, ring, n = 48 << 20, 256 << 10, 160
    text, a, b = two_lpars()
    with Cgroup("small", limit) as small, Cgroup("ismd") as own, box(start=False) as x:
        x.configure(text)
        x.start_ismd(prefix=own.prefix())
        server = x.end_of(b).listen("10.7.0.2", 7000)
        client = x.end_of(a, prefix=small.prefix())
        paid = own.used()
        conns = [client.connect(server, "10.7.0.2", 7000) for _ in range(n)]
        wait_for(lambda: sum(r["mode"] == "SMCD" for r in x.smcss()) == 2 * n, 10,
                 "not all of them are married")
        for c in conns:
            c.echo(100)  # a direction changes once its reader has been seen to read
            c.echo(100)
            c.echo(3 * ring)
        check(client.p.poll() is None, "the program died")
        check(conns[-1].rows()[0]["rcvbuf"] == ring, "the rings are smaller")
        check(own.used() - paid >= 2 * n * ring,
              f"ismd pays {own.used() - paid} bytes for {2 * n * ring}")
        check(small.used() < limit, f"{small.used()}")
        for c in conns[:5]:
            c.by_ring(2 * ring)  # what did not fit at once may have gone by TCP
        print(f"# ismd pays {(own.used() - paid) >> 20} MiB, the program's cgroup has "
              f"{small.used() >> 20} of {limit >> 20} MiB")
        client.end()
        wait_for(lambda: own.used() - paid < 8 << 20, 10,
                 lambda: f"{own.used() - paid} bytes are still ismd's")


if __name__ == "__main__":
    sys.exit(main())
