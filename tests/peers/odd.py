"""Ends of connections that do what no well-behaved stack does. Each act tells, one JSON object a line, what it did."""

import array
import ctypes
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

HOST = "127.0.0.1"
IPPROTO_MPTCP = 262
HTTP = b"GET /one HTTP/1.1\r\nHost: pod\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def name(address):
    return ("[%s]:%d" if ":" in address[0] else "%s:%d") % address[:2]


def listener(port, host=HOST, proto=0, backlog=16):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(backlog)
    return sock


def pair(port, host=HOST, proto=0, dial=None, prepare=None):
    """Both ends of a connection."""
    server = listener(port, host, proto)
    client = socket.socket(socket.AF_INET6 if ":" in (dial or host) else socket.AF_INET, socket.SOCK_STREAM, proto)
    if prepare:
        prepare(client)
    client.connect((dial or host, port))
    accepted, peer = server.accept()
    server.close()
    return client, accepted, name(peer)


def read(sock, count):
    got = b""
    while len(got) < count:
        part = sock.recv(min(count - len(got), 1 << 20))
        if not part:
            break
        got += part
    return got


def linger(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def exchange(client, accepted, to_server, to_client):
    """One after the other, so that neither end closes with bytes unread."""
    sender = threading.Thread(target=client.sendall, args=(to_server,))
    sender.start()
    read(accepted, len(to_server))
    sender.join()
    accepted.sendall(to_client)
    read(client, len(to_client))


def simple(case, port, to_server, to_client, how=None, **truth):
    client, accepted, peer = pair(port, **(how or {}))
    exchange(client, accepted, to_server, to_client)
    client.close()
    read(accepted, 1)
    accepted.close()
    say(case=case, peer=peer, port=port, to_server=len(to_server), to_client=len(to_client),
        ending=["finished"], **truth)


def quick_ack_off(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)


def fast_open(port):
    server = listener(port)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    for turn in ("cookie", "data in the SYN"):
        client = socket.socket()
        client.sendto(HTTP, socket.MSG_FASTOPEN, (HOST, port))
        accepted, peer = server.accept()
        read(accepted, len(HTTP))
        accepted.sendall(OK)
        read(client, len(OK))
        client.close()
        read(accepted, 1)
        accepted.close()
        say(case="fast open: " + turn, peer=name(peer), port=port, security="plaintext", protocol="http", requests=1,
            to_server=len(HTTP), to_client=len(OK), ending=["finished"])
    server.close()


def cases(first, far):
    port = iter(range(int(first), int(first) + 80))
    noise = random.Random(7)
    random_bytes = bytes([0xAA]) + noise.randbytes(3000)
    plain = {"security": "plaintext", "protocol": "http"}
    simple("no data", next(port), b"", b"", security="unknown", reason="no_data")
    simple("random bytes", next(port), random_bytes, random_bytes, security="other")
    simple("a megabyte of random bytes", next(port), bytes([0xAA]) + noise.randbytes(1 << 20), b"\xaa" * 9, security="other")
    simple("http", next(port), HTTP, OK, requests=1, **plain)
    simple("http over IPv6", next(port), HTTP, OK, {"host": "::1"}, requests=1, **plain)
    simple("http to a mapped address", next(port), HTTP, OK, {"dial": "::ffff:127.0.0.1"}, requests=1, **plain)
    simple("http accepted as mapped", next(port), HTTP, OK, {"host": "::", "dial": "127.0.0.1"}, requests=1, **plain)
    simple("http over MPTCP", next(port), HTTP, OK, {"proto": IPPROTO_MPTCP}, requests=1, **plain)
    simple("http on the third segment", next(port), HTTP, OK, {"prepare": quick_ack_off}, requests=1, **plain)
    simple("pipelined http", next(port), HTTP * 50, OK * 50, requests=50, **plain)
    body = b"POST /two HTTP/1.1\r\nHost: pod\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300000 + HTTP
    # How many requests are read behind the verdict depends on who dialled.
    simple("http behind a large body", next(port), body, OK * 2, **plain)
    simple("redis", next(port), b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", security="plaintext", protocol="redis")
    ssh = (b"SSH-2.0-one\r\n" + bytes([0, 0, 0, 20, 4, 20]) + b"x" * 18, b"SSH-2.0-two\r\n" + bytes([0, 0, 0, 20, 4, 20]) + b"x" * 18)
    simple("ssh", next(port), *ssh, security="ssh", protocol="ssh")
    at = next(port)
    client, accepted, peer = pair(at)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in HTTP:
        client.sendall(bytes([byte]))
        read(accepted, 1)
    accepted.sendall(OK)
    read(client, len(OK))
    client.close()
    accepted.close()
    say(case="http byte by byte", peer=peer, port=at, requests=1, to_server=len(HTTP), to_client=len(OK),
        ending=["finished"], **plain)
    for case, first_end in (("reset by client", 0), ("reset by server", 1)):
        at = next(port)
        ends = pair(at)
        exchange(ends[0], ends[1], HTTP, OK)
        linger(ends[first_end])
        time.sleep(0.05)
        ends[1 - first_end].close()
        say(case=case, peer=ends[2], port=at, to_server=len(HTTP), to_client=len(OK), requests=1,
            ending=["reset_by_client", "reset_by_server"][first_end:first_end + 1], **plain)
    for case, host in (("late data to an end that is gone", HOST), ("late data over IPv6", "::1")):
        at = next(port)
        client, accepted, peer = pair(at, host)
        exchange(client, accepted, HTTP, OK)
        client.close()
        time.sleep(0.05)
        # No socket is left to answer: the kernel does it from one of its own.
        accepted.sendall(b"late")
        time.sleep(0.05)
        accepted.close()
        say(case=case, peer=peer, port=at, to_server=len(HTTP), requests=1, ending=["reset_by_client"], **plain)
    at = next(port)
    client, accepted, peer = pair(at)
    client.sendall(HTTP)
    client.shutdown(socket.SHUT_WR)
    read(accepted, len(HTTP) + 1)
    time.sleep(0.3)
    accepted.sendall(OK)
    accepted.close()
    read(client, len(OK) + 1)
    client.close()
    say(case="half-closed for a while", peer=peer, port=at, requests=1, to_server=len(HTTP), to_client=len(OK),
        ending=["finished"], **plain)
    at = next(port)
    server = listener(at)
    client = socket.create_connection((HOST, at))
    client.sendall(HTTP)
    peer = name(client.getsockname())
    time.sleep(0.1)
    server.close()
    time.sleep(0.1)
    client.close()
    say(case="never accepted", peer=peer, port=at, security="plaintext", protocol="http", ending=["never_accepted"])
    at = next(port)
    client = socket.socket()
    client.bind((HOST, 0))
    peer = name(client.getsockname())
    try:
        client.connect((HOST, at))
    except ConnectionRefusedError:
        say(case="refused", peer=peer, port=at, security="unknown", reason="no_data", to_server=0, to_client=0,
            ending=["refused"])
    client.close()
    fast_open(next(port))
    at = next(port)
    server = listener(at)
    client = socket.socket()
    for turn in ("first", "second"):
        client.connect((HOST, at))
        accepted, peer = server.accept()
        exchange(client, accepted, HTTP, OK)
        accepted.close()
        time.sleep(0.02)
        # connect() to AF_UNSPEC gives the socket back for another connection.
        ctypes.CDLL(None, use_errno=True).connect(client.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)
        time.sleep(0.02)
        say(case="one socket, connection: " + turn, peer=name(peer), port=at, requests=1, to_server=len(HTTP),
            to_client=len(OK), **plain)
    client.close()
    server.close()
    at = next(port)
    server = listener(at)
    source = 0
    for turn in ("first", "second", "third"):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind((HOST, source))
        client.connect((HOST, at))
        source = client.getsockname()[1]
        accepted, peer = server.accept()
        what = {"first": (HTTP, OK), "second": ssh, "third": (random_bytes, b"")}[turn]
        exchange(client, accepted, *what)
        linger(client)
        time.sleep(0.05)
        accepted.close()
        truth = {"first": plain, "second": {"security": "ssh"}, "third": {"security": "other"}}[turn]
        say(case="one pair of ports, connection: " + turn, peer=name(peer), port=at, to_server=len(what[0]),
            to_client=len(what[1]), ending=["reset_by_client"], **truth)
    server.close()
    with open("/proc/sys/net/ipv4/tcp_syncookies", "w") as switch:
        switch.write("2")
    simple("http by SYN cookie", next(port), HTTP, OK, requests=1, **plain)
    simple("http by SYN cookie on the third segment", next(port), HTTP, OK, {"prepare": quick_ack_off}, requests=1, **plain)
    with open("/proc/sys/net/ipv4/tcp_syncookies", "w") as switch:
        switch.write("1")
    with open("/proc/sys/net/ipv4/tcp_syn_retries", "w") as switch:
        switch.write("1")
    at = next(port)
    client = socket.socket()
    # The other end has no way back to this address.
    client.bind(("10.99.0.1", 0))
    peer = name(client.getsockname())
    try:
        client.connect((far, at))
    except TimeoutError:
        say(case="timed out", peer=peer, port=at, security="unknown", reason="no_data", to_server=0, to_client=0,
            ending=["timed_out"])
    client.close()
    at = next(port)
    ends = pair(at)
    ends[0].sendall(b"\x16\x03\x01")
    say(case="half a hello", peer=ends[2], port=at, security="unknown", reason="too_little_data", to_server=3, to_client=0,
        ending=["still_open"])
    at = next(port)
    others = pair(at)
    say(case="silent", peer=others[2], port=at, security="unknown", reason="no_data", to_server=0, to_client=0,
        ending=["still_open"])
    say(done=True)
    sys.stdin.read()
    ends[0].close()
    others[0].close()


def activated(port):
    """What an init system does: listens, and hands the descriptor to the program it starts."""
    server = listener(int(port))
    os.set_inheritable(server.fileno(), True)
    child = subprocess.Popen([sys.executable, "-u", __file__, "inherited", str(server.fileno())], close_fds=False,
                             stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    say(opened_by=os.getpid(), held_by=child.pid)
    server.close()
    for line in child.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
    child.wait()


def answer_all(server, count=1):
    for _ in range(count):
        accepted, peer = server.accept()
        read(accepted, len(HTTP))
        accepted.sendall(OK)
        say(peer=name(peer), pid=os.getpid())
        read(accepted, 1)
        time.sleep(0.2)
        accepted.close()


def inherited(descriptor):
    server = socket.socket(fileno=int(descriptor))
    say(ready=True)
    answer_all(server)
    time.sleep(1)


def prefork(port, workers):
    """One process listens, its children accept."""
    server = listener(int(port))
    children = []
    for _ in range(int(workers)):
        child = os.fork()
        if child == 0:
            answer_all(server)
            time.sleep(1)
            os._exit(0)
        children.append(child)
    say(opened_by=os.getpid(), held_by=children)
    server.close()
    for child in children:
        os.waitpid(child, 0)


def passed(port):
    """One process listens and accepts, and passes the connection to another."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
        conn = socket.socket(fileno=array.array("i", ancillary[0][2])[0])
        time.sleep(0.1)
        read(conn, len(HTTP))
        conn.sendall(OK)
        read(conn, 1)
        time.sleep(0.3)
        os._exit(0)
    theirs.close()
    server = listener(int(port))
    say(opened_by=os.getpid(), held_by=child)
    conn, peer = server.accept()
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [conn.fileno()]))])
    conn.close()
    say(peer=name(peer), pid=child)
    os.waitpid(child, 0)


def http_server(port, host="::"):
    """Answers every request on every connection, and tells each connection at its end."""
    server = listener(int(port), host, backlog=128)
    say(ready=True, pid=os.getpid())

    def handle(conn, peer):
        requests, rest = 0, b""
        while part := conn.recv(65536):
            rest += part
            while b"\r\n\r\n" in rest:
                _, rest = rest.split(b"\r\n\r\n", 1)
                requests += 1
                conn.sendall(OK)
        conn.close()
        say(peer=name(peer), protocol="http", requests=requests, pid=os.getpid())

    while True:
        threading.Thread(target=handle, args=server.accept(), daemon=True).start()


def http_client(host, port, requests, pause="0", source=None, text=None):
    """So many requests on one connection, then waits to be told to end."""
    sock = socket.create_connection((host, int(port)), source_address=(source, 0) if source else None)
    say(local=name(sock.getsockname()), pid=os.getpid())
    request = text.encode().decode("unicode_escape").encode() if text else HTTP
    for _ in range(int(requests)):
        sock.sendall(request)
        read(sock, len(OK))
        time.sleep(float(pause))
    say(done=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            sock.sendall(request)
            read(sock, len(OK))
        say(done=True)
    sock.close()


if __name__ == "__main__":
    {
        "cases": cases,
        "activated": activated,
        "inherited": inherited,
        "prefork": prefork,
        "passed": passed,
        "http_server": http_server,
        "http_client": http_client,
    }[sys.argv[1]](*sys.argv[2:])
