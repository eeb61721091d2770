#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What keeps LPARs apart keeps them on TCP: with the right code on both ends, with the
content intact, and without one page of shared memory."""

import sys

from box import (DECLINED, NO_DEVICE, NO_EID, NO_MATCH, NO_PEER, NOBODY, POLICY, QUOTA, box,
                 case, check, main, netns_new, two_lpars, wait_for)

UIDS = (20001, 20002)
OFF = "functions = ( );"


def pair(x, a, b, port=7000):
    server = x.end_of(b).listen("10.7.0.2", port)
    client = x.end_of(a)
    return client.connect(server, "10.7.0.2", port)


def stays_tcp(a_more, b_more, client, server, more=""):
    text, a, b = two_lpars(a_more, b_more, more)
    with box(text) as x:
        c = pair(x, a, b)
        c.is_tcp(client, server)
        check(x.request(op="stats")["smc_conns"] == 0, "a connection counts as SMC")
        check(not x.request(op="linkgroups")["linkgroups"], "there is a link group")


@case
def client_without_function():
    stays_tcp(OFF, "", (NO_DEVICE, 0), (DECLINED, NO_DEVICE))


@case
def server_without_function():
    stays_tcp("", OFF, (DECLINED, NO_DEVICE), (NO_DEVICE, 0))


@case
def both_without_function():
    stays_tcp(OFF, OFF, (NO_DEVICE, 0), (DECLINED, NO_DEVICE))


@case
def power_off_in_the_configuration():
    stays_tcp("", 'functions = ( { fid = 1; power = "off"; } );', (DECLINED, NO_DEVICE),
              (NO_DEVICE, 0))


def users_as_lpars(client_more, server_more, client, server):
    """LPARs that share a network namespace, so that both ends are known in any case."""
    text = f"""lpars = ( {{ name = "cl"; uid = {UIDS[0]}; {client_more} }},
                         {{ name = "sv"; uid = {UIDS[1]}; {server_more} }} );"""
    a = netns_new("a")
    with box(text, netns=a) as x:
        sv = x.end_of(a, uid=UIDS[1]).listen("127.0.0.1", 7000)
        x.end_of(a, uid=UIDS[0]).connect(sv, "127.0.0.1", 7000).is_tcp(client, server)


@case
def user_without_function_connects():
    users_as_lpars(OFF, "", (NO_DEVICE, 0), (DECLINED, NO_DEVICE))


@case
def user_without_function_is_connected_to():
    users_as_lpars("", OFF, (DECLINED, NO_DEVICE), (NO_DEVICE, 0))


@case
def other_pnetid():
    stays_tcp("", 'functions = ( { fid = 1; pnetid = "NET2"; } );', (DECLINED, NO_MATCH),
              (NO_MATCH, 0))


@case
def other_chid():
    stays_tcp('functions = ( { fid = 1; chid = 0x100; } );', "", (DECLINED, NO_MATCH),
              (NO_MATCH, 0))


@case
def other_vlan():
    stays_tcp('functions = ( { fid = 1; vlan = 7; } );',
              'functions = ( { fid = 1; vlan = 8; } );', (DECLINED, NO_MATCH), (NO_MATCH, 0))


@case
def second_function_fits():
    """The counter-example: one pair of functions is enough."""
    text, a, b = two_lpars(
        'functions = ( { fid = 1; pnetid = "NET1"; }, { fid = 2; pnetid = "NET2"; } );',
        'functions = ( { fid = 1; pnetid = "NET3"; }, { fid = 9; pnetid = "NET2"; } );')
    with box(text) as x:
        pair(x, a, b).is_smc()
        group, = x.request(op="linkgroups")["linkgroups"]
        check(group["pnetid"] == "NET2", f"{group}")


@case
def no_common_eid():
    stays_tcp('seid = false; ueids = [ "TEAM.A" ];', 'seid = false; ueids = [ "TEAM.B" ];',
              (DECLINED, NO_EID), (NO_EID, 0))


@case
def seid_on_one_end_only():
    stays_tcp('seid = false; ueids = [ "TEAM.A" ];', "", (DECLINED, NO_EID), (NO_EID, 0))


@case
def common_ueid():
    """The counter-example, made by a tool."""
    text, a, b = two_lpars('seid = false; ueids = [ "TEAM.A" ];',
                           'seid = false; ueids = [ "TEAM.B" ];')
    with box(text) as x:
        server = x.end_of(b).listen("10.7.0.2", 7000)
        client = x.end_of(a)
        client.connect(server, "10.7.0.2", 7000).is_tcp((DECLINED, NO_EID), (NO_EID, 0))
        x.tool("smcd", "ueid", "add", "TEAM.A", netns=b)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        x.tool("smcd", "ueid", "del", "TEAM.A", netns=b)
        client.connect(server, "10.7.0.2", 7000).expect((DECLINED, NO_EID), (NO_EID, 0))


@case
def switched_off_by_root_of_the_lpar():
    text, a, b = two_lpars()
    with box(text) as x:
        server = x.end_of(b).listen("10.7.0.2", 7000)
        client = x.end_of(a)
        before = client.connect(server, "10.7.0.2", 7000)
        before.is_smc()
        code, said = x.tool("smc_rnics", "-d", "1", netns=b, uid=NOBODY, ok=False)
        check(code == 7, f"nobody switches it off: {code}, {said}")
        code, said = x.tool("smc_rnics", "-d", "1", "-N", "a", netns=b, ok=False)
        check(code != 0, f"root of b switches a off: {said}")
        x.tool("smc_rnics", "-d", "1", netns=b)
        client.connect(server, "10.7.0.2", 7000).is_tcp((DECLINED, NO_DEVICE), (NO_DEVICE, 0),
                                                         alone=False)
        before.echo(100000)  # what runs goes on
        before.by_ring(600000)
        x.tool("smc_rnics", "-e", "1", netns=b)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        x.tool("smc_rnics", "-d", "1", "-N", "a")  # root of the box may
        client.connect(server, "10.7.0.2", 7000).is_tcp((NO_DEVICE, 0), (DECLINED, NO_DEVICE),
                                                         alone=False)


@case
def switched_off_before_anything_ran():
    text, a, b = two_lpars()
    with box(text) as x:
        x.tool("smc_rnics", "-d", "1", netns=a)
        pair(x, a, b).is_tcp((NO_DEVICE, 0), (DECLINED, NO_DEVICE))


@case
def policy_never():
    stays_tcp("", "", (DECLINED, POLICY), (POLICY, 0),
              'policy = ( { port = 7000; use = "never"; } );')


@case
def policy_never_for_one_lpar():
    stays_tcp("", "", (DECLINED, POLICY), (POLICY, 0),
              'policy = ( { lpar = "a"; use = "never"; } );')


@case
def policy_of_another_port():
    text, a, b = two_lpars(more='policy = ( { port = "7001-7999"; use = "never"; } );')
    with box(text) as x:
        pair(x, a, b).is_smc()


@case
def policy_after_bytes():
    text, a, b = two_lpars(
        more='policy = ( { port = 7000; use = "after"; bytes = "200K"; } );')
    with box(text) as x:
        c = pair(x, a, b)
        for _ in range(9):  # both directions count
            c.echo(10000)
        c.expect((NO_PEER, 0), (NO_PEER, 0))
        check(not c.client.shares() and not c.server.shares(), "a segment is mapped")
        c.echo(20000)

        def married():
            c.echo(1000)
            return all(r and r["mode"] == "SMCD" for r in c.rows())
        wait_for(married, 5, "still TCP after more than 200 KiB")
        c.is_smc()
        client, server = c.rows()
        check(client["tx_tcp_bytes"] >= 100000, f"{client}")


@case
def quota_of_bytes():
    """One connection fits into the share, a second one does not, and later it does."""
    text, a, b = two_lpars('quota = { bytes = "300K"; };')
    with box(text) as x:
        server = x.end_of(b).listen("10.7.0.2", 7000)
        client = x.end_of(a)
        first = client.connect(server, "10.7.0.2", 7000)
        first.is_smc()
        client.connect(server, "10.7.0.2", 7000).is_tcp((DECLINED, QUOTA), (QUOTA, 0),
                                                         alone=False)
        x.wait_log("LPAR a, uid 0: refused")
        first.close()
        wait_for(lambda: len([r for r in x.smcss() if r["mode"] == "SMCD"]) == 0, 5,
                 "the first is still there")
        client.connect(server, "10.7.0.2", 7000).is_smc()


@case
def quota_of_the_other_user():
    """Who has nothing left is not served, whoever he talks to."""
    stays_tcp("", 'quota = { bytes = "64K"; };', (DECLINED, QUOTA), (QUOTA, 0))


@case
def no_automatic_lpars():
    text, a, b = two_lpars()
    with box("auto_lpars = false;") as x:
        c = pair(x, a, b)
        for n in (1, 100000):
            c.echo(n)
        check(not x.smcss(), "they are listed")
        check(not c.client.shares() and not c.server.shares(), "a segment is mapped")


@case
def syn_option_switched_off():
    text, a, b = two_lpars(more="syn_option = false;")
    with box(text) as x:
        pair(x, a, b).is_tcp((NO_PEER, 0), (NO_PEER, 0))
        x.end_of(a).connect(x.end_of(a).listen("127.0.0.1", 7001), "127.0.0.1", 7001) \
            .is_smc("namespace")


if __name__ == "__main__":
    sys.exit(main())
