# SPDX-License-Identifier: Apache-2.0
"""A program in an LPAR that does what it is told on standard input, one line each:

listen ADDRESS PORT                   echoes whatever comes, to its end
connect NAME ADDRESS PORT [OWNPORT]   answers "ok OWNPORT"
echo NAME N                           N bytes there and back, content compared
close NAME
stat NAME                             answers "ok MODE REASON SENT", as openism_stat()
storm ADDRESS PORT SECONDS            connect, echo, close, over and over: "ok TIMES"

Each is answered with "ok" or "error TEXT".
"""

import ctypes
import hashlib
import socket
import struct
import sys
import threading
import time


class Stat(ctypes.Structure):
    """struct openism_stat"""
    _fields_ = [(n, ctypes.c_uint32) for n in
                ("size", "mode", "reason", "peer_reason", "tx_path", "rx_path")] + \
               [(n, ctypes.c_uint64) for n in
                ("tx_smc_bytes", "rx_smc_bytes", "tx_tcp_bytes", "rx_tcp_bytes")]


def data(n, seed):
    block = hashlib.sha256(seed.encode()).digest()
    return b"".join(struct.pack(">I", i) + block[4:] for i in range(n // 32 + 1))[:n]


def exact(s, n):
    parts = []
    while n:
        part = s.recv(min(n, 262144))
        assert part, f"end, {n} bytes too early"
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def serve(conn):
    with conn:
        try:
            while part := conn.recv(262144):
                conn.sendall(part)
        except OSError:
            pass


def accept_all(listener):
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve, args=(conn,), daemon=True).start()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Program:
    def __init__(self):
        self.conns = {}
        self.echoes = 0

    def listen(self, address, port):
        listener = socket.socket(family(address))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, int(port)))
        listener.listen(1024)
        threading.Thread(target=accept_all, args=(listener,), daemon=True).start()

    def connect(self, name, address, port, own="0"):
        s = socket.socket(family(address))
        s.settimeout(20)
        if own != "0":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("::" if ":" in address else "0.0.0.0", int(own)))
        s.connect((address, int(port)))
        self.conns[name] = s
        return s.getsockname()[1]

    def echo(self, name, n):
        s, n = self.conns[name], int(n)
        self.echoes += 1
        out = data(n, f"{name} {self.echoes}")
        writer = threading.Thread(target=s.sendall, args=(out,))
        writer.start()
        assert exact(s, n) == out, "other bytes came back"
        writer.join()

    def close(self, name):
        self.conns.pop(name).close()

    def stat(self, name):
        st = Stat(ctypes.sizeof(Stat))
        me = ctypes.CDLL(None)
        assert me.openism_stat(self.conns[name].fileno(), ctypes.byref(st)) == 0
        return f"{st.mode} {st.reason} {st.tx_smc_bytes}"

    def storm(self, address, port, seconds):
        end, n = time.monotonic() + float(seconds), 0
        while time.monotonic() < end:
            n += 1
            self.connect("storm", address, port)
            for size in (1, 5000, 100):
                self.echo("storm", size)
                time.sleep(0.004 if n % 2 else 0)  # every other one is there to be looked at
            self.close("storm")
        return n


def main():
    program = Program()
    print("ready", flush=True)
    for line in sys.stdin:
        word, *args = line.split()
        try:
            answer = getattr(program, word)(*args)
            print("ok" if answer is None else f"ok {answer}", flush=True)
        except Exception as e:  # whatever it was, the test wants to hear of it
            print(f"error {type(e).__name__} {e}", flush=True)


if __name__ == "__main__":
    main()
