# %% [markdown]
# # 06 Target class: two animals, one image
#
# Grad-CAM explains a class, not a picture. Ask about the cat and about the dog in one picture, says the article, and
# you get two maps. With drawn scenes both answers are known; with photos the second class has to be one that the
# network finds plausible.
#
# - Article: The target class
# - Minutes: 20
# - Exercise: Before you run it, predict the map for "cow" on a picture with a cat and a dog: on the cat, on the dog, on
#   neither, or empty? Write down why, then take a scene of section 2 and compare.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import torch
from draw import bars, pictures
from measure import maps, mean, two_animals
from tools import claim, seen, show

import minixai
from minixai.evaluation import correlation, energy_inside, points_at
from minixai.images import PHOTOS
from minixai.scenes import draw_scenes

real, cnn, vit = (minixai.load(name) for name in ("efficientnet_lite0", "small_cnn", "small_vit"))

# %% [markdown]
# ## 1. Two plausible classes on a photo
#
# Two photos on which EfficientNet-Lite0 hesitates between two classes: an astronaut, for whom ImageNet has no word, and
# a cat, for which it has several. A map for each of the first two classes, at the last stage.
#
# **Predict.** On which photo will the two maps differ more?

# %%
over, names, alike, odds = [], [], {}, {}
for photo in ("astronaut.jpg", "cat.png"):
    image = minixai.open_image(PHOTOS / photo, real)
    two = real(image)[0].softmax(dim=0).topk(2)
    made = minixai.explain(real, image.expand(2, -1, -1, -1), target=two.indices)
    over += [made.rgb()[0], *(minixai.overlay(made.rgb()[0], one) for one in made.heatmap)]
    odds[photo] = [f"{real.labels[k]}, {p:.2f}" for k, p in zip(two.indices, two.values)]
    alike[photo] = correlation(*made["M1"]).item()
# %%
show(pictures(over, ["the photo", *odds["astronaut.jpg"], "the photo", *odds["cat.png"]], columns=3, side=2.4),
     "two_photos_two_classes", "An astronaut and a cat, each with the maps of the two classes found most probable")

# %% tags=["seen"]
seen(f"On the astronaut: {' and '.join(odds['astronaut.jpg'])}; the two maps correlate at "
     f"{alike['astronaut.jpg']:.2f}. "
     f"On the cat: {' and '.join(odds['cat.png'])}, and {alike['cat.png']:.2f}. Two names for one animal rest on the "
     "same fur and the same eyes. So two classes do not always mean two maps.",
     holds=alike["cat.png"] > 0.95 and alike["astronaut.jpg"] < 0.85, read=minixai.explain)

# %% [markdown]
# ## 2. Two animals, and the truth about both
#
# Scenes with two animals of different classes. The small CNN never saw two at once; it was trained on one animal per
# picture.
#
# **Predict.** For each animal in turn: how often is the highest pixel of its own map on it, and how often on the other?

# %%
pairs = list(draw_scenes(80, seed=114, second="any"))
images, classes, masks = two_animals(pairs, cnn)
found = [maps(cnn, images, asked) for asked in classes]
own = [points_at(one, mask) for one, mask in zip(found, masks)]
other = [points_at(one, mask) for one, mask in zip(found, masks[::-1])]
between = mean(correlation(*found))
over = [panel for i in range(2) for panel in (pairs[i].image, *(minixai.overlay(
    pairs[i].image, minixai.explain(cnn, images[i:i + 1], target=asked[i].item()).heatmap[0]) for asked in classes))]
# %%
show(pictures(over, [name for i in range(2) for name in ("two animals", pairs[i].animal, pairs[i].second)], columns=3,
              side=2.2),
     "two_animals_two_maps", "Two scenes with two animals each, and the CNN's map for either animal")

# %% tags=["seen"]
seen(f"{mean(torch.cat(own)):.0%} on its own animal, {mean(torch.cat(other)):.0%} on the other; in "
     f"{mean(own[0] & own[1]):.0%} of the scenes both maps point where they should. The two maps of a scene correlate "
     "at "
     f"{between:.2f}: where one is high the other is not.",
     holds=mean(torch.cat(own)) > 0.85 and mean(torch.cat(other)) < 0.05 and between < 0, read=points_at)

