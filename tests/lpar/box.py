# SPDX-License-Identifier: Apache-2.0
"""What the tests of LPARs share: a box with an ismd --system of its own and network
namespaces of its own, whose names carry our pid and which are gone in the end.

A test file defines cases and calls main(). Cases run one after the other, each in a
box that is new.
"""

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
BINDIR = os.environ.get("BINDIR", os.path.join(HERE, "..", "..", "build", "bin"))
BUILD = os.path.dirname(os.path.abspath(BINDIR))
ENDS = os.path.join(HERE, "ends.py")
PY = "/usr/bin/python3"
NOBODY = 65534

NO_PEER = 0x03010000
NO_DEVICE = 0x03030000
NO_MATCH = 0x03030007
NO_EID = 0x03030008
DECLINED = 0x05000000
NO_MEMORY = 0x01010000
NO_DAEMON = 0x0A010000
NO_PROOF = 0x0A020000
POLICY = 0x0A0A0000
QUOTA = 0x0A0B0000

CASES = []
SKIPPED = 77
SIZES = (1, 1000, 70000, 1000000)


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def case(fn):
    CASES.append(fn)
    return fn


def check(ok, text):
    if not ok:
        raise Failure(text() if callable(text) else text)


def wait_for(what, seconds, text, pause=0.02):
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(text() if callable(text) else text)
        time.sleep(pause)


def run(*command, ok=True, **more):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if ok and p.returncode != 0:
        raise Failure(f"{' '.join(command)}: {p.returncode}: {p.stdout.decode()}")
    return p.stdout.decode()


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# ---------------------------------------------------------------- namespaces

NETNS = []


def netns_end():
    while NETNS:
        subprocess.run(["ip", "netns", "del", NETNS.pop()], stderr=subprocess.DEVNULL)


def netns_new(name):
    full = f"oism{os.getpid()}-{name}"
    run("ip", "netns", "add", full)
    NETNS.append(full)
    run("ip", "-n", full, "link", "set", "lo", "up")
    return full


def in_netns(full, *command, **more):
    return run("ip", "netns", "exec", full, *command, **more)


def address(full, dev, *addresses):
    for a in addresses:
        run("ip", "-n", full, "addr", "add", a, "dev", dev,
            *(["nodad"] if ":" in a else []))
    run("ip", "-n", full, "link", "set", dev, "up")


def veth(a, dev_a, addresses_a, b, dev_b, addresses_b):
    """Two namespaces and a wire between them."""
    run("ip", "-n", a, "link", "add", dev_a, "type", "veth", "peer", "name", dev_b, "netns", b)
    address(a, dev_a, *addresses_a)
    address(b, dev_b, *addresses_b)


# ----------------------------------------------------------------- programs


