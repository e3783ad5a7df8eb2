"""The wheel, installed into another project's own environment: the program starts there and its
fixtures serve that project's tests.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from config import SETTINGS

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "invitation-tests"


def run(*command: str | Path, cwd: Path) -> str:
    """Its output; the test fails with it when the program does."""
    environ = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environ.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what would be committed, as anybody would build it."""
    source = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q",
        "-w", folder, source, cwd=folder)  # fmt: skip
    [built] = folder.glob("*.whl")
    return built


@pytest.mark.long
def test_the_wheel_holds_everything_that_the_program_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "b2b/root/app.py",
        "b2b/root/config.py",
        "b2b/root/migrations/env.py",
        "b2b/root/static/css/tokens.css",
        "b2b/root/templates/mail/invitation/classic/body.html",
        "b2b/root/translations/ko/LC_MESSAGES/messages.mo",
        "b2b/sink/migrations/env.py",
    } <= names
    outside = {name.partition("/")[0] for name in names}
    assert {name for name in outside if not name.endswith(".dist-info")} == {"b2b"}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_another_project_tests_its_invitations_with_it(wheel: Path, tmp_path: Path) -> None:
    """Its environment has the wheel, our dependencies as they are here, and no checkout."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    [theirs] = (home / "lib").glob("python*/site-packages")
    [ours] = (Path(sys.prefix) / "lib").glob("python*/site-packages")
    # The packages themselves are not installed once more: that tells nothing and takes minutes.
    (theirs / "dependencies.pth").write_text(f"{ours}\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps",
        "--no-index", wheel, cwd=tmp_path)  # fmt: skip
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    # What would be taken by mistake where the installed program looked around itself.
    (project / "config.py").write_text("raise RuntimeError('another project’s')\n")
    (project / "app.py").write_text("raise RuntimeError('another project’s')\n")
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
               cwd=project)  # fmt: skip
    assert re.search(r"\b8 passed", said), said
    # On a machine that has nothing else to do; here other programs may run beside these tests.
    begin = "from b2b.testing import Program; from pathlib import Path\n"
    begin += "with Program(Path('again')) as program: print(program.started_in)"
    seconds = []
    for again in range(3):
        (project / str(again)).mkdir()
        seconds.append(float(run(python, "-c", begin, cwd=project / str(again))))
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert min(seconds) < 3 * crowd, seconds
