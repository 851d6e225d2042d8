"""Fetching the benchmarks' data: whole, checked, and only when somebody asks for it."""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from filelock import FileLock
from huggingface_hub import hf_hub_url

from langgraph_memskill.benchmarks.official_data import DataFile, DataSet
from langgraph_memskill.errors import DataError

logger = logging.getLogger(__name__)

SUMS_FILE = "SHA256SUMS"
"""Checksums of what was fetched, in the form that `sha256sum --check` reads."""
LICENCE_FILE = "LICENCE.txt"

_ATTEMPTS = 3
_TIMEOUT_S = 30.0
_SHA256 = re.compile(r'"?([0-9a-f]{64})"?')
_HUB_HASH = "x-linked-etag"
"""Header in which the Hugging Face hub names the SHA-256 of a large file."""

OnBytes = Callable[[str, int, int], None]
"""Called with a file's name, how many bytes of it are there and how many it has (0: unknown)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that is there now."""

    path: Path
    sha256: str
    was_there: bool
    """Whether it was there before, whole and unchanged."""
    is_verified: bool
    """Whether its checksum was compared with a published one."""


def fetch(
    data_set: DataSet,
    folder: Path,
    *,
    source: str | None = None,
    on_bytes: OnBytes = lambda name, done, total: None,
) -> list[Fetched]:
    """Fetch the files of a data set into a folder.

    A file is there whole or not at all; what was fetched of it stays beside it as `NAME.part`, and
    the next attempt goes on from there. A file that is there already is checked and left alone.

    Args:
        data_set: Which.
        folder: Where to; made if it is missing.
        source: A folder, or the address of a mirror, that has the files under their names (or below
            a folder with the data set's name); None for the official addresses.
        on_bytes: Told of the progress.

    Returns:
        The files, in the data set's order.

    Raises:
        DataError: If a file cannot be reached or written, or is not the official one; the message
            says what to do without network.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be made: {error.strerror}") from error
    fetched = [_fetch_file(data_set, file, folder, source, on_bytes) for file in data_set.files]
    _write_notes(data_set, folder, fetched)
    return fetched


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch_file(
    data_set: DataSet, file: DataFile, folder: Path, source: str | None, on_bytes: OnBytes
) -> Fetched:
    target = folder / file.name
    with FileLock(folder / f".{file.name}.lock"), _told(target):
        if target.exists():
            return _present(file, target, _recorded(folder).get(file.name))
        part = folder / f"{file.name}.part"
        published = file.sha256
        if source is None or _is_address(source):
            named = _download(data_set, file, part, source, on_bytes)
            published = published or named
        else:
            _copy(data_set, file, part, Path(source))
        found = sha256_of(part)
        if published is not None and found != published:
            part.unlink()
            raise DataError(
                f"{file.name} is not the official file: its SHA-256 is {found}, expected "
                f"{published}. It was thrown away. A file that you trust can be used under "
                "another name: look at it with memskill data check FILE"
            )
        os.replace(part, target)
    return Fetched(path=target, sha256=found, was_there=False, is_verified=published is not None)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Turn what the file system says into an error with the file's name."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error


def _present(file: DataFile, target: Path, recorded: str | None) -> Fetched:
    found, expected = sha256_of(target), file.sha256 or recorded
    if expected is not None and found != expected:
        raise DataError(
            f"{target} is there already and is another file: its SHA-256 is {found}, expected "
            f"{expected}. Move it away, or name another folder with --to"
        )
    return Fetched(path=target, sha256=found, was_there=True, is_verified=expected is not None)


def _is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _copy(data_set: DataSet, file: DataFile, part: Path, source: Path) -> None:
    places = (source / file.name, source / data_set.name / file.name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(
            f"{source} has neither {file.name} nor {data_set.name}/{file.name}: put the file "
            f"there (from {_address(data_set, file)}), or name another folder with --from"
        )
    shutil.copyfile(found, part)


def _address(data_set: DataSet, file: DataFile) -> str:
    if file.url:
        return file.url
    return hf_hub_url(
        data_set.hub_repository,
        file.name,
        repo_type="dataset",
        revision=data_set.hub_revision,
    )


def _addresses(data_set: DataSet, file: DataFile, source: str | None) -> list[str]:
    if source is None:
        return [_address(data_set, file)]
    base = source.rstrip("/")
    return [f"{base}/{file.name}", f"{base}/{data_set.name}/{file.name}"]


def _download(
    data_set: DataSet, file: DataFile, part: Path, source: str | None, on_bytes: OnBytes
) -> str | None:
    """Fetch a file, going on with what is there of it.

    Returns:
        The SHA-256 that the server names, if it does.
    """
    problem = ""
    for address in _addresses(data_set, file, source):
        for _ in range(_ATTEMPTS):
            try:
                return _transfer(address, file, part, on_bytes)
            except httpx.HTTPStatusError as error:
                problem = f"{address} answered {error.response.status_code}"
                if error.response.status_code < 500:
                    break
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                problem = f"{address} was not reached ({type(error).__name__}: {error})"
            logger.info("%s; trying again", problem)
    raise DataError(f"{problem}. {_without_network(data_set, file)}")


def _without_network(data_set: DataSet, file: DataFile) -> str:
    return (
        f"Without network: fetch {file.name} on another machine from {_address(data_set, file)} "
        f"(about it: {data_set.page}), put it into a folder here and run: "
        f"memskill data get {data_set.name} --from FOLDER. A mirror goes by --from URL, too, and "
        "what was fetched already is kept"
    )


def _transfer(address: str, file: DataFile, part: Path, on_bytes: OnBytes) -> str | None:
    """One request; appends to the part where server and address allow it."""
    start = part.stat().st_size if part.exists() else 0
    if file.num_bytes is not None and start >= file.num_bytes:
        return None  # the whole file is there; the checksum decides
    # Not compressed, so that what is there is a beginning of the file.
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    with httpx.stream(
        "GET", address, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S
    ) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            part.unlink()
            raise httpx.ReadError("what was there of it does not fit")
        response.raise_for_status()
        is_rest = response.status_code == httpx.codes.PARTIAL_CONTENT
        done = start if is_rest else 0
        length = int(response.headers.get("content-length", 0))
        total = file.num_bytes or (done + length if length else 0)
        with part.open("ab" if is_rest else "wb") as stream:
            for block in response.iter_raw():
                stream.write(block)
                done += len(block)
                on_bytes(file.name, done, max(total, done))
        return _named_hash(response)


def _named_hash(response: httpx.Response) -> str | None:
    """The SHA-256 that the Hugging Face hub sends with a large file, on the way to its storage."""
    for step in (*response.history, response):
        if found := _SHA256.fullmatch(step.headers.get(_HUB_HASH, "")):
            return found[1]
    return None


def _recorded(folder: Path) -> dict[str, str]:
    """The checksums that earlier fetches wrote down, by file name."""
    file = folder / SUMS_FILE
    if not file.exists():
        return {}
    lines = (line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines())
    return {words[1].removeprefix("*"): words[0] for words in lines if len(words) == 2}


def _write_notes(data_set: DataSet, folder: Path, fetched: list[Fetched]) -> None:
    """Write down checksums and licence beside the files."""
    with FileLock(folder / f".{SUMS_FILE}.lock"), _told(folder / SUMS_FILE):
        sums = _recorded(folder) | {file.path.name: file.sha256 for file in fetched}
        _write(folder / SUMS_FILE, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
        _write(folder / LICENCE_FILE, licence_text(data_set))


def licence_text(data_set: DataSet) -> str:
    """Whose data it is and what its licence asks for, for people."""
    names = ", ".join(file.name for file in data_set.files)
    return (
        f"{data_set.title}\n{names}\nfrom {data_set.page}\n"
        f"Licence: {data_set.licence}. {data_set.notice}\n"
    )


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
