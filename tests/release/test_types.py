"""Programs of users are free of errors under `mypy --strict`, with the types that the wheels bring."""

from __future__ import annotations

import os
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.places import EXAMPLES, ROOT
from tests.release.building import ReleaseError, run
from tests.release.installs import DOWNSTREAM, check_types
from tests.slowness import mostly_slow

# mypy reads all of PyTorch; the second time it takes seconds.
CACHE = ROOT / ".mypy_cache" / "downstream"


@pytest.fixture(scope="module")
def python(lite_wheel: Path, hub_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has both wheels unpacked; what they need it has from this one."""
    folder = tmp_path_factory.mktemp("downstream")
    venv.create(folder, with_pip=False)
    packages = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    for wheel in (lite_wheel, hub_wheel):
        zipfile.ZipFile(wheel).extractall(packages)
    # Only the folder: what stands in its .pth files, such as this clone, is not looked at.
    (packages / "what_they_need.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(folder / "bin" / "python")


def test_the_wheels_are_what_is_looked_at(python: str, tmp_path: Path) -> None:
    program = "import snn_voice_hub, snn_voice_lite as l; print(snn_voice_hub.__file__, l.__file__)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    said = run(python, "-c", program, cwd=tmp_path, **environment).split()
    assert all(Path(path).is_relative_to(Path(python).parents[1]) for path in said)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", mostly_slow(["lite_user.py", "hub_user.py"], "lite_user.py"))
def test_a_program_of_a_user(python: str, program: str, tmp_path: Path) -> None:
    copied = tmp_path / program
    copied.write_bytes((DOWNSTREAM / program).read_bytes())
    check_types(copied, python, tmp_path, CACHE)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    said = run(python, copied, EXAMPLES / "yes.wav", tmp_path / "saved", cwd=tmp_path, **environment)
    assert "yes" in said.split()


@pytest.mark.timeout(900)
def test_mistakes_are_found(python: str, tmp_path: Path) -> None:
    text = (DOWNSTREAM / "lite_user.py").read_text()
    (tmp_path / "wrong.py").write_text(text.replace("list[Prediction])", "list[Event])", 1))
    with pytest.raises(ReleaseError, match="Expression is of type"):
        check_types(tmp_path / "wrong.py", python, tmp_path, CACHE)
    (tmp_path / "expected.py").write_text(text.replace("topk=1", "top_k=1"))
    with pytest.raises(ReleaseError, match=r"Unused \"type: ignore\" comment"):
        check_types(tmp_path / "expected.py", python, tmp_path, CACHE)
