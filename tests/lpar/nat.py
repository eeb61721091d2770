#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What happens to packets on the way between two LPARs: addresses are translated,
packets lost, options dropped, connections ended by a proxy, SYN cookies sent. Shared
memory where the option gets through, TCP without harm where not."""

import shutil
import sys
import time

from box import (NO_PEER, Conn, Failure, Skip, box, case, check, in_netns, main, netns_new, run, veth,
                 wait_for)


def nft(netns, text):
    if not shutil.which("nft"):
        raise Skip("no nft here")
    return in_netns(netns, "nft", text)


def routed():
    """Client and server in networks of their own, and a router between them."""
    c, m, s = netns_new("c"), netns_new("m"), netns_new("s")
    veth(c, "v0", ["10.7.1.2/24"], m, "vc", ["10.7.1.1/24"])
    veth(m, "vs", ["10.7.2.1/24"], s, "v0", ["10.7.2.2/24"])
    run("ip", "-n", c, "route", "add", "default", "via", "10.7.1.1")
    run("ip", "-n", s, "route", "add", "default", "via", "10.7.2.1")
    in_netns(m, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    return c, m, s


def published(m, masquerade):
    """As docker run -p 8080:7000 does."""
    nft(m, "add table ip t; add chain ip t pre { type nat hook prerouting priority -100; }; "
        "add rule ip t pre tcp dport 8080 dnat to 10.7.2.2:7000")
    if masquerade:
        nft(m, "add chain ip t post { type nat hook postrouting priority 100; }; "
            "add rule ip t post oifname vs masquerade")


def translated(masquerade):
    c, m, s = routed()
    with box() as x:
        server, client = x.end_of(s).listen("10.7.2.2", 7000), x.end_of(c)
        client.connect(server, "10.7.2.2", 7000).is_smc()
        published(m, masquerade)
        conn = client.connect(server, "10.7.1.1", 8080)
        conn.server_port = 7000
        conn.is_smc()
        cl, sv = conn.rows()
        check(cl["raddr"] == "10.7.1.1", f"the client talks to {cl['raddr']}")
        check(sv["raddr"] == ("10.7.2.1" if masquerade else "10.7.1.2"),
              f"the server talks to {sv['raddr']}")


@case
def dnat():
    translated(False)


@case
def dnat_and_masquerade():
    translated(True)


@case
def another_source_port():
    """Two clients with the same own port behind one address."""
    c, m, s = routed()
    with box() as x:
        d = netns_new("d")
        veth(d, "v0", ["10.7.3.2/24"], m, "vd", ["10.7.3.1/24"])
        run("ip", "-n", d, "route", "add", "default", "via", "10.7.3.1")
        nft(m, "add table ip t; add chain ip t post { type nat hook postrouting priority 100; };"
            " add rule ip t post oifname vs masquerade")
        server = x.end_of(s).listen("10.7.2.2", 7000)
        clients = [x.end_of(c), x.end_of(d)]
        conns = [e.connect(server, "10.7.2.2", 7000, 33333) for e in clients]
        ports = {r["rport"] for r in wait_for(
            lambda: [r for r in x.smcss() if r["role"] == "server" and r["mode"] == "SMCD"][1:]
            and [r for r in x.smcss() if r["role"] == "server"], 5, "not two servers' ends")}
        check(len(ports) == 2 and 33333 in ports, f"{ports}")
        conns[1].server_rport = (ports - {33333}).pop()
        for conn in conns:
            conn.is_smc()


@case
def syn_cookies():
    c, _, s = routed()
    in_netns(s, "sh", "-c", "echo 2 >/proc/sys/net/ipv4/tcp_syncookies")
    with box() as x:
        server, client = x.end_of(s).listen("10.7.2.2", 7000), x.end_of(c)
        client.connect(server, "10.7.2.2", 7000).is_tcp((NO_PEER, 0), (NO_PEER, 0))
        in_netns(s, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_syncookies")
        client.connect(server, "10.7.2.2", 7000).is_smc()


def lost_at_first(where, flags):
    """The kernel sends it again after a second."""
    c, _, s = routed()
    with box() as x:
        server, client = x.end_of(s).listen("10.7.2.2", 7000), x.end_of(c)
        netns = {"server": s, "client": c}[where]
        nft(netns, "add table ip t; add chain ip t in { type filter hook input priority 0; }; "
            f"add rule ip t in tcp flags {flags} counter drop")
        client.tell("connect c1 10.7.2.2 7000")
        client.count = 1
        wait_for(lambda: "packets 0 " not in nft(netns, "list table ip t"), 5, "nothing lost")
        time.sleep(0.1)
        nft(netns, "delete table ip t")
        Conn(client, "c1", server, 7000, int(client.answer())).is_smc()


@case
def first_syn_lost():
    lost_at_first("server", "syn")


@case
def first_syn_ack_lost():
    lost_at_first("client", "& (syn | ack) == syn | ack")


@case
def options_dropped_on_the_way():
    c, m, s = routed()
    with box() as x:
        server, client = x.end_of(s).listen("10.7.2.2", 7000), x.end_of(c)
        try:
            nft(m, "add table ip t; add chain ip t way { type filter hook forward priority 0; }; "
                "add rule ip t way reset tcp option 254")
        except Failure as e:
            raise Skip(f"nft cannot drop options here: {e}") from e
        client.connect(server, "10.7.2.2", 7000).is_tcp((NO_PEER, 0), (NO_PEER, 0))
        nft(m, "delete table ip t")
        client.connect(server, "10.7.2.2", 7000).is_smc()


@case
def proxy_on_the_way():
    c, m, s = routed()
    with box() as x:
        server, client = x.end_of(s).listen("10.7.2.2", 7000), x.end_of(c)
        x.start(x.command(["socat", "TCP-LISTEN:8080,fork,reuseaddr", "TCP:10.7.2.2:7000"], m,
                          smc=False))
        wait_for(lambda: ":8080" in in_netns(m, "ss", "-ltn"), 5, "socat does not listen")
        conn = client.connect(None, "10.7.1.1", 8080)
        for n in (1, 100000):
            conn.echo(n)
        conn.expect((NO_PEER, 0), None)
        rows = [r for r in x.smcss() if r["role"] == "server"]
        check([(r["mode"], r["reason"]) for r in rows] == [("TCP", NO_PEER)], f"{rows}")
        check(not client.shares() and not server.shares(), "a segment is mapped")


if __name__ == "__main__":
    sys.exit(main())
