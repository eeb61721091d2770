# SPDX-License-Identifier: Apache-2.0
"""Containers as engines make them, for the tests: a root file system that cannot be
written, no /dev/shm, process ids of its own, an ordinary user without capabilities,
Docker's default system call profile. In it are, read-only, the directory of ismd's
socket at /run/ism and openism at /opt/openism, and nothing else of ours.

An engine turns a command into one that runs it in such a container: bubblewrap for
programs of an ordinary user (rootless) and for root, runc and crun with an OCI bundle.
"""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lpar"))

from box import BINDIR, NOBODY, PY, End, Failure, Skip, check, run, wait_for  # noqa: E402

PROFILE = os.path.join(HERE, "docker-default-seccomp.json")
UNDER_SECCOMP = os.environ.get("UNDER_SECCOMP", "/nowhere/under-seccomp")
PREFIX = "/opt/openism"
INSIDE = "/opt/tests"
LIBRARY = f"{PREFIX}/libsmc-preload.so"
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8"}
USER = 1000

# What a container has of the machine, as an image would.
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", "/etc/ssl",
          "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/mime.types"]


def mounts(box, rundir):
    """(source, destination), all of them read-only."""
    out = [(s, s) for s in SYSTEM if os.path.exists(s)]
    out += [(BINDIR, PREFIX), (os.path.join(HERE, "..", "lpar"), INSIDE),
            (box.path("share"), "/srv")]
    if rundir:
        out.append((rundir, "/run/ism"))
    return out


class Bwrap:
    """bubblewrap; @rootless: run by an ordinary user, in a user namespace."""

    def __init__(self, rootless):
        self.rootless = rootless
        self.name = "bwrap, rootless" if rootless else "bwrap"

    def missing(self):
        if not shutil.which("bwrap"):
            return "no bwrap here"
        if not os.path.exists(UNDER_SECCOMP):
            return "no under-seccomp here"
        probe = ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"]
        if self.rootless and subprocess.run(as_user(probe), stderr=subprocess.DEVNULL,
                                            check=False).returncode:
            return "no user namespaces for ordinary users"
        return None

    def command(self, box, args, rundir, netns, env):
        c = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
             "--unshare-cgroup-try", "--clearenv", "--tmpfs", "/dev", "--proc", "/proc"]
        for directory in ("/opt", "/run", "/etc"):
            c += ["--perms", "0755", "--dir", directory]
        for dev in ("null", "zero", "random", "urandom"):
            c += ["--dev-bind", f"/dev/{dev}", f"/dev/{dev}"]
        for source, destination in mounts(box, rundir):
            if os.path.islink(source):
                c += ["--symlink", os.readlink(source), destination]
            else:
                c += ["--ro-bind", source, destination]
        for tool in (UNDER_SECCOMP, PROFILE):
            c += ["--ro-bind", tool, f"/opt/{os.path.basename(tool)}"]
        for name, value in {**ENV, **env}.items():
            c += ["--setenv", name, value]
        c += ["--remount-ro", "/", "--chdir", "/"]
        inside = [f"/opt/{os.path.basename(UNDER_SECCOMP)}", f"/opt/{os.path.basename(PROFILE)}",
                  *args]
        if self.rootless:
            c = as_user([*c, "--unshare-user", "--uid", str(USER), "--gid", str(USER), *inside])
        else:
            c += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
                  "--cap-add", "CAP_SETPCAP",
                  *as_user(["--bounding-set=-all", "--no-new-privs", *inside], USER)]
        return ["ip", "netns", "exec", netns, *c] if netns else c

    def remove(self, box):
        pass  # dies with its parent


