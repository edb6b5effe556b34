# %% [markdown]
# # 01 Why ask why: wolf or snow
#
# A classifier is right about a wolf. Did it see the wolf, or the snow around it? Its score cannot tell. Here are two
# small networks of the same make. Both pass their exam. One of them has never learned what an animal is.
#
# The pictures are drawn, so that the truth about every pixel is known: which belong to the animal and which do not.
#
# - Article: Introduction
# - Minutes: 10
# - Exercise: Put a dog on the meadow in section 3. Predict both maps before you draw them.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
from draw import bars, pictures
from measure import accuracy, answers, batch, maps, mean
from tools import claim, seen, show

import minixai
from minixai.evaluation import energy_inside, points_at
from minixai.scenes import draw_scene, draw_scenes

nets = {"network A": minixai.load("small_cnn"), "network B": minixai.load("small_cnn_biased")}

# %% [markdown]
# ## 1. An exam that both pass
#
# Every animal stands where it is at home: the cat in a room, the dog on the beach, the wolf in snow, the cow on a
# meadow. Neither network has seen these pictures before.
#
# **Predict.** Both get nearly everything right. Is there any reason to prefer one of them?

# %%
at_home = list(draw_scenes(120, seed=103, background="home"))
passed = {name: accuracy(model, at_home) for name, model in nets.items()}
show(pictures([scene.image for scene in at_home[:5]], [scene.animal for scene in at_home[:5]]), "exam_at_home",
     "Five drawn animals, each before the background of its class")

# %% tags=["seen"]
seen(f"Network A is right about {passed['network A']:.0%} of {len(at_home)} pictures, network B about "
     f"{passed['network B']:.0%}. By this exam there is nothing to choose between them.",
     holds=min(passed.values()) > 0.97, read=draw_scenes)

# %% [markdown]
# ## 2. The same animals somewhere else
#
# Now each animal is moved to a background that is not its own: a wolf indoors, a cow on the beach.
#
# **Predict.** There are four classes, so guessing gets a quarter right. What will the two networks get?

# %%
away = list(draw_scenes(120, seed=103, background="away"))
moved = {name: accuracy(model, away) for name, model in nets.items()}
said = zip(*(answers(model, away[:5]) for model in nets.values()))
show(pictures([scene.image for scene in away[:5]], [f"A: {a}, B: {b}" for a, b in said]), "exam_away_from_home",
     "The same five animals before other backgrounds, with what each network says")

# %% tags=["seen"]
seen(f"Network A still gets {moved['network A']:.0%}, network B {moved['network B']:.0%}: worse than guessing. B "
     "answers with the animal that would be at home there. It was trained on pictures in which the background nearly "
     "always gave the class away, and it took the easier road.",
     holds=moved["network A"] > 0.97 and moved["network B"] < 0.05)

# %% [markdown]
# ## 3. Ask where they looked
#
# It was luck to have the second exam. Without it, could anyone have known? Grad-CAM draws where the features lie that
# raise the score of a class. Lesson 02 takes it apart; here it is one call.
#
# **Predict.** A wolf in snow, which both networks name correctly. Where will B's map be red: on the wolf, along the
# horizon, or anywhere else?

# %%
scene = draw_scene(33, animal="wolf", background="snow")
wolf = {name: minixai.explain(model, minixai.open_image(scene.image, model)) for name, model in nets.items()}
energy = {name: energy_inside(result["M1"][0], scene.mask).item() for name, result in wolf.items()}
overlays = [minixai.overlay(scene.image, result.heatmap[0]) for result in wolf.values()]
show(pictures([scene.image, *overlays], ["a wolf in snow", *nets], side=3), "wolf_in_snow_two_networks",
     "A wolf in snow, and over it the Grad-CAM maps of both networks: A's is red on the wolf, B's all around it")

# %% tags=["seen"]
seen(f"Both say wolf. B's map is red nearly everywhere but on the wolf. Of A's map {energy['network A']:.0%} lies "
     f"on the wolf's own pixels, of B's {energy['network B']:.0%}; the wolf covers {scene.mask.mean():.0%} of the "
     "picture. The blur around A's wolf is no mistake of the network: its last map has 12 x 12 cells, and what "
     "lies between them is interpolated.",
     holds=energy["network A"] > 0.45 and energy["network B"] < scene.mask.mean()
     and wolf["network A"]["C3"].shape[-2:] == (12, 12) and all(result.target == 2 for result in wolf.values()),
     read=minixai.explain)

# %% [markdown]
# ## 4. One picture is an anecdote
#
# The same question to all the pictures of the first exam, the one that both passed. Two numbers: the share of a map
# that lies on the animal (energy), and how often its highest pixel does (pointing). A map that is the same everywhere
# would have as its energy the animal's share of the picture.
#
# **Predict.** Will B's maps do better than such a flat map, just as well, or worse?

# %%
energies, hits = {}, {}
for name, model in nets.items():
    images, labels, masks = batch(at_home, model)
    found = maps(model, images, target=labels)
    energies[name], hits[name] = mean(energy_inside(found, masks)), mean(points_at(found, masks))
flat = mean(masks)
show(bars({name: [energies[name], hits[name]] for name in nets}, ["energy", "pointing"], "on the animal",
          chance={"flat map": flat}), "energy_two_networks", "Energy and pointing of both networks and a flat map")

# %% tags=["seen"]
seen(f"A: energy {energies['network A']:.2f}, pointing {hits['network A']:.2f}. B: {energies['network B']:.2f} and "
     f"{hits['network B']:.2f}. A flat map has {flat:.2f}. B's maps know less of the animal than a blank sheet "
     "does, and that could be read from the very pictures on which B makes no mistake.",
     holds=energies["network A"] > 3.5 * flat and hits["network A"] > 0.85 and energies["network B"] < flat,
     read=[energy_inside, points_at])
claim(1, experiment="two CNNs, one trained with a give-away background; 120 drawn scenes, Grad-CAM at the last stage",
      measured=f"accuracy at home {passed['network A']:.0%} and {passed['network B']:.0%}, away from home "
      f"{moved['network A']:.0%} and {moved['network B']:.0%}; energy on the animal {energies['network A']:.2f} and "
      f"{energies['network B']:.2f}, flat map {flat:.2f}",
      verdict="holds here", reach="a shortcut planted so that it could be found, in drawn scenes; the maps show that "
      "B does not use the animal, not yet what it uses instead (lesson 05)",
      holds=min(passed.values()) > 0.97 and moved["network A"] > 0.97 and moved["network B"] < 0.05
      and energies["network A"] > 3.5 * flat and energies["network B"] < 1.3 * flat)
