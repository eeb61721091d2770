#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two isolated pairs of namespaces with the same addresses and, connection by
connection at the same time, the same ports: no wrong marriage, ever.

LPAR_TRIES is how often (1000; the number to be proud of is 10000).
"""

import os
import select
import subprocess
import sys

from box import HERE, PY, box, case, check, main, netns_new, veth

TRIES = int(os.environ.get("LPAR_TRIES", "1000"))
TWINS = os.path.join(HERE, "twins.py")
FIRST_PORT = 12000


class Twin:
    """A pair of namespaces, a server and a client; each under smc_run or not."""

    def __init__(self, x, number, smc_client=True, smc_server=True, ms=20):
        self.who = f"pair{number}"
        a, b = netns_new(f"a{number}"), netns_new(f"b{number}")
        veth(a, "v0", ["10.7.0.1/24"], b, "v0", ["10.7.0.2/24"])
        self.server = self.start(x, b, "server", smc_server, ms)
        self.client = self.start(x, a, "client", smc_client, ms)

    def start(self, x, netns, role, smc, ms):
        p = x.start(x.command([PY, TWINS, role, self.who, "10.7.0.2", "7000",
                               str(ms)], netns, smc),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        check(p.stdout.readline() == b"ready\n", "a program does not start")
        return p

    def tell(self, token, port):
        self.client.stdin.write(f"{token} {port}\n".encode())
        self.client.stdin.flush()

    def answer(self):
        check(select.select([self.client.stdout], [], [], 30)[0], f"{self.who}: no answer")
        words = self.client.stdout.readline().decode().strip()
        check(words.startswith("ok "), words)
        return tuple(map(int, words.split()[1:]))


def tries(twins, n):
    """How many connections of each went by shared memory."""
    count = [0] * len(twins)
    for i in range(n):
        for t in twins:
            t.tell(f"token{i}", FIRST_PORT + i)
        for k, t in enumerate(twins):
            mode, sent = t.answer()
            count[k] += mode == 2 and sent > 0
    return count


@case
def two_pairs():
    with box() as x:
        count = tries([Twin(x, 1, ms=2000), Twin(x, 2, ms=2000)], TRIES)
        print(f"# {TRIES} tries, by shared memory: {count}, none wrong")
        check(min(count) > TRIES * 0.9, "few went by shared memory")


@case
def half_of_each():
    """One pair has only the client under smc_run, the other only the server: the two
    would fit together well."""
    for conf in ("", "syn_option = false;"):
        with box(conf) as x:
            n = min(TRIES, 50)
            count = tries([Twin(x, 1, smc_server=False), Twin(x, 2, smc_client=False)], n)
            check(count == [0, 0], f"by shared memory: {count}")
            check(x.request(op="stats")["smc_conns"] == 0, "married")


@case
def without_the_option():
    """Addresses alone prove nothing between namespaces, however well they fit."""
    with box("syn_option = false;") as x:
        count = tries([Twin(x, 1), Twin(x, 2)], min(TRIES, 20))
        check(count == [0, 0], f"by shared memory: {count}")


if __name__ == "__main__":
    sys.exit(main())
