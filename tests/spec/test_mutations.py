"""However a valid file is damaged, loading gives a project or a SpecError that points into it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.spec.conftest import DEMO, Copy

from firnline.spec.load import load_project
from firnline.spec.problems import SpecError

FILES = ("firnline.yaml", "tenants/acme.yaml", "tenants/globex.yaml")
SCALARS = st.sampled_from(
    ["", "~", "1", "-0", "1.5", "true", "NO", "[]", "{}", "[a, b]", "{a: b}", "'", '"', "*x", "&x",
     "!t", "|", ">", "? ", "- ", ": ", "#", "%", "@", "`", "\t", "\x85", "\u2028", "\ufeff", "é",
     "x" * 300, '"\\u0000"', '"\\ud800"', "9" * 50, ".inf", "now-90", "id", "__x", "*", "a.b.c"]
)  # fmt: skip


@contextmanager
def scratch() -> Iterator[Copy]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "project"
        shutil.copytree(DEMO, directory)
        yield Copy(directory)


def check_refusal(copy: Copy) -> None:
    """Load; whatever is refused is refused with places inside the files."""
    try:
        load_project(copy.directory)
    except SpecError as error:
        assert error.problems
        for problem in error.problems:
            lines = copy.text(problem.file).splitlines() or [""]
            assert 1 <= problem.line <= len(lines), str(problem)
            assert 1 <= problem.column <= max(map(len, lines)) + 1, str(problem)
            assert problem.message
            assert "\n" not in problem.message


@st.composite
def damage(draw: st.DrawFn, text: str) -> str:
    """Damage one line of `text` in one of the ways that editors and people do."""
    lines = text.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    match draw(st.sampled_from(["drop", "double", "indent", "scalar", "cut", "swap", "insert"])):
        case "drop":
            del lines[at]
        case "double":
            lines.insert(at, line)
        case "indent":
            lines[at] = " " * draw(st.integers(0, 12)) + line.lstrip()
        case "scalar":
            key, colon, _ = line.partition(":")
            lines[at] = f"{key}{colon} {draw(SCALARS)}"
        case "cut":
            lines[at] = line[: draw(st.integers(0, len(line)))]
        case "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], line
        case "insert":
            place = draw(st.integers(0, len(line)))
            lines[at] = line[:place] + draw(SCALARS) + line[place:]
    return "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(choices=st.data(), file=st.sampled_from(FILES), times=st.integers(1, 3))
def test_damaged_file_loads_or_is_refused_with_a_place(
    choices: st.DataObject, file: str, times: int
) -> None:
    with scratch() as copy:
        text = copy.text(file)
        for _ in range(times):
            text = choices.draw(damage(text)) if text.strip() else text
        copy.write(file, text)
        check_refusal(copy)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200), file=st.sampled_from(FILES))
def test_arbitrary_bytes_are_refused_with_a_place(content: bytes, file: str) -> None:
    with scratch() as copy:
        (copy.directory / file).write_bytes(content)
        try:
            load_project(copy.directory)
        except SpecError as error:
            lines = max(1, len(content.decode("utf-8", "replace").splitlines()))
            own = [problem for problem in error.problems if problem.file == file]
            assert own
            assert all(1 <= problem.line <= lines for problem in own)
        else:
            raise AssertionError("random bytes were taken for a spec")
