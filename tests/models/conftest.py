"""A server of an OpenAI-like API on the loopback interface, whose answers tests decide."""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from langgraph_memskill.models.key_pool import KeyPool

KEY_1, KEY_2, KEY_3 = (f"sk-test-0123456789-key{n}" for n in (1, 2, 3))


class Answers:
    """What the server does: a rule for each key, and what it was asked."""

    def __init__(self):
        self.rules = {}
        self.requests = []
        self.lock = threading.Lock()
        self.release = threading.Event()
        """Lets calls under the rule "held" be answered."""

    @property
    def calls(self):
        return Counter(key for key, _ in self.requests)

    def rule_for(self, key, body):
        with self.lock:
            self.requests.append((key, body))
            rule = self.rules.get(key, "ok")
            if isinstance(rule, list):
                return rule.pop(0) if rule else "ok"
            return rule


def _completion(body, text):
    message = {"role": "assistant", "content": text}
    if body.get("tools"):
        call = {"name": body["tools"][0]["function"]["name"], "arguments": '{"a": 1, "b": 2}'}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _chunk(body, delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    return f"data: {json.dumps(data | {'choices': [choice]})}\n\n".encode()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Authorization"].removeprefix("Bearer ")
        rule = self.server.answers.rule_for(key, body)
        if rule == "close":
            return
        if rule == "held":
            self.server.answers.release.wait()
        if isinstance(rule, tuple):
            self._send(rule[0], {"error": {"message": rule[2]}}, rule[1])
        elif body.get("stream"):
            self._stream(body, breaks=rule == "break")
        else:
            text = '{"name": "Ann", "age": 3}' if "response_format" in body else f"hello {key[-4:]}"
            self._send(200, _completion(body, text))

    def _send(self, status, data, headers=()):
        payload = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, body, *, breaks):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(_chunk(body, {"role": "assistant", "content": "hel"}))
        self.wfile.flush()
        if breaks:
            self.wfile.write(b'data: {"error": {"message": "overloaded"}}\n\n')
            return
        self.wfile.write(_chunk(body, {"content": "lo"}))
        self.wfile.write(_chunk(body, {}, "stop") + b"data: [DONE]\n\n")


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Say nothing: a client that gave up waiting is part of these tests."""


@contextmanager
def _serving():
    server = Server(("127.0.0.1", 0), Handler)
    server.answers = Answers()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server.answers
    finally:
        server.answers.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def serving():
    """Starts a server, for as long as a block lasts."""
    return _serving


@pytest.fixture
def server(serving):
    with serving() as parts:
        yield parts


@pytest.fixture
def make_pool(server):
    url, _ = server

    def make(*keys, **options):
        parts = {"model": "m", "keys": list(keys or (KEY_1, KEY_2)), "base_urls": [url]}
        return KeyPool(**(parts | options))

    return make
