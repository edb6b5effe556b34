# %% [markdown]
# # 14 When a heatmap lies: sanity checks, and is attention an explanation?
#
# The article ends with a promise: such maps uncover hidden bias and failures. A map that can do that must depend on
# what the network has learned. So make it forget, layer by layer, and watch the map (Adebayo and others, 2018). A map
# that stays the same while the network forgets shows the picture, or the architecture, and not what was learned.
#
# - Article: Conclusion
# - Minutes: 30
# - Exercise: Your map fails the check of section 2 but scores well in deletion. Predict whether it would have shown the
#   bias of lesson 05, and explain why; then measure it there.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import torch
from draw import bars, curves, pictures
from measure import batch, edges, maps, mean
from tools import claim, quote, seen, show

import minixai
from minixai.evaluation import (
    area,
    deletion_curve,
    energy_inside,
    hide_top,
    points_at,
    randomised_copies,
    rank_correlation,
)
from minixai.heatmap import min_max
from minixai.scenes import draw_scenes

cnn, vit, scenes = minixai.load("small_cnn"), minixai.load("small_vit"), list(draw_scenes(16, seed=116))
images, labels, masks = batch(scenes, cnn)
SHOWN = 10                                                     # of the scenes: a wolf on the beach
OF_CNN, OF_VIT = ("gradcam", "layercam", "eigencam", "fullgrad"), ("attention", "rollout", "chefer")


# %%
def accuracy(model):
    with torch.no_grad():
        return mean(model(images).argmax(dim=1) == labels)


def cascade(model, methods):
    """The layers from the top down, the accuracy and the maps of each method, as ever more layers are random."""
    copies = dict([("none", model), *randomised_copies(model)])
    found = {method: [maps(copy, images, labels, method=method) for copy in copies.values()] for method in methods}
    return list(copies), [accuracy(copy) for copy in copies.values()], found


# %%
def still_alike(found):
    """Mean rank correlation of the maps at each step with the trained network's; flat maps have none, left out."""
    return [rank_correlation(one, found[0]).nanmean().item() for one in found]


# %% [markdown]
# ## 1. The CNN forgets
#
# The numbers in each layer's tensors are shuffled: first the head's, then also those of the last stage, down to the
# stem. The class asked for stays the true one. Ranks are compared, so stretching changes nothing. A map that is flat
# has no ranks and is left out of the mean.
#
# **Predict.** With a shuffled head the network guesses. Which of four methods will notice?

# %%
quote(randomised_copies)
layers, guessing, found = cascade(cnn, OF_CNN)
alike = {method: still_alike(one) for method, one in found.items()}
show(curves(layers, alike, "random from the top down to", "rank correlation", chance={"nothing in common": 0}),
     "cnn_cascade", "Rank correlation with the trained map as more layers of the CNN are random, for four methods")
steps = {"trained": cnn} | {f"to {name}": copy for name, copy in randomised_copies(cnn)
                            if name in ("head", "stage4", "stage2")}
made = {f"{method}, {name}": minixai.explain(copy, images[[SHOWN]], method, labels[[SHOWN]])
        for method in OF_CNN for name, copy in steps.items()}
show(pictures([minixai.overlay(scenes[SHOWN].image, one.heatmap[0]) for one in made.values()],
              [name + ": empty" * bool(one.empty[0]) for name, one in made.items()], columns=4), "cnn_cascade_maps",
     "One animal and the maps of four methods: trained, and random down to the head, to stage4 and to stage2")