class Conn:
    """A connection between two Ends, and what smcss says of it."""

    def __init__(self, client, name, server, port, lport):
        self.client, self.name, self.server = client, name, server
        self.port, self.lport = port, lport
        self.server_port, self.server_rport = port, lport  # addresses may be translated

    def echo(self, n, seconds=20):
        self.client.ask(f"echo {self.name} {n}", seconds)

    def close(self):
        self.client.ask(f"close {self.name}")

    def stat(self):
        """What the library says at the client's end: (mode, reason, bytes by ring)."""
        return tuple(map(int, self.client.ask(f"stat {self.name}").split()))

    def rows(self):
        """(client's, server's) row, None if not listed."""
        client = server = None
        for r in self.client.box.smcss():
            if r["pid"] == self.client.pid and r["lport"] == self.lport \
                    and r["rport"] == self.port and r["role"] == "client":
                client = r
            if self.server and r["pid"] == self.server.pid and r["lport"] == self.server_port \
                    and r["rport"] == self.server_rport and r["role"] == "server":
                server = r
        return client, server

    def expect(self, client, server, seconds=5):
        """Wait until the modes and codes are as wanted: 'SMCD', (reason, peer), None."""
        def fits(row, want):
            if want is None:
                return row is None
            if row is None:
                return False
            if want == "SMCD":
                return row["mode"] == "SMCD"
            return row["mode"] != "SMCD" and (row["reason"], row["peer_reason"]) == want

        def show(row):
            return "not listed" if row is None else \
                f'{row["mode"]} 0x{row["reason"]:08x}/0x{row["peer_reason"]:08x}'

        def look():
            c, s = self.rows()
            return (c or True, s or True) if fits(c, client) and fits(s, server) else None
        return wait_for(look, seconds,
                        lambda: "client {}, server {}".format(*map(show, self.rows())))

    def is_smc(self, proof="syn-option"):
        """Married, by this proof; what goes now goes by the rings; the contents agree."""
        client, server = self.expect("SMCD", "SMCD")
        check(client["proof"] == server["proof"] == proof,
              f'proof {client["proof"]}, {server["proof"]}')
        check((client["lpar"], client["peer_lpar"]) == (server["peer_lpar"], server["lpar"]),
              f'LPARs {client["lpar"]}-{client["peer_lpar"]}, '
              f'{server["lpar"]}-{server["peer_lpar"]}')
        for n in SIZES:
            self.echo(n)
        self.by_ring(500000)
        check(self.client.shares(), "no segment in the client's address space")
        check(self.server.shares(), "no segment in the server's address space")

    def by_ring(self, least):
        def look():
            return all(r and min(r["tx_smc_bytes"], r["rx_smc_bytes"]) >= least
                       for r in self.rows())
        wait_for(look, 5, lambda: "by ring: " + ", ".join(
            f'{r["tx_smc_bytes"]} sent, {r["rx_smc_bytes"]} received' if r else "none"
            for r in self.rows()))

    def is_tcp(self, client, server, alone=True):
        """Stays on TCP with these codes, carries content, and no memory is shared."""
        self.expect(client, server)
        for n in SIZES:
            self.echo(n)
        self.expect(client, server)
        for row in filter(None, self.rows()):
            check(row["tx_smc_bytes"] == row["rx_smc_bytes"] == 0, f"bytes by ring: {row}")
            check(not row["proof"] or row["mode"] == "TCP", f"{row}")
        for end in (self.client, self.server):
            check(not alone or end is None or not end.shares(),
                  f"{end}: a segment is mapped")


class End:
    """ends.py in an LPAR."""

    def __init__(self, box, netns, smc=True, uid=0, prefix=()):
        self.box, self.netns = box, netns
        command = box.command([PY, ENDS], netns, smc, uid, prefix)
        self.p = box.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.p.pid
        self.count = 0
        check(self.read(20) == "ready", "a program does not start")

    def __str__(self):
        return f"{self.netns}, pid {self.pid}"

    def read(self, seconds):
        if not select.select([self.p.stdout], [], [], seconds)[0]:
            raise Failure(f"{self}: no answer within {seconds} s")
        return self.p.stdout.readline().decode().strip()

    def tell(self, line):
        self.told = line
        self.p.stdin.write(line.encode() + b"\n")
        self.p.stdin.flush()

    def answer(self, seconds=20):
        answer = self.read(seconds)
        check(answer.startswith("ok"), f"{self}: {self.told}: {answer}")
        return answer[3:]

    def ask(self, line, seconds=20):
        self.tell(line)
        return self.answer(seconds)

    def listen(self, addr, port):
        self.ask(f"listen {addr} {port}")
        return self

    def connect(self, server, addr, port, own=0):
        """@server: the End that listens there, or None if it is nobody of ours."""
        self.count += 1
        name = f"c{self.count}"
        return Conn(self, name, server, port,
                    int(self.ask(f"connect {name} {addr} {port} {own}")))

    def shares(self):
        with open(f"/proc/{self.pid}/maps") as f:
            return "memfd:ism-seg" in f.read()

    def end(self):
        self.p.stdin.close()
        try:
            check(self.p.wait(10) == 0, f"{self}: ends with {self.p.returncode}")
        except subprocess.TimeoutExpired:
            raise Failure(f"{self}: does not end") from None


# -------------------------------------------------------------------- box


