"""The command with arguments that nobody should give: exit code 0, 1 or 2, and at most one line on stderr."""
import random
import re

import numpy as np
import pytest
from PIL import Image

from minixai.__main__ import main
from minixai.cli import question
from minixai.networks import registry

ODD = ["", " ", "-", "--", "²", "٣", "--5", "-1", "-0", "1e3", "0x10", "1_0", "99", "9" * 30, "9" * 5000, "nan", "None",
       "é", "a\nb", "\x1b[31m", "a" * 3000, "../..", "/", "*", "%s", "{}", "cat:dog", "~", "\udcff", "0", "5", "true"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (40, 60, 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def saved_map(photo):
    np.save(photo.with_name("map.npy"), np.random.RandomState(0).rand(12, 12).astype(np.float32))
    return photo.with_name("map.npy")


def ends(arguments, capsys):
    """The exit code and what is on stderr: one printable line if nothing could be done, no traceback in any case."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code in (0, 1, 2), (arguments, code, error)
    lines = [line for line in error.splitlines() if not line.startswith("note: ")]
    if code == 2:
        assert len(lines) == 1 and lines[0].startswith("minixai: ") and lines[0].isprintable(), (arguments, error)
        assert not re.search(r"\w+Error:|Traceback|MINIXAI_TRACEBACK", error), (arguments, error)
    return code, error


OF_A_CNN = ["--model", "small_cnn"]
OF_A_VIT = ["--model", "small_vit"]


@pytest.mark.parametrize("given, sentence", [
    (["--model", ""], "no network named ''"),
    (["--model", "a\nb"], "no network named 'a\\nb'"),
    ([*OF_A_CNN, "--class", "²"], "no class is called '²'"),
    ([*OF_A_CNN, "--class", ""], "no class is called ''"),
    ([*OF_A_CNN, "--class=--5"], "no class is called '--5'"),
    ([*OF_A_CNN, "--class", "-1"], "class -1 does not exist"),
    ([*OF_A_CNN, "--class", "9" * 30], "does not exist"),
    ([*OF_A_CNN, "--layer=--5"], "no layer named '--5'"),
    ([*OF_A_CNN, "--layer", ""], "no layer named ''"),
    ([*OF_A_CNN, "--layer", "²"], "no layer named '²'"),
    ([*OF_A_CNN, "--method", ""], "no method ''"),
    ([*OF_A_CNN, "--head", "0"], "no heads"),
    ([*OF_A_VIT, "--layer=--5"], "layers 0 to 4; got '--5'"),
    ([*OF_A_VIT, "--layer", "²"], "layers 0 to 4; got '²'"),
    ([*OF_A_VIT, "--head", "99"], "heads 0 to 3; got 99"),
    ([*OF_A_VIT, "--head", "x"], "argument --head: invalid int value: 'x'"),
    ([*OF_A_VIT, "--head", ""], "argument --head: invalid int value: ''"),
    (["--device", "tpu"], "argument --device: invalid choice"),
    (["--nothing"], "unrecognized arguments: --nothing"),
])
def test_a_wrong_value_is_named(given, sentence, photo, tmp_path, capsys):
    code, error = ends(["explain", photo, "--out", tmp_path / "out", *given], capsys)
    assert code == 2 and sentence in error
    assert not (tmp_path / "out").exists()


def test_a_class_of_a_network_without_classes(photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(question, "load", lambda name, file: registry.build("dino_small8"))
    code, error = ends(["explain", photo, "--model", "dinov2_small", "--class", "cat", "--out", tmp_path], capsys)
    assert code == 2 and "no classes" in error


def test_without_an_image_an_odd_model_has_no_example(tmp_path, capsys):
    for odd in ("", "resnet50"):
        code, error = ends(["explain", "--model", odd, "--out", tmp_path], capsys)
        assert code == 2 and f"no shipped example for {odd!r}" in error


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_of_odd_arguments_ends_in_one_line(seed, photo, saved_map, tmp_path, capsys):
    chance = random.Random(seed)
    options = {"--class": ["0", "cat", *ODD], "--layer": ["stage1", "2", *ODD], "--head": ["0", "-1", *ODD],
               "--method": ["gradcam", "rollout", "eigencam", "chefer", *ODD], "--device": ["cpu", *ODD],
               "--weights": [photo, saved_map, *ODD]}
    codes = []
    for _ in range(40):
        command = chance.choice([["explain", photo], ["explain", chance.choice(ODD)], ["verify", saved_map, photo],
                                 ["verify", chance.choice(ODD), photo], ["verify", saved_map, chance.choice(ODD)]])
        model = chance.choice(["small_cnn", "small_vit", "small_vit", chance.choice(ODD)])
        given = [f"{option}={chance.choice(values)}" for option, values in options.items() if chance.random() < 0.3]
        codes.append(ends([*command, f"--model={model}", *given, "--out", tmp_path], capsys)[0])
    assert codes.count(2) > 20


@pytest.mark.parametrize("command", ["start", "check", "grade", "models", "nonsense", "", "--help", "²"])
def test_the_other_commands_too(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chance = random.Random(command)
    for _ in range(12):
        odd = [one for one in chance.sample(ODD, chance.randrange(3)) if one not in ("/", "../..", "", " ", "~", "*")]
        ends([command, *odd], capsys)
