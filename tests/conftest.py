"""For all tests: one thread. The tensors are small, so a second one costs more than it brings, and on a busy machine
the two wait for each other; and the numbers do not depend on how many cores there are.

Tests marked slow start processes or take seconds: they run with --slow, or where -m chooses.
"""
import pytest
import torch

torch.set_num_threads(1)
left_out = pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_report_header():
    return f"torch {torch.__version__} with {torch.backends.cpu.get_cpu_capability()} instructions"


def pytest_collection_modifyitems(config, items):
    if config.option.slow or config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    config.stash[left_out] = len(slow)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter, config):
    yield                       # what else is summed up comes first, so that this stands in the last lines
    if count := config.stash.get(left_out, 0):
        terminalreporter.write_line(f"{count} slow tests left out: python -m pytest --slow runs everything")
