"""What minixai imports: little, late, and in one direction. Read from the source, so no file can be forgotten."""
import ast
import pydoc
import subprocess
import sys
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import minixai

ROOT = Path(minixai.__file__).parent
THIRD_PARTY = {"torch", "numpy", "PIL", "matplotlib"}
KNOW_NOBODY = ("files", "heatmap", "score", "scenes")     # a folder is one module here
AUTOGRAD = {"autograd", "backward", "no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "requires_grad_",
            "requires_grad", "register_hook", "register_forward_hook", "register_forward_pre_hook",
            "register_full_backward_hook"}
FILES = sorted(ROOT.rglob("*.py"))


def module_of(path):
    """minixai/gradcam.py -> gradcam, minixai/scenes/coats.py -> scenes, minixai/__init__.py -> __init__"""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@lru_cache
def nodes(path):
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))))


def imported(path):
    """Dotted names of all that a file imports, at the top or late: 'torch.nn', 'minixai.heatmap.overlay'."""
    package = ("minixai", *path.relative_to(ROOT).parts[:-1])
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) - node.level + 1] if node.level else ()
            yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)


def ours(path):
    """The modules of minixai that a file imports, its own folder left out."""
    names = (name.split(".") for name in imported(path))
    return {name[1] for name in names if name[0] == "minixai" and len(name) > 1} - {module_of(path)}


@lru_cache
def graph():
    arrows = {}
    for path in FILES:
        arrows.setdefault(module_of(path), set()).update(ours(path))
    return arrows


def test_all_of_the_package_is_read():
    assert {"__init__", "trace", "gradcam", "rollout", "heatmap", "explain", *KNOW_NOBODY} <= set(graph())
    assert graph()["gradcam"] == graph()["rollout"] == {"heatmap", "recipe", "score"}
    assert "figures" in graph()["explain"] and graph()["figures"] == {"heatmap"}


def loaded_after(code):
    """The names of all modules that a fresh Python has imported after the code."""
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return set(done.stdout.split())


@pytest.mark.slow
def test_explaining_brings_no_plotting_and_no_scenes():
    loaded = loaded_after("import minixai; minixai.explain")
    assert "minixai.gradcam" in loaded
    assert not loaded & {"matplotlib", "minixai.figures", "minixai.scenes", "minixai.cli.question", "minixai.compat"}


def test_the_package_and_its_command_line_come_without_torch():
    assert not loaded_after("import minixai.cli, minixai.__main__") & {"torch", "numpy", "minixai.explain"}


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import minixai.{0}", "from minixai.{0} import {0}", "import minixai.{0} as module",
                                   "import minixai; minixai.{0}", "from minixai import *; import minixai.{0}"])
@pytest.mark.parametrize("name", ["explain", "verify"])
def test_a_function_is_not_hidden_by_the_module_of_its_name(name, first):
    """minixai.explain is the function, whichever way its module was imported before."""
    code = (f"{first.format(name)}\nimport minixai\nfrom minixai import {name}\n"
            f"assert type({name}).__name__ == 'function' and minixai.{name} is {name}, minixai.{name}")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


def test_the_package_looks_as_if_all_were_imported():
    assert set(minixai.__all__) <= set(dir(minixai))
    assert minixai.images.Preprocess and minixai.evaluation.randomization.top_down      # messages name them so
    assert not hasattr(minixai, "nothing") and not hasattr(minixai, "__wrapped__")
    with pytest.raises(ImportError, match="nothing"):
        from minixai import nothing  # noqa: F401
    assert "overlay(rgb: " in pydoc.render_doc(minixai, renderer=pydoc.plaintext)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_promised_packages_are_imported(path):
    allowed = THIRD_PARTY | {"minixai"} | sys.stdlib_module_names
    assert {name.partition(".")[0] for name in imported(path)} <= allowed


def test_the_arrows_point_one_way():
    TopologicalSorter(graph()).prepare()        # raises CycleError, which names the circle


@pytest.mark.parametrize("module", KNOW_NOBODY)
def test_the_ground_floor_knows_nobody(module):
    assert graph()[module] == set()


def test_images_know_files_and_no_more():
    assert graph()["images"] == {"files"}


def test_the_recipes_know_nothing_of_networks():
    recipes = graph()["gradcam"] | graph()["rollout"] | graph()["cams"] | graph()["attention"]
    assert not recipes & {"trace", "networks", "explain"}
    assert graph()["trace"] == {"networks", "score"}


def test_the_networks_know_images_and_files_and_no_more():
    assert graph()["networks"] == {"images", "files", "scenes"}
    for name in ("cnn", "vit"):
        assert not [one for one in imported(ROOT / f"networks/{name}.py") if one.startswith("minixai")]


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path) != "trace"],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_only_trace_touches_autograd_and_hooks(path):
    used = {node.attr for node in nodes(path) if isinstance(node, ast.Attribute)}
    assert not used & AUTOGRAD


# attention_recorder.py names the functions of other networks.
@pytest.mark.parametrize("path", [path for path in FILES if path.name != "attention_recorder.py"],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_no_network_here_hides_its_attention_or_works_in_place(path):
    used = {node.attr for node in nodes(path) if isinstance(node, ast.Attribute)}
    keywords = {node.arg for node in nodes(path) if isinstance(node, ast.keyword)}
    assert not used & {"MultiheadAttention", "scaled_dot_product_attention", "relu_"} and "inplace" not in keywords


def test_the_names_that_must_not_change_are_there():
    promised = {"METHODS", "build", "explain", "load", "open_image", "overlay"}
    assert promised <= set(minixai.__all__) and all(hasattr(minixai, name) for name in minixai.__all__)


def test_a_public_name_stays_the_function_when_the_module_of_that_name_is_imported():
    """Python then sets the name in the package, as here."""
    from minixai.images import open_image
    for name in ("explain", "verify"):
        setattr(minixai, name, sys.modules[getattr(minixai, name).__module__])
        assert callable(getattr(minixai, name))
    minixai.images = sys.modules["minixai.images"]
    assert vars(minixai)["images"].open_image is minixai.open_image is open_image