# %% tags=["seen"]
flat = mean((found["gradcam"][-1] == found["gradcam"][-1].amax(dim=(-2, -1), keepdim=True)).all(dim=-1).all(dim=-1))
seen(f"With a random head {guessing[1]:.0%} are right. Grad-CAM notices at once: {alike['gradcam'][1]:.2f} (what "
     f"it has later, up to {max(alike['gradcam'][2:]):.2f}, is this one shuffle's luck). LayerCAM "
     f"({alike['layercam'][1]:.2f}), FullGrad ({alike['fullgrad'][1]:.2f}) and Eigen-CAM ({alike['eigencam'][1]:.2f}) "
     "hardly do. Eigen-CAM cannot: it never asks for the score. Their maps still lie on the animal, in "
     f"{mean(points_at(found['layercam'][1], masks)):.0%} of the pictures in LayerCAM's case, and mean nothing. Once "
     "the "
     f"middle is random too, from `stage2` on, all of them are gone ({flat:.0%} of Grad-CAM's maps are flat at the "
     "end).",
     holds=guessing[1] < 0.5 and abs(alike["gradcam"][1]) < 0.2 and alike["layercam"][1] > 0.8
     and alike["fullgrad"][1] > 0.9 and alike["eigencam"][1] > 0.99
     and max(abs(one[4]) for one in alike.values()) < 0.35, read=randomised_copies)

# %% [markdown]
# ## 2. The ViT forgets
#
# The same for the ViT: head, norm, then the blocks from the last to the first, then the patches.
#
# **Predict.** Attention reads the last block. What happens to it when only the head is random? And rollout, which
# multiplies all blocks: how many must go before it notices?

# %%
layers_vit, guessing_vit, found_vit = cascade(vit, OF_VIT)
alike_vit = {method: still_alike(one) for method, one in found_vit.items()}
energy_vit = {method: [mean(energy_inside(one, masks)) for one in every] for method, every in found_vit.items()}
short = [name.replace("blocks.", "block\n") for name in layers_vit]
show(curves(short, alike_vit | {"share right": guessing_vit}, "random from the top down to",
            "rank correlation, share right", chance={"nothing in common": 0}, width=7), "vit_cascade",
     "Rank correlation with the trained map, and accuracy, as more of the ViT is random, for three methods")
show(pictures([minixai.overlay(scenes[SHOWN].image, min_max(found_vit["rollout"][at][SHOWN]))
               for at in (0, 2, 4, 6, 8)],
              ["rollout, trained", *(f"down to {name.replace('blocks.', 'block ')}" for name in layers_vit[2::2])]),
     "rollout_cascade", "Rollout on one animal while the ViT is made random: the animal stays red for a long time")

# %% tags=["seen"]
third, fourth = (layers_vit.index(f"blocks.{one}") for one in (4, 3))
seen(f"With a random head {guessing_vit[1]:.0%} are right, and attention and rollout do not change at all "
     f"({alike_vit['attention'][1]:.2f}, {alike_vit['rollout'][1]:.2f}): the head comes after them. Attention changes "
     "with "
     f"its block ({alike_vit['attention'][third]:.2f}). Rollout, with the two upper blocks random, is still "
     f"{alike_vit['rollout'][fourth]:.2f} the same and has {energy_vit['rollout'][fourth]:.0%} of itself on the "
     "animal, "
     f"where a flat map has {mean(masks):.0%}. Gradient times attention falls step by step: "
     f"{alike_vit['chefer'][1]:.2f} with the head, {alike_vit['chefer'][third]:.2f}, "
     f"{alike_vit['chefer'][fourth]:.2f}.",
     holds=max(guessing_vit[1], guessing_vit[fourth]) < 0.45 and min(alike_vit["attention"][1], alike_vit["rollout"][1])
     > 0.999 and abs(alike_vit["attention"][third]) < 0.25 and alike_vit["rollout"][fourth] > 0.9
     and energy_vit["rollout"][fourth] > 2 * mean(masks) and alike_vit["chefer"][1] < 0.85
     and alike_vit["chefer"][fourth] < 0.6, read=randomised_copies)

# %% [markdown]
# ## 3. Does a map that looks good pass?
#
# Put side by side what one would judge a map by: whether it points at the animal; and how much of it survives when the
# network has lost its head and guesses.
#
# **Predict.** Will the methods that point best be those that notice most?

