"""Fetching over a real HTTP server of this machine: whole files, resumed ones, wrong ones."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from langgraph_memskill.benchmarks.downloads import fetch
from langgraph_memskill.benchmarks.official_data import DATA_SETS, DataFile, DataSet
from langgraph_memskill.errors import DataError

CONTENT = b'[{"a": 1}]' * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files` by path; knows ranges; may break off after some bytes, or fail at first."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.headers = {}
        self.requests = []
        self.break_after = []
        self.fail_first = 0
        self.redirects = {}

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if server.fail_first:
            server.fail_first -= 1
            self.send_error(503)
            return
        if self.path in server.redirects:
            self.send_response(302)
            for name, value in server.redirects[self.path].items():
                self.send_header(name, value)
            self.end_headers()
            return
        if self.path not in server.files:
            self.send_error(404)
            return
        content = server.files[self.path]
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = server.break_after.pop(0) if server.break_after else None
        self.wfile.write(content[start : None if cut is None else start + cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def data_set(*files, **fields):
    return DataSet(
        name="toy",
        title="Toy",
        page="https://example.org/toy",
        licence="CC0",
        notice="Nothing to do.",
        files=files or (DataFile(name="toy.json", sha256=SHA256, num_bytes=len(CONTENT)),),
        hub_repository="nobody/toy",
        hub_revision="1",
        **fields,
    )


def test_a_file_from_a_mirror(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    [done] = fetch(data_set(), tmp_path / "toy", source=server.address)
    assert (done.sha256, done.was_there, done.is_verified) == (SHA256, False, True)
    assert (tmp_path / "toy/toy.json").read_bytes() == CONTENT
    assert (tmp_path / "toy/SHA256SUMS").read_text() == f"{SHA256}  toy.json\n"
    assert "Licence: CC0" in (tmp_path / "toy/LICENCE.txt").read_text()
    assert not list((tmp_path / "toy").glob("*.part"))


def test_a_mirror_may_have_a_folder_for_each_data_set(server, tmp_path):
    server.files["/all/toy/toy.json"] = CONTENT
    [done] = fetch(data_set(), tmp_path, source=server.address + "/all/")
    assert done.is_verified


def test_a_file_at_its_own_address(server, tmp_path):
    server.files["/official/toy.json"] = CONTENT
    file = DataFile(name="toy.json", url=server.address + "/official/toy.json", sha256=SHA256)
    [done] = fetch(data_set(file), tmp_path)
    assert done.is_verified


def test_what_is_there_is_checked_and_not_fetched_again(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    fetch(data_set(), tmp_path, source=server.address)
    [again] = fetch(data_set(), tmp_path, source=server.address)
    assert (again.was_there, again.is_verified) == (True, True)
    assert len(server.requests) == 1


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    server.break_after = [4000, 3000]
    seen = []
    [done] = fetch(
        data_set(), tmp_path, source=server.address, on_bytes=lambda *told: seen.append(told)
    )
    assert done.sha256 == SHA256
    assert [wanted for _, wanted in server.requests] == [None, "bytes=4000-", "bytes=7000-"]
    assert seen[-1] == ("toy.json", len(CONTENT), len(CONTENT))


def test_an_interrupted_fetch_is_taken_up_by_the_next_one(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    server.break_after = [1000, 1000, 1000]
    with pytest.raises(DataError, match="what was fetched already is kept"):
        fetch(data_set(), tmp_path, source=server.address)
    assert not (tmp_path / "toy.json").exists()
    [done] = fetch(data_set(), tmp_path, source=server.address)
    assert done.sha256 == SHA256
    assert server.requests[-1] == ("/toy.json", "bytes=3000-")


def test_a_wrong_beginning_is_thrown_away_in_the_end(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    (tmp_path / "toy.json.part").write_bytes(b"x" * 500)
    with pytest.raises(DataError, match="not the official file"):
        fetch(data_set(), tmp_path, source=server.address)
    [done] = fetch(data_set(), tmp_path, source=server.address)
    assert done.sha256 == SHA256


def test_a_server_that_fails_at_first_is_asked_again(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    server.fail_first = 2
    [done] = fetch(data_set(), tmp_path, source=server.address)
    assert done.sha256 == SHA256


def test_another_file_than_the_official_one_is_refused(server, tmp_path):
    server.files["/toy.json"] = b"[]" + CONTENT[2:]
    with pytest.raises(DataError, match=f"expected {SHA256}"):
        fetch(data_set(), tmp_path, source=server.address)
    assert not (tmp_path / "toy.json").exists()
    assert not (tmp_path / "toy.json.part").exists()


def test_another_file_that_is_there_is_left_alone(server, tmp_path):
    (tmp_path / "toy.json").write_bytes(b"mine")
    with pytest.raises(DataError, match="is there already and is another file"):
        fetch(data_set(), tmp_path, source=server.address)
    assert (tmp_path / "toy.json").read_bytes() == b"mine"


def test_without_a_published_checksum_the_hub_says_it(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    server.headers = {"X-Linked-Etag": f'"{SHA256}"'}
    [done] = fetch(data_set(DataFile(name="toy.json")), tmp_path, source=server.address)
    assert done.is_verified
    server.headers = {"X-Linked-Etag": f'"{"0" * 64}"'}
    with pytest.raises(DataError, match="not the official file"):
        fetch(data_set(DataFile(name="toy.json")), tmp_path / "other", source=server.address)


def test_the_hub_says_the_checksum_on_the_way_to_its_storage(server, tmp_path):
    server.files["/storage/1"] = CONTENT
    server.redirects["/toy.json"] = {
        "Location": f"{server.address}/storage/1",
        "X-Linked-Etag": f'"{SHA256}"',
    }
    [done] = fetch(data_set(DataFile(name="toy.json")), tmp_path, source=server.address)
    assert done.is_verified
    assert [path for path, _ in server.requests] == ["/toy.json", "/storage/1"]


def test_an_unpublished_checksum_is_recorded_and_holds_from_then_on(server, tmp_path):
    server.files["/toy.json"] = CONTENT
    [done] = fetch(data_set(DataFile(name="toy.json")), tmp_path, source=server.address)
    assert not done.is_verified
    [again] = fetch(data_set(DataFile(name="toy.json")), tmp_path, source=server.address)
    assert (again.was_there, again.is_verified) == (True, True)
    (tmp_path / "toy.json").write_bytes(b"changed")
    with pytest.raises(DataError, match="another file"):
        fetch(data_set(DataFile(name="toy.json")), tmp_path, source=server.address)


@pytest.mark.parametrize("place", ["toy.json", "toy/toy.json"])
def test_a_file_from_a_folder(tmp_path, place):
    source = tmp_path / "usb" / place
    source.parent.mkdir(parents=True)
    source.write_bytes(CONTENT)
    [done] = fetch(data_set(), tmp_path / "data", source=str(tmp_path / "usb"))
    assert done.is_verified
    assert source.read_bytes() == CONTENT


def test_a_folder_without_the_file(tmp_path):
    with pytest.raises(DataError, match=r"neither toy\.json nor toy/toy\.json.*nobody/toy"):
        fetch(data_set(), tmp_path / "data", source=str(tmp_path))


def test_a_file_that_no_server_has_says_what_to_do(server, tmp_path):
    with pytest.raises(DataError, match=r"answered 404\. Without network:.*--from FOLDER"):
        fetch(data_set(), tmp_path, source=server.address)


def test_without_network_the_message_says_what_to_do(tmp_path):
    file = DataFile(name="toy.json", url="http://127.0.0.1:9/toy.json", sha256=SHA256)
    with pytest.raises(DataError, match="was not reached") as failed:
        fetch(data_set(file), tmp_path)
    assert "http://127.0.0.1:9/toy.json" in str(failed.value)
    assert "memskill data get toy --from FOLDER" in str(failed.value)


@pytest.mark.parametrize("address", ["http://", "http://[x", "https://nowhere.invalid"])
def test_an_address_that_is_none(tmp_path, address):
    with pytest.raises(DataError, match="was not reached"):
        fetch(data_set(), tmp_path, source=address)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be made"):
        fetch(data_set(), tmp_path / "taken" / "toy")


def test_the_official_data_names_licences_and_fixed_addresses():
    assert DATA_SETS["locomo"].licence == "CC BY-NC 4.0"
    for official in DATA_SETS.values():
        assert official.page.startswith("https://")
        for file in official.files:
            assert not file.url or "/main/" not in file.url
            assert file.url or len(official.hub_revision) == 40
    names = [file.name for official in DATA_SETS.values() for file in official.files]
    assert names == [
        "locomo10.json",
        "longmemeval_s_cleaned.json",
        "longmemeval_s_splits.json",
        "eval_50.json",
        "eval_100.json",
        "eval_200.json",
    ]
