# %% [markdown]
# # 02 Grad-CAM by hand, C1 to M3
#
# A photo of a cat, a real network, and the seven steps from one to the heatmap, each run by itself:
#
#     C1 record   C2 weigh   C3 combine   C4 rectify   M1 upsample   M2 min-max   M3 overlay
#
# The network is EfficientNet-Lite0 with its ImageNet weights. Every step is one function of the library, quoted here
# as it stands in the file. The numbers C1 to M3 are the same in the code, in the printed output and in the pictures.
#
# - Article: How Grad-CAM works, 1 to 4
# - Minutes: 35
# - Exercise: Write C2 to M3 yourself: `minixai start 02`.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import torch
from draw import bars, curves, pictures
from measure import batch, mean
from tools import claim, quote, seen, show

import minixai
from minixai import cams, evaluation, gradcam, heatmap, trace
from minixai.images import PHOTOS
from minixai.networks.cnn import CNN
from minixai.scenes import draw_scenes

# %%
model = minixai.load("efficientnet_lite0")
image = minixai.open_image(PHOTOS / "cat.png", model)
rgb = model.preprocess.undo(image)[0]
CAT, CAR = model.labels.index("Egyptian cat"), model.labels.index("sports car")

# %% [markdown]
# ## 1. C1, first half: stop in the middle
#
# A forward pass turns the image into feature maps, layer after layer, and the last maps into scores. A network that
# is a list of stages can be stopped anywhere. The last stage here is called `features`.
#
# **Predict.** The image has 224 x 224 pixels. On how many places does the last stage still tell things apart?

# %%
quote(CNN.until, CNN.after)
with torch.no_grad():
    activations = model.until(image, "features")
    same = torch.equal(model.after(activations, "features"), model(image))
strongest = activations[0].sum(dim=(-2, -1)).topk(5).indices
show(pictures([rgb, *activations[0, strongest]], ["the image", *(f"map {k}" for k in strongest)], columns=3),
     "cat_feature_maps", "The cat, and the five feature maps of the last stage that are most active")

# %% tags=["seen"]
K, h, w = activations.shape[1:]
seen(f"{K} maps of {h} x {w} cells. A cell stands for 32 x 32 pixels, and finer than that no heatmap of this layer "
     f"can know anything. {mean(activations == 0):.0%} of all cells are exactly zero: a map is on in a few places. "
     "Going on from these maps gives the same scores, bit by bit, as the whole network.",
     holds=same and (h, w) == (7, 7) and mean(activations == 0) > 0.3, read=CNN)

# %% [markdown]
# ## 2. C1, second half: the gradient
#
# The score of the class is one number. Its gradient with respect to the maps has the shape of the maps, and says for
# every cell of every map: if this number were a little larger, how much would the score rise?
#
# That can be checked by trying. Raise all cells of one map by a step, run the rest of the network, look at the score.
#
# **Predict.** From which step on will the gradient be wrong, and at which layer first: the last one, or one further
# down?

# %%
steps, wrong = [0.03, 0.1, 0.3, 1, 3], {}
for layer in ("features", "stage7", "stage5"):
    recorded = trace.record_cnn(model, image, CAT, layer)
    slope = recorded.gradients[0, :50].sum(dim=(-2, -1))
    one_map = torch.eye(recorded.activations.shape[1])[:50, :, None, None]
    tried = [recorded.network.after(recorded.activations + step * one_map, 0)[:, CAT] for step in steps]
    risen = [(score - recorded.logits[0, CAT]) / step for score, step in zip(tried, steps)]
    wrong[layer] = [((rise - slope).norm() / slope.norm()).item() for rise in risen]
# %%
show(curves([str(step) for step in steps], wrong, "added to every cell of a map", "relative error of the gradient"),
     "gradient_against_trying", "Error of the gradient for steps of five sizes at three layers")

