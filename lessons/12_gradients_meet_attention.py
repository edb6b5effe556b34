# %% [markdown]
# # 12 Gradients meet attention
#
# An attention map knows no class: it says where information was taken from, not what it was used for. The gradient of
# the class score knows. Three methods join the two, and they differ in one stage each: the gradient in A2, what is
# added for the skip in A3, the layers in A4.
#
# - Article: How attention maps are made; The target class
# - Minutes: 25
# - Exercise: Write Chefer's A2 and A3 yourself: `minixai start 12`.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import torch
from draw import bars, pictures
from measure import maps, mean, two_animals
from tools import quote, seen, show

import minixai
from minixai import attention, rollout
from minixai.attention import Attn, multiply_layers
from minixai.evaluation import energy_inside
from minixai.scenes import draw_scenes

# %%
model = minixai.load("small_vit")
pairs = list(draw_scenes(60, seed=112, second="any"))
images, classes, animals = two_animals(pairs, model)
index = 3
both = [minixai.explain(model, images[index:index + 1], "gradattention", target=asked[index].item())
        for asked in classes]
names = [pairs[index].animal, pairs[index].second]

# %% [markdown]
# ## 1. A1 and A2: attention, and its gradient
#
# The score of a class is differentiated with respect to every attention weight: if CLS took a little more from there,
# would the score rise or fall? Attention times gradient says what the attention that was paid is worth. Here is a
# scene with two animals.
#
# **Predict.** Of attention, gradient and product: which will be different for the two animals?

# %%
quote(attention.positive_evidence)
A = both[0].trace.attention[0, -1, :, 0, 1:].mean(dim=0).reshape(12, 12)
G = [one.trace.attention_gradients[0, -1, :, 0, 1:].mean(dim=0).reshape(12, 12) for one in both]
panels = [pairs[index].image, A, *G, *(one["A5"][0] for one in both)]
titles = ["the scene", "attention, for both", *(f"gradient, {name}" for name in names),
          *(f"A5, {name}" for name in names)]
show(pictures(panels, titles, columns=3, side=2.2), "two_animals_attention_gradient",
     "Two animals, the attention of the last layer, its gradients for either class, and the two maps")

# %% tags=["seen"]
products = [(one.trace.attention * one.trace.attention_gradients)[0, -1, :, 0, 1:] for one in both]
seen("The attention is one and the same: it was computed before anybody asked. The gradients differ, and have both "
     "signs: "
     f"of the {products[0].numel()} products in the row of CLS in the last layer {mean(products[0] < 0):.0%} speak "
     f"against the {names[0]}. A2 keeps the positive ones, head by head. The gradient alone is no map either: for the "
     f"{names[0]} it is positive at {mean(G[0] > 0):.0%} of the patches, a price for attention that was never paid.",
     holds=torch.equal(both[0].trace.attention, both[1].trace.attention) and 0.15 < mean(products[0] < 0) < 0.85
     and mean(G[0] > 0) > 0.8 and not torch.allclose(both[0]["A5"], both[1]["A5"]), read=attention.positive_evidence)

# %% [markdown]
# ## 2. Two animals: whose map is it?
#
# Sixty scenes with two animals, each asked for one and for the other. Of what lies on either animal, how much is on
# the
# one that was asked for? A map that knows no class gets one half, whatever it shows.
#
# **Predict.** How far above one half will each of the methods come?

# %%
methods = ("attention", "rollout", "gradattention", "gradrollout", "chefer", "gradcam")
own, made = {}, {}
for method in methods:
    found = [maps(model, images, asked, method=method).clamp(min=0) for asked in classes]
    seen_of = [energy_inside(one * (animals[0] | animals[1]), mask) for one, mask in zip(found, animals)]
    own[method], made[method] = torch.cat(seen_of), [one[index] for one in found]
over = [minixai.overlay(pairs[index].image, minixai.heatmap.min_max(one)) for m in methods[1:5] for one in made[m]]
# %%
show(bars({"asked for": [mean(own[m]) for m in methods]}, list(methods), "share on the animal asked for",
          chance={"knows no class": 0.5}), "share_on_asked_animal", "The share on the animal that was asked for, by "
               "method")
show(pictures(over, [f"{m}, {name}" for m in methods[1:5] for name in names], columns=4, side=2),
     "two_animals_four_methods",
     "One scene with two animals, four methods, each asked for either animal")

