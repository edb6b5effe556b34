# %% [markdown]
# # 10 An attention map by hand
#
# A Vision Transformer computes, in every layer, how much each token takes from each other token. The usual attention
# map is one row of one of these matrices: what CLS took in the last layer. Here it is made step by step, with the
# stages A1 to A5, and then put to the question that the picture suggests: are these the patches that decided?
#
# - Article: How attention maps are made, 3 and 4
# - Minutes: 30
# - Exercise: Write A2, A4 and A5 yourself: `minixai start 10`.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import numpy as np
import torch
from draw import bars, curves, dots, pictures
from measure import batch, mean
from tools import claim, quote, seen, show

import minixai
from minixai import rollout
from minixai.evaluation import area, correlation, deletion_curve, hide, rank_correlation
from minixai.networks.vit import Attention
from minixai.scenes import draw_scene, draw_scenes

# %%
model = minixai.load("small_vit")
scene = draw_scene(33, animal="cow", background="beach")
image = minixai.open_image(scene.image, model)
scenes = list(draw_scenes(24, seed=110))
images, labels, masks = batch(scenes, model)
last_block = model.blocks[-1]

# %% [markdown]
# ## 1. A1: the matrices, and one row
#
# The small ViT cuts its image of 96 x 96 pixels into patches of 8 x 8. Each patch becomes a token; CLS is put in
# front. Each of five layers has four heads, and each head has a matrix of its own: row i says what token i took from
# every token. Row 0 belongs to CLS.
#
# **Predict.** The rows of four heads in the last layer: will they show the same thing?

# %%
quote(Attention.forward)
with torch.no_grad():
    logits, layers = model.forward_with_attention(image)
last = layers[-1][0]
row_sums = last.sum(dim=-1)
heads = [last[head, 0, 1:].reshape(12, 12) for head in range(4)]
show(pictures([scene.image, *heads], ["a cow", *(f"head {head}, row of CLS" for head in range(4))]), "cow_four_rows",
     "A drawn cow on a beach, and from which patches CLS took in each of four heads of the last layer")

# %% tags=["seen"]
places = {head.argmax().item() for head in heads}
seen(f"{len(layers)} layers, each with {last.shape[0]} matrices of {last.shape[1]} x {last.shape[2]}: 144 patches and "
     "CLS. Every row is shares: it sums to one, by the softmax. The four heads look at different patches of the cow, "
     "and their highest cells are not all the same one.",
     holds=len(layers) == 5 and last.shape == (4, 145, 145) and (row_sums - 1).abs().max() < 1e-5 and len(places) > 1,
     read=Attention)

# %% [markdown]
# ## 2. A2, A4, A5: from matrices to a map
#
# The mean of the heads (A2), the row of CLS in the last layer (A4), its own column dropped and the rest folded into
# the grid (A5). A3 does nothing in the plain attention map; lesson 11 puts something there.
#
# **Predict.** What CLS took from CLS is dropped, since it belongs to no place. How much is that, in the first layer
# and in the last?

# %%
quote(rollout.mean_heads, rollout.one_layer, rollout.cls_to_grid)
fused = rollout.mean_heads(torch.stack(layers, dim=1))
row = rollout.one_layer(fused, layer=-1)
by_hand = rollout.cls_to_grid(row, prefix_tokens=1, grid=(12, 12))
result = minixai.explain(model, image, method="attention")
show(result.figure(), "cow_attention_stages", "A drawn cow through all stages of the attention map, A1 to M3")

# %% tags=["seen"]
own = fused[0, :, 0, 0]
seen(f"In the first layer CLS takes {own[0]:.0%} from itself, in the last less than 1%. All "
     "the rest, there, comes from patches. `explain` gives the same map, bit by bit. These are the "
     "three lines of the article too; only that "
     "a model with more tokens in front than CLS would need another number than one in A5.",
     holds=torch.equal(by_hand, result["A5"]) and own[0] > 0.1 and own[-1] < 0.008, read=minixai.explain)

# %% [markdown]
# ## 3. Take away what it looked at
#
# If these patches decided, the answer must suffer without them. Hide the patches behind black, the highest of the map
# first, and watch the probability of the class. Compare with a random order, with the least first, and with a map
# that also asks the gradient (lesson 12).
#
# **Predict.** Which order makes the curve fall first? By how much will the gradient help?

# %%
methods = ("attention", "gradattention", "rollout")
orders = {m: minixai.explain(model, images, m, target=labels)["A5"] for m in methods}
orders |= {"random order": torch.zeros(12, 12), "attention, least first": -orders["attention"]}
fall = {name: deletion_curve(model, images, order, labels, steps=9) for name, order in orders.items()}
under = {name: mean(area(curve)) for name, curve in fall.items()}
shares = [round(share, 2) for share in fall["attention"].shares.tolist()]
show(curves(shares, {f"{name}: {under[name]:.2f}": fall[name].scores.mean(dim=0) for name in fall},
            "share of the patches hidden", "probability of the class", width=6.6), "deletion_by_five_orders",
     "Mean probability of the class while patches are hidden in five orders; the legend has the area under each")

# %% tags=["seen"]
most, grads, rolled = under["attention"], under["gradattention"], under["rollout"]
random, least = under["random order"], under["attention, least first"]
seen(f"The area under the curve is {most:.2f} with the most attended first, {random:.2f} in random order and "
     f"{least:.2f} with the least attended first. So the map is far from saying nothing: here it finds what the "
     f"network needs. The gradient changes little ({grads:.2f}), and neither does rollout, which knows no class and "
     f"reads all layers ({rolled:.2f}). In a scene with one animal there is only one thing worth looking at.",
     holds=most < random - 0.2 and least > random + 0.15 and abs(grads - most) < 0.1 and abs(rolled - most) < 0.1,
     read=[deletion_curve, area])

