"""An OpenAI-like server in this process that answers as `ReadingModel` does."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from langchain_core.messages import convert_to_messages

from tests.conftest import ReadingModel

Rule = Callable[[str], int]
"""Says with which status a prompt is answered; may wait, or do something else before."""


class OrdersServer(ThreadingHTTPServer):
    """Answers chats; a rule may make some of them fail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = ReadingModel()
        self.rule: Rule = lambda prompt: 200
        self.keys: set[str | None] = set()
        self.lock = threading.Lock()

    @property
    def spec(self) -> str:
        """For `--model`."""
        return f"http://127.0.0.1:{self.server_port}/v1#orders"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: OrdersServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = convert_to_messages(body["messages"])
        prompt = "\n".join(str(message.text) for message in messages)
        with self.server.lock:
            self.server.keys.add(self.headers["Authorization"])
        status = self.server.rule(prompt)
        reply: dict[str, Any] = {"error": {"message": "the endpoint is down"}}
        if status == 200:
            answer = str(self.server.model.invoke(messages).text)
            if "response_format" in body:
                answer = _as_json(answer)
            message = {"role": "assistant", "content": answer}
            counts = len(prompt.split()), len(answer.split())
            reply = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": counts[0],
                    "completion_tokens": counts[1],
                    "total_tokens": sum(counts),
                },
            }
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _as_json(blocks: str) -> str:
    """Action blocks as servers with guided output write them."""
    actions = []
    for block in blocks.split("\n\n"):
        parts = (line.partition(": ") for line in block.splitlines())
        values: dict[str, Any] = {name.lower(): value for name, _, value in parts}
        if "memory_index" in values:
            values["memory_index"] = int(values["memory_index"])
        actions.append(values)
    return json.dumps({"actions": actions})


@contextmanager
def orders_server() -> Iterator[OrdersServer]:
    """A server, for as long as a block lasts."""
    server = OrdersServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