# %% tags=["seen"]
got = {method: mean(values) for method, values in own.items()}
seen(f"Attention and rollout: {got['attention']:.2f} and {got['rollout']:.2f}, as they must, for both answers are "
     f"the same "
     f"map. With the gradient {got['gradattention']:.2f} (last layer), {got['gradrollout']:.2f} (gradient rollout) and "
     f"{got['chefer']:.2f} (Chefer). Grad-CAM on the tokens of the last block has {got['gradcam']:.2f}. So this is "
     f"what "
     "the gradient is for; lesson 10, with one animal to a scene, could not see it.",
     holds=abs(got["attention"] - 0.5) < 1e-3 and abs(got["rollout"] - 0.5) < 1e-3
     and min(got["gradattention"], got["gradrollout"], got["chefer"]) > 0.65, read=minixai.explain)

# %% [markdown]
# ## 3. Before the mean of the heads, or after it?
#
# Chefer takes the positive part in each head, and then the mean. Gradient rollout takes the mean first: heads for and
# against the class cancel. One stage, and a question of order.
#
# **Predict.** How much of what is positive in single heads is cancelled by the others? Which order keeps better to the
# animal asked for?

# %%
quote(attention.mean_evidence)
trace = minixai.explain(model, images, "chefer", target=classes[0]).trace
kept = {name: A2(trace.attention, trace.attention_gradients)[:, :, 0, 1:] for name, A2 in
        (("before", attention.positive_evidence), ("after", attention.mean_evidence))}
lost = 1 - kept["after"].sum(dim=-1).mean(dim=0) / kept["before"].sum(dim=-1).mean(dim=0)
one = {name: values[index, -1].reshape(12, 12) for name, values in kept.items()}
show(pictures([pairs[index].image, *one.values()], ["the scene", *(f"positive part {name} the mean" for name in one)],
              side=2.4), "clamp_before_or_after", "The fused row of the last layer with the positive part taken "
                   "before, "
     "and after, the mean of the heads")
show(bars({"cancelled": lost.tolist()}, [f"layer {layer}" for layer in range(5)], "share of the evidence"),
     "evidence_cancelled_by_layer", "The share of the positive evidence that other heads cancel, by layer")

# %% tags=["seen"]
seen(f"Little: in no layer more than {lost.max():.0%} of the positive evidence in the row of CLS. Heads look at "
     f"different "
     "patches (lesson 11), so there is rarely a second one at the same place to cancel the first. After the mean a "
     "place counts if the heads together speak for the class; before it, if any "
     "does. Both are answers; the words `positive evidence` name either.",
     holds=0 < lost.min() and lost.max() < 0.25, read=[attention.positive_evidence, attention.mean_evidence])

# %% [markdown]
# ## 4. Three stages, exchanged one at a time
#
# Gradient rollout and Chefer also differ in A3: half skip and half attention, with rows brought back to one, or the
# whole
# skip and nothing brought back. Cross the two choices: four recipes, of which two have names.
#
# **Predict.** Which of the two choices makes the difference?

# %%
quote(attention.whole_skip, rollout.half_skip)
A2s = {"clamp last": attention.mean_evidence, "clamp first": attention.positive_evidence}
A3s = {"half skip": rollout.half_skip, "whole skip": attention.whole_skip}
table, near = {}, {}
for (a2, first), (a3, second) in ((x, y) for x in A2s.items() for y in A3s.items()):
    found = [maps(model, images, asked, method=Attn(A2=first, A3=second, A4=multiply_layers)) for asked in classes]
    right = [energy_inside(one * (animals[0] | animals[1]), mask) for one, mask in zip(found, animals)]
    table[a2, a3] = mean(torch.cat(right))
    near[a2, a3] = mean(torch.cat([energy_inside(m, k) for m, k in zip(found, animals)]))
# %%
show(bars({"of both animals, on the right one": [*table.values()], "of the whole map, on it": [*near.values()]},
          ["\n".join(key) for key in table], "share", width=7.5), "four_recipes",
     "Two ways to fuse the heads and two skips, crossed: the share on the right animal for each of the four")

# %% tags=["seen"]
(gr, gw), (pr, ch) = [[table[a2, a3] for a3 in A3s] for a2 in A2s]
seen(f"On the right one of the two: {gr:.2f} for gradient rollout, {ch:.2f} for Chefer's method; with only A3 "
     f"exchanged "
     f"{gw:.2f}, with only A2 {pr:.2f}. All four are alike, and so neither choice matters for the class in this "
     f"network, where heads "
     "seldom meet at one place. In a larger one they may; the point is that the two methods can be told apart by "
     "exchanging one stage at a time, and need not be believed as wholes.",
     holds=min(gr, gw, pr, ch) > 0.7 and max(gr, gw, pr, ch) - min(gr, gw, pr, ch) < 0.06,
     read=[attention.whole_skip, rollout.half_skip])
