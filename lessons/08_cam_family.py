# %% [markdown]
# # 08 The CAM family: one stage replaced
#
# HiResCAM, LayerCAM, XGrad-CAM, Grad-CAM++, Ablation-CAM, Eigen-CAM: each is a paper, and most are Grad-CAM with one
# stage replaced. Which ones are the same thing where they are used most, before a mean over places and a linear layer?
# And what differs further down?
#
# - Article: How Grad-CAM works, 3 and 4; Choice of target layer
# - Minutes: 25
# - Exercise: Write LayerCAM's and XGrad-CAM's C2: `minixai start 08`.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
from dataclasses import fields

import torch
from draw import bars, dots, pictures
from measure import batch, maps, mean
from tools import quote, seen, show

import minixai
from minixai import cams, trace
from minixai.evaluation import energy_inside, rank_correlation
from minixai.gradcam import Cam
from minixai.images import PHOTOS
from minixai.scenes import draw_scenes

# %%
model = minixai.load("efficientnet_lite0")
image = minixai.open_image(PHOTOS / "cat.png", model)
rgb = model.preprocess.undo(image)[0]
CAT, CAR = model.labels.index("Egyptian cat"), model.labels.index("sports car")
FAMILY = ("gradcam", "hirescam", "xgradcam", "layercam", "elementwise", "gradcampp", "ablationcam", "finercam",
          "eigencam")

# %% [markdown]
# ## 1. What is replaced
#
# A recipe is a list of stages. The name of a method is short for what it puts in the place of which one. These three
# replace C2 alone: how the gradient becomes a weight.
#
# **Predict.** At the last layer of this network, which of the nine maps below will be equal?

# %%
quote(cams.elementwise_gradients, cams.positive_gradients, cams.activation_weighted_mean)
replaced = {name: [stage.name for stage in fields(Cam) if getattr(cams.CAMS[name], stage.name) != stage.default]
            for name in FAMILY}
at_end = {name: minixai.explain(model, image, name, target=CAT) for name in FAMILY}
titles = [f"{name} ({', '.join(replaced[name]) or 'as it is'})" for name in FAMILY]
show(pictures([rgb, *(minixai.overlay(rgb, one.heatmap[0]) for one in at_end.values())], ["the cat", *titles], side=2),
     "cat_nine_methods_last_layer", "The cat with the maps of nine methods at the last layer: all nine are much alike")

# %% tags=["seen"]
off = {name: (one.heatmap - at_end["gradcam"].heatmap).abs().max().item() for name, one in at_end.items()}
pair = (at_end["layercam"].heatmap - at_end["elementwise"].heatmap).abs().max().item()
seen("Grad-CAM, HiResCAM and XGrad-CAM are equal to 1e-4 in every pixel, and LayerCAM equals element-wise Grad-CAM. "
     f"The others differ from Grad-CAM by {min(off[n] for n in FAMILY[3:]):.2f} to {max(off.values()):.2f} "
     f"somewhere, on "
     "a scale from zero to one; and all of them have the face in them. Nine names, six maps.",
     holds=max(off["hirescam"], off["xgradcam"], pair) < 1e-4 and min(off[n] for n in FAMILY[3:]) > 0.02,
     read=[cams.elementwise_gradients, cams.activation_weighted_mean, cams.positive_gradients])

# %% [markdown]
# ## 2. Why they coincide
#
# Behind the last layer, this network takes the mean of each map and one linear layer. So every cell of a map has the
# same way to the score, and the same gradient. Then the mean of the gradient (Grad-CAM), the gradient itself (HiResCAM)
# and any weighted mean of it (XGrad-CAM) are one number. And this number is the weight of the linear layer, divided by
# the number of cells: that is CAM, which had no gradient.
#
# **Predict.** LayerCAM only drops negative gradients. At which layer is it element-wise Grad-CAM, which drops negative
# products?

# %%
ends = {layer: trace.record_cnn(model, image, CAT, layer) for layer in ("features", "stage5")}
uneven = {layer: (one.gradients.std(dim=(-2, -1)) / one.gradients.abs().mean(dim=(-2, -1))).median().item()
          for layer, one in ends.items()}
cam = minixai.explain(model, image, "cam", target=CAT)
below = {layer: mean(one.activations < 0) for layer, one in ends.items()}
clouds = {layer: (torch.arange(12).repeat_interleave(one.gradients[0, 0].numel()), one.gradients[0, :12].flatten())
          for layer, one in ends.items()}
show(dots(clouds, "channel", "gradient at each place"), "cat_gradients_two_layers",
     "Gradients of twelve maps: at features all places of a map have one value, at stage5 they scatter about zero")

# %% tags=["seen"]
same = (cam.heatmap - at_end["gradcam"].heatmap).abs().max().item()
seen("At `features` the gradient of a map is one number (the spread over places is zero, but for rounding), and CAM "
     "equals "
     f"Grad-CAM to 1e-4. At `stage5` it varies {uneven['stage5']:.1f} times as much over places as it is large. "
     "LayerCAM equals element-wise Grad-CAM wherever the maps are not negative, as behind a ReLU: at `features` "
     f"none is, at `stage5`, where a block ends without ReLU, {below['stage5']:.0%} of all cells are.",
     holds=uneven["features"] < 1e-3 and same < 1e-4 and uneven["stage5"] > 0.5 and below["features"] == 0
     and 0.2 < below["stage5"] < 0.8, read=[cams.classifier_weights, cams.positive_sum])

