"""Relays and those who abuse them, by name. Each act tells what it does as JSON lines.

pass HOST PORT TO_HOST TO_PORT [IDLE]  passes each connection on to another address, byte by byte; where IDLE is given, its
                                       own connection stays open for so many seconds after the client's has ended
replay HOST PORT HOST PORT             sends one ClientHello to two servers at once and reads both answers
hello HOST PORT                        sends a ClientHello and reads the answer
"""

import json
import socket
import ssl
import sys
import threading
import time


def tell(**what):
    print(json.dumps(what), flush=True)


def name(end):
    host, port = end[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(256)
    return listener


def end(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def pump(one, other, idle):
    try:
        while chunk := one.recv(65536):
            other.sendall(chunk)
        if idle:
            end(one)
            time.sleep(idle)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(near, to, idle):
    far = socket.create_connection(to)
    tell(near=name(near.getpeername()), far=name(far.getsockname()))
    back = threading.Thread(target=pump, args=(far, near, 0))
    back.start()
    pump(near, far, idle)
    back.join()
    near.close()
    far.close()


def act_pass(host, port, to_host, to_port, idle="0"):
    listener = listen(host, int(port))
    tell(ready=True)
    while True:
        near, _ = listener.accept()
        words = (near, (to_host, int(to_port)), float(idle))
        threading.Thread(target=serve, args=words, daemon=True).start()


def hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="relayed.test")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def act_replay(*ends):
    asked = hello()
    connections = [socket.create_connection((host, int(port))) for host, port in zip(ends[::2], ends[1::2])]
    for connection in connections:
        connection.sendall(asked)
    for connection in connections:
        tell(local=name(connection.getsockname()), answered=len(connection.recv(65536)))
    time.sleep(0.5)
    for connection in connections:
        connection.close()


def act_hello(host, port):
    connection = socket.create_connection((host, int(port)))
    connection.sendall(hello())
    tell(local=name(connection.getsockname()), answered=len(connection.recv(65536)))
    time.sleep(0.5)
    connection.close()


if __name__ == "__main__":
    globals()[f"act_{sys.argv[1]}"](*sys.argv[2:])
