"""Kernel programs of somebody else on the same control group, by bare bpf(2); and which programs there are."""

import ctypes
import json
import os
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
SYSCALL = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
PROG_LOAD, PROG_BY_ID, MAP_BY_ID, LINK_CREATE = 5, 13, 14, 28
CGROUP_SKB, CGROUP_SOCK_ADDR = 8, 18
INGRESS, EGRESS, CONNECT4 = 0, 1, 10


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = LIBC.syscall(SYSCALL, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def load(kind, attach, instructions, name):
    code = ctypes.create_string_buffer(b"".join(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    return bpf(PROG_LOAD, struct.pack("=IIQQIIQII16sII", kind, len(instructions), ctypes.addressof(code),
                                      ctypes.addressof(licence), 0, 0, 0, 0, 0, name, 0, attach))


def instruction(code, to=0, source=0, offset=0, immediate=0):
    return struct.pack("=BBhi", code, source << 4 | to, offset, immediate)


def end(result):
    return [instruction(0xB7, to=0, immediate=result), instruction(0x95)]


def attach(program, folder, where):
    """The link goes with this process."""
    return bpf(LINK_CREATE, struct.pack("=IIII", program, os.open(folder, os.O_RDONLY), where, 0))


def number(packed):
    return struct.unpack("=i", packed)[0]


def rewrite(folder, dialled, real):
    """connect() to `dialled` goes to `real`, as a socket-level load balancer does it."""
    (ip, port), (new_ip, new_port) = (it.split(":") for it in (dialled, real))
    port, new_port = (number(struct.pack("=Hxx", socket.htons(int(it)))) for it in (port, new_port))
    program = load(CGROUP_SOCK_ADDR, CONNECT4, [
        instruction(0x61, to=2, source=1, offset=4),
        instruction(0x56, to=2, offset=6, immediate=number(socket.inet_aton(ip))),
        instruction(0x61, to=2, source=1, offset=24),
        instruction(0x56, to=2, offset=4, immediate=port),
        instruction(0xB4, to=3, immediate=number(socket.inet_aton(new_ip))),
        instruction(0x63, to=1, source=3, offset=4),
        instruction(0xB4, to=3, immediate=new_port),
        instruction(0x63, to=1, source=3, offset=24),
    ] + end(1), b"rewrite")
    return [attach(program, folder, CONNECT4)]


def firewall(folder, verdict):
    """A program for each way that lets everything pass (1) or nothing (0)."""
    return [attach(load(CGROUP_SKB, way, end(int(verdict)), b"firewall"), folder, way) for way in (INGRESS, EGRESS)]


def exist(*names):
    """Which of these programs and maps there are: `prog:7`, `map:9`."""
    found = []
    for name in names:
        kind, one = name.split(":")
        try:
            os.close(bpf({"prog": PROG_BY_ID, "map": MAP_BY_ID}[kind], struct.pack("=I", int(one))))
            found.append(name)
        except OSError:
            pass
    return found


if __name__ == "__main__":
    if sys.argv[1] == "exist":
        print(json.dumps({"exist": exist(*sys.argv[2:])}), flush=True)
    else:
        links = {"rewrite": rewrite, "firewall": firewall}[sys.argv[1]](*sys.argv[2:])
        print(json.dumps({"ready": True}), flush=True)
        sys.stdin.read()