# %%
pointing = {m: mean(points_at(every[0], masks)) for m, every in (found | found_vit).items()}
survives = {m: one[1] for m, one in (alike | alike_vit).items()}
drawn = torch.stack([edges(scene.image) for scene in scenes])
like_edges = {m: rank_correlation(every[0], drawn).nanmean().item() for m, every in (found | found_vit).items()}
show(bars({"points at the animal": [*pointing.values()], "survives a random head": [*survives.values()],
           "like an edge map": [*like_edges.values()]}, list(pointing), "share or rank correlation", width=10),
     "pointing_and_surviving", "For seven methods: pointing, what survives a random head, and likeness to edges")

# %% tags=["seen"]
failed = [method for method, one in survives.items() if one > 0.9]
seen(f"All of them point at the animal, in {min(pointing.values()):.0%} of the pictures or more, and of these seven "
     f"{', '.join(failed)} hardly change when nothing is left that ties features to classes. Pointing is no proof of "
     "honesty: an animal is the busiest thing in these pictures, and features of a trained layer are strong on it "
     f"whatever the head makes of them. It is not bare edges either ({max(like_edges.values()):.2f} at most).",
     holds=min(pointing.values()) > 0.8 and set(failed) == {"layercam", "eigencam", "fullgrad", "attention", "rollout"}
     and max(like_edges.values()) < 0.4, read=[points_at, rank_correlation])
claim(15, experiment="16 drawn scenes; weights of small CNN and small ViT made random from the top down, seven "
      "methods, rank correlation with the trained network's map (mean, flat maps left out)",
      measured="random head, accuracy "
      f"{guessing[1]:.0%} and {guessing_vit[1]:.0%}: {', '.join(f'{m} {one:.2f}' for m, one in survives.items())}; "
      "rollout "
      f"with two random blocks {alike_vit['rollout'][fourth]:.2f}",
      verdict="holds here, but", reach=f"not for every map: {', '.join(failed)} look the same when the head is random, "
      "and so cannot show what the head has learned wrongly; Grad-CAM and gradient times attention notice; found "
      "biases "
      "are in lessons 01, 05 and 07; labels were not randomised, that would take another training; one shuffle of "
      "two small networks",
      holds=abs(survives["gradcam"]) < 0.2 and survives["chefer"] < 0.85 and min(survives[m] for m in failed) > 0.9
      and alike_vit["rollout"][fourth] > 0.9)

# %% [markdown]
# ## 4. Is attention an explanation?
#
# It fails half of the check and still is not worthless. Lesson 10 deletes patches in its order. Here once more, with
# the other two: delete the patches, highest first, and take the area under the probability. A small area means that
# the map knows what counts.
#
# **Predict.** Rollout has hardly noticed that the network was broken. Will it also do worse at naming the patches that
# count?

# %%
orders = {method: minixai.explain(vit, images, method, labels)["A5"] for method in OF_VIT}
orders |= {"random": torch.zeros(12, 12), "attention,\nleast first": -orders["attention"]}
areas = {name: mean(area(deletion_curve(vit, images, one, labels, steps=8))) for name, one in orders.items()}
show(bars({"area": [*areas.values()]}, list(areas), "area under the probability", width=7), "deletion_areas",
     "The area under the deletion curve of the ViT for three maps, a random order, and the least attended first")
masked = [hide_top(images, one, 0.1, "black", vit)[[SHOWN]] for one in orders.values()]
show(pictures([vit.preprocess.undo(one)[0] for one in masked], [*orders]), "a_tenth_deleted",
     "One scene with a tenth of its patches deleted in each of the five orders")

# %% tags=["seen"]
seen(f"No: attention {areas['attention']:.2f}, rollout {areas['rollout']:.2f}, chefer {areas['chefer']:.2f}; a random "
     f"order {areas['random']:.2f}, least attended first {areas[list(areas)[-1]]:.2f}. So attention does say which "
     "patches "
     "this ViT cannot do without. It does not say for which class (lesson 06), nor what a head makes of it (section "
     "2), "
     "nor what led it astray (lesson 13). An explanation of where information was taken from: yes. Of why this answer "
     "was given: no.",
     holds=max(areas[m] for m in OF_VIT) < areas["random"] - 0.15 and areas["random"] < areas[list(areas)[-1]] - 0.04,
     read=[deletion_curve, area])
