#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measure openism against TCP and UNIX sockets, and say how far it is from the limit.

Every round runs every case over every transport in turn, so that a change of the
machine's mood hits all of them; a number is the median of the rounds, with the range
beside it. SMC is the TCP program under smc_run, unchanged; a run that did not move
its bytes through shared memory is an error and not a number.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOC = os.path.join(ROOT, "docs", "performance.md")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
SIZES = [64, 1024, 65536, 1048576]
NOISY = 0.30  # a spread above this share of the median is marked
SMC_SHARE = 0.99  # of all bytes of a run, through shared memory


class Case:
    """One load. run(transport) returns a dict with "value" and perhaps more."""

    def __init__(self, name, title, lower_is_better, transports, run, command):
        self.name = name
        self.title = title
        self.lower = lower_is_better
        self.transports = transports
        self.run = run
        self.command = command
        self.samples = {t: [] for t in transports}
        self.errors = []

    def median(self, transport, key="value"):
        values = [s[key] for s in self.samples.get(transport, []) if key in s]
        return statistics.median(values) if values else None

    def spread(self, transport):
        values = [s["value"] for s in self.samples.get(transport, [])]
        return (min(values), max(values)) if values else None

    def is_noisy(self, transport):
        spread = self.spread(transport)
        return bool(spread) and spread[1] - spread[0] > NOISY * self.median(transport)

    def times_better(self, one, other):
        """How many times better `one` is than `other`."""
        a, b = self.median(one), self.median(other)
        if not a or not b:
            return None
        return b / a if self.lower else a / b


