# %% [markdown]
# # 11 Depth, heads, and rollout
#
# The attention map of lesson 10 is the mean of the heads of the last layer. There are other layers, and single heads.
# The article says what to expect: early attention is broad, late attention is sharp and on the object; heads look at
# different things. And rollout follows the attention through all layers at once.
#
# - Article: Layer depth; Attention heads
# - Minutes: 30
# - Exercise: Write A3 and A4 of rollout yourself: `minixai start 11`.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import torch
from draw import bars, curves, pictures
from measure import batch, maps, mean
from tools import claim, quote, seen, show

import minixai
from minixai import rollout
from minixai.evaluation import correlation, energy_inside, entropy, points_at
from minixai.heatmap import min_max, upsample
from minixai.images import PHOTOS
from minixai.networks.registry import weights_path
from minixai.scenes import draw_scenes

# %%
nets = {"small ViT": minixai.load("small_vit"), "biased twin": minixai.load("small_vit_biased")}
scenes = list(draw_scenes(60, seed=111))
images, labels, masks = batch(scenes, nets["small ViT"])
cover = masks.float().unflatten(-1, (12, 8)).unflatten(-3, (12, 8)).mean(dim=(-1, -3))     # of each patch
rows, broad, mass = {}, {}, {}
dino = minixai.load("dinov2_small") if weights_path("dinov2_small").exists() else None     # 44 MB, fetched or not
cat = minixai.open_image(PHOTOS / "cat.png", dino) if dino else None

# %%
@torch.no_grad()
def inside(network, image):
    """Of every layer: the rows of CLS (M,N), what each patch gets from all (N,), how long each token is (N,)."""
    tokens, found = network.embed(image), []
    for block in network.blocks:
        tokens, taken = block(tokens)
        found.append((taken[0, :, 0, 1:], taken[0, :, 1:, 1:].mean(dim=(0, 1)), tokens[0, 1:].norm(dim=-1)))
    return [torch.stack(part) for part in zip(*found)]


# %% [markdown]
# ## 1. From the first layer to the last
#
# Two numbers for the CLS row of each layer, the mean of its heads. How broad it is: its entropy, as a share of what a
# flat map would have. And how much of it lies on the animal. Two networks of one make: one has learned the animals, its
# twin the backgrounds (lesson 05).
#
# **Predict.** Both numbers for both networks: which of the four curves will rise, which will fall?

# %%
for name, model in nets.items():
    rows[name] = minixai.explain(model, images, "attention").trace.attention[:, :, :, 0, 1:].unflatten(-1, (12, 12))
    fused = rows[name].mean(dim=2)
    broad[name] = (entropy(fused) / entropy(torch.ones(12, 12))).mean(dim=0)
    on_pixels = fused.repeat_interleave(8, dim=-2).repeat_interleave(8, dim=-1)
    mass[name] = energy_inside(on_pixels, masks[:, None]).mean(dim=0)
# %%
numbers = {f"{what}, {name}": values[name] for what, values in (("breadth", broad), ("on the animal", mass))
           for name in nets}
show(curves([f"layer {layer}" for layer in range(5)], numbers, "", "share", chance={"flat map, on the animal":
            mean(cover)}, width=7), "breadth_and_mass_by_layer",
     "Breadth of the CLS row and its share on the animal, by layer, for two networks")

# %% tags=["seen"]
fell, rose = broad["small ViT"], mass["small ViT"]
twin, beside = broad["biased twin"], mass["biased twin"]
seen(f"The small ViT's attention narrows from {fell[0]:.2f} to {fell[-1]:.2f}, and what lies on the animal rises from "
     f"{rose[0]:.2f} to {rose[2]:.2f} in the middle layer; after that nothing is gained ({rose[-1]:.2f}). Its twin "
     f"does neither: {twin[0]:.2f} to {twin[-1]:.2f}, and {beside[0]:.2f} to {beside[-1]:.2f} on the animal. So it is "
     "not depth that makes attention sharp. It is sharp where the task asks for one place, and a background is "
     "everywhere.",
     holds=fell[0] > fell[-1] + 0.2 and rose[2] > rose[0] + 0.3 and rose[-1] < rose[2] and twin[-1] > twin[0]
     and abs(beside[-1] - beside[0]) < 0.1, read=[entropy, minixai.explain])

