# SPDX-License-Identifier: Apache-2.0
"""The HTTP server that test_http_client.c talks to: prints its ports (plain, TLS, garbage) and the CA file, then serves."""
import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, body, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/echo":
            names = sorted(n for n in self.headers if n.lower() in ("user-agent", "x-one", "authorization", "expect"))
            lines = [self.command] + [f"{n}: {self.headers[n]}" for n in names] + [body.decode()]
            self.reply("\n".join(lines).encode(), 201, [("X-Test", "yes"), ("Content-Type", "text/plain")])
        elif url.path == "/port":
            self.reply(str(self.client_address[1]).encode())
        elif url.path == "/redirect":
            self.reply(b"", 302, [("Location", query["to"])])
        elif url.path == "/loop":
            self.reply(b"", 302, [("Location", "/loop")])
        elif url.path == "/bytes":
            self.reply(b"x" * int(query["n"]))
        elif url.path == "/endless":
            self.endless()
        elif url.path == "/hang":
            time.sleep(60)
        elif url.path == "/headers":
            self.reply(b"", 200, [(f"X-{i}", "y" * 1000) for i in range(90)])
        else:
            self.reply(b"no such page", 404)

    def endless(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any


def garbage(listener):
    while True:
        c, _ = listener.accept()
        c.recv(4096)
        c.sendall(b"\x00\x01 this is not HTTP\r\n\r\n")
        c.close()


def main():
    folder = sys.argv[1]
    key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    tls.socket = context.wrap_socket(tls.socket, server_side=True)
    raw = socket.create_server(("127.0.0.1", 0))
    for target in (plain.serve_forever, tls.serve_forever, lambda: garbage(raw)):
        threading.Thread(target=target, daemon=True).start()
    print(plain.server_address[1], tls.server_address[1], raw.getsockname()[1], flush=True)
    sys.stdin.read()  # until the test closes it


main()
