# %% [markdown]
# # 04 Target layer
#
# Grad-CAM asks at one layer. The article says what to expect: early layers answer with edges and textures, the last
# one with meaning. Both halves can be measured, and there is a third answer that nobody asked for.
#
# - Article: Choice of target layer
# - Minutes: 20
# - Exercise: Take `hirescam` in section 4 and predict at which layers it will differ from Grad-CAM, and why not at
#   the last one.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import numpy as np
import torch
from draw import curves, pictures
from measure import batch, edges, maps, mean, two_animals
from tools import claim, seen, show

import minixai
from minixai.cams import positive_gradients
from minixai.evaluation import energy_inside, points_at, rank_correlation
from minixai.gradcam import channel_weights
from minixai.images import PHOTOS
from minixai.scenes import draw_scenes

real, small = minixai.load("efficientnet_lite0"), minixai.load("small_cnn")

# %% [markdown]
# ## 1. The same cat at nine layers
#
# EfficientNet-Lite0 has nine stages that return feature maps. Grad-CAM can be asked at each of them.
#
# **Predict.** The maps get coarser from stage to stage. Do they also get better? And what will the first one show?

# %%
image = minixai.open_image(PHOTOS / "cat.png", real)
rgb = real.preprocess.undo(image)[0]
at = {layer: minixai.explain(real, image, layer=layer) for layer in real.layers}
over = [minixai.overlay(rgb, one.heatmap[0]) if not one.empty[0] else rgb for one in at.values()]
names = [f"{layer} {tuple(one['C3'].shape[1:])}{', empty' * bool(one.empty[0])}" for layer, one in at.items()]
show(pictures([rgb, *over], ["the image", *names]), "cat_at_every_layer",
     "The cat with the Grad-CAM map of each of nine stages laid over it; the first one is empty")

# %% tags=["seen"]
seen("`stage1` and `stage2` follow fur and whiskers: edges, as promised. `stage3` to `stage6` jump between eyes, ears "
     "and corners, and only the last two cover the face. The first map is empty, and the library says why: "
     f"\"{at['stem'].why_empty[0]}\".", holds=at["stem"].empty[0] and not at["features"].empty[0],
     read=minixai.explain)

# %% [markdown]
# ## 2. Edges?
#
# Take the drawn scenes, so that the outline of the animal is known. A map could agree with an edge map merely because
# both are strong on the animal. So the two are compared pixel by pixel inside the animal only, and outside of it
# only.
#
# **Predict.** At which stage will the map follow the edges most, and will it still do so at the last one?

# %%
scenes = list(draw_scenes(80, seed=105))
images, labels, masks = batch(scenes, small)
inside, outside, around = {}, {}, [edges(scene.image) for scene in scenes]
for layer in small.layers:
    found = maps(small, images, labels, layer=layer)
    for where, among in ((inside, masks), (outside, ~masks)):
        pairs = [(one[m][None], edge[m][None]) for one, edge, m in zip(found, around, among)]
        where[layer] = np.nanmean([rank_correlation(*pair).item() for pair in pairs])
# %%
show(curves(small.layers, {"inside the animal": [*inside.values()], "outside": [*outside.values()]}, "layer",
            "rank correlation with edges", chance={"nothing in common": 0}), "edges_by_layer",
     "How well the Grad-CAM map follows the edges, inside and outside of the animal, for the five layers")

# %% tags=["seen"]
seen(f"At the stem the map follows the edges inside the animal ({inside['stem']:.2f}), at the last stage it does "
     f"not ({inside['stage4']:.2f}). Outside it falls from {outside['stem']:.2f} to {outside['stage4']:.2f}. So "
     "this half of the claim shows, though even at the stem the agreement is far from perfect.",
     holds=0.25 < inside["stem"] < 0.6 and inside["stage4"] < 0.05 and outside["stage4"] < 0.7 * outside["stem"],
     read=rank_correlation)

# %% [markdown]
# ## 3. Meaning?
#
# If a layer knows what things mean, its map for the cat lies on the cat and its map for the dog on the dog. Two
# animals in one picture, a map for each: of the part of the map that lies on an animal, how much lies on its own?
#
# **Predict.** A coin would give one half. Which stages do better than the coin?

# %%
pairs, own = list(draw_scenes(80, seed=106, second="any")), {}
images, classes, animals = two_animals(pairs, small)
for layer in small.layers:
    made = [maps(small, images, asked, layer=layer) * (animals[0] | animals[1]) for asked in classes]
    own[layer] = mean(torch.cat([energy_inside(one, mask) for one, mask in zip(made, animals)]))
first = [minixai.explain(small, images[:1], target=classes[0][:1], layer=layer) for layer in small.layers]
over = [pairs[0].image, *(minixai.overlay(pairs[0].image, one.heatmap[0]) for one in first)]
show(pictures(over, [f"asked for: {pairs[0].animal}", *small.layers], columns=6), "two_animals_by_layer",
     "A scene with two animals and the map for one of them at five layers: only the last keeps to that animal")
