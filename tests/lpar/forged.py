#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who lies to ismd is not believed, gets nothing of others, and disturbs nobody.

The victims are a married pair, and a client whose other end is a plain program: that
is the end that a liar would like to be. liar.c lies as a user without rights, in an
LPAR of his own and in that of the victim.
"""

import os
import re
import shutil
import subprocess
import sys

from box import (BUILD, NO_EID, NO_PEER, NOBODY, address, box, case,
                 check, lpar_text, main, netns_new, run)

LIAR = os.environ.get("LIAR", os.path.join(BUILD, "tests", "lpar-liar"))
HELPER = os.environ.get("HELPER", os.path.join(BUILD, "tests", "lpar-helper"))
LPARS = ("sv", "cl", "bad")


def bridged():
    """LPARs sv, cl and bad at 10.7.0.1, .2 and .3; bad has no EID in common with them."""
    wire = netns_new("br")
    run("ip", "-n", wire, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", wire, "link", "set", "br0", "up")
    names = []
    for i, name in enumerate(LPARS):
        n = netns_new(name)
        run("ip", "-n", wire, "link", "add", f"p{i}", "type", "veth", "peer", "name", "v0",
            "netns", n)
        run("ip", "-n", wire, "link", "set", f"p{i}", "master", "br0", "up")
        address(n, "v0", f"10.7.0.{i + 1}/24")
        names.append(n)
    more = ("", "", 'seid = false; ueids = [ "BAD" ];')
    text = ", ".join(lpar_text(*x) for x in zip(LPARS, names, more))
    return f"lpars = ( {text} );", names


class Scene:
    def __init__(self, x, names):
        self.x, self.netns = x, dict(zip(LPARS, names))
        self.server = x.end_of(names[0]).listen("10.7.0.1", 7000)
        self.client = x.end_of(names[1])
        self.plain = x.end_of(names[0], smc=False).listen("10.7.0.1", 7001)
        self.married = self.client.connect(self.server, "10.7.0.1", 7000)
        self.married.is_smc()
        self.lonely = self.client.connect(self.plain, "10.7.0.1", 7001)
        self.lonely.is_tcp((NO_PEER, 0), None, alone=False)
        self.segment = re.search(r"segment (\d+) slot", x.log()).group(1)
        # what liar may execute as anybody
        self.liar = x.path("liar")
        shutil.copy(LIAR, self.liar)
        os.chmod(self.liar, 0o755)

    def plain_fd(self):
        """The number of the socket that the plain program has accepted."""
        at = f"/proc/{self.plain.pid}/fd"
        return max(int(fd) for fd in os.listdir(at)
                   if os.readlink(f"{at}/{fd}").startswith("socket:"))

    def lie(self, where, *args, uid=NOBODY, expect=0):
        p = subprocess.run(self.x.command([self.liar, *map(str, args)], self.netns[where], False,
                                          uid), env=self.x.env, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=60)
        text = p.stdout.decode().strip()
        check(p.returncode == expect, f"{args[0]} in {where}: {p.returncode}, {text}")
        return text

    def unharmed(self):
        """The victims have what they had, and others are served."""
        x = self.x
        check(x.ismd.poll() is None, "ismd has died")
        self.married.expect("SMCD", "SMCD")
        self.married.echo(100000)
        self.lonely.is_tcp((NO_PEER, 0), None, alone=False)
        client = x.end_of(self.netns["cl"])
        client.connect(self.server, "10.7.0.1", 7000).is_smc()
        client.end()


def attack(*args, log=None, uid=NOBODY, where=("bad", "sv")):
    """@args: words, or functions of the scene that give them."""
    text, names = bridged()
    with box(text) as x:
        scene = Scene(x, names)
        for w in where:
            scene.lie(w, *[a(scene) if callable(a) else a for a in args], uid=uid)
        if log:
            x.wait_log(log)
        scene.unharmed()


@case
def descriptor_numbers():
    attack("numbers", Scene.plain_fd)


@case
def pids():
    attack("pids", lambda s: s.plain.pid, Scene.plain_fd)


@case
def pids_of_a_client():
    """A process that ismd knows, in another family."""
    attack("pids", lambda s: s.server.pid, lambda s: s.married.rows()[1]["fd"])


@case
def scribbled_rows():
    attack("scribble", 1, where=("sv",))


@case
def passed_sockets():
    attack("claim_fd", "10.7.0.1", 7000, log="0x0a020000")


@case
def foreign_families():
    attack("child", log="refused, it is of another family")


@case
def foreign_segments():
    attack("segments", lambda s: s.segment, log="refused, it has nothing there")


@case
def garbage():
    attack("garbage", 20000, log="nonsense of")


@case
def socket_of_another_namespace():
    """Held by a program of LPAR bad, so it is the rules of that one that count."""
    text, names = bridged()
    with box(text) as x:
        s = Scene(x, names)
        s.lie("bad", "namespace", f"/run/netns/{names[1]}", "10.7.0.1", 7000, uid=0)
        x.wait_log(f"0x{NO_EID:08x}")
        s.unharmed()
        s.lie("cl", "namespace", f"/run/netns/{names[1]}", "10.7.0.1", 7000, uid=0, expect=1)


@case
def set_uid_program():
    """HELLO as nobody, then exec of a set-uid program whose socket a child claims."""
    text, names = bridged()
    with box(text) as x:
        s = Scene(x, names)
        helper = x.path("helper")
        shutil.copy(HELPER, helper)
        for owner in (0, 1234):
            os.chown(helper, owner, owner)
            os.chmod(helper, 0o4755)
            check("believed" not in s.lie("cl", "setuid", helper, "10.7.0.1", 7000),
                  f"the socket of a program that is set-uid {owner} was given away")
            x.wait_log("not looked into, it has more rights than uid 65534")
        s.unharmed()
        # what refuses it is the set-uid bit, nothing else
        os.chmod(helper, 0o755)
        check("believed" in s.lie("cl", "setuid", helper, "10.7.0.1", 7000),
              "without set-uid it is refused as well")
        s.unharmed()


@case
def nonsense_in_shared_memory():
    """Only the connections of the liar himself suffer."""
    text, names = bridged()
    with box(text) as x:
        s = Scene(x, names)
        s.lie("cl", "ring", "10.7.0.1", 7000)
        s.unharmed()


@case
def rights():
    text, names = bridged()
    with box(text) as x:
        s = Scene(x, names)
        for uid, where in ((NOBODY, "sv"), (NOBODY, "bad"), (0, "bad"), (NOBODY, None)):
            for command in (("smc_rnics", "-d", "1", "-N", "sv"),
                            ("smc_rnics", "--add", "7", "-N", "sv"),
                            ("smcd", "ueid", "add", "BAD", "--lpar", "sv"),
                            ("smc_pnet", "-a", "NEWNET", "-D", "1", "-N", "sv")):
                code, said = x.tool(*command, netns=where and s.netns[where], uid=uid, ok=False)
                check(code != 0, f"{command} as {uid} in {where}: {said}")
        x.wait_log("refused, \"power\"")
        s.unharmed()


if __name__ == "__main__":
    sys.exit(main())
