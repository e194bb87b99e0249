"""What stands between an agent and the world: a proxy that notes whom it wanted to reach, and refuses."""

import socket
import socketserver
import threading

# Longest request line that is read, in bytes.
MOST_BYTES = 4096
# Time a client has to say whom it wants, in seconds.
READ_LIMIT = 5

REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _Refusal(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(READ_LIMIT)
        try:
            line = self.request.recv(MOST_BYTES).split(b"\r\n")[0].decode("latin-1")
            self.server.hosts.append(_host(line))
            self.request.sendall(REFUSAL)
        except (OSError, ValueError):
            # It left: nobody to refuse.
            pass


class World(socketserver.ThreadingTCPServer):
    """An HTTP proxy that lets nothing through, so that telemetry and updates fail at once."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.hosts = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def environment(self):
        url = "http://127.0.0.1:%d" % self.server_address[1]
        names = {"HTTPS_PROXY": url, "HTTP_PROXY": url, "NO_PROXY": "127.0.0.1,localhost,::1"}
        return {**names, **{name.lower(): value for name, value in names.items()}}

    def stop(self):
        self.shutdown()
        self.server_close()


def _host(line):
    """`CONNECT api.example.com:443 HTTP/1.1` or `GET http://example.com/ HTTP/1.1` → the host."""
    _, target, _ = line.split(" ", 2)
    return target.split("://")[-1].split("/")[0].rsplit(":", 1)[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
