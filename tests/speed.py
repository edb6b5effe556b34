"""python -m tests.speed: how much a heatmap costs, as ratios measured in one run.

Every ratio compares two things that took turns in the same process, so a machine that slows down slows both. Shown is
the median over the turns. Libraries that happen to be installed are timed beside ours, on the same networks. What has
no other side is in seconds or a second: starting, and the images of a folder.
"""
import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

import minixai
from minixai.images import PHOTOS, open_photo
from minixai.networks import registry

CNNS = ("efficientnet_lite0", "resnet18", "resnet50", "vgg16")
VITS = ("small_vit", "deit_tiny", "vit_small")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9, help="turns of each measurement (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads, "
          f"median of {options.turns} turns\n")
    # First: Linux counts what the parent held before into the peak memory of a new process.
    print_folder()
    print_gradcam(options)
    print_ablation(options)
    print_rollout(options)
    print_starting(options)


def print_gradcam(options):
    libraries = {name: time_with for name, (module, time_with) in LIBRARIES.items() if find_spec(module)}
    heading = "".join(f"{name + ' / ours':>26s}" for name in libraries)
    print(f"{'Grad-CAM, last stage':24s}{'batch':>6s}{'forward ms':>12s}{'ours / forward':>16s}{heading}")
    for name in CNNS:
        model = minixai.build(name).to(options.device)
        for batch in (1, 8):
            image = random_images(name, batch, options.device)
            theirs = {library: prepare(model, image) for library, prepare in libraries.items()}
            forward, ours, *others = alternate(
                options.turns, options.device, no_grad(model, image), partial(minixai.explain, model, image),
                *theirs.values())
            columns = "".join(f"{ratio(other, ours):25.2f}x" for other in others)
            print(row(name, batch, forward, ours) + columns)
    print()


def print_rollout(options):
    print(f"{'rollout':24s}{'batch':>6s}{'forward ms':>12s}{'ours / forward':>16s}")
    for name in VITS:
        model = minixai.build(name).to(options.device)
        for batch in (1, 8):
            image = random_images(name, batch, options.device)
            forward, ours = alternate(options.turns, options.device, no_grad(model.forward_with_attention, image),
                                      partial(minixai.explain, model, image, "rollout"))
            print(row(name, batch, forward, ours))
    print()


def print_ablation(options):
    """One channel after another set to zero: a whole pass for each, or only what follows the layer."""
    model, image = minixai.build("resnet18").to(options.device), random_images("resnet18", 1, options.device)
    forward, ours = alternate(options.turns, options.device, no_grad(model, image),
                              partial(minixai.explain, model, image, "ablationcam"))
    print(f"{'Ablation-CAM, last stage':24s}{'batch':>6s}{'forward ms':>12s}{'ours / forward':>16s}")
    print(row("resnet18, 512 channels", 1, forward, ours), end="\n\n")


def print_starting(options):
    """Seconds that our own code adds to `import torch`, each in a process of its own."""
    imported = [float(python("import torch, time; start = time.perf_counter(); import minixai; "
                             "print(time.perf_counter() - start)")) for _ in range(options.turns)]
    command = ("import torch, time, sys, tempfile; start = time.perf_counter(); from minixai.__main__ import main; "
               "from minixai.images import PHOTOS; out = tempfile.mkdtemp(); sys.stdout = sys.stderr; "
               "main(['explain', str(PHOTOS / 'cat.png'), '--out', out]); sys.stdout = sys.__stdout__; "
               "print(time.perf_counter() - start)")
    explained = [float(python(command)) for _ in range(options.turns)]
    print(f"import minixai, beyond import torch        {statistics.median(imported):6.2f} s")
    print(f"minixai explain PHOTO, beyond import torch {statistics.median(explained):6.2f} s")


def print_folder():
    """`minixai explain FOLDER` on photos of 1 megapixel, each number of them in a process of its own."""
    print(f"{'minixai explain FOLDER':24s}{'images':>7s}{'a second':>10s}{'peak memory':>13s}")
    command = ("import sys, resource, time; from minixai.__main__ import main; from tests.speed import photos; "
               "folder, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3]); photos(folder, count); "
               "sys.stdout = sys.stderr; start = time.perf_counter(); main(['explain', folder, '--out', out]); "
               "seconds = time.perf_counter() - start; sys.stdout = sys.__stdout__; "
               "print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)")
    loading = 0.0
    for count in (2, 50, 500):
        with tempfile.TemporaryDirectory() as folder:
            seconds, kilobytes = map(float, python(command, f"{folder}/photos", f"{folder}/out", str(count)).split())
        if count == 2:
            loading = seconds       # the network, matplotlib
        else:
            rate = (count - 2) / (seconds - loading)
            print(f"{'efficientnet_lite0':24s}{count:7d}{rate:10.1f}{kilobytes / 1e6:10.2f} GB")
    print()


def photos(folder, count):
    """Fill a folder with copies of the shipped photos as JPEG of 1 megapixel."""
    Path(folder).mkdir()
    shipped = sorted(PHOTOS.iterdir())
    for number in range(count):
        path = Path(folder) / f"{number:04d}.jpg"
        if number >= len(shipped):
            shutil.copy(Path(folder) / f"{number % len(shipped):04d}.jpg", path)
            continue
        photo = open_photo(shipped[number])
        scale = (1e6 / (photo.width * photo.height)) ** 0.5
        photo.resize((round(scale * photo.width), round(scale * photo.height))).save(path, quality=90)


def row(name, batch, forward, ours):
    return f"{name:24s}{batch:6d}{1000 * statistics.median(forward):12.1f}{ratio(ours, forward):15.2f}x"


def alternate(turns, device, *functions):
    """Seconds of each function, taking turns; the first turn warms up and does not count."""
    seconds = [[] for _ in functions]
    for turn in range(turns + 1):
        for function, kept in zip(functions, seconds):
            start = time.perf_counter()
            function()
            if device != "cpu":
                torch.cuda.synchronize()        # the GPU works on after the call returns
            if turn:
                kept.append(time.perf_counter() - start)
    return seconds


def ratio(these, those):
    """Median of the turn-by-turn ratios."""
    return statistics.median(one / other for one, other in zip(these, those))


def no_grad(forward, image):
    def run():
        with torch.no_grad():
            return forward(image)
    return run


def random_images(name, batch, device):
    H, W = registry.NETWORKS[name].preprocess.size
    return torch.randn(batch, 3, H, W, generator=torch.Generator().manual_seed(0)).to(device)


def pytorch_grad_cam(model, image):
    from pytorch_grad_cam import GradCAM
    cam = GradCAM(model=model, target_layers=[getattr(model, model.layers[-1])])
    return lambda: cam(input_tensor=image, targets=None)


def captum(model, image):
    from captum.attr import LayerGradCam
    from torch.nn.functional import interpolate
    cam = LayerGradCam(model, getattr(model, model.layers[-1]))

    def run():      # its own steps to where our heatmap is: top class, relu, image size
        with torch.no_grad():
            target = model(image).argmax(dim=-1)
        coarse = cam.attribute(image, target=target, relu_attributions=True)
        return interpolate(coarse, image.shape[-2:], mode="bilinear")
    return run


LIBRARIES = {"pytorch-grad-cam": ("pytorch_grad_cam", pytorch_grad_cam), "Captum": ("captum", captum)}


def python(code, *arguments):
    """Run code in a fresh process; its standard output."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
