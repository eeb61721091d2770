#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run every test there is and close with "N passed, N failed".

Stages, quick ones first: style, build, suites (those of meson: unit, twin, e2e, kill
and so on), install, asan, tsan, fuzz. asan and tsan run, in build folders of their
own, the unit tests and what is marked for them. What cannot be built counts as a
failure, and so does a test that belongs to no suite: nothing is left out in silence.
Logs stay in build/test-logs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROJECT = "openism"  # meson names it as the suite of a test that has none
LOGS = os.path.join(ROOT, "build", "test-logs")
# In this order, then whatever other suites there are. "asan" and "thread" are no
# suites of their own but marks on tests that also run under the address sanitizer
# (the unit tests all do, without it) and under the thread sanitizer.
SUITES = ["unit", "calls", "twin", "fallback", "e2e", "kill"]
MARKS = {"asan", "thread"}
STAGES = ["style", "build", "suites", "install", "asan", "tsan", "fuzz"]

# Sanitizers: stop at the first finding, with an exit status that is a failure.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "exitcode=99:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:exitcode=99",
}


def asan_preloaded():
    """Environment of tests that preload our library: the sanitizer's runtime has to come
    first, also in programs that were built without it, whose leaks are their own."""
    path = subprocess.run(["gcc", "-print-file-name=libasan.so"], text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip()
    options = SANITIZER_ENV["ASAN_OPTIONS"] + ":detect_leaks=0"
    return {**SANITIZER_ENV, "LD_PRELOAD": path, "ASAN_OPTIONS": options}


class Tally:
    """Counts of one line of the report; the failures carry a text each."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.skipped = []
        self.failed = []
        self.start = time.monotonic()

    def close(self):
        line = f"{self.name:<12} {self.passed:4} passed {len(self.failed):3} failed"
        line += f" {len(self.skipped):3} skipped" if self.skipped else " " * 12
        print(f"{line}  {time.monotonic() - self.start:6.1f} s", flush=True)
        for name in self.skipped:
            print(f"    skipped: {name}")
        for name, detail in self.failed:
            print(f"    FAILED: {name}")
            for text in detail.strip().splitlines()[-40:]:
                print(f"      {text}")
        sys.stdout.flush()


def log_path(name):
    os.makedirs(LOGS, exist_ok=True)
    return os.path.join(LOGS, name + ".log")


def run(name, command, timeout=None, env=None):
    """Run a command into its log; (exit status, log text). 124 is a time-out."""
    path = log_path(name)
    with open(path, "wb") as log:
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, env={**os.environ, **(env or {})},
                                 start_new_session=True)
        try:
            status = child.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.wait()
            status = 124
    with open(path, errors="replace") as log:
        return status, log.read()


def style(tallies):
    tally = Tally("style")
    status, text = run("style", ["scripts/check-style.sh"])
    detail = []
    for line in text.splitlines():
        if line.startswith("ok "):
            tally.passed += 1
            detail = []
        elif line.startswith("FAIL "):
            tally.failed.append((line[5:], "\n".join(detail)))
            detail = []
        else:
            detail.append(line)
    if status and not tally.failed:
        tally.failed.append(("check-style.sh", text))
    tally.close()
    tallies.append(tally)


def build(tallies, folder, setup=(), env=None, label=None):
    """Configure and build; True if it worked."""
    tally = Tally(label or "build")
    status, text = run(f"{tally.name}-build", ["scripts/build.sh", folder, *setup],
                       env={"MESON_ARGS": "", **(env or {})})
    if status:
        tally.failed.append((f"build of {folder}", text))
    else:
        tally.passed += 1
    tally.close()
    tallies.append(tally)
    return status == 0


def declared(folder):
    """{test name: set of suites} as meson knows them."""
    text = subprocess.run(["meson", "introspect", "--tests", folder], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, check=True).stdout
    return {t["name"]: {s.split(":")[-1] for s in t["suite"]} for t in json.loads(text)}


def judge(tally, record):
    result = record["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        tally.passed += 1
    elif result == "SKIP":
        tally.skipped.append(record["name"])
    else:
        text = (record.get("stdout") or "") + (record.get("stderr") or "")
        tally.failed.append((f'{record["name"]} ({result}, {record["duration"]:.1f} s)', text))


def suite(tallies, folder, name, label=None, args=(), env=None):
    """One meson suite; a test that leaves no record is a failure."""
    tally = Tally(label or name)
    tests = [t for t, suites in declared(folder).items() if name in suites]
    if tests:
        base = f"openism-{name}"
        records = os.path.join(ROOT, folder, "meson-logs", base + ".json")
        if os.path.exists(records):
            os.unlink(records)
        status, text = run(f"{folder}-{name}",
                           ["meson", "test", "-C", folder, "--no-rebuild", "--suite", name,
                            "--logbase", base, "--print-errorlogs", *args], env=env)
        seen = 0
        if os.path.exists(records):
            with open(records, errors="replace") as lines:
                for line in lines:
                    judge(tally, json.loads(line))
                    seen += 1
        if seen != len(tests) or (status and not tally.failed):
            tally.failed.append((f"{seen} of {len(tests)} tests ran", text))
    tally.close()
    tallies.append(tally)


def all_suites(tallies, folder):
    """Every suite that is declared; a test in none would never run: a failure."""
    tests = declared(folder)
    found = set().union(*tests.values()) - MARKS - {PROJECT}
    lost = [t for t, suites in tests.items() if not suites - MARKS - {PROJECT}]
    if lost:
        tally = Tally("suites")
        tally.failed = [(t, "belongs to no suite") for t in lost]
        tally.close()
        tallies.append(tally)
    for name in [s for s in SUITES if s in found] + sorted(found - set(SUITES)):
        suite(tallies, folder, name)


def install(tallies):
    tally = Tally("install")
    status, text = run("install", ["scripts/check-install.sh", "build"], timeout=120)
    if status:
        tally.failed.append(("check-install.sh", text))
    else:
        tally.passed += 1
    tally.close()
    tallies.append(tally)


def asan(tallies):
    setup = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Doptimization=1"]
    if not build(tallies, "build-asan", setup, label="asan"):
        return
    wait = ["--timeout-multiplier", "4"]
    suite(tallies, "build-asan", "unit", "asan:unit", wait, SANITIZER_ENV)
    suite(tallies, "build-asan", "asan", "asan:marked", wait,
          {"KILL_ROUNDS": "60", **asan_preloaded()})


def tsan(tallies):
    setup = ["-Db_sanitize=thread", "-Db_lundef=false", "-Doptimization=1"]
    if not build(tallies, "build-tsan", setup, label="tsan"):
        return
    suite(tallies, "build-tsan", "thread", "tsan:thread", ["--timeout-multiplier", "6"],
          SANITIZER_ENV)


def fuzzers(folder):
    """The fuzzers, wherever their folders declare them; NAME.p is for objects."""
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.endswith((".p", ".corpus"))]
        paths = [os.path.join(top, n) for n in names if re.fullmatch(r"fuzz_\w+", n)]
        found += [p for p in paths if os.access(p, os.X_OK)]
    return sorted(found)


def fuzz(tallies):
    seconds = int(os.environ.get("FUZZ_SECONDS", "20"))
    setup = ["-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"]
    if not build(tallies, "build-fuzz", setup, {"CC": "clang"}, "fuzz"):
        return
    tally = Tally("fuzz:run")
    for path in fuzzers(os.path.join(ROOT, "build-fuzz")):
        name = os.path.basename(path)
        corpus = path + ".corpus"
        os.makedirs(corpus, exist_ok=True)
        command = [path, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=4096",
                   f"-artifact_prefix={path}.", corpus]
        seeds = os.path.join(ROOT, "fuzz", "corpus", name.replace("fuzz_", ""))
        if os.path.isdir(seeds):
            command.append(seeds)
        status, text = run(name, command, timeout=seconds * 3 + 60, env=SANITIZER_ENV)
        if status:
            tally.failed.append((f"{name} (exit {status})", text))
        else:
            tally.passed += 1
    if not tally.passed and not tally.failed:
        tally.failed.append(("fuzz", "no fuzzer was built"))
    tally.close()
    tallies.append(tally)


def soak(tallies):
    """The kill tests again and again, for a bounded time."""
    if not build(tallies, "build"):
        return
    end = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "10"))
    while time.monotonic() < end:
        suite(tallies, "build", "kill", "soak:kill")
        if tallies[-1].failed:
            break


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(STAGES),
                        help="comma separated: " + ", ".join(STAGES) + ", soak, or suites")
    stages = parser.parse_args().only.split(",")
    tallies = []
    if "style" in stages:
        style(tallies)
    # What is no stage is the name of a suite.
    suites = [s for s in stages if s not in STAGES + ["soak"]]
    if suites or set(stages) & {"build", "suites", "install"}:
        if build(tallies, "build"):
            if "suites" in stages:
                all_suites(tallies, "build")
            for name in suites:
                suite(tallies, "build", name)
            if "install" in stages:
                install(tallies)
    for name, stage in (("asan", asan), ("tsan", tsan), ("fuzz", fuzz), ("soak", soak)):
        if name in stages:
            stage(tallies)
    passed = sum(t.passed for t in tallies)
    failed = sum(len(t.failed) for t in tallies)
    skipped = sum(len(t.skipped) for t in tallies)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
