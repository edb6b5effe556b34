"""The exercises: which functions of the library a student writes, in which order, and what to think about first."""
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Task:
    """One function to write. path: where the library has it. points: what it counts."""
    path: str
    points: int

    @property
    def name(self):
        """The function's name, in the library as in the student's file."""
        return self.path.rpartition(".")[2]

    @property
    def function(self):
        """The library's function: its docstring is the exercise, its body the solution."""
        module, _, name = self.path.rpartition(".")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Exercise:
    """One file to hand out. number: of the lesson it belongs to; question: answered in words, before and after."""
    number: str
    title: str
    tasks: tuple
    question: str
    written_points: int = 2

    @property
    def points(self):
        """What the code counts; the written answer is read by people."""
        return sum(task.points for task in self.tasks)


def _exercise(number, title, question, **points):
    tasks = tuple(Task("minixai." + path.replace("__", "."), count) for path, count in points.items())
    return Exercise(number, title, tasks, question)


EXERCISES = {exercise.number: exercise for exercise in (
    _exercise("02", "Grad-CAM by hand", gradcam__channel_weights=3, gradcam__weighted_sum=2, gradcam__rectify=1,
              heatmap__upsample=2, heatmap__min_max=3, question=(
                  "A feature map is large on the cat's ear, and its weight is negative. What does Grad-CAM show on the "
                  "ear, and what would it show if C4 were left out?")),
    _exercise("03", "The overlay", heatmap__overlay=3, question=(
        "Two people lay the same heatmap over the same photo, one with alpha 0.5, one with 0.5 and a division by the "
        "largest value afterwards. Where do their pictures differ, and which of them can you read the heatmap from?")),
    _exercise("05", "How much of a map is on the object", perturb__energy_inside=3, question=(
        "A network is always right and its map is never on the animal. What has it learned, and which two pictures "
        "would you draw to find out?")),
    _exercise("08", "Two relatives of Grad-CAM", cams__positive_place_weights=2, cams__activation_weighted_mean=4,
              question=("Which of the two can show a place where the mean gradient of every channel is zero, and why "
                        "does that matter at an early layer?")),
    _exercise("10", "An attention map by hand", attention__mean_heads=1, attention__one_layer=2,
              attention__cls_to_grid=3, question=(
                  "CLS takes half of its information from CLS itself. What happens to the map if you forget to drop "
                  "that column, and what if you drop the last token instead?")),
    _exercise("11", "Attention rollout", attention__half_skip=3, attention__multiply_layers=4, question=(
        "Rollout multiplies twelve matrices. Only one row of the product is read. How much work is saved by carrying "
        "that row through the layers, for 197 tokens?")),
    _exercise("12", "Gradients meet attention", attention__positive_evidence=3, attention__whole_skip=2, question=(
        "Two heads look at the same patch; one speaks for the class, one just as much against it. What do you see of "
        "the patch if the positive part is taken before the mean over heads, and what if after it?")),
    _exercise("13", "Occlusion", perturb__spread_over_pixels=4, question=(
        "You hide a patch and the score rises. Name two reasons that have nothing to do with the patch being evidence "
        "against the class.")),
)}


def find(number):
    """'2', '02' or 2 -> Exercise. ValueError lists what there is."""
    key = str(number).zfill(2)
    if key not in EXERCISES:
        listed = ", ".join(f"{exercise.number} ({exercise.title})" for exercise in EXERCISES.values())
        raise ValueError(f"no exercise {number!r}; there are {listed}")
    return EXERCISES[key]