class Oci:
    """runc or crun with a bundle of its own for each container."""

    # crun knows nothing of machines with both versions of cgroups: it is shown one
    ONE_CGROUP = ["unshare", "--mount", "sh", "-c", "[ ! -d /sys/fs/cgroup/unified ] || "
                  "mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup; exec \"$@\"", "sh"]

    def __init__(self, program, *options, prefix=()):
        self.name = program
        self.program = [*prefix, program, *options]
        self.made = []

    def missing(self):
        if not shutil.which(self.name):
            return f"no {self.name} here"
        with tempfile.TemporaryDirectory(prefix="oism-test.") as path:
            os.makedirs(os.path.join(path, "rootfs", "dev"))
            with open(os.path.join(path, "config.json"), "w") as f:
                json.dump(self.probe(), f)
            p = subprocess.run([*self.program, "--root", f"{path}/state", "run",
                                "--bundle", path, f"oism{os.getpid()}-probe"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, check=False)
        return p.stderr.decode().strip().splitlines()[-1:] and p.returncode and \
            f"{self.name} does not run here: {p.stderr.decode().strip().splitlines()[-1]}"

    @staticmethod
    def probe():
        return {
            "ociVersion": "1.0.2",
            "process": {"cwd": "/", "args": ["/usr/bin/true"], "user": {"uid": 0, "gid": 0}},
            "root": {"path": "rootfs", "readonly": False},
            "mounts": [{"destination": d, "type": "bind", "source": d, "options": ["rbind", "ro"]}
                       for d in ("/usr", "/lib", "/lib64") if os.path.isdir(d)] +
                      [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
        }

    def root(self, box):
        return [*self.program, "--root", box.path(f"{self.name}-state")]

    def bundle(self, box, name, config):
        path = box.path(name)
        root = os.path.join(path, "rootfs")
        for mount in config["mounts"]:
            os.makedirs(root + mount["destination"], exist_ok=True)
        for source in SYSTEM:
            if os.path.isfile(source):
                os.makedirs(root + os.path.dirname(source), exist_ok=True)
                open(root + source, "w").close()
            elif os.path.islink(source):
                os.symlink(os.readlink(source), root + source)
        with open(os.path.join(path, "config.json"), "w") as f:
            json.dump(config, f)
        return path

    def config(self, box, args, rundir, netns, env):
        with open(PROFILE) as f:
            profile = json.load(f)
        spaces = [{"type": t} for t in ("pid", "ipc", "uts", "mount")]
        if netns:
            spaces.append({"type": "network", "path": f"/run/netns/{netns}"})
        mount = [{"destination": "/proc", "type": "proc", "source": "proc"},
                 {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "strictatime", "mode=755"]}]
        mount += [{"destination": d, "type": "bind", "source": s, "options": ["rbind", "ro"]}
                  for s, d in mounts(box, rundir) if not os.path.islink(s) and os.path.isdir(s)]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False, "cwd": "/", "args": args, "noNewPrivileges": True,
                "user": {"uid": USER, "gid": USER},
                "env": [f"{k}={v}" for k, v in {**ENV, **env}.items()],
                "capabilities": {k: [] for k in ("bounding", "effective", "permitted")},
            },
            "root": {"path": "rootfs", "readonly": True},
            "hostname": "container",
            "mounts": mount,
            "linux": {"namespaces": spaces, "seccomp": profile},
        }

    def command(self, box, args, rundir, netns, env):
        name = f"oism{os.getpid()}-{len(self.made)}"
        self.made.append(name)
        path = self.bundle(box, name, self.config(box, args, rundir, netns, env))
        return [*self.root(box), "run", "--bundle", path, name]

    def remove(self, box):
        while self.made:
            subprocess.run([*self.root(box), "delete", "--force", self.made.pop()],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def as_user(command, uid=NOBODY):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command]


ENGINES = [Bwrap(True), Bwrap(False), Oci("runc"),
           Oci("crun", "--cgroup-manager=disabled", prefix=Oci.ONE_CGROUP)]


def engine(n):
    """The engine with that name, or Skip."""
    e = next(e for e in ENGINES if e.name == n)
    why = e.missing()
    if why:
        raise Skip(why)
    return e


# ------------------------------------------------------------------ processes


def children(pid):
    """Of all its threads."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(path) as f:
            found += map(int, f.read().split())
    return found


def words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def find_below(pid, program):
    """The process that runs @program, below @pid, by its id on the host."""
    if words(pid)[:2].count(program):
        return pid
    for c in children(pid):
        found = find_below(c, program)
        if found:
            return found
    return None


class Contained(End):
    """ends.py in a container."""

    def __init__(self, box, engine_, netns=None, rundir=True, preload=False, env=None):
        self.engine = engine_
        rundir = box.rundir if rundir is True else rundir
        command = [PY, f"{INSIDE}/ends.py"]
        env = dict(env or {})
        if preload:
            env["LD_PRELOAD"] = LIBRARY
        else:
            command.insert(0, f"{PREFIX}/smc_run")
        self.box, self.netns = box, netns or "host network"
        self.p = box.start(engine_.command(box, command, rundir, netns, env),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.count = 0
        check(self.read(20) == "ready", f"{engine_.name}: the program does not start")
        self.pid = find_below(self.p.pid, f"{INSIDE}/ends.py")
        check(self.pid, f"{engine_.name}: the program is not found")

    def is_locked_in(self):
        """It is what we say that it is."""
        status = {}
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                key, _, value = line.partition(":")
                status[key] = value.strip()
        check(status["CapPrm"] == status["CapBnd"] == "0" * 16 or self.engine.name.endswith("less"),
              f"capabilities {status['CapPrm']}, {status['CapBnd']}")
        check(status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", "not under seccomp")
        check(int(status["Uid"].split()[0]) != 0, "root")
        check(len(status["NSpid"].split()) == 2, "no process ids of its own")
        check(not os.path.exists(f"/proc/{self.pid}/root/dev/shm"), "there is a /dev/shm")
        with open(f"/proc/{self.pid}/mountinfo") as f:
            root = [line.split()[5] for line in f if line.split()[4] == "/"]
        check("ro" in root[-1].split(","), f"the root is {root[-1]}")
        with open(f"/proc/{self.pid}/environ") as f:
            check("ISM_RUNTIME_DIR" not in f.read(), "ISM_RUNTIME_DIR is set")
