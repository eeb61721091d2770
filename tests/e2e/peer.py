# SPDX-License-Identifier: Apache-2.0
"""Both ends of the python tests: peer.py server|client KIND PORT. Contents checked."""

import asyncio
import hashlib
import select
import socket
import sys
import threading

# Many more than TCP carries before the marriage, also where that comes late.
SIZES = [1, 100, 4096, 65536, 300000, 3000000, 7, 3000000, 3000000]


def data(n, seed=1):
    block = hashlib.sha256(b"%d" % seed).digest()
    out = bytearray()
    for i in range(n // 32 + 1):
        out += i.to_bytes(4, "big") + block[4:]
    return bytes(out[:n])


def exact(s, n):
    parts = []
    while n:
        part = s.recv(min(n, 262144))
        assert part, "early end"
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def socket_server(port):
    listener = socket.create_server(("127.0.0.1", port))
    conn, _ = listener.accept()
    while True:
        part = conn.recv(65536)
        if not part:
            break
        conn.sendall(part)
    conn.close()


def echo(s):
    """Write and read at once: the server's echo may not have to wait for us."""
    for n in SIZES:
        out = data(n)
        writer = threading.Thread(target=s.sendall, args=(out,))
        writer.start()
        assert exact(s, n) == out
        writer.join()
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b""


def socket_client(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(20)  # makes it non-blocking inside, with poll()
    echo(s)
    s.close()


def select_server(port):
    """One thread, non-blocking, select.select; ends with its last client."""
    listener = socket.create_server(("127.0.0.1", port))
    conns, served = {}, 0
    while conns or not served:
        readable, writable, _ = select.select(
            [listener, *conns], [c for c, b in conns.items() if b], [], 20)
        assert readable or writable, "nothing moves"
        for s in readable:
            if s is listener:
                conn, _ = listener.accept()
                conn.setblocking(False)
                conns[conn] = bytearray()
                served += 1
                continue
            part = s.recv(65536)
            if part:
                conns[s] += part
            else:
                s.close()
                del conns[s]
        for s in writable:
            if s in conns:
                n = s.send(conns[s])
                del conns[s][:n]


def select_client(port):
    socket_client(port)


async def aio_echo(reader, writer):
    while True:
        part = await reader.read(65536)
        if not part:
            break
        writer.write(part)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def asyncio_server(port):
    async def main():
        done = asyncio.Event()
        count = 0

        async def handle(reader, writer):
            nonlocal count
            await aio_echo(reader, writer)
            count += 1
            if count == 10:
                done.set()

        server = await asyncio.start_server(handle, "127.0.0.1", port)
        async with server:
            await asyncio.wait_for(done.wait(), 40)

    asyncio.run(main())


def asyncio_client(port):
    async def one(seed):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for n in (1, 1000, 70000, 400000):
            out = data(n, seed)
            writer.write(out)
            assert await reader.readexactly(n) == out
            await asyncio.sleep(0.001 * (seed % 3))
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    async def main():
        await asyncio.wait_for(asyncio.gather(*(one(i) for i in range(10))), 40)

    asyncio.run(main())


def idle_server(port):
    """Accepts, sleeps, echoes: for looking at with the tools."""
    listener = socket.create_server(("127.0.0.1", port))
    conn, _ = listener.accept()
    while True:
        part = conn.recv(65536)
        if not part:
            break
        conn.sendall(part)


def idle_client(port):
    """Connects and waits; each line of standard input is one echo, answered 'ok'."""
    s = socket.create_connection(("127.0.0.1", port))
    print("up", flush=True)
    for line in sys.stdin:
        n = int(line)
        out = data(n)
        writer = threading.Thread(target=s.sendall, args=(out,))
        writer.start()
        assert exact(s, n) == out
        writer.join()
        print("ok", flush=True)


if __name__ == "__main__":
    globals()[sys.argv[2] + "_" + sys.argv[1]](int(sys.argv[3]))
