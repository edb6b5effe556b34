"""For all tests: one thread, and the images and ViTs that several test files use.

The tensors are small, so a second thread costs more than it brings, and on a busy machine the two wait for each other.
With one thread the numbers do not depend on the number of cores.

Tests marked slow start processes or take seconds: they run with --slow, or where -m chooses.
"""
import gc

import pytest
import torch

from minixai.networks.vit import ViT

torch.set_num_threads(1)
left_out = pytest.StashKey()


def random_images(B=2, H=24, W=16, seed=0, dtype=torch.float32):
    """Images (B,3,H,W) of normal noise."""
    return torch.randn(B, 3, H, W, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_vit(image_size, patch_size, width, **sizes):
    """A ViT with random weights, in eval mode. Its attention is far from uniform, as after training."""
    torch.manual_seed(0)
    model = ViT(image_size, patch_size, width, **sizes).eval()
    for block in model.blocks:
        torch.nn.init.normal_(block.attention.qkv.weight)
    return model


@pytest.fixture
def image():
    """(2,3,8,12)."""
    return random_images(H=8, W=12)


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


def pytest_collection_finish():
    """Python's garbage collector would walk over all collected tests again and again: a tenth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter, config):
    yield                       # what else is summed up comes first, so that this stands in the last lines
    if count := config.stash.get(left_out, 0):
        terminalreporter.write_line(f"{count} slow tests left out: python -m pytest --slow runs everything")
