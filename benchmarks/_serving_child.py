"""A small server in Python that answers with onnxruntime: what the server of examples/serve is compared with.

Its handler does what one would write: ``json.loads``, a matrix a dtype, the sessions' ``run``, ``json.dumps``. As many
requests are computed at a time as there are cores, as in the other server; the others wait.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from stacking import Bundle, read_bundle


class Server(ThreadingHTTPServer):
    """One thread a connection, none of them waited for."""

    daemon_threads = True
    request_queue_size = 4096


def handler_of(bundle: Bundle) -> type[BaseHTTPRequestHandler]:
    """Make the class that answers POST with the scores of what was chosen."""
    places = threading.Semaphore(os.cpu_count() or 1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            began = time.perf_counter()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            read = time.perf_counter() - began
            with places:
                columns = json.loads(body)["columns"]
                scores, inside = bundle.timed_scores(columns)
                reply = json.dumps({"score": bundle.chosen, "scores": scores.tolist()}).encode()
            total = time.perf_counter() - began
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.send_header(
                "Server-Timing",
                f"read;dur={1e3 * read:.3f}, onnxruntime;dur={1e3 * inside:.3f}, total;dur={1e3 * total:.3f}",
            )
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def main() -> None:
    """Serve a bundle at a port until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    with Server(("127.0.0.1", arguments.port), handler_of(read_bundle(arguments.bundle))) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
