# %% [markdown]
# # 03 What the library's three lines do, and how to check them
#
# With a library Grad-CAM takes three lines. With pytorch-grad-cam:
#
# | line | stages |
# |---|---|
# | `cam = GradCAM(model=model, target_layers=[layer])` | says where C1 is to listen |
# | `grayscale_cam = cam(input_tensor=image, targets=None)` | C1, C2, C3, C4, M1, M2 |
# | `show_cam_on_image(rgb, grayscale_cam[0, :], use_rgb=True)` | M3 |
#
# The lines were run once on the cat of lesson 02 with the same network, and so were those of two other libraries
# (pytorch-grad-cam `1.5.7`, Captum `0.9.0`, torch-cam `0.5.0`). What they gave is stored in `lessons/recorded`, so
# you need none of them here.
#
# - Article: The library's lines
# - Minutes: 20
# - Exercise: Take a heatmap that you made with a library, save it as `.npy`, and let `minixai verify` judge it.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import numpy as np
import torch
from draw import pictures
from measure import recorded
from tools import claim, seen, show

import minixai
from minixai.evaluation import correlation
from minixai.gradcam import Cam
from minixai.images import PHOTOS
from minixai.score import class_score
from minixai.verification.profiles import PROFILES, heatmap_as
from minixai.verify import verify

model, theirs = minixai.load("efficientnet_lite0"), recorded("three_libraries_cat")
image = minixai.open_image(PHOTOS / "cat.png", model)
rgb = model.preprocess.undo(image)[0]
CAT, CAR = model.labels.index("Egyptian cat"), model.labels.index("sports car")

# %% [markdown]
# ## 1. The same photo through both
#
# Left what the library's three lines gave, right what the stages of lesson 02 give. No target was named.
#
# **Predict.** How far apart are the two heatmaps, and why do the two pictures differ all the same?

# %%
ours = minixai.explain(model, image)
apart = np.abs(ours.heatmap[0].numpy() - theirs["pgc"]).max()
overlays = [theirs["pgc overlay"], minixai.overlay(rgb, ours.heatmap[0])]
show(pictures([rgb, *overlays], ["the image", "pytorch-grad-cam", "minixai"], side=2.6), "cat_library_and_ours",
     "The cat with the heatmap of pytorch-grad-cam and with ours: the same shape in two scales of colour")

# %% tags=["seen"]
seen("The heatmaps are equal to 1e-5 in every pixel. The pictures differ all the same: another scale of colours (jet "
     "there, turbo here) and another brightness. That is M3's business, and no difference in what was found. Compare "
     "numbers, not colours.",
     holds=apart < 1e-5, read=[minixai.explain, minixai.overlay])

# %% [markdown]
# ## 2. No target is a target
#
# With `targets=None` the top class is explained. Two photos are given at once now: the cat, and a cup of coffee.
#
# **Predict.** Is the top class that of the batch, or of each image? And what comes out for the coffee if only one
# target, the cat, is given for both?

# %%
both = torch.cat([image, minixai.open_image(PHOTOS / "coffee.png", model)])
each, cat_only = minixai.explain(model, both), minixai.explain(model, both, target=CAT)
named = [model.labels[index] for index in each.target]
every = np.s_[:, ::8, ::8]
apart_two = np.abs(each.heatmap.numpy()[every] - theirs["pgc two"]).max()
low, high = theirs["pgc two, one target"][1].min(), theirs["pgc two, one target"][1].max()
cups = [theirs["pgc two"][1], theirs["pgc two, one target"][1], cat_only.heatmap[1].numpy()]
show(pictures([model.preprocess.undo(both)[1], *cups], ["the second photo", "pytorch-grad-cam,\nno target",
     "pytorch-grad-cam,\none target for two", "minixai,\none target for two"]), "coffee_one_target_for_two",
     "The cup of coffee, the library's map without a target, its black map with one target for two, and ours")

# %% tags=["seen"]
seen(f"Each image gets its own: {named[0]} and {named[1]}, equal to 1e-5 in both libraries. With one target for two "
     f"images the second map of pytorch-grad-cam is {high:.0f} everywhere, without a word: it pairs targets with "
     "images and stops when the targets end. Ours takes one target for all of them, and asks where the coffee "
     "looks like a cat.",
     holds=named == ["Egyptian cat", "espresso"] and apart_two < 1e-5 and low == high == 0
     and not cat_only.empty[1], read=minixai.explain)
claim(4, experiment="pytorch-grad-cam's three lines and the numbered stages on a photo and on a batch of two, "
      "EfficientNet-Lite0, same layer, no target named",
      measured="heatmaps equal to 1e-5 in every pixel, top class of each image taken",
      verdict="holds here", reach="at this layer of this network, where nothing is overwritten in place; and only with "
      "as many targets as images: with one target for two, the second map comes out as zeros",
      holds=max(apart, apart_two) < 1e-5 and low == high == 0)

