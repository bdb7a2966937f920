"""The one hint that says how to install an extra: for a checkout, for a package, of extras that there are."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

import juggler
from juggler import extras

ROOT = Path(juggler.__file__).parent
PYPROJECT = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
CALLS = sorted(
    (str(path.relative_to(ROOT)), node.lineno, tuple(map(ast.unparse, node.args)))
    for path in ROOT.rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "install_command"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    return folder


def noted(folder: Path, **dir_info: bool) -> str:
    return json.dumps({"url": folder.as_uri(), "dir_info": dir_info})


@pytest.fixture
def installed_from(monkeypatch: pytest.MonkeyPatch):
    def pretend(direct_url: str | None) -> None:
        monkeypatch.setattr(extras, "_checkout", lambda: extras.checkout_of(direct_url))

    return pretend


def test_a_package_from_an_index_is_installed_by_its_name(installed_from):
    installed_from(None)
    assert extras.install_command("train") == "pip install 'juggler[train]'"
    assert extras.install_command("train", "fleet") == "pip install 'juggler[train,fleet]'"


def test_a_checkout_is_installed_from_its_folder(checkout, installed_from):
    installed_from(noted(checkout, editable=True))
    assert extras.install_command("train") == f"cd '{checkout}' && pip install -e '.[train]'"
    installed_from(noted(checkout))
    assert extras.install_command("train") == f"cd '{checkout}' && pip install '.[train]'"


def test_the_user_s_own_folder_is_named_short_and_works_in_a_shell(checkout, installed_from, monkeypatch):
    installed_from(noted(checkout, editable=True))
    monkeypatch.setenv("HOME", str(checkout.parent))
    assert extras.install_command("int8") == "cd ~/'a checkout' && pip install -e '.[int8]'"
    monkeypatch.setenv("HOME", str(checkout))
    assert extras.install_command("int8") == "cd ~ && pip install -e '.[int8]'"


@pytest.mark.parametrize(
    "direct_url",
    [
        None,
        "",
        "no json",
        "[]",
        "null",
        "{}",
        '{"url": 3, "dir_info": {}}',
        '{"url": "file:///nowhere/at/all", "dir_info": {"editable": true}}',
        '{"url": "https://example.org/juggler.whl", "archive_info": {}}',
        '{"url": "https://example.org/juggler.git", "vcs_info": {"vcs": "git"}}',
        '{"url": "file:///juggler.whl", "dir_info": null}',
        '{"url": "file:///%00", "dir_info": {}}',
    ],
)
def test_what_is_no_folder_of_sources_is_a_package(direct_url):
    assert extras.checkout_of(direct_url) == (None, False)


def test_files_for_others_do_not_name_the_folder(checkout, installed_from):
    installed_from(noted(checkout, editable=True))
    text = f"zeus: not installed: zeus ({extras.install_command('power')})"
    assert extras.portable(text) == "zeus: not installed: zeus (pip install 'juggler[power]')"
    installed_from(None)
    assert extras.portable(text) == text


def test_what_is_too_old_is_upgraded_where_it_came_from(checkout, installed_from):
    installed_from(None)
    assert extras.upgrade_command() == "pip install --upgrade juggler"
    installed_from(noted(checkout, editable=True))
    assert re.fullmatch(r"cd .*a checkout.* && git pull && pip install -e \.", extras.upgrade_command())


def test_every_hint_names_extras_that_there_are():
    assert len(CALLS) >= 15
    declared = PYPROJECT["project"]["optional-dependencies"]
    for place, line, arguments in CALLS:
        names = [ast.literal_eval(argument) for argument in arguments]
        assert names and set(names) <= set(declared), f"{place}:{line} asks for {names}"


def test_nobody_else_says_how_to_install_an_extra():
    by_hand = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if path.name != "extras.py"
        and re.search(r"(juggler|\.)\[[a-z0-9,]+\]['\"]", path.read_text(encoding="utf-8"))
    ]
    assert by_hand == [], "use juggler.extras.install_command"
