"""Who may ask."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest
from snn_voice_server.failures import Unauthorized
from snn_voice_server.http import keys as module
from snn_voice_server.http.keys import ApiKeys, read_keys

from snn_voice_hub import ConfigError


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_without_keys_everybody_may_ask() -> None:
    keys = ApiKeys()
    assert len(keys) == 0
    assert keys.who("") == keys.who("Bearer anything") == ""


def test_names() -> None:
    keys = ApiKeys(["one", "two"], [("ann", sha("three"))])
    assert len(keys) == 3
    assert [keys.who(f"Bearer {key}") for key in ("one", "two", "three")] == ["key-1", "key-2", "ann"]


@pytest.mark.parametrize("header", ["Bearer one", "bearer one", "BEARER  one", "Bearer one "])
def test_forms_of_the_header(header: str) -> None:
    assert ApiKeys(["one"]).who(header) == "key-1"


@pytest.mark.parametrize(
    "header", ["", "one", "Bearer", "Bearer ", "Basic one", "Bearer one two", "Bearerone", " ", "Bearer\tone"]
)
def test_no_key(header: str) -> None:
    with pytest.raises(Unauthorized, match=r"needs an API key.*Authorization: Bearer KEY"):
        ApiKeys(["one"]).who(header)


@pytest.mark.parametrize("key", ["two", "on", "onee", "One", "\xe9", "ké", sha("one"), "x" * 10_000])
def test_wrong_key(key: str) -> None:
    with pytest.raises(Unauthorized, match="is not known") as refused:
        ApiKeys(["one"], [("ann", sha("three"))]).who(f"Bearer {key}")
    assert key not in str(refused.value) or len(key) < 4


def test_all_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither how much of a key is right, nor which one it is, shows in the time."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    names = [f"key-{index}" for index in range(1, 6)]
    keys = ApiKeys(names)
    for given in (names[0], names[-1], "wrong"):
        compared.clear()
        try:
            keys.who(f"Bearer {given}")
        except Unauthorized:
            assert given == "wrong"
        digests = [hashlib.sha256(name.encode()).digest() for name in names]
        assert compared == [(digest, hashlib.sha256(given.encode()).digest()) for digest in digests]


@pytest.mark.parametrize("key", ["two words", "tab\there", "é", "line\nbreak", "\x00"])
def test_keys_that_can_not_be_sent(key: str) -> None:
    with pytest.raises(ConfigError, match="API key 2 can't be sent in a header") as refused:
        ApiKeys(["one", key])
    assert key not in str(refused.value)


def test_keys_are_not_kept() -> None:
    keys = ApiKeys(["geheim"])
    assert "geheim" not in repr(vars(keys))


# --- files ----------------------------------------------------------------------------------------


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    lines = [
        "# who may ask",
        "",
        f"ann {sha('one')}",
        f"  bob\t{sha('two').upper()}  ",
        "   # bob's old one",
        "",
    ]
    file.write_text("\n".join(lines))
    keys = read_keys(["three"], file)
    assert len(keys) == 3
    assert [keys.who(f"Bearer {key}") for key in ("one", "two", "three")] == ["ann", "bob", "key-1"]
    with pytest.raises(Unauthorized):
        keys.who(f"Bearer {sha('one')}")  # the hash is no key


def test_two_keys_of_one_name(tmp_path: Path) -> None:
    """For the time in which a caller changes from one to the other."""
    file = tmp_path / "keys"
    file.write_text(f"ann {sha('old')}\nann {sha('new')}\n")
    keys = read_keys([], file)
    assert keys.who("Bearer old") == keys.who("Bearer new") == "ann"


def test_a_file_from_windows(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf# keys\r\n" + f"ann {sha('one')}\r\n".encode())
    assert read_keys([], file).who("Bearer one") == "ann"
    file.write_bytes(b"\xef\xbb\xbf" + f"ann {sha('one')}\r\n".encode())
    assert read_keys([], file).who("Bearer one") == "ann"


@pytest.mark.parametrize(
    "line",
    ["ann", "geheim", f"ann {sha('x')} x", f"ann {sha('x')[:-1]}", f"ann {sha('x')}0", "ann " + "g" * 64],
)
def test_a_line_that_is_something_else(line: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# keys\nbob {sha('one')}\n\n{line}\n")
    with pytest.raises(ConfigError, match=f"line 4 of {file} is not a name and a SHA-256") as refused:
        read_keys([], file)
    assert "sha256sum" in str(refused.value)
    assert "geheim" not in str(refused.value)  # somebody's key, not hashed


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere can't be read: No such file"):
        read_keys([], tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        read_keys([], tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary can't be read: it is no text"):
        read_keys([], binary)
    empty = tmp_path / "empty"
    empty.write_text("# nobody\n")
    # Otherwise a service that is meant to be closed would be open.
    with pytest.raises(ConfigError, match="empty holds none"):
        read_keys([], empty)


def test_a_hash_that_is_none() -> None:
    with pytest.raises(ConfigError, match="the hash of the API key 'ann' is not a SHA-256"):
        ApiKeys([], [("ann", "abc")])