# %% [markdown]
# ## 3. Three libraries, one question, three maps
#
# All three were asked the same: where on the photo of the cat does this network see a sports car? A silly question,
# and a good one: there is evidence for it and evidence against.
#
# **Predict.** Captum and torch-cam return 7 x 7 cells. Which of the three maps will show the evidence against?

# %%
answers = {"pytorch-grad-cam 1.5.7": "pgc car", "Captum 0.9.0": "captum car", "torch-cam 0.5.0": "torchcam car"}
profiles = {one.library: one for one in PROFILES if one.method == "gradcam" and not one.variant}
remade = {library: heatmap_as(profiles[library], model, image, target=CAR)[0].numpy() for library in answers}
remade["pytorch-grad-cam 1.5.7"] = remade["pytorch-grad-cam 1.5.7"][::8, ::8]
off = {library: np.abs(remade[library] - theirs[name]).max() for library, name in answers.items()}
show(pictures([theirs[name] for name in answers.values()], list(answers), side=2.6), "cat_as_car_three_libraries",
     "Three maps of the same question: a smooth one from zero to one, a signed one, and a coarse one from zero to one")

# %% tags=["seen"]
signed = theirs["captum car"]
seen(f"Captum's: it leaves the ReLU out unless asked, and {np.mean(signed < 0):.0%} of its cells are negative. "
     "torch-cam has the ReLU and a min-max but stays at the size of the layer. pytorch-grad-cam enlarges. None of "
     "the three is wrong; they stop at different stages. Each is the recipe with a stage or two replaced, and so "
     "remade here each is equal to "
     "the recorded one to 1e-5.", holds=max(off.values()) < 1e-5 and 0.5 < np.mean(signed < 0) < 0.9,
     read=[heatmap_as, type(PROFILES[0])])

# %% [markdown]
# ## 4. Logit or probability?
#
# C1 differentiates the score of the class. The paper means the logit, before the softmax. Some people take the
# probability. Then the gradient also says how to make the other classes less likely.
#
# **Predict.** The class stays the same, the top one. Will the map?


# %%
def probability(logits, target):
    """C1 probability: logits (C), target (1) -> score (1)"""
    return logits.softmax(dim=-1).gather(-1, target)


after_softmax = minixai.explain(model, image, Cam(C1=probability), target=CAT)
same = np.abs(after_softmax.heatmap[0, ::8, ::8].numpy() - theirs["pgc softmax"]).max()
alike = correlation(after_softmax.heatmap[0], ours.heatmap[0]).item()
furthest = (after_softmax.heatmap[0] - ours.heatmap[0]).abs().max().item()
show(pictures([minixai.overlay(rgb, one.heatmap[0]) for one in (ours, after_softmax)], ["the logit", "the probability"],
              side=2.6), "cat_logit_and_probability", "The cat explained by its logit and by its probability")

# %% tags=["seen"]
seen(f"No: the two maps correlate at {alike:.2f}, and differ by up to {furthest:.2f} of the whole scale. Egyptian "
     "cat has two rivals here, tabby and tiger cat, and the probability rises as well where they lose. Both are "
     "right answers, to two questions. pytorch-grad-cam's softmax target gives the second, equal to 1e-5.",
     holds=same < 1e-5 and 0.7 < alike < 0.95 and furthest > 0.3, read=class_score)

# %% [markdown]
# ## 5. Let the comparison be made for you
#
# `verify` computes the map in every way that it knows, each library's and each with a known mistake, and says which of
# them is the one in your hands. First torch-cam's map as it came, then pytorch-grad-cam's with rows and columns
# exchanged, as happens where `(w,h)` is read for `(h,w)`.
#
# **Predict.** Which of the two would you have noticed by eye, on a photo that you had not seen explained before?

# %%
as_it_came = verify(theirs["torchcam car"], model, image, target=CAR)
exchanged = verify(theirs["pgc"].T.copy(), model, image, target=CAT)
for verdict in (as_it_came, exchanged):     # without where they differ most: of a map and its mirror, two places tie
    print(str(verdict).partition(";")[0], *str(verdict).splitlines()[1:], sep="\n")
show(exchanged.figure(rgb), "verdict_on_exchanged_axes", "Their map with its axes exchanged, ours, and the difference")

# %% tags=["seen"]
cause = str(exchanged.findings[0]) if exchanged.findings else ""
seen(f"The first agrees, as computed by {as_it_came.profile}. Of the second it says \"{cause}\", and that is what "
     "was done to it. Where two mistakes give the same map both are named, and where none gives it, that is said.",
     holds=as_it_came.agrees and as_it_came.profile.startswith("torch-cam") and not exchanged.agrees
     and "transposed" in cause, read=verify)