# %% tags=["seen"]
seen("At `features` the gradient is right for any step, to better than a thousandth: behind this layer come only a "
     "mean and a linear layer, and the gradient of a straight line is the line (what is left is the rounding of "
     "32-bit numbers, which weighs more the smaller the step). Further down there are kinks (ReLU6) on the way, "
     f"and a step of 3 is misjudged by {wrong['stage7'][-1]:.0%} at `stage7` and {wrong['stage5'][-1]:.0%} at "
     f"`stage5`, a step of 0.03 by {wrong['stage5'][0]:.1%} at most. A gradient is a promise for small steps.",
     holds=max(wrong["features"]) < 1e-3 and wrong["stage7"][-1] > 0.1 and wrong["stage5"][-1] > 0.1
     and max(wrong["stage7"][0], wrong["stage5"][0]) < 0.025, read=trace.record_cnn)

# %% [markdown]
# ## 3. C2: one weight for each map
#
# The gradient of each map is averaged over its places. What is left is one number for each map.
#
# **Predict.** Most maps are not about cats. Which share of the weights will be negative?

# %%
quote(gradcam.channel_weights)
recorded = trace.record_cnn(model, image, CAT)
A, weights = recorded.activations[0], gradcam.channel_weights(recorded.gradients[0])
part = weights[:, 0, 0] * A.sum(dim=(-2, -1))
chosen = [*part.topk(4).indices, *part.topk(4, largest=False).indices]
over = [minixai.overlay(rgb, heatmap.min_max(heatmap.upsample(A[k], rgb.shape[:2]))) for k in chosen]
show(pictures(over, [f"map {k}, weight {weights[k].item():+.3f}" for k in chosen], columns=4),
     "cat_maps_for_and_against", "Four maps that add most to the score of the cat, and four that take most from it")

# %% tags=["seen"]
against = mean(weights < 0)
seen(f"{against:.0%}: more than half of the maps speak against the cat. The upper row shows the four that add most to "
     "its score, the lower row the four that take most away. What a map is about has no name in the network; one that "
     "lights up at the eyes may be about eyes, or about round dark things.",
     holds=0.5 < against < 0.6 and part.topk(4).values.min() > 0 > part.topk(4, largest=False).values.max(),
     read=gradcam.channel_weights)

# %% [markdown]
# ## 4. Is the weight of a map what the map counts?
#
# Take one map away: set it to zero and see how far the score falls. That is Ablation-CAM's way to weigh, and it needs
# no gradient. Compare it with the weight of C2, and with the weight times all that the map holds.
#
# **Predict.** Which of the two agrees with the loss, and does it at every layer?

# %%
agree = {}
for layer in ("features", "stage7", "stage5"):
    recorded = trace.record_cnn(model, image, CAT, layer)
    weights = gradcam.channel_weights(recorded.gradients)[0]
    lost = cams.ablation_weights(recorded.activations, recorded.network)[0, :, :, 0]
    both = weights[..., 0], (weights * recorded.activations[0]).sum(dim=-1).sum(dim=-1, keepdim=True)
    agree[layer] = [evaluation.rank_correlation(one, lost).item() for one in both]
show(bars({"weight": [one for one, _ in agree.values()], "weight x map": [both for _, both in agree.values()]},
          list(agree), "rank correlation"), "weight_against_score_lost",
     "Rank correlation of the weight, and of weight times map, with the score lost without the map, at three layers")

# %% tags=["seen"]
(one, both), (one7, both7), (one5, both5) = agree.values()
seen(f"The weight alone orders the maps at `features` only in part ({one:.2f}), and further down hardly better "
     f"than a draw ({one7:.2f} and {one5:.2f}). Weight times map is exact at `features` ({both:.2f}), good at "
     f"`stage7` ({both7:.2f}) and poor at `stage5` ({both5:.2f}). A weight is a price for one unit of a feature; "
     "what a map counts is the price times the amount. And the mean over places is a price for the whole map, "
     "which is exact only where all places have the same price.",
     holds=0.5 < one < 0.7 and both > 0.999 and both7 > 0.8 and both5 < 0.6 and max(abs(one7), abs(one5)) < 0.2,
     read=[cams.ablation_weights, evaluation.rank_correlation])