show(curves(small.layers, {"Grad-CAM": [*own.values()]}, "layer", "share on the animal asked for",
            chance={"coin": 0.5}), "own_animal_by_layer", "The share on the right one of two animals, layer by layer")

# %% tags=["seen"]
seen(f"At the stem {own['stem']:.2f}, worse than a coin; after two more stages {own['stage2']:.2f}, as good "
     f"as one; then {own['stage3']:.2f} and {own['stage4']:.2f}. Until `stage2` the map finds animals, or "
     "edges, but does not know which animal is which. This half of the claim shows clearly.",
     holds=own["stem"] < 0.45 and 0.45 < own["stage2"] < 0.65 < own["stage3"] < 0.85 < own["stage4"])

# %% [markdown]
# ## 4. Is it the layer, or the mean?
#
# Early maps of Grad-CAM are poor. That may be because early layers know little. But C2 also does something there that
# it does not do at the last layer: it averages a gradient that is different at every place into one number. LayerCAM
# leaves the mean out, one stage replaced.
#
# **Predict.** Asked at the stem, will LayerCAM find the animal more often, or is there nothing to be found?

# %%
images, labels, masks = batch(scenes, small)
hits, energy = {}, {}
for method in ("gradcam", "layercam", "randomcam"):
    found = [maps(small, images, labels, method=method, layer=layer) for layer in small.layers]
    hits[method] = [mean(points_at(one, masks)) for one in found]
    energy[method] = [mean(energy_inside(one, masks)) for one in found]
show(curves(small.layers, hits, "layer", "highest pixel on the animal", chance={"flat map": mean(masks)}),
     "pointing_by_layer_and_method", "How often Grad-CAM, LayerCAM and random weights point at the animal, by layer")

# %% tags=["seen"]
seen(f"At the stem Grad-CAM points at the animal {hits['gradcam'][0]:.0%} of the time, LayerCAM "
     f"{hits['layercam'][0]:.0%}. The layer knew; the mean lost it. At the last stage both are as good "
     f"({hits['gradcam'][-1]:.0%} and {hits['layercam'][-1]:.0%}). Energy tells another story about depth: "
     f"Grad-CAM's is highest not at the last stage ({energy['gradcam'][-1]:.2f}) but at `stage2` "
     f"({energy['gradcam'][2]:.2f}), where the map is twice as fine.",
     holds=hits["layercam"][0] > hits["gradcam"][0] + 0.25 and min(hits["gradcam"][-1], hits["layercam"][-1]) > 0.9
     and energy["gradcam"][2] > energy["gradcam"][-1] + 0.03, read=[channel_weights, positive_gradients])

# %% [markdown]
# ## 5. Four photos
#
# Drawn scenes have clean edges. So once more the correlation with the edges, on the photos that come with the library
# and a network that has seen a million of them.
#
# **Predict.** Will the curve fall from the first layer to the last, as in section 2?

# %%
photos = {}
for name in ("cat.png", "coffee.png", "rocket.jpg", "astronaut.jpg"):
    image = minixai.open_image(PHOTOS / name, real)
    around = edges(real.preprocess.undo(image)[0])
    found = [maps(real, image, layer=layer)[0] for layer in real.layers]
    photos[name.partition(".")[0]] = [rank_correlation(one, around).item() for one in found]
show(curves(real.layers, photos, "layer", "rank correlation with edges", chance={"nothing in common": 0}, width=7.5),
     "photo_edges_by_layer", "Correlation of the map with the edges of four photos at nine layers: the curves cross")

# %% tags=["seen"]
early = np.array([values[1:5] for values in photos.values()])
last = np.array([values[-1] for values in photos.values()])
seen(f"No. Between `stage1` and `stage4` the four curves go from {early.min():.2f} to {early.max():.2f}: one "
     "photo's map follows the edges, the next one's avoids them. An early feature map may well show edges; but "
     "Grad-CAM gives each a weight with a sign, and an edge map with a negative weight is an edge map turned "
     f"round. At `features` all four are between {last.min():.2f} and {last.max():.2f}.",
     holds=early.min() < -0.2 and early.max() > 0.4 and -0.15 < last.min() and last.max() < 0.4)
claim(5, experiment="Grad-CAM at every stage: small CNN on 80 drawn scenes and 80 with two animals, "
      "EfficientNet-Lite0 on four photos; rank correlation with an edge map, share of the map on the right one of "
      "two animals",
      measured=f"edges, inside the animal: stem {inside['stem']:.2f}, last stage {inside['stage4']:.2f}; on the "
      f"photos, `stage1` to `stage4`: {early.min():.2f} to {early.max():.2f}; right animal: stem "
      f"{own['stem']:.2f}, last stage {own['stage4']:.2f}, coin 0.50",
      verdict="holds here, but", reach="meaning does come last; edges come first only in the small CNN, while on the "
      "photos early maps follow them or avoid them by turns, and some of what early maps lack is lost by "
      "Grad-CAM's mean and not missing in the layer; the last layer is not the one with most energy on the object",
      holds=inside["stem"] > 0.25 > inside["stage4"] + 0.15 and early.min() < -0.2 and early.max() > 0.4
      and own["stem"] < 0.5 and own["stage4"] > 0.85)
