"""One end of a TLS connection under test; the words are those of the Go peer (go/main.go)."""

import json
import os
import socket
import ssl
import sys
import threading

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
lock = threading.Lock()


def say(value):
    with lock:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


def name(address):
    return ("[%s]:%d" if ":" in address[0] else "%s:%d") % address[:2]


def handle(conn, context, ask):
    account = {"peer": name(conn.getpeername()), "local": name(conn.getsockname()), "pid": os.getpid()}
    conn.settimeout(20)
    try:
        secure = context.wrap_socket(conn, server_side=True)
        account["protocol"] = "tls"
        account["version"] = secure.version().removeprefix("TLSv")
        account["cipher"] = secure.cipher()[0]
        account["client"] = (
            "resumed"
            if secure.session_reused
            else "presented" if secure.getpeercert(True) else "declined" if ask else "not_requested"
        )
        head = b""
        while b"\r\n\r\n" not in head:
            part = secure.recv(4096)
            if not part:
                break
            head += part
        secure.sendall(ANSWER)
        try:
            secure.unwrap().close()
        except OSError:
            secure.close()
    except (OSError, ValueError) as error:
        account.setdefault("version", None)
        account["error"] = str(error)
        conn.close()
    say({key: value for key, value in account.items() if value is not None})


def serve(config):
    for listener in config["Listeners"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config["Cert"], config["Key"])
        context.load_verify_locations(config["CA"])
        context.minimum_version = context.maximum_version = VERSIONS[listener["Version"]]
        context.verify_mode = ssl.CERT_OPTIONAL if listener["Ask"] else ssl.CERT_NONE
        server = socket.create_server(("::", listener["Port"]), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)

        def accept(server=server, context=context, ask=listener["Ask"]):
            while True:
                conn, _ = server.accept()
                threading.Thread(target=handle, args=(conn, context, ask), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
    say({"ready": True})
    threading.Event().wait()


def dial(config):
    contexts, sessions = {}, {}
    for line in sys.stdin:
        job = json.loads(line)
        cert = job.get("Cert", False)
        if cert not in contexts:
            contexts[cert] = ssl.create_default_context(cafile=config["CA"])
            if cert:
                contexts[cert].load_cert_chain(config["Cert"], config["Key"])
        done = {"id": job["ID"], "local": []}
        where = (job["Host"], job["Port"])
        try:
            with socket.create_connection(where, timeout=20) as conn:
                done["local"].append(name(conn.getsockname()))
                session = sessions.get((cert, where)) if job.get("Resume") else None
                with contexts[cert].wrap_socket(conn, server_hostname="localhost", session=session) as secure:
                    secure.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    body = b""
                    while part := secure.recv(65536):
                        body += part
                    done["body"] = body.decode(errors="replace")
                    if job.get("Resume"):
                        sessions[(cert, where)] = secure.session
        except OSError as error:
            done["error"] = str(error)
        say(done)


{"server": serve, "client": dial}[sys.argv[1]](json.loads(sys.argv[2]))
