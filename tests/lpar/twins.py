# SPDX-License-Identifier: Apache-2.0
"""One end of a pair that has a twin with the same addresses, see same_addresses.py.

twins.py server WHO ADDRESS PORT MS: answers each token with WHO and the token.
twins.py client WHO ADDRESS PORT MS: for each line "TOKEN OWNPORT" connects, waits until the
rings are there, sends the token, and says "ok MODE BYTES" if the answer is its own
server's for this token, else what it was. MS: how long to wait for the rings.
"""

import ctypes
import socket
import sys
import threading

from ends import Stat

libc = ctypes.CDLL(None)
SMC = hasattr(libc, "openism_settle")


def settle(s, ms):
    if SMC:
        libc.openism_settle(s.fileno(), int(ms))


def serve(conn, who, ms):
    with conn:
        settle(conn, ms)
        token = conn.recv(100)
        conn.sendall(who.encode() + b" " + token)
        conn.recv(1)  # until the client has closed, so that its port is free, not ours


def server(who, address, port, ms):
    listener = socket.create_server((address, int(port)), backlog=1024)
    print("ready", flush=True)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve, args=(conn, who, ms), daemon=True).start()


def one(who, address, port, ms, token, own):
    with socket.socket() as s:
        s.settimeout(20)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("0.0.0.0", int(own)))
        s.connect((address, int(port)))
        settle(s, ms)
        s.sendall(f"{who} {token}".encode())
        answer = s.recv(100).decode()
        if answer != f"{who} {who} {token}":
            return f"wrong answer to {who} {token}: {answer}"
        st = Stat(ctypes.sizeof(Stat))
        if SMC:
            libc.openism_stat(s.fileno(), ctypes.byref(st))
        return f"ok {st.mode} {st.tx_smc_bytes + st.rx_smc_bytes}"


def client(who, address, port, ms):
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            print(one(who, address, port, ms, *line.split()), flush=True)
        except OSError as e:
            print(f"error {e}", flush=True)


if __name__ == "__main__":
    {"server": server, "client": client}[sys.argv[1]](*sys.argv[2:])