# %% [markdown]
# ## 2. Head by head
#
# Four heads in each layer. For each, where its CLS row lies in the last layer: on the head of the animal, on the rest
# of
# the animal, or beside it.
#
# **Predict.** Will the four look at four different things, or at the same one four times?

# %%
last = rows["small ViT"][:, -1] / rows["small ViT"][:, -1].sum(dim=(-2, -1), keepdim=True)
face = torch.stack([torch.from_numpy(s.parts["face"] | s.parts["head"] | s.parts["ears"]) for s in scenes])
upper = face.float().unflatten(-1, (12, 8)).unflatten(-3, (12, 8)).mean(dim=(-1, -3))
parts = {"head": upper, "rest of the animal": cover - upper, "background": 1 - cover}
share = {part: (last * where[:, None]).sum(dim=(-2, -1)).mean(dim=0) for part, where in parts.items()}
typical = entropy(last).mean(dim=0)
at = 1
# %%
show(pictures([scenes[at].image, *last[at]], [scenes[at].animal, *(f"head {head}" for head in range(4))]),
     "four_heads_one_scene", "A scene, and where each of the four heads of the last layer took from")
show(bars(share, [f"head {head}" for head in range(4)], "share of the CLS row", width=6.5), "four_heads_parts",
     "The share of each head's row on the animal's head, on its body and on the background, over sixty scenes")

# %% tags=["seen"]
sharp, wide = typical.argmin().item(), share["background"].argmax().item()
seen(f"Head {sharp} puts {share['head'][sharp]:.0%} on the animal's head, on {2 ** typical[sharp]:.1f} patches or so; "
     f"head {wide} puts {share['background'][wide]:.0%} on the background and only {share['head'][wide]:.0%} there. "
     "They divide the work, though not one thing each: no head is the one for legs.",
     holds=sharp != wide and share["head"][sharp] > 0.65 and share["background"][wide] > 0.4
     and share["rest of the animal"].max() < 0.6, read=rollout.one_head)

# %% [markdown]
# ## 3. What the mean hides
#
# The map of lesson 10 is the mean of the four. How much are they alike, and what is left of a single one?
#
# **Predict.** Two heads of the same layer, the same image: what is the correlation of their rows, on average?

# %%
quote(rollout.mean_heads, rollout.one_head)
pairs = [(one, other) for one in range(4) for other in range(one)]
alike = {name: torch.stack([correlation(made[:, :, one], made[:, :, other]) for one, other in pairs])
         for name, made in rows.items()}
among = {name: values.nanmean(dim=(0, 1)) for name, values in alike.items()}
single, fused = entropy(rows["small ViT"]).mean(dim=(0, 2)), entropy(rows["small ViT"].mean(dim=2)).mean(dim=0)
show(curves([f"layer {layer}" for layer in range(5)], among, "", "correlation of two heads", width=6),
     "heads_correlation_by_layer", "Mean correlation between the rows of two heads of a layer, for two networks")

# %% tags=["seen"]
low, high = among["small ViT"].min(), among["small ViT"].max()
seen(f"Between {low:.2f} and {high:.2f}: two heads have little more in common than two maps that were drawn by lot. "
     f"The "
     f"mean is therefore like none of them. A head of the last layer holds {single[-1]:.1f} bits, "
     f"their mean {fused[-1]:.1f}: it fills {2 ** (fused[-1] - single[-1]):.1f} times as many patches as a single "
     "head does.",
     holds=-0.05 < low and high < 0.3 and fused[-1] > single[-1] + 0.7, read=correlation)
claim(12, experiment="60 drawn scenes, small ViT, each head of the last layer: its share on the head of the animal, "
     "the "
      "rest of it and the background; correlation between heads; entropy of one head and of their mean",
      measured=f"on the animal's head {share['head'].min():.2f} to {share['head'].max():.2f}, on the background "
      f"{share['background'].min():.2f} to {share['background'].max():.2f}; correlation between two heads, by layer, "
      f"{low:.2f} to {high:.2f}; {single[-1]:.1f} bits a head, {fused[-1]:.1f} in the mean", verdict="holds here",
      reach="heads differ in where they look and how widely; that one is for outlines and one for texture was not "
           "found "
      "in this small network; on the cat, DINOv2 has a head for the eyes and one for the background",
      holds=share["head"].max() > 2.5 * share["head"].min() and high < 0.3 and fused[-1] > single[-1] + 0.7)

