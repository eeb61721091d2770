#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The configuration is read again under connections that run: these go on, new ones
follow it, and one that is wrong changes nothing."""

import json
import os
import signal
import sys
import time

from box import (DECLINED, NO_DEVICE, POLICY, QUOTA, box, case, check, lpar_text, main, two_lpars,
                 wait_for)

NEVER = 'policy = ( { port = 7000; use = "never"; } );'


def reload(x, text, taken=True):
    before = x.log().count("read again" if taken else "not taken")
    x.configure(text)
    os.kill(x.ismd_pid, signal.SIGHUP)
    wait_for(lambda: x.log().count("read again" if taken else "not taken") > before, 5,
             lambda: f"no word of the reload: {x.log()}")
    fault = x.info()["config_fault"]
    check(bool(fault) != taken, f"config_fault: {fault}")
    return fault


@case
def policy_comes_and_goes():
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        old = client.connect(server, "10.7.0.2", 7000)
        old.is_smc()
        reload(x, text + NEVER)
        old.is_smc()
        client.connect(server, "10.7.0.2", 7000).is_tcp((DECLINED, POLICY), (POLICY, 0),
                                                         alone=False)
        reload(x, text)
        old.is_smc()
        client.connect(server, "10.7.0.2", 7000).is_smc()


@case
def faults_are_refused():
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        old = client.connect(server, "10.7.0.2", 7000)
        old.is_smc()
        wrongs = ((text + NEVER + "qouta = { };", "did you mean quota"),
                  (text + NEVER + "quota = {", "not closed"),
                  (text + NEVER.replace("never", "nerver"), "nerver"),
                  (text + NEVER.replace("7000", "70000"), "70000"))
        for wrong, word in wrongs:
            fault = reload(x, wrong, taken=False)
            check(x.conf in fault, fault)
            check(fault in x.log(), "config_fault is not in the log")
            check(word in fault, f"{word}: {fault}")
            said = x.tool("smcd", "-d", "info")
            check(fault[:40] in said, f"smcd info: {said}")
            client.connect(server, "10.7.0.2", 7000).is_smc()  # as before, not "never"
        os.unlink(x.conf)
        os.kill(x.ismd_pid, signal.SIGHUP)
        wait_for(lambda: x.info()["config_fault"], 5, "a missing file is no fault")
        old.is_smc()
        reload(x, text + NEVER)  # and the right one counts again
        client.connect(server, "10.7.0.2", 7000).expect((DECLINED, POLICY), (POLICY, 0))
        old.is_smc()


@case
def faults_at_the_start():
    """At the start there is nothing to fall back to."""
    with box(start=False) as x:
        x.configure("qouta = { };")
        code, said = x.tool("ismd", "--system", "--config", x.conf, ok=False)
        check(code == 1 and "did you mean quota" in said, f"{code}, {said}")
        x.configure()
        x.start_ismd()


@case
def lpars_change_under_programs():
    """Automatic ones get names, one loses its function, another one its quota."""
    text, a, b = two_lpars()
    with box() as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        old = client.connect(server, "10.7.0.2", 7000)
        old.is_smc()
        reload(x, text)
        wait_for(lambda: {r["lpar"] for r in x.smcss()} == {"a", "b"}, 5,
                 lambda: f"{[r['lpar'] for r in x.smcss()]}")
        old.is_smc()
        client.connect(server, "10.7.0.2", 7000).is_smc()
        lpars = "lpars = ( %s, %s );"
        reload(x, lpars % (lpar_text("a", a, "functions = ( );"), lpar_text("b", b)))
        old.echo(100000)
        old.by_ring(1000000)
        client.connect(server, "10.7.0.2", 7000).is_tcp((NO_DEVICE, 0), (DECLINED, NO_DEVICE),
                                                         alone=False)
        reload(x, lpars % (lpar_text("a", a, 'quota = { bytes = "64K"; };'), lpar_text("b", b)))
        client.connect(server, "10.7.0.2", 7000).expect((DECLINED, QUOTA), (QUOTA, 0))
        old.echo(100000)
        reload(x, lpars % (lpar_text("a", a), lpar_text("c", b)))  # another name
        client.connect(server, "10.7.0.2", 7000).is_smc()
        check({r["lpar"] for r in x.smcss()} == {"a", "c"}, f"{[r['lpar'] for r in x.smcss()]}")
        reload(x, "")
        old.echo(100000)
        client.connect(server, "10.7.0.2", 7000).is_smc()


@case
def power_of_a_tool_stays():
    """What root has switched off is not switched on by reading the same file again."""
    text, a, b = two_lpars()
    with box(text) as x:
        server, client = x.end_of(b).listen("10.7.0.2", 7000), x.end_of(a)
        x.tool("smc_rnics", "-d", "1", netns=a)
        reload(x, text)
        client.connect(server, "10.7.0.2", 7000).is_tcp((NO_DEVICE, 0), (DECLINED, NO_DEVICE))


@case
def again_and_again_under_load():
    text, a, b = two_lpars()
    with box(text) as x:
        server, client, storm = (x.end_of(n) for n in (b, a, a))
        server.listen("10.7.0.2", 7000)
        server.listen("10.7.0.2", 7001)
        old = client.connect(server, "10.7.0.2", 7001)
        old.is_smc()
        client.tell(f"echo {old.name} 150000000")
        storm.tell("storm 10.7.0.2 7000 2.5")
        for i in range(12):
            x.configure(text + ("", NEVER, "qouta = { };", "lpars = ( );")[i % 4])
            os.kill(x.ismd_pid, signal.SIGHUP)
            time.sleep(0.2)
        check(int(storm.answer(40)) > 50, "next to nothing got through")
        client.answer(60)
        old.by_ring(150000000)
        reload(x, text)
        client.connect(server, "10.7.0.2", 7000).is_smc()
        check(json.loads(x.tool("smcss", "--json")) is not None, "smcss")


if __name__ == "__main__":
    sys.exit(main())