claim(2, experiment="photo of a cat, EfficientNet-Lite0: the gradient against steps of 0.03 tried out; the score lost "
      "when a map is set to zero, ranked against the weight and against weight times map",
      measured=f"error of the gradient under 0.1% at `features`, {wrong['stage5'][0]:.1%} at `stage5`; rank "
      f"correlation of the weight {one:.2f}, {one7:.2f}, {one5:.2f} at `features`, `stage7`, `stage5`; of weight times "
      f"map {both:.2f}, {both7:.2f}, {both5:.2f}",
      verdict="holds here, but", reach="the gradient is what one unit more of a feature would bring, not what the map "
      "counts; that is weight times map, exactly so only at the last layer of a network that ends in a mean and a "
      "linear "
      "layer; one photo, one network", holds=max(wrong["stage5"][0], wrong["features"][0]) < 0.025 and both > 0.999)

# %% [markdown]
# ## 5. C3: the weighted sum
#
# All maps, each times its weight, are added up. What comes out has a sign at every place: for the class, or against
# it.
#
# **Predict.** The sum for Egyptian cat, on a photo of one: how many of its cells are negative? And for sports car?

# %%
quote(gradcam.weighted_sum)
combined, scores = {}, {}
for target in (CAT, CAR):
    recorded = trace.record_cnn(model, image, target)
    combined[target] = gradcam.weighted_sum(A, gradcam.channel_weights(recorded.gradients[0]))
    scores[target] = recorded.logits[0, target].item()
show(pictures([rgb, *combined.values()], ["image", *(f"C3, {model.labels[target]}" for target in combined)], side=3),
     "cat_and_car_weighted_sums", "The signed sum for Egyptian cat, all positive, and for sports car, of both signs")

# %% tags=["seen"]
bias = model.head.fc.bias[CAT].item()
seen(f"For the cat not one of the {combined[CAT].numel()} cells is negative; for the sports car "
     f"{mean(combined[CAR] < 0):.0%} are. The cells are also a bill: those of the cat add up to "
     f"{combined[CAT].sum():.2f}, and with the bias of the last layer, {bias:.2f}, to "
     f"{combined[CAT].sum() + bias:.2f}, which is the score of {scores[CAT]:.2f}. So at this layer the map divides "
     "the score up among the places. ",
     holds=combined[CAT].min() > 0 and 0.6 < mean(combined[CAR] < 0) < 0.85
     and abs(combined[CAT].sum() + bias - scores[CAT]) < 1e-3, read=gradcam.weighted_sum)

# %% [markdown]
# ## 6. C4: the ReLU that is easily left out
#
# The method has one more step: what is negative becomes zero. Without a ReLU the rest still runs and still gives a
# picture. To see what it does, masks are needed, so this section uses drawn scenes and the small CNN trained on them.
#
# **Predict.** Without the ReLU, will the red spot move? Where will the map grow brighter, on the animal or beside it?

# %%
quote(gradcam.rectify)
small = minixai.load("small_cnn")
images, labels, masks = batch(draw_scenes(200, seed=104), small)
kinds = {"Grad-CAM": gradcam.Cam(), "without ReLU": gradcam.Cam(C4=lambda cam: cam), "random weights": "randomcam"}
made = {name: minixai.explain(small, images, recipe, target=labels) for name, recipe in kinds.items()}
on = {name: mean(one.heatmap[masks]) for name, one in made.items()}
beside = {name: mean(one.heatmap[~masks]) for name, one in made.items()}
hits = {name: mean(evaluation.points_at(one.heatmap, masks)) for name, one in made.items()}
# %%
show(bars({"on the animal": [*on.values()], "beside it": [*beside.values()]}, list(kinds), "mean of the heatmap"),
     "relu_on_and_beside",
     "How high Grad-CAM's heatmap stands on the animal and beside it, with ReLU, without, and with random weights")