# %% [markdown]
# ## 4. Rollout: through all layers
#
# What CLS takes in the last layer is no longer a patch: it is a token that has taken from others in every layer before.
# Rollout multiplies the layers (A4), after adding to each what the skip connection carries past the attention (A3).
#
# **Predict.** Will rollout lie more on the animal than the last layer alone, or less? Which one points better?

# %%
quote(rollout.half_skip, rollout.multiply_layers)
small, energy, hits = nets["small ViT"], {}, {}
for method in ("attention", "rollout"):
    made = [maps(small, images, method=method, layer=layer) for layer in range(5)]
    energy[method] = [mean(energy_inside(one, masks)) for one in made]
    hits[method] = [mean(points_at(one, masks)) for one in made]
shown = [minixai.explain(small, images[at:at + 1], method).heatmap[0] for method in energy]
show(curves([f"to layer {layer}" for layer in range(5)],
            {f"{what}, {m}": part[m] for what, part in (("energy", energy), ("pointing", hits)) for m in part}, "",
            "on the animal", chance={"flat map": mean(masks)}, width=7), "rollout_and_attention_by_layer",
     "Energy and pointing of attention and rollout, by layer")
show(pictures([scenes[at].image, *(minixai.overlay(scenes[at].image, one) for one in shown)],
              ["a scene", "attention, last layer", "rollout"], side=2.4), "rollout_and_attention_one_scene",
     "A scene with the attention map of the last layer and with the rollout of all five")

# %% tags=["seen"]
seen(f"Less: rollout to the last layer has {energy['rollout'][-1]:.2f} of its energy on the animal, the last layer "
     f"alone "
     f"{energy['attention'][-1]:.2f}. Both point at it nearly always ({hits['rollout'][-1]:.0%} and "
     f"{hits['attention'][-1]:.0%}). Rollout keeps the broad first layer in the product, and half of every layer "
     f"for the "
     "skip: it shows where the information came from, over all layers, and that was a wider area.",
     holds=energy["attention"][-1] > energy["rollout"][-1] + 0.1
     and min(hits["rollout"][-1], hits["attention"][-1]) > 0.9,
     read=[rollout.half_skip, rollout.multiply_layers])

# %% [markdown]
# ## 5. A large ViT: depth, and patches that everyone looks at
#
# DINOv2 (small) has twelve layers, six heads, and 32 x 32 patches of the cat. It was trained without labels. Get it
# with
# `python -m weights_scripts.dinov2_small`, 44 MB; without it this section and the next are skipped. In larger networks
# of this family some late tokens become sinks: long vectors in empty places, at which all others look (Darcet et al.
# 2023, `Vision Transformers Need Registers`). Are there such tokens here?
#
# **Predict.** Breadth by layer: will it fall as in section 1?

# %%
if dino:
    heads, received, lengths = inside(dino, cat)
    most, longest = received.amax(1) / received.mean(1), lengths.amax(1) / lengths.median(1).values
    grids = [dino.preprocess.undo(cat)[0], *heads.mean(1)[[0, 4, 8, 11]].unflatten(-1, (32, 32))]
    show(curves([*range(12)], {"most attended / mean patch": most, "longest / median token": longest}, "layer", "times",
                log=True, width=7), "dinov2_sinks_by_layer", "The most attended and the longest token, by layer")
    show(pictures(grids, ["the cat", *(f"layer {layer}, mean of heads" for layer in (0, 4, 8, 11))], side=2.2),
         "dinov2_cat_by_layer", "The cat, and the CLS row of four layers of DINOv2, each the mean of six heads")