class Bench:
    def __init__(self, options):
        self.bin = os.path.join(ROOT, options.build, "bin")
        self.seconds = 0.2 if options.quick else 0.8
        self.warmup = 0.05 if options.quick else 0.2
        self.quick = options.quick
        self.rounds = options.rounds or (3 if options.quick else 5)

    def tool(self, name):
        return os.path.join(self.bin, name)

    def command(self, transport, command):
        return [self.tool("smc_run"), *command] if transport == "smc" else command

    # ---- ismbench

    def ismbench(self, load, size, place):
        def run(transport):
            flag = "--tcp" if transport == "smc" else f"--{transport}"
            command = self.command(transport, [
                self.tool("ismbench"), flag, f"--{load}", "--size", str(size), "--pin", place,
                "--seconds", str(self.seconds), "--warmup", str(self.warmup), "--json"])
            out = json.loads(output(command, self.seconds * 4 + 20))
            check_ismbench_path(transport, out["path"])
            if load == "stream":
                return {"value": out["mb_per_s"]}
            rtt = out["rtt_ns"]
            return {"value": rtt["p50"] / 1e3, "p99": rtt["p99"] / 1e3, "p999": rtt["p99.9"] / 1e3}

        # With both ends on one core the spinning ring measures the scheduler's clock tick.
        transports = ["tcp", "unix", "smc"] + (["ring"] if place != "together" else [])
        return Case(f"{load}-{size}-{place}", f"{name_of(size)}", load == "pingpong", transports,
                    run, f"smc_run ismbench --{load} --size {size} --pin {place}")

    # ---- real programs

    def watched(self, transport, server, client, port, seconds):
        """Run a server and a client; the client's output, and proof of the path."""
        with tempfile.TemporaryFile() as out:
            with child(self.command(transport, server)):
                wait_for_listener(port)
                with child(self.command(transport, client), out) as proc:
                    if transport == "smc":
                        self.check_path_of(port, proc)
                    status = proc.wait(seconds * 4 + 20)
            out.seek(0)
            text = out.read().decode(errors="replace")
        if status:
            raise RuntimeError(f"{client[0]} exited with {status}:\n{text}")
        return text

    def check_path_of(self, port, proc):
        """While the client runs, see its bytes move through shared memory. sockperf
        rests two seconds before it begins; a connection that was quick to send has
        sent its first bytes by TCP."""
        smc = tcp = 0
        while proc.poll() is None:
            time.sleep(0.1)
            rows = json.loads(output([self.tool("smcss"), "--json"], 10))
            rows = [r for r in rows if port in (r["lport"], r["rport"])]
            smc = sum(r["tx_smc_bytes"] + r["rx_smc_bytes"] for r in rows)
            tcp = sum(r["tx_tcp_bytes"] + r["rx_tcp_bytes"] for r in rows)
            if smc > 1000000 and smc > SMC_SHARE * (smc + tcp):
                return
        raise RuntimeError(f"port {port}: {smc} bytes by shared memory, {tcp} by TCP")

    def sockperf(self, load, size):
        seconds = 1 if self.quick else 2
        mode = "ping-pong" if load == "pingpong" else "throughput"

        def run(transport):
            port = free_port()
            # One ping-pong round trip or message after the other, each end on its core.
            where = ["-i", "127.0.0.1", "-p", str(port), "--tcp"]
            server = ["sockperf", "server", *where, "--cpu-affinity", "1"]
            client = ["sockperf", mode, *where, "--sender-affinity", "0", "-m", str(size), "-t",
                      str(seconds)]
            if load == "pingpong":
                # Without a rate sockperf makes room for 600,000 round trips a second, and
                # gives up when there are more. Fewer than that are measured all the same.
                client += ["--full-rtt", "--mps", "550000"]
            text = self.watched(transport, server, client, port, seconds)
            if load == "pingpong":
                return {"value": find(text, r"percentile 50\.000 = *([\d.]+)"),
                        "p99": find(text, r"percentile 99\.000 = *([\d.]+)")}
            # sockperf counts in 2^20 bytes; what it says is what it could send
            return {"value": find(text, r"BandWidth is ([\d.]+) MBps") * 1.048576}

        return Case(f"sockperf-{load}-{size}", f"sockperf {mode}, {name_of(size)}",
                    load == "pingpong", ["tcp", "smc"], run,
                    f"smc_run sockperf {mode} --tcp -m {size} (and smc_run sockperf server)")

    def iperf3(self, size):
        seconds = 1 if self.quick else 2

        def run(transport):
            port = free_port()
            server = ["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", str(port)]
            client = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-l", str(size), "-t",
                      str(seconds), "-A", "0,1", "-J"]
            text = self.watched(transport, server, client, port, seconds)
            return {"value": json.loads(text)["end"]["sum_received"]["bits_per_second"] / 8e6}

        return Case(f"iperf3-{size}", f"iperf3, {name_of(size)}", False, ["tcp", "smc"], run,
                    f"smc_run iperf3 -c 127.0.0.1 -l {size} (and smc_run iperf3 -s)")

    def cases(self):
        yield from (self.ismbench("pingpong", s, "apart") for s in SIZES)
        yield self.ismbench("pingpong", 64, "together")
        yield self.ismbench("pingpong", 64, "free")
        yield from (self.ismbench("stream", s, "apart") for s in SIZES)
        yield self.ismbench("stream", 65536, "together")
        yield self.ismbench("stream", 65536, "free")
        yield self.sockperf("pingpong", 64)
        if not self.quick:  # each run of sockperf begins with a rest of two seconds
            yield self.sockperf("stream", 1024)
        yield self.iperf3(65536)


# ---- processes

def output(command, timeout):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def child(command, out=subprocess.DEVNULL):
    proc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield proc
    finally:
        if proc.poll() is None:
            proc.terminate()
            try:
                proc.wait(5)
            except subprocess.TimeoutExpired:
                proc.kill()
        proc.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_listener(port):
    wanted = f"0100007F:{port:04X}"
    for _ in range(200):
        with open("/proc/net/tcp") as table:
            if any(line.split()[1] == wanted and line.split()[3] == "0A" for line in table):
                return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}")


def find(text, pattern):
    match = re.search(pattern, text)
    if not match:
        raise RuntimeError(f"no {pattern!r} in:\n{text}")
    return float(match.group(1))