# %% [markdown]
# ## 3. Which methods know what was asked?
#
# The same scenes for more methods. Of the part of a map that lies on the two animals, how much lies on the one that was
# asked for? Random weights instead of gradients give the coin's answer.
#
# **Predict.** Some of the bars will be at one half, and not only that of the random weights. Whose, and why?

# %%
asked_of = {"gradcam": cnn, "layercam": cnn, "randomcam": cnn, "attention": vit, "rollout": vit, "chefer": vit}
share, same = {}, {}
for method, model in asked_of.items():
    made = [maps(model, images, asked, method=method) * (masks[0] | masks[1]) for asked in classes]
    share[method] = mean(torch.cat([energy_inside(one, mask) for one, mask in zip(made, masks)]))
    same[method] = mean(correlation(*made))
show(bars({"asked for": [*share.values()]}, [f"{m}\n({'CNN' if asked_of[m] is cnn else 'ViT'})" for m in share],
          "share on the animal asked for", chance={"coin": 0.5}, width=8), "own_animal_by_method",
     "The share of the map on the animal asked for, for three methods on the CNN and three on the ViT")

# %% tags=["seen"]
seen(f"Attention and rollout: {share['attention']:.2f} and {share['rollout']:.2f}. They never look at a class, so the "
     "two maps are one and the same. Attention times gradient (chefer, lesson 12) knows the question: "
     f"{share['chefer']:.2f}. On the CNN Grad-CAM has {share['gradcam']:.2f} and LayerCAM {share['layercam']:.2f}, "
     f"random weights {share['randomcam']:.2f}.",
     holds=abs(share["attention"] - 0.5) < 1e-3 and abs(share["rollout"] - 0.5) < 1e-3 and share["chefer"] > 0.7
     and share["gradcam"] > 0.9 and 0.65 < share["layercam"] < 0.85 and min(same["attention"], same["rollout"]) > 0.999,
     read=energy_inside)
claim(7, experiment="80 drawn scenes with two animals and their masks, a map for each animal; two photos, "
      "EfficientNet-Lite0, the two most probable classes",
      measured=f"Grad-CAM: highest pixel on the animal asked for {mean(torch.cat(own)):.2f}, on the other "
      f"{mean(torch.cat(other)):.2f}, the two maps correlate at {between:.2f}; attention of a ViT: the same map twice; "
      f"astronaut, two classes: {alike['astronaut.jpg']:.2f}; cat, two names for it: {alike['cat.png']:.2f}",
      verdict="holds here, but", reach="for classes that look different and methods that know about classes; two "
      "names of "
      "one thing share their map, and attention and rollout have one map for all classes; a CNN trained on single "
      "animals, drawn scenes and two photos",
      holds=mean(torch.cat(own)) > 0.85 and between < 0 and alike["cat.png"] > 0.95 and same["attention"] > 0.999)

# %% [markdown]
# ## 4. Ask for what is not there
#
# Now ask the CNN, in the same scenes, for one of the two classes that are not in the picture.
#
# **Predict.** Will the map be empty?

# %%
absent = torch.tensor([next(k for k in range(4) if k not in pair) for pair in torch.stack(classes, dim=1).tolist()])
nothing = maps(cnn, images, absent)
empty = mean(nothing.amax(dim=(-2, -1)) == 0)
height = {name: mean(one.amax(dim=(-2, -1))) for name, one in (("there", found[0]), ("not there", nothing))}
on_animals = mean(energy_inside(nothing, masks[0] | masks[1]))
over = [minixai.overlay(pairs[i].image, minixai.explain(cnn, images[i:i + 1], target=absent[i].item()).heatmap[0])
        for i in range(4)]
show(pictures(over, [f"asked for: {cnn.labels[absent[i]]}" for i in range(4)], columns=4, side=2.2),
     "maps_for_absent_classes", "Four scenes with two animals, each with the map of an animal that is not there")

# %% tags=["seen"]
both = mean(masks[0] | masks[1])
seen(f"It is empty in {empty:.0%} of the scenes, and looks as sure of itself as any other, since M2 stretches "
     "it: "
     f"before that its highest value is {height['not there']:.3f} on average, and {height['there']:.3f} for an animal "
     "that "
     f"is there. {on_animals:.0%} of it lies on the two animals, which cover {both:.0%} of the picture. A map answers "
     "\"where, if anywhere\"; whether at all is for the score to say.",
     holds=empty < 0.1 and on_animals < 0.4 and height["not there"] < 0.6 * height["there"], read=minixai.explain)