# %% tags=["seen"]
depths = f"small ViT: breadth {fell[0]:.2f} to {fell[-1]:.2f}, on the animal {rose[0]:.2f} to {rose[-1]:.2f}"
other = f"biased twin: breadth {twin[0]:.2f} to {twin[-1]:.2f}, on the animal {beside[0]:.2f} to {beside[-1]:.2f}"
if dino:
    width = entropy(heads.mean(dim=1).unflatten(-1, (32, 32))) / 10
    place = received[8].argmax().item()
    other += "; DINOv2 on one photo, layers 0, 4, 8, 11: breadth "
    other += ", ".join(f"{width[layer]:.2f}" for layer in (0, 4, 8, 11))
    seen(f"No. Breadth is {width[0]:.2f} in the first layer, {width[4]:.2f} in the middle, {width[8]:.2f} at layer 8, "
         f"where it is narrowest, and {width[11]:.2f} in the last, broad again. A mild sink is there: at layer 8 one "
         f"patch, row {place // 32} and column {place % 32}, above the cat's eye, gets {most[8]:.0f} times the mean "
         f"from "
         f"all others; in the first layer one gets {most[0]:.0f} times. But no token is long: at most "
         f"{longest.max():.1f} times the median, in any layer. The artefacts of the large networks are not in this "
         f"one.",
         holds=width[8] < width[0] and width[11] > width[8] + 0.05 and width[8] == width.min() and most[8] > 5
         and most[0] > 30 and longest.max() < 2, read=minixai.load)
else:
    seen("DINOv2 is not on this machine, so this was skipped; its numbers and pictures are on the page.",
         holds=dino is None, read=minixai.load)
claim(11, experiment="60 drawn scenes, CLS row of each layer (mean of heads) of a small ViT and of its twin trained on "
      "backgrounds: entropy as a share of a flat map's, mass on the animal; entropy of DINOv2 small on a photo of a "
      "cat",
      measured=f"{depths}; {other}; flat map {mean(cover):.2f}", verdict="holds here, but", reach="in the network that "
      "learned the object; its twin of the same depth shows no such trend, DINOv2 is narrowest at layer 8 of 12 and "
      "broad "
      "again in the last, and in the small ViT the middle layer has as much on the animal as the last",
      holds=fell[0] > fell[-1] + 0.2 and rose[-1] > rose[0] + 0.3 and twin[-1] > twin[0])

# %% [markdown]
# ## 6. A head for the eyes, and one for what is no cat
#
# Nobody told DINOv2 what a cat is. The mean of its heads is dull; single ones are not. Layer 9, head 4 and layer 11,
# head 3 were picked by eye from 72, which is a reason to be careful: among 72 maps some will look like something.
#
# **Predict.** Is a head that looks only at the background a fault?

# %%
eyes, middle = torch.zeros(32, 32), torch.zeros(32, 32)
eyes[11:19, 6:15] = eyes[13:21, 24:31] = 1                  # drawn by hand around the eyes
middle[4:27, 3:28] = 1                                      # the face, roughly
if dino:
    grids = [heads[layer, head].unflatten(-1, (32, 32)) for layer, head in ((9, 4), (11, 3), (11, 2))]
    over = [minixai.overlay(dino.preprocess.undo(cat)[0], min_max(upsample(grid, (448, 448)))) for grid in grids]
    show(pictures(over, ["layer 9, head 4", "layer 11, head 3", "layer 11, head 2"], side=2.8),
         "dinov2_cat_three_heads", "The cat: a head at its eyes, one at the background, one beside its nose")

# %% tags=["seen"]
if dino:
    part = [[(grid * box).sum().item() / grid.sum().item() for box in (eyes, middle)] for grid in grids]
    seen(f"The head at the eyes has {part[0][0]:.0%} of its row in the two boxes around them, which are "
         f"{mean(eyes):.0%} of the picture. The other has {1 - part[1][1]:.0%} outside of the face, which is "
         f"{1 - mean(middle):.0%} of the picture. It is no fault: to know where the object ends is of use, and CLS may "
         "need the surroundings for what it was trained to do. A map of this head would be a bad explanation of `cat` "
         "all the same.",
         holds=part[0][0] > 3 * mean(eyes) and 1 - part[1][1] > 0.8, read=rollout.one_head)
else:
    seen("DINOv2 is not on this machine, so this was skipped; its pictures are on the page.", holds=dino is None,
         read=rollout.one_head)
