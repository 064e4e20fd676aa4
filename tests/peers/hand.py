"""Sockets that go from hand to hand. Each act tells, one JSON object a line, who opened and who holds."""

import array
import ctypes
import json
import os
import socket
import sys
import threading
import time

HOST = "127.0.0.1"
HTTP = b"GET /one HTTP/1.1\r\nHost: pod\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def say(**fields):
    os.write(1, (json.dumps(fields) + "\n").encode())


def name(address):
    return "%s:%d" % address[:2]


def listener(port, backlog=128):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, int(port)))
    sock.listen(backlog)
    return sock


def answer(conn):
    """One request; true if there was one."""
    got = b""
    while len(got) < len(HTTP):
        part = conn.recv(len(HTTP) - len(got))
        if not part:
            return False
        got += part
    conn.sendall(OK)
    return True


def serve(conn, opened_by):
    """Answers until the peer has had enough."""
    peer = name(conn.getpeername())
    while answer(conn):
        say(peer=peer, pid=os.getpid(), opened_by=opened_by)
    conn.close()


def send(channel, sock):
    channel.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])


def receive(channel):
    _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(4))
    return socket.socket(fileno=array.array("i", ancillary[0][2][:4])[0])


def wait():
    """Until the test is over."""
    sys.stdin.read()


def end_with_the_test():
    """Children outlive whoever made them, but not the test: its end of standard input is closed then."""
    def watch():
        wait()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def listen_fds(port):
    """An init system: it listens, keeps the listener, and starts the service with it (sd_listen_fds(3))."""
    server = listener(port)
    opener = os.getpid()
    if os.fork() == 0:
        os.dup2(server.fileno(), 3)
        os.set_inheritable(3, True)
        environment = {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        os.execve(sys.executable, [sys.executable, "-u", __file__, "service", str(opener)], environment)
    wait()


def service(opener):
    end_with_the_test()
    server = socket.socket(fileno=3)
    say(ready=True)
    while True:
        conn, _ = server.accept()
        threading.Thread(target=serve, args=(conn, int(opener)), daemon=True).start()


def inetd(port, how):
    """A superserver: it accepts, and starts a program with the connection as its standard input, or a child of itself."""
    server = listener(port)
    opener = os.getpid()
    say(ready=True)
    end_with_the_test()
    while True:
        conn, _ = server.accept()
        if os.fork() == 0:
            server.close()
            if how == "fork":
                serve(conn, opener)
                os._exit(0)
            os.dup2(conn.fileno(), 0)
            os.execv(sys.executable, [sys.executable, "-u", __file__, "on_input", str(opener)])
        conn.close()


def on_input(opener):
    serve(socket.socket(fileno=0), int(opener))


def workers(port, count):
    """A prefork server: its children accept, each many short connections."""
    server = listener(port)
    opener = os.getpid()
    for _ in range(int(count)):
        if os.fork() == 0:
            end_with_the_test()
            while True:
                serve(server.accept()[0], opener)
    say(ready=True)
    server.close()
    wait()


def orphaned(port):
    """Listens, and leaves the listener to a child: tells both pids, and serves when asked."""
    server = listener(port)
    opener = os.getpid()
    out, into = os.pipe()
    if os.fork() == 0:
        end_with_the_test()
        os.read(out, 1)
        say(ready=True, opened_by=opener, pid=os.getpid())
        while True:
            serve(server.accept()[0], opener)
    os.write(into, b"x")
    os._exit(0)


def take_pid(pid):
    """Becomes, by one of its children, the process `pid`, if nobody is."""
    for _ in range(20):
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write(str(int(pid) - 1))
        except OSError as error:
            say(error=str(error))
            return
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        if child == int(pid):
            say(pid=child)
            wait()
            os.kill(child, 9)
            return
        os.kill(child, 9)
        os.waitpid(child, 0)
    say(error="another process is always quicker")


def relay(port):
    """Accepts and answers one request, and passes the connection to another process each time a line comes."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        conn = receive(theirs)
        say(passed=True, pid=os.getpid())
        serve(conn, os.getppid())
        time.sleep(0.2)
        os._exit(0)
    theirs.close()
    server = listener(port)
    say(ready=True)
    conn, peer = server.accept()
    answer(conn)
    say(peer=name(peer), pid=os.getpid(), opened_by=os.getpid())
    sys.stdin.readline()
    send(ours, conn)
    conn.close()
    wait()


def dial_and_pass(port):
    """Dials, and passes the connection to another process, which speaks."""
    ours, theirs = socket.socketpair()
    opener = os.getpid()
    child = os.fork()
    if child == 0:
        ours.close()
        conn = receive(theirs)
        conn.sendall(HTTP)
        conn.recv(100)
        say(local=name(conn.getsockname()), pid=os.getpid(), opened_by=opener)
        theirs.recv(1)
        conn.close()
        theirs.close()
        time.sleep(0.2)
        os._exit(0)
    theirs.close()
    conn = socket.create_connection((HOST, int(port)))
    send(ours, conn)
    conn.close()
    wait()
    ours.close()
    os.waitpid(child, 0)


def dial_and_fork(port, how):
    """Speaks on a connection; a child is forked meanwhile, lets go of it last, and never wanted it."""
    conn = socket.create_connection((HOST, int(port)))
    conn.sendall(HTTP)
    conn.recv(100)
    closed, close = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(closed, 1)
        if how == "exec":
            os.execvp("sleep", ["sleep", "0.3"])
        os._exit(0)
    say(local=name(conn.getsockname()), pid=os.getpid(), child=child)
    conn.close()
    os.write(close, b"x")
    os.waitpid(child, 0)
    wait()


def alone(port):
    """One process listens, accepts and answers; it knows its peers from accept itself."""
    listening = listener(port)
    say(ready=True, pid=os.getpid())
    def each(conn):
        while answer(conn):
            pass
        conn.close()
    while True:
        threading.Thread(target=each, args=(listening.accept()[0],), daemon=True).start()


def elsewhere(port, path):
    """A thread alone enters another network namespace and dials there."""
    def dial():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(os.open(path, os.O_RDONLY), 0x40000000):
            say(error=os.strerror(ctypes.get_errno()))
            return
        conn = socket.create_connection((HOST, int(port)))
        conn.sendall(HTTP)
        conn.recv(100)
        say(local=name(conn.getsockname()), pid=os.getpid())
        wait()
        conn.close()

    thread = threading.Thread(target=dial)
    thread.start()
    thread.join()


if __name__ == "__main__":
    {
        "listen_fds": listen_fds,
        "service": service,
        "inetd": inetd,
        "on_input": on_input,
        "workers": workers,
        "orphaned": orphaned,
        "take_pid": take_pid,
        "relay": relay,
        "dial_and_pass": dial_and_pass,
        "dial_and_fork": dial_and_fork,
        "alone": alone,
        "elsewhere": elsewhere,
    }[sys.argv[1]](*sys.argv[2:])
