#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""LPARs that talk as they should: shared memory across network namespaces, proven by
the option in the handshake, and each LPAR sees what is its own."""

import sys

from box import (NO_PEER, NOBODY, box, address, case, check, in_netns, main, netns_new, run,
                 two_lpars, wait_for, SIZES)


def both_families(b, client, server):
    server.listen("0.0.0.0", 7000)
    server.listen("::", 7001)
    conns = [client.connect(server, "10.7.0.2", 7000), client.connect(server, "fd07::2", 7001)]
    for c in conns:
        c.is_smc()
    return conns


@case
def automatic_lpars():
    _, a, b = two_lpars()
    with box() as x:
        both_families(x, x.end_of(a), x.end_of(b))
        names = {r["lpar"] for r in x.smcss()}
        check(len(names) == 2 and all(n.startswith("net-") for n in names), f"LPARs {names}")


@case
def configured_lpars_and_what_they_see():
    text, a, b = two_lpars(names=("left", "right"))
    with box(text) as x:
        client, server = x.end_of(a), x.end_of(b)
        conns = both_families(x, client, server)
        for netns, name, end, other in ((a, "left", client, server), (b, "right", server, client)):
            rows = x.smcss(netns)
            check(rows and {r["lpar"] for r in rows} == {name}, f"{name} sees {rows}")
            check({r["pid"] for r in rows} == {end.pid}, f"{name} sees {rows}")
            check({r["peer_lpar"] for r in rows if r["mode"] == "SMCD"}
                  == {"left" if name == "right" else "right"}, f"{name} sees {rows}")
            # somebody without rights sees no process there
            rows = x.smcss(netns, uid=NOBODY)
            check(rows and {r["pid"] for r in rows} == {0}, f"nobody in {name} sees {rows}")
            check({r["lpar"] for r in rows} == {name}, f"nobody in {name} sees {rows}")
            code, text = x.tool("smcss", "-N", "right" if name == "left" else "left",
                                netns=netns, ok=False)
            check(code != 0 and str(other.pid) not in text, f"{name} asks for another: {text}")
            groups = x.tool("smcd", "linkgroup", netns=netns)
            check(len([g for g in groups.splitlines() if g.strip()]) == 2, groups)
        rows = x.smcss()
        check({r["lpar"] for r in rows} == {"left", "right"}, f"the host sees {rows}")
        check({r["pid"] for r in rows} == {client.pid, server.pid}, f"the host sees {rows}")
        text = x.tool("smcss", "-L")
        check("left" in text and "right" in text, text)
        for c in conns:
            c.close()
        wait_for(lambda: not [r for r in x.smcss() if r["role"] != "listen"], 5,
                 "closed connections are still listed")
        client.end()
        server.end()
        wait_for(lambda: not x.smcss(), 5, "sockets of programs that ended are listed")


@case
def three_on_a_bridge():
    with box() as x:
        wire = netns_new("br")
        run("ip", "-n", wire, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", wire, "link", "set", "br0", "up")
        ends = []
        for i in (1, 2, 3):
            n = netns_new(f"n{i}")
            run("ip", "-n", wire, "link", "add", f"p{i}", "type", "veth", "peer", "name", "v0",
                "netns", n)
            run("ip", "-n", wire, "link", "set", f"p{i}", "master", "br0", "up")
            address(n, "v0", f"10.7.0.{i}/24", f"fd07::{i}/64")
            ends.append(x.end_of(n).listen("::", 7000))
        conns = []
        for i, client in enumerate(ends):
            for k, server in enumerate(ends):
                if i != k:
                    to = f"10.7.0.{k + 1}" if i < k else f"fd07::{k + 1}"
                    conns.append(client.connect(server, to, 7000))
        for c in conns:
            c.is_smc()
        check(len({r["lpar"] for r in x.smcss()}) == 3, "not three LPARs")


@case
def inside_one_lpar():
    """The end of a connection that is in the same namespace, and another user's."""
    a = netns_new("a")
    with box() as x:
        server = x.end_of(a).listen("127.0.0.1", 7000)
        server.listen("::1", 7001)
        other = x.end_of(a, uid=NOBODY)
        for client in (x.end_of(a), other):
            for to, port in (("127.0.0.1", 7000), ("::1", 7001)):
                client.connect(server, to, port).is_smc()
        check({r["uid"] for r in x.smcss() if r["role"] == "client"} == {0, NOBODY}, "uids")


@case
def users_of_two_lpars():
    _, a, b = two_lpars()
    with box() as x:
        server = x.end_of(b, uid=NOBODY).listen("10.7.0.2", 7000)
        x.end_of(a, uid=1234).connect(server, "10.7.0.2", 7000).is_smc()


@case
def one_end_without_smc():
    """A plain program is at the other end: TCP and no harm."""
    _, a, b = two_lpars()
    with box() as x:
        plain = x.end_of(b, smc=False).listen("10.7.0.2", 7000)
        smc = x.end_of(a).listen("10.7.0.1", 7001)
        smc.connect(plain, "10.7.0.2", 7000).is_tcp((NO_PEER, 0), None)
        plain.connect(smc, "10.7.0.1", 7001).is_tcp(None, (NO_PEER, 0))


@case
def programs_of_the_system():
    """socat, in one LPAR the server and in the other the client."""
    _, a, b = two_lpars()
    with box() as x:
        sent = x.path("sent")
        with open(sent, "wb") as f:
            for i in range(200000):
                f.write(b"%d line of what goes through\n" % i)
        x.start(x.command(["socat", "TCP-LISTEN:7000,bind=10.7.0.2",
                           f"OPEN:{x.path('got')},creat,trunc"], b))
        wait_for(lambda: ":7000" in in_netns(b, "ss", "-ltn"), 5, "socat does not listen")
        # it waits until it is known, so that the rings are what is used
        p = x.start(x.command(["sh", "-c", f"(sleep 0.3; cat {sent}) | socat -u - "
                               "TCP:10.7.0.2:7000"], a))
        check(p.wait(30) == 0, "socat fails")
        wait_for(lambda: not [r for r in x.smcss() if r["role"] == "server"], 10,
                 "socat does not end")
        run("cmp", sent, x.path("got"))
        stats = x.request(op="stats")
        check(stats["smc_conns"] == 2 and stats["tx_smc_bytes"] > 1000000, f"{stats}")


if __name__ == "__main__":
    sys.exit(main())
