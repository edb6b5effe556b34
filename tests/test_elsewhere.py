"""python -m tests.elsewhere sets what it says, in the processes that it starts, and tells what failed there."""
import platform

import pytest

from tests import elsewhere

X86 = platform.machine().lower() in ("x86_64", "amd64")
CAPABILITY = """
import os
import torch
def test_capability():
    assert torch.backends.cpu.get_cpu_capability() == {capability!r}
def test_variables():
    assert {{name: os.environ.get(name) for name in {setting}}} == {setting}
"""


def run(folder, setting, text, capsys):
    """(exit code, last line) of one setting on a file with this text."""
    path = folder / "test_it.py"
    path.write_text(text)
    code = elsewhere.main([setting, "--", str(path), "-q", "--rootdir", str(folder), "-p", "no:cacheprovider"])
    return code, capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="the settings are of x86 processors")
@pytest.mark.parametrize("setting, capability", [("sse", "DEFAULT"), ("avx2", "AVX2")])
def test_torch_uses_what_the_setting_says(setting, capability, tmp_path, capsys, monkeypatch):
    if not elsewhere.possible(setting):
        pytest.skip(f"{setting} cannot be set on this processor")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "of another run")
    text = CAPABILITY.format(capability=capability, setting=elsewhere.SETTINGS[setting])
    assert run(tmp_path, setting, text, capsys) == (0, "2 passed, 0 failed")


@pytest.mark.slow
def test_here_is_the_machine_whatever_was_set_before(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("MKL_ENABLE_INSTRUCTIONS", "SSE4_2")
    text = "import os\ndef test(): assert not {'ATEN_CPU_CAPABILITY', 'MKL_ENABLE_INSTRUCTIONS'} & {*os.environ}"
    assert run(tmp_path, "here", text, capsys) == (0, "1 passed, 0 failed")


@pytest.mark.slow
@pytest.mark.parametrize("text, last", [
    ("def test(): assert 0\ndef test_right(): pass", "1 passed, 1 failed"),
    ("import pytest\n@pytest.fixture\ndef x(): 1 / 0\ndef test(x): pass", "0 passed, 1 failed"),
    ("1 / 0", "0 passed, 1 failed"),
    ("", "0 passed, 1 failed"),                                 # no test at all
    ("import os\ndef test(): os.abort()", "0 passed, 1 failed"),
    ("import pytest\ndef test(): pytest.skip('no')", "0 passed, 0 failed"),
])
def test_what_fails_there_fails_here(text, last, tmp_path, capsys):
    assert run(tmp_path, "here", text, capsys) == (1, last)


def test_every_row_counts(capsys, monkeypatch):
    monkeypatch.setattr(elsewhere, "possible", lambda name: name != "avx2")
    monkeypatch.setattr(elsewhere, "run", lambda name, arguments: (name, 7, int(name == "here"), 1.0))
    assert elsewhere.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[-3:-1]] == [["here", "7", "1"], ["sse", "7", "0"]]
    assert lines[-1] == "14 passed, 1 failed" and elsewhere.main(["sse"]) == 0


def test_a_processor_that_cannot_is_named_and_nothing_run_is_no_success(capsys, monkeypatch):
    monkeypatch.setattr(elsewhere.platform, "machine", lambda: "arm64")
    assert elsewhere.main(["sse", "avx2"]) == 1 and elsewhere.possible("here")
    assert "sse is left out: it is for x86 processors, and this one is arm64" in capsys.readouterr().out
    monkeypatch.setattr(elsewhere.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(elsewhere, "capability", lambda: "DEFAULT")
    assert elsewhere.possible("sse") and not elsewhere.possible("avx2")
    assert "avx2 is left out: this processor has no AVX2" in capsys.readouterr().out


def test_a_setting_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        elsewhere.main(["sse2"])
    assert end.value.code == 2 and "no setting sse2; there are here, sse, avx2" in capsys.readouterr().err