# %% [markdown]
# ## 4. Patch by patch
#
# That was about the animal as a whole. The article says more: a high score means that this patch was influential. So
# hide one patch alone, behind the mean colour, note how far the score of the class falls, and do so for each of the
# 144.
#
# **Predict.** Will the patch with most attention be the one that costs most? And the tenth one, will it cost anything?

# %%
one_patch, costs = torch.eye(144, dtype=torch.bool).reshape(144, 12, 12), []
for picture, label in zip(images[:12], labels):
    hidden = hide(picture.expand(144, -1, -1, -1), one_patch, "mean")
    with torch.no_grad():
        costs.append((model(picture[None]) - model(hidden))[:, label].reshape(12, 12))
alike = {m: [[compare(one, cost).item() for one, cost in zip(orders[m], costs)]
             for compare in (correlation, rank_correlation)] for m in methods}
clouds = {f"scene {at}": (orders["attention"][at].flatten(), costs[at].flatten()) for at in (0, 1, 4)}
# %%
show(dots(clouds, "attention of CLS", "score lost without the patch"), "patch_by_patch",
     "Attention against the score lost without the patch in three scenes: one or two patches stand out in both")
show(bars({m: [np.median(values) for values in alike[m]] for m in methods}, ["correlation", "rank correlation"],
          "with the score lost", width=5.5), "patch_by_patch_two_correlations",
     "Correlation and rank correlation of three maps with the score lost: the one is high, the other near zero")

# %% tags=["seen"]
found = {m: sum(int(one.argmax()) == int(cost.argmax()) for one, cost in zip(orders[m], costs)) for m in methods}
plain, ranks = (float(np.median(values)) for values in alike["attention"])
graded = float(np.median(alike["gradattention"][0]))
attended = torch.stack([cost.flatten()[one.flatten().topk(10).indices[1:]] for one, cost in
                        zip(orders["attention"], costs)])
seen(f"The most attended patch is the most costly of all 144 in {found['attention'] / 12:.0%} of twelve scenes, where "
     f"guessing would be right in less than 1%. The correlation has a median of {plain:.2f}, with the gradient "
     f"{graded:.2f}. But of the "
     f"nine patches that come next {mean(attended < 0):.0%} raise the score when they are hidden, and the rank "
     f"correlation over all patches is {ranks:.2f}. Both numbers are right. The map knows the one or two patches that "
     "matter most; what is faint in it means little, and attention has no sign to say for or against.",
     holds=found["attention"] >= 4 and plain > 0.75 and graded > plain and 0.25 < mean(attended < 0) < 0.6
     and abs(ranks) < 0.25, read=[hide, correlation, rank_correlation])

# %% [markdown]
# ## 5. Only the last layer
#
# Hiding pixels changes all layers. The map is about the last one. So leave the image as it is, and take from CLS, in
# the last layer only, the tokens of some patches: those it looks at most, all others, or every single one.
#
# **Predict.** In the last layer CLS sees no patch at all. How often can the network still be right?

# %%
tokens = model.embed(images)
for block in model.blocks[:-1]:
    tokens, _ = block(tokens)
order = 1 + orders["attention"].flatten(1).argsort(descending=True)
sees = {"all": order, "top 36": order[:, :36], "without top 36": order[:, 36:], "none": order[:, :0]}
kept = {name: torch.cat([tokens[:, :1], tokens.take_along_dim(some[..., None], 1)], 1) for name, some in sees.items()}
said = {name: model.head(model.norm(last_block(left)[0])[:, 0]).argmax(-1) for name, left in kept.items()}
# %%
right = {name: mean(answer == labels) for name, answer in said.items()}
show(bars({"small ViT": [*right.values()]}, list(right), "share of right answers", chance={"guessing": 0.25}),
     "last_layer_tokens_taken_away", "How often the network is right when CLS sees all, some or no patches in the end")

# %% tags=["seen"]
seen(f"{right['none']:.0%} of {len(scenes)}. Most answers stand before the last layer begins: they were made in the "
     f"layers below, whose rows are not shown. Where the last one matters, {right['top 36']:.0%} "
     "are right with the 36 most attended tokens "
     f"alone and {right['without top 36']:.0%} without them.",
     holds=0.45 < right["none"] < 0.9 and right["all"] > 0.9 and right["top 36"] > 0.9, read=Attention)
claim(10, experiment=f"{len(scenes)} drawn scenes, small ViT: patches hidden in the order of attention, of "
      "gradient-weighted attention, at random; in twelve scenes each patch hidden alone; in all, patches taken from "
      "CLS in the last layer only",
      measured=f"area under the deletion curve {most:.2f}, with gradient {grads:.2f}, random {random:.2f}, least first "
      f"{least:.2f}; patch by patch correlation with the score lost {plain:.2f}, with gradient {graded:.2f}, rank "
      f"correlation {ranks:.2f} (medians); {right['none']:.0%} right when the last layer sees no patch, "
      f"{right['all']:.0%} when it sees all",
      verdict="holds here, but", reach="it finds the one or two patches that count most, while the order of the rest "
      "means little and has no sign, and most answers stand before the layer that is shown; one small network, scenes "
      "with one animal. Whether attention explains is disputed: Jain and Wallace 2019 (`Attention is not "
      "Explanation`), Wiegreffe and Pinter 2019 (`Attention is not not Explanation`), Chefer et al. 2021, who add "
      "gradients (lesson 12)",
      holds=most < random - 0.2 and plain > 0.75 and abs(ranks) < 0.25 and right["none"] > 0.45)
