#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One user takes all that he may have and more; another one of the same LPAR works at
full speed meanwhile, and the first is served again when he has let go."""

import contextlib
import sys

from box import (DECLINED, NO_DAEMON, NOBODY, QUOTA, box, case, check, main, two_lpars,
                 wait_for)

OTHER = 1234


def users(x, lpar):
    return {u["uid"]: u for u in x.lpar(lpar)["users"]}


class Busy:
    """The other user: a stream that runs and connections that come and go."""

    def __init__(self, x, netns, server, addr, port):
        self.stream, self.storm = (x.end_of(netns, uid=OTHER) for _ in range(2))
        self.server, self.addr, self.port = server, addr, port
        self.conn = self.stream.connect(server, addr, port)
        self.conn.is_smc()

    def __enter__(self):
        self.stream.tell(f"echo {self.conn.name} 100000000")
        self.storm.tell(f"storm {self.addr} {self.port} 1.5")

    def __exit__(self, what, *rest):
        if what:
            return
        check(int(self.storm.answer(60)) > 20, "the other user got next to nothing through")
        self.stream.answer(60)
        self.conn.by_ring(100000000)
        self.stream.connect(self.server, self.addr, self.port).is_smc()


def modes(conns):
    """At the clients' ends; None where it is not listed."""
    return [row and row["mode"] for row in (c.rows()[0] for c in conns)]


def scene(quota):
    text, a, b = two_lpars(f"quota = {{ {quota} }};")
    return contextlib.closing(Scene(text, a, b))


class Scene:
    def __init__(self, text, a, b):
        self.a = a
        self.stack = contextlib.ExitStack()
        self.x = self.stack.enter_context(box(text))
        try:
            self.server = self.x.end_of(b).listen("10.7.0.2", 7000)
            self.busy = Busy(self.x, a, self.server, "10.7.0.2", 7000)
        except BaseException:
            self.stack.__exit__(*sys.exc_info())
            raise

    def close(self):
        self.stack.__exit__(*sys.exc_info())

    def greedy(self):
        return self.x.end_of(self.a, uid=NOBODY)

    def connect(self, end):
        return end.connect(self.server, "10.7.0.2", 7000)


@case
def processes():
    with scene("processes = 3;") as s:
        with s.busy:
            ends = [s.greedy() for _ in range(6)]
            conns = [s.connect(e) for e in ends]
            for c in conns:
                c.echo(50000)
            wait_for(lambda: modes(conns).count("SMCD") == 3, 5, lambda: f"{modes(conns)}")
            refused = [c for c, mode in zip(conns, modes(conns)) if mode is None]
            check(len(refused) == 3, f"3 of 6 processes may: {modes(conns)}")
            for c in refused:
                check(c.stat()[:2] == (1, NO_DAEMON), f"{c.stat()}")
                check(not c.client.shares(), "a segment is mapped")
            s.x.wait_log(f"LPAR a, uid {NOBODY}: refused, too many processes")
            check(users(s.x, "a")[NOBODY]["refused"] >= 3, f"{users(s.x, 'a')}")
            check(users(s.x, "a")[OTHER]["refused"] == 0, f"{users(s.x, 'a')}")
        for e in ends:
            e.end()
        wait_for(lambda: NOBODY not in users(s.x, "a"), 5, lambda: f"{users(s.x, 'a')}")
        s.connect(s.greedy()).is_smc()


@case
def segments():
    """A segment for each pair of processes: two are allowed, the third one is refused."""
    with scene("segments = 2;") as s:
        with s.busy:
            ends = [s.greedy() for _ in range(3)]
            conns = [s.connect(e) for e in ends]
            for c in conns[:2]:
                c.is_smc()
            conns[2].is_tcp((DECLINED, QUOTA), (QUOTA, 0), alone=False)
            check(not ends[2].shares(), "a segment is mapped")
            check(users(s.x, "a")[NOBODY]["segments"] == 2, f"{users(s.x, 'a')}")
        for e in ends[:2]:
            e.end()
        wait_for(lambda: users(s.x, "a")[NOBODY]["segments"] == 0, 5, "segments are left")
        s.connect(ends[2]).is_smc()


@case
def memory():
    with scene('bytes = "1100K";') as s:  # a ring of 256 KiB takes 260
        with s.busy:
            greedy = s.greedy()
            conns = [s.connect(greedy) for _ in range(12)]
            wait_for(lambda: modes(conns).count("SMCD") == 4, 5, lambda: f"{modes(conns)}")
            for c in conns:
                c.echo(50000)
            said = [c.rows()[0] for c in conns]
            check([r["mode"] for r in said].count("SMCD") == 4, f"{said}")
            check({(r["reason"], r["peer_reason"]) for r in said if r["mode"] != "SMCD"}
                  == {(DECLINED, QUOTA)}, f"{said}")
            check(users(s.x, "a")[NOBODY]["bytes"] <= 1100 * 1024, f"{users(s.x, 'a')}")
        for c in conns:
            c.close()
        greedy.end()
        wait_for(lambda: NOBODY not in users(s.x, "a"), 5, lambda: f"{users(s.x, 'a')}")


@case
def claims():
    """More connections a second than ismd looks at: what is more waits, on TCP."""
    with scene("claims_per_second = 50;") as s:
        greedy = [s.greedy() for _ in range(3)]
        for g in greedy:
            g.tell("storm 10.7.0.2 7000 2.5")
        # the other user has a share of his own, and stays within it
        stream = s.busy.conn
        stream.echo(20000000)
        for _ in range(5):
            s.connect(s.busy.stream).is_smc()
        counts = [int(g.answer(40)) for g in greedy]
        check(sum(counts) > 100, f"{counts}")
        s.x.wait_log(f"LPAR a, uid {NOBODY}: refused, too many claims a second")
        check(users(s.x, "a")[OTHER]["refused"] == 0, f"{users(s.x, 'a')}")
        s.connect(greedy[0]).expect("SMCD", "SMCD", 10)


@case
def limit_of_the_box():
    """No user has a limit here, the box has."""
    text, a, b = two_lpars(more="max_dmbs = 8;")
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        conns = [client.connect(server, "10.7.0.2", 7000) for _ in range(6)]
        for c in conns[:4]:
            c.is_smc()
        for c in conns[4:]:
            c.is_tcp((DECLINED, 0x030D0000), (0x030D0000, 0), alone=False)


if __name__ == "__main__":
    sys.exit(main())