class Box:
    def __init__(self, netns=None):
        self.netns = netns
        self.dir = tempfile.mkdtemp(prefix="oism-test.")
        os.chmod(self.dir, 0o755)  # other users come here, too
        self.rundir = os.path.join(self.dir, "run")
        self.conf = os.path.join(self.dir, "ism.conf")
        self.env = {**os.environ, "ISM_RUNTIME_DIR": self.rundir}
        self.env.pop("LD_PRELOAD", None)
        self.children = []
        self.ismd = None
        self.ismd_pid = 0
        self.log_file = open(os.path.join(self.dir, "log"), "ab")

    def path(self, name):
        return os.path.join(self.dir, name)

    # ---- the daemon

    def configure(self, text="", state_dir=None):
        with open(self.conf, "w") as f:
            f.write(f'state_dir = "{state_dir or self.path("state")}";\n{text}\n')
        os.makedirs(self.path("state"), exist_ok=True)

    def start_ismd(self, *args, conf=True, prefix=()):
        command = [*prefix, os.path.join(BINDIR, "ismd"), "--system", *args]
        if conf:
            command += ["--config", self.conf]
        if self.netns:
            command = ["nsenter", f"--net=/run/netns/{self.netns}", *command]
        self.ismd = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL,
                                     stdout=self.log_file, stderr=self.log_file)
        self.ismd_pid = self.ismd.pid
        wait_for(lambda: self.ismd.poll() is not None or self.answers(), 10,
                 "ismd does not start")
        check(self.ismd.poll() is None, lambda: f"ismd ends at once: {self.log()}")

    def answers(self):
        return "pid" in self.info(ok=False)

    def kill_ismd(self):
        self.ismd.kill()
        self.ismd.wait()

    def stop_ismd(self):
        self.ismd.terminate()
        try:
            check(self.ismd.wait(15) == 0, f"ismd ends with {self.ismd.returncode}")
        except subprocess.TimeoutExpired:
            raise Failure("ismd does not leave") from None

    def log(self):
        with open(self.path("log"), errors="replace") as f:
            return f.read()

    def wait_log(self, text, seconds=5):
        wait_for(lambda: text in self.log(), seconds,
                 lambda: f'not in the log of ismd: "{text}"')

    # ---- programs and tools

    def command(self, command, netns=None, smc=True, uid=0, prefix=()):
        if smc:
            command = [os.path.join(BINDIR, "smc_run"), *command]
        if uid:
            command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
                       *command]
        if netns:
            command = ["ip", "netns", "exec", netns, *command]
        return [*prefix, *command]

    def start(self, command, **more):
        p = subprocess.Popen(command, env=self.env, **more)
        self.children.append(p)
        return p

    def end_of(self, netns, **more):
        return End(self, netns, **more)

    def tool(self, *command, netns=None, uid=0, ok=True, seconds=10):
        command = [os.path.join(BINDIR, command[0]), *command[1:]]
        try:
            p = subprocess.run(self.command(command, netns or self.netns, False, uid), env=self.env,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{command} does not answer") from None
        text = p.stdout.decode()
        if ok:
            check(p.returncode == 0, f"{command}: {p.returncode}, {text}")
            return text
        return p.returncode, text

    def smcss(self, netns=None, uid=0):
        return json.loads(self.tool("smcss", "-a", "--json", netns=netns, uid=uid))

    def request(self, ok=True, **what):
        """A tool's request, spoken by ourselves; {} if nobody answers."""
        import socket
        import struct
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            try:
                s.connect(os.path.join(self.rundir, "ismd.sock"))
                s.send(struct.pack("=IHH", 0x4D53494F, 2, 6) + json.dumps(what).encode())
                _, fds, _, _ = socket.recv_fds(s, 8, 1)
            except OSError:
                check(not ok, "ismd does not answer")
                return {}
        if not fds:
            return {}
        with open(fds[0]) as f:
            f.seek(0)
            return json.load(f)

    def info(self, ok=True):
        return self.request(ok, op="info")

    def lpar(self, name):
        for entry in self.request(op="lpars")["lpars"]:
            if entry["name"] == name:
                return entry
        return None

    # ---- the end

    def end(self, clean):
        for p in self.children:
            if p.poll() is None:
                with contextlib.suppress(OSError):
                    p.send_signal(signal.SIGCONT)
                p.kill()
            p.wait()
            for stream in (p.stdin, p.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        try:
            if clean and self.ismd and self.ismd.poll() is None:
                self.stop_ismd()
                check(not pins(self.rundir), lambda: f"left in the kernel: {pins(self.rundir)}")
        finally:
            if self.ismd and self.ismd.poll() is None:
                self.kill_ismd()
            cleanup(self.env)
            netns_end()
            if not clean:
                print("# ismd's log:")
                print("".join(f"#   {line}\n" for line in self.log().splitlines()[-int(os.environ.get("LPAR_LOG", "60")):]), end="")
            self.log_file.close()
            shutil.rmtree(self.dir, ignore_errors=True)


def pin_dirs(rundir):
    """Where ismd pins what it has in the kernel, see src/ismd/service.c and src/proof/env.c."""
    h = 0xCBF29CE484222325
    with open("/proc/sys/kernel/random/boot_id", "rb") as f:
        text = f.read() + rundir.encode()[:64] + b"/0"
    for byte in text:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return [f"/sys/fs/bpf/openism-{h:016x}", f"/run/openism-bpf-{h:016x}"]


def pins(rundir):
    """What is pinned. The place itself may stay: an ismd that has given up its rights
    cannot unmount it. Names with a dot are the kernel's."""
    return [os.path.join(d, name) for d in pin_dirs(rundir) if os.path.isdir(d)
            for name in os.listdir(d) if "." not in name]


def cleanup(env):
    text = run(os.path.join(BINDIR, "ismd"), "--cleanup", env=env)
    left = [d for d in pin_dirs(env["ISM_RUNTIME_DIR"]) if os.path.exists(d)]
    check(not left, f"ismd --cleanup leaves {left}")
    return text


@contextlib.contextmanager
def box(config="", start=True, netns=None):
    """@netns: the one that is the host, in which ismd runs; None: ours."""
    b = Box(netns)
    good = False
    try:
        b.configure(config)
        if start:
            b.start_ismd()
        yield b
        good = True
    finally:
        b.end(good)


def lpar_text(name, netns, more=""):
    return f'{{ name = "{name}"; netns = "/run/netns/{netns}"; {more} }}'


def two_lpars(a_more="", b_more="", more="", names=("a", "b")):
    """Two configured LPARs with a wire: (text of the configuration, netns, netns)."""
    a, b = netns_new(names[0]), netns_new(names[1])
    veth(a, "v0", ["10.7.0.1/24", "fd07::1/64"], b, "v0", ["10.7.0.2/24", "fd07::2/64"])
    text = f"lpars = ( {lpar_text(names[0], a, a_more)}, {lpar_text(names[1], b, b_more)} );\n"
    return text + more, a, b


# ------------------------------------------------------------------- main


def missing():
    if os.geteuid() != 0:
        return "not root"
    for tool in ("ip", "setpriv"):
        if not shutil.which(tool):
            return f"no {tool} here"
    for name in ("smc_run", "ismd", "libsmc-preload.so"):
        if not os.path.exists(os.path.join(BINDIR, name)):
            return f"no {name} in {BINDIR}"
    try:
        netns_new("probe")
    except Failure as e:
        return f"no network namespaces: {e}"
    finally:
        netns_end()
    with box() as b:
        info = b.info()
    return info["proof_missing"] and f"no SYN-option proof here: {info['proof_missing']}"


def stopped(signum, frame):
    sys.exit(128 + signum)


def main():
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    atexit.register(netns_end)
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)
    why = missing()
    if why:
        print(f"SKIP: {why}")
        return SKIPPED
    chosen = [c for c in CASES if not sys.argv[1:] or c.__name__ in sys.argv[1:]]
    failed = 0
    for fn in chosen:
        start = time.monotonic()
        try:
            fn()
            print(f"ok - {fn.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        except Skip as e:
            print(f"ok - {fn.__name__} # SKIP {e}", flush=True)
        except Exception as e:
            failed += 1
            print(f"not ok - {fn.__name__}: {e}", flush=True)
            if not isinstance(e, Failure):
                traceback.print_exc(file=sys.stdout)
        finally:
            netns_end()
    print("all ok" if not failed else f"{failed} failed")
    return 1 if failed else 0
