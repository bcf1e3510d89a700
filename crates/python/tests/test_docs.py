"""The stubs, the docstrings and the README say the same as the code, and their examples run."""

import ast
import doctest
import inspect
import re
from pathlib import Path

import pyarrow
import pytest

import warpline

STUB = ast.parse((Path(warpline.__file__).parent / "_native.pyi").read_text())
README = Path(__file__).resolve().parents[1] / "README.md"


def documented(nodes, owner):
    """Public things of the stub, and the objects that they describe."""
    for node in nodes:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            thing = inspect.getattr_static(owner, node.name)
            yield node, thing
            if isinstance(node, ast.ClassDef):
                yield from documented(node.body, thing)


def test_every_public_name_has_a_stub():
    stubbed = {node.name for node in STUB.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assert set(warpline.__all__) - {"__version__"} == {name for name in stubbed if not name.startswith("_")}
    for node in STUB.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "ImageError":
            members = {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
            public = {name for name in vars(getattr(warpline, node.name)) if not name.startswith("_")}
            assert public == {name for name in members if not name.startswith("_")}, node.name


def test_docstrings_are_those_of_the_stub():
    for node, thing in documented(STUB.body, warpline):
        if isinstance(thing, staticmethod):
            thing = thing.__func__
        assert ast.get_docstring(node) == inspect.getdoc(thing), node.name


def test_options_are_those_of_the_stub():
    options = next(node for node in STUB.body if getattr(node, "name", "") == "_Options")
    names = {field.target.id for field in options.body}
    with pytest.raises(TypeError) as raised:
        warpline.Preprocess(what=1)
    assert set(str(raised.value).partition("images: ")[2].split(", ")) == names
    for name in names:
        assert re.search(rf"\b{name}\b", warpline.Preprocess.__doc__), name
        assert re.search(rf"\b{name}\b", warpline.image_to_tensor.__doc__), name


@pytest.mark.parametrize(
    "thing", ["Preprocess", "Preprocess.from_hf", "decode_image", "image_to_tensor", "Tensor", "Images"]
)
def test_examples(files, thing):
    owner = warpline
    for name in thing.split("."):
        owner = getattr(owner, name)
    test = doctest.DocTestParser().get_doctest(owner.__doc__, dict(warpline=warpline, pyarrow=pyarrow, files=files), thing, None, None)
    assert test.examples
    result = doctest.DocTestRunner().run(test)
    assert result.failed == 0


def test_readme(files, tmp_path, monkeypatch):
    """Its Python, from the top to the end, in a folder with the configuration that it reads."""
    monkeypatch.chdir(tmp_path)
    config = '{"image_processor_type": "ViTImageProcessor", "size": 24}'
    (tmp_path / "preprocessor_config.json").write_text(config)
    names = dict(files=files)
    for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.S):
        exec(code, names)
