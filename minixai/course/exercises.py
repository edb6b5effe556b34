"""The exercises: the library functions that a student writes, in order, and a question for each exercise."""
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Task:
    """One function to write. path: its dotted name in the library. points: the points for a right answer."""
    path: str
    points: int

    @property
    def name(self) -> str:
        """The function's name. It is the same in the library and in the student's file."""
        return self.path.rpartition(".")[2]

    @property
    def function(self) -> Callable:
        """The library's function. Its docstring is the exercise, and its body is the solution."""
        module, _, name = self.path.rpartition(".")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Exercise:
    """One exercise, which is one file for the student.

    number: "02", the number of its lesson. tasks: the functions to write; an exercise without tasks is only a question.
    question: answered in words before and after the code. see: arguments of `minixai explain` that draw a picture with
    the student's stages, or "". written_points: the points for the answers in words.
    """
    number: str
    title: str
    tasks: tuple
    question: str
    see: str = ""
    written_points: int = 2

    @property
    def points(self) -> int:
        """The points for the code. A person grades the answers in words."""
        return sum(task.points for task in self.tasks)


def _exercise(number, title, question, see="", **points):
    tasks = tuple(Task("minixai." + path.replace("__", "."), count) for path, count in points.items())
    return Exercise(number, title, tasks, question, see)


EXERCISES = {exercise.number: exercise for exercise in (
    _exercise("01", "Why ask why", question=(
        "Two networks know every wolf in the test set. One was trained on wolves in snow only. Name a number that is "
        "the same for both, a picture on which they differ, and what you would look for in its heatmap.")),
    _exercise("02", "Grad-CAM by hand", gradcam__channel_weights=3, gradcam__weighted_sum=2, gradcam__rectify=1,
              heatmap__upsample=2, heatmap__min_max=3, heatmap__overlay=3,
              see="--method gradcam", question=(
                  "A feature map is large on the cat's ear, and its weight is negative. What does Grad-CAM show on the "
                  "ear, and what would it show if C4 were left out?")),
    _exercise("03", "Three lines of a library", question=(
        "A library's heatmap and yours differ by at most 0.04. Name three conventions that could be the reason without "
        "either map being wrong, and how you would find out which one it is.")),
    _exercise("04", "Target layer", question=(
        "At an early layer a feature speaks for the class in one place and against it in another. What is left of it "
        "after C2, and which of the relatives of Grad-CAM would still show it?")),
    _exercise("05", "How much of a map is on the object", evaluation__energy_inside=3, question=(
        "A network is always right and its map is never on the animal. What has it learned, and which two pictures "
        "would you draw to find out?")),
    _exercise("06", "Target class", question=(
        "A dog and a cat are in one image. The map of 'cat' and the map of 'dog' light up the same place. Give one "
        "reason that lies in the network and one that lies in the method.")),
    _exercise("07", "The cow on the beach", question=(
        "A cow is put on a beach. The network still says cow, and half of the map's energy is now on the sand. Has the "
        "network become less robust? What else could have moved the energy?")),
    _exercise("08", "Two relatives of Grad-CAM", cams__positive_gradients=2, cams__activation_weighted_mean=4,
              see="PHOTO --method layercam", question=(
                  "Which of the two can show a place where the mean gradient of every channel is zero, and why does "
                  "that matter at an early layer?")),
    _exercise("09", "A ViT opened", question=(
        "Two patches are exchanged before the position embedding is added. Which numbers inside the network change, "
        "which would not change without position embeddings, and what becomes of the attention map?")),
    _exercise("10", "An attention map by hand", rollout__mean_heads=1, rollout__one_layer=2,
              rollout__cls_to_grid=3, see="--method attention", question=(
                  "CLS takes half of its information from CLS itself. What happens to the map if you forget to drop "
                  "that column, and what if you drop the last token instead?")),
    _exercise("11", "Attention rollout", rollout__half_skip=3, rollout__multiply_layers=4,
              see="--method rollout", question=(
        "Rollout multiplies twelve matrices. Only one row of the product is read. How much work is saved by carrying "
        "that row through the layers, for 197 tokens?")),
    _exercise("12", "Gradients meet attention", attention__positive_evidence=3, attention__whole_skip=2,
              see="PHOTO --method chefer --model small_vit", question=(
        "Two heads look at the same patch; one speaks for the class, one just as much against it. What do you see of "
        "the patch if the positive part is taken before the mean over heads, and what if after it?")),
    _exercise("13", "Occlusion", evaluation__spread_over_pixels=4, question=(
        "You hide a patch and the score rises. Name two reasons that have nothing to do with the patch being evidence "
        "against the class.")),
    _exercise("14", "When a heatmap lies", question=(
        "You make the network's last layer random, and the heatmap stays nearly the same. What have you learned about "
        "the method, what about the network, and what would you try before you throw the method away?")),
)}


def find(number: str | int) -> Exercise:
    """'2', '02' or 2 -> Exercise. ValueError lists the exercises if there is none of this number."""
    key = str(number).zfill(2)
    if key not in EXERCISES:
        listed = ", ".join(f"{exercise.number} ({exercise.title})" for exercise in EXERCISES.values())
        raise ValueError(f"no exercise {number!r}; there are {listed}")
    return EXERCISES[key]