# %% tags=["seen"]
negative = mean(made["Grad-CAM"]["C3"] < 0)
seen(f"The highest pixel stays where it is: {hits['Grad-CAM']:.1%} of the 200 maps point at the animal either way. But "
     f"{negative:.0%} of the cells of C3 are negative, and M2 will stretch from the lowest value. With the ReLU, "
     f"zero is the bottom, and on average the heatmap is {on['Grad-CAM']:.2f} on the animal, {beside['Grad-CAM']:.2f} "
     "beside it. Without it, strong evidence against is the bottom, places that say nothing turn up higher in the "
     f"colours, and the background rises to {beside['without ReLU']:.2f}, the animal only to "
     f"{on['without ReLU']:.2f}. A map with random weights is {on['random weights']:.2f} on the animal and "
     f"{beside['random weights']:.2f} beside it.",
     holds=hits["Grad-CAM"] == hits["without ReLU"] > 0.9 and beside["without ReLU"] > 1.5 * beside["Grad-CAM"]
     and on["without ReLU"] < 1.2 * on["Grad-CAM"] and on["random weights"] < beside["random weights"],
     read=gradcam.rectify)
claim(3, experiment="200 drawn scenes with masks, small CNN, last stage: Grad-CAM, the same without ReLU, the same "
      "with random weights",
      measured=f"pointing {hits['Grad-CAM']:.2f}, {hits['without ReLU']:.2f}, {hits['random weights']:.2f}; mean of "
      f"the heatmap on the animal {on['Grad-CAM']:.2f}, {on['without ReLU']:.2f}, {on['random weights']:.2f}, beside "
      f"it {beside['Grad-CAM']:.2f}, {beside['without ReLU']:.2f}, {beside['random weights']:.2f}; {negative:.0%} of "
      "the cells negative",
      verdict="holds here, but", reach="only with the ReLU, which the four steps leave out, does zero mean nothing; "
      "the map is as coarse as the layer, 12 x 12 cells here, so it runs over the animal's edge; a network that does "
      "look at the animal, and drawn scenes",
      holds=hits["Grad-CAM"] > 0.9 > 3 * hits["random weights"] and on["Grad-CAM"] > 6 * beside["Grad-CAM"])

# %% [markdown]
# ## 7. M1 to M3: from cells to a picture
#
# The coarse map is brought to the size of the image (M1), stretched to the range from zero to one (M2), coloured and
# laid over the photo (M3).
#
# **Predict.** The finished heatmap has 224 x 224 numbers. How many of them did the network compute?

# %%
quote(heatmap.upsample, heatmap.min_max)
coarse = gradcam.rectify(combined[CAT])
full = heatmap.upsample(coarse, size=rgb.shape[:2])
finished = heatmap.min_max(full)
show(pictures([coarse, full, minixai.overlay(rgb, finished)], ["C4, what the network knows", "M1, upsampled",
     "M3, over the photo"], side=3), "cat_coarse_to_overlay", "The map of 7 x 7 cells, upsampled, and over the photo")

# %% tags=["seen"]
seen(f"{coarse.numel()} of {finished.numel()}. All that looks smooth was made by M1, from a few cells. M2 took away "
     f"the height: the lowest value was {full.min():.3f} and is now blue, the highest {full.max():.3f} and is now "
     "red. A map of almost nothing would look just as strong, and a place in blue may still count for the class.",
     holds=finished.min() == 0 and finished.max() == 1 and full.min() > 0, read=[heatmap.upsample, heatmap.overlay])

# %% [markdown]
# ## 8. All of it in one call
#
# `explain` runs the same functions in the same order, and keeps every step.
#
# **Predict.** By how much will its heatmap differ from the one made by hand?

# %%
quote(gradcam.Cam)
result = minixai.explain(model, image, target=CAT)
difference = (result.heatmap[0] - finished).abs().max().item()
show(result.figure(), "cat_all_stages", "The cat photo through all stages of Grad-CAM, from feature maps to overlay")

# %% tags=["seen"]
seen("By nothing: they are equal, bit by bit. `result[\"C2\"]` is any step by its number, and "
     "`Cam(C4=another_function)` "
     "is Grad-CAM with one stage replaced, as section 6 did.", holds=difference == 0,
     read=[minixai.explain, gradcam.Cam])