# %% [markdown]
# ## 3. The same nine at a middle layer
#
# At `stage5` the maps have 14 x 14 cells, and nothing makes the gradients alike.
#
# **Predict.** Which of the methods will still look like Grad-CAM? And which one like a cat?

# %%
middle = {name: minixai.explain(model, image, name, target=CAT, layer="stage5") for name in FAMILY}
show(pictures([rgb, *(minixai.overlay(rgb, one.heatmap[0]) for one in middle.values())], ["the cat", *titles], side=2),
     "cat_nine_methods_stage5", "The cat with the maps of nine methods at stage5: each another picture")

# %% tags=["seen"]
like = {name: rank_correlation(one["C3"][0], middle["gradcam"]["C3"][0]).item() for name, one in middle.items()}
apart = (middle["layercam"].heatmap - middle["elementwise"].heatmap).abs().max().item()
seen(f"None is equal any more. The rank correlation of C3 with Grad-CAM's is {like['hirescam']:.2f} for HiResCAM, "
     f"{like['xgradcam']:.2f} for XGrad-CAM, {like['layercam']:.2f} for LayerCAM and {like['eigencam']:.2f} for "
     f"Eigen-CAM; LayerCAM and element-wise Grad-CAM are {apart:.2f} apart somewhere. HiResCAM's cells add up to what "
     "the score owes to this layer, to first order; a mean of gradients before the sum loses that.",
     holds=max(abs(like[n]) for n in FAMILY[1:4]) < 0.9 and apart > 0.05,
     read=[cams.elementwise_gradients, cams.first_component])

# %% [markdown]
# ## 4. Whom they ask
#
# Some of the family look at no class at all: Eigen-CAM, KPCA-CAM and FEM show the strongest pattern in the feature
# maps.
# That can be seen in the stages: no gradient and no network is read. Ask each for the cat, and for a sports car.
#
# **Predict.** On a photo of a cat, what will the nine show for sports car?

# %%
asked = {name: minixai.explain(model, image, name, target=CAR) for name in (*FAMILY, "fem", "kpcacam")}
other = {name: rank_correlation(minixai.explain(model, image, name, target=CAT)["C3"][0], one["C3"][0]).item()
         for name, one in asked.items()}
show(bars({"cat and sports car": [*other.values()]}, list(other), "rank correlation of C3", width=12),
     "cat_and_car_by_method", "Rank correlation of the maps for cat and for sports car, by method: one for three of "
     "them")

# %% tags=["seen"]
blind = [name for name, one in asked.items() if not one.knows_classes]
deaf = [name for name in other if name not in blind and other[name] > 0.8]
seen(f"{', '.join(f'`{name}`' for name in blind)}: the same map, whatever is asked. Grad-CAM's two sums have a rank "
     f"correlation of {other['gradcam']:.2f}. LayerCAM ({other['layercam']:.2f}) and Grad-CAM++ "
     f"({other['gradcampp']:.2f}), which keep positive gradients only, are nearer to blind: without what speaks "
     "against, most that is left is where the network is active.",
     holds=set(blind) == {"eigencam", "fem", "kpcacam"} and all(other[name] > 0.999 for name in blind)
     and other["gradcam"] < other["layercam"] and other["gradcam"] < other["gradcampp"], read=cams.first_component)

# %% [markdown]
# ## 5. Which one is best?
#
# On the drawn scenes it can be counted. The small CNN, its last layer and one in the middle, sixty scenes: how much of
# each map lies on the animal. Random weights stand in for a method that knows nothing.
#
# **Predict.** Will the order of the methods be the same at both layers?

# %%
small = minixai.load("small_cnn")
images, labels, masks = batch(draw_scenes(60, seed=108), small)
tried, energy = (*FAMILY, "randomcam"), {}
for layer in ("stage4", "stage2"):
    found = {name: maps(small, images, labels, method=name, layer=layer).clamp(min=0) for name in tried}
    energy[layer] = [mean(energy_inside(one, masks)) for one in found.values()]
show(bars(energy, list(tried), "energy on the animal", chance={"flat map": mean(masks)}, width=11.5),
     "energy_by_method_two_layers", "Energy on the animal for ten methods at the last and at a middle layer")

# %% tags=["seen"]
of = {layer: dict(zip(tried[:-1], values)) for layer, values in energy.items()}
least = {layer: min(values, key=values.get) for layer, values in of.items()}
by_chance = [values[-1] for values in energy.values()]
seen(f"At `stage4`, the last layer, there is nothing to choose: {min(of['stage4'].values()):.2f} to "
     f"{max(of['stage4'].values()):.2f}. At `stage2` the same methods go from {min(of['stage2'].values()):.2f} "
     f"(`{least['stage2']}`) to {max(of['stage2'].values()):.2f}; Grad-CAM has {of['stage2']['gradcam']:.2f}. Random "
     f"weights have {by_chance[0]:.2f} and {by_chance[1]:.2f}, a flat map {mean(masks):.2f}. High energy is no "
     f"proof of "
     f"a better explanation: Eigen-CAM asks for no class, and has {of['stage4']['eigencam']:.2f} at the last layer. "
     f"The "
     "choice of the method matters where the choice of the layer has already been an unusual one.",
     holds=max(of["stage4"].values()) - min(of["stage4"].values()) < 0.06 and max(by_chance) < mean(masks)
     and max(of["stage2"].values()) - min(of["stage2"].values()) > 0.25 and of["stage2"]["gradcam"] > 0.5,
     read=energy_inside)