def check_ismbench_path(transport, path):
    if transport != "smc":
        if path["mode"] != "none":
            raise RuntimeError(f"{transport} ran under openism: {path}")
        return
    smc, tcp = path["smc_bytes"], path["tcp_bytes"]
    if path["mode"] != "SMCD" or smc < SMC_SHARE * (smc + tcp):
        raise RuntimeError(f"not over shared memory: {path}")


# ---- report

def name_of(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(case, transport):
    if transport not in case.transports:
        return ""
    value = case.median(transport)
    if value is None:
        return "error"
    low, high = case.spread(transport)
    return f"{number(value)}{' ~' if case.is_noisy(transport) else ''} ({number(low)}..{number(high)})"


def ratio(value):
    return "-" if value is None else f"{value:.1f}x"


def table(header, rows):
    rows = [header, *rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |" for r in rows]
    lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    return "\n".join(lines)


def own_tables(cases):
    places = (("apart", "each end on a core of its own"), ("together", "both ends on one core"),
              ("free", "wherever the scheduler puts them"))
    for load, what in (("pingpong", "Round trip, median in us (less is better)"),
                       ("stream", "Stream, MB/s (more is better)")):
        rows = []
        for place, where in places:
            for case in cases:
                if not (case.name.startswith(load) and case.name.endswith(place)):
                    continue
                share = case.times_better("smc", "ring")
                rows.append([case.title, where, *(cell(case, t) for t in ("tcp", "unix", "smc", "ring")),
                             ratio(case.times_better("smc", "tcp")),
                             ratio(case.times_better("smc", "unix")),
                             f"{share:.0%}" if share else ""])
        yield what, table(["message", "placement", "TCP", "UNIX", "SMC", "bare ring", "SMC : TCP",
                           "SMC : UNIX", "of the ring"], rows)
    rows = [[c.title, *(number(c.median(t, k)) for k in ("p99", "p999") for t in ("tcp", "unix", "smc"))]
            for c in cases if c.name.startswith("pingpong") and c.name.endswith("apart")]
    yield "Round trip, tails in us (each end on a core of its own)", table(
        ["message", "TCP p99", "UNIX p99", "SMC p99", "TCP p99.9", "UNIX p99.9", "SMC p99.9"], rows)


def program_table(cases):
    rows = [[c.title, "us" if c.lower else "MB/s", cell(c, "tcp"), cell(c, "smc"),
             ratio(c.times_better("smc", "tcp"))]
            for c in cases if c.transports == ["tcp", "smc"]]
    return "Programs as they come", table(["program", "unit", "TCP", "SMC", "SMC : TCP"], rows)


def targets(cases):
    by_name = {c.name: c for c in cases}

    def verdict(text, value, least):
        return f"- {text}: {ratio(value)} ({'met' if value and value >= least else 'MISSED'})"

    yield verdict("64 B round trip at least 20 times faster than TCP",
                  by_name["pingpong-64-apart"].times_better("smc", "tcp"), 20)
    yield verdict("64 KiB stream at least 2 times TCP",
                  by_name["stream-65536-apart"].times_better("smc", "tcp"), 2)
    worst = [(c.times_better("smc", "tcp") or 0, c.name) for c in cases]
    yield verdict(f"no case slower than TCP (worst: {min(worst)[1]})", min(worst)[0], 1)


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def report(cases, bench, command):
    today = datetime.date.today().isoformat()
    parts = [f"Machine: {machine()}. {today}, `{command}`, {bench.rounds} rounds of "
             f"{bench.seconds:g} s. A cell is the median of the rounds (lowest..highest); "
             f"~ marks a range wider than {NOISY:.0%} of the median."]
    for title, text in [*own_tables(cases), program_table(cases)]:
        parts.append(f"### {title}\n\n{text}")
    parts.append("### Targets\n\n" + "\n".join(targets(cases)))
    return "\n\n".join(parts)


def command_list(cases):
    rows = [[c.title, f"`{c.command}`"] for c in cases]
    return ("### The command behind each SMC number\n\n"
            "The TCP number is the same without `smc_run`; UNIX and ring are `ismbench --unix` and "
            "`--ring`.\n\n" + table(["case", "command"], rows))


def plot(cases, load, title, ylabel):
    """A bar chart in docs/img, one group a size, one bar a transport."""
    apart = [c for c in cases if c.name.startswith(load) and c.name.endswith("apart")]
    transports = ["tcp", "unix", "smc", "ring"]
    lines = [f'"{c.title}" ' + " ".join(str(c.median(t) or "NaN") for t in transports) for c in apart]
    colors = ["#9aa0a6", "#5b8def", "#d1495b", "#30343b"]
    names = ["TCP", "UNIX", "SMC", "bare ring"]
    bars = ", ".join(f'$data using {i + 2}:xtic(1) title "{names[i]}" lc rgb "{colors[i]}"'
                     for i in range(len(names)))
    path = os.path.join(ROOT, "docs", "img", f"{load}.svg")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    script = "\n".join([
        "$data << EOD", *lines, "EOD",
        "set terminal svg size 760,380 font 'sans-serif,13' background '#ffffff'",
        f"set output '{path}'", f"set title '{title}'", f"set ylabel '{ylabel}'",
        "set style data histogram", "set style histogram clustered gap 1",
        "set style fill solid 0.95 border -1", "set boxwidth 0.9", "set logscale y",
        "set grid ytics lc rgb '#dddddd'", "set key top left",
        f"plot {bars}"])
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def write_doc(text):
    with open(DOC) as doc:
        old = doc.read()
    begin, end = old.index(BEGIN) + len(BEGIN), old.index(END)
    with open(DOC, "w") as doc:
        doc.write(old[:begin] + "\n" + text + "\n" + old[end:])


def measure(bench, cases):
    """All rounds; the errors are kept with their case, and the rest goes on."""
    start = time.monotonic()
    for n in range(bench.rounds):
        for case in cases:
            for transport in case.transports:
                try:
                    case.samples[transport].append(case.run(transport))
                except (RuntimeError, ValueError, KeyError, subprocess.TimeoutExpired) as e:
                    text = " ".join(str(e).split())[:300]
                    case.errors.append(f"{case.name} {transport}: {text}")
        print(f"round {n + 1} of {bench.rounds}, {time.monotonic() - start:.0f} s", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--quick", action="store_true", help="short runs, three rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="", help="regular expression for the cases' names")
    parser.add_argument("--doc", action="store_true", help="update docs/performance.md")
    options = parser.parse_args()
    bench = Bench(options)
    cases = [c for c in bench.cases() if re.search(options.only, c.name)]
    os.environ.pop("LD_PRELOAD", None)
    with tempfile.TemporaryDirectory(prefix="ismbench-") as runtime:
        os.environ["ISM_RUNTIME_DIR"] = os.path.join(runtime, "run")
        # One daemon for the whole run; without --background it stays until we end it.
        with child([bench.tool("ismd"), "--foreground"]):
            measure(bench, cases)
    results = os.path.join(ROOT, options.build, "bench")
    os.makedirs(results, exist_ok=True)
    name = datetime.datetime.now().strftime("%Y%m%d-%H%M%S.json")
    with open(os.path.join(results, name), "w") as out:
        json.dump({"machine": machine(), "rounds": bench.rounds, "seconds": bench.seconds,
                   "cases": {c.name: c.samples for c in cases},
                   "errors": [e for c in cases for e in c.errors]}, out, indent=1)
    errors = [e for c in cases for e in c.errors]
    if options.only:
        for title, text in [*own_tables(cases), program_table(cases)]:
            print(f"{title}\n\n{text}\n")
    else:
        text = report(cases, bench, "make bench-quick" if options.quick else "make bench")
        print(text)
        if options.doc and not errors:
            write_doc(text + "\n\n" + command_list(cases))
            plot(cases, "pingpong", "Round trip, each end on a core of its own", "us, median")
            plot(cases, "stream", "Stream, each end on a core of its own", "MB/s")
    for e in errors:
        print(f"error: {e}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
