# %% [markdown]
# # 09 Patches and CLS: a ViT opened
#
# Before its attention can be drawn, what is inside? An image becomes patches, patches become tokens, CLS is put in
# front,
# and the tokens look at each other block by block. Here every shape on the way is checked, and the sentence that CLS
# gathers what the patches hold is put to the test.
#
# - Article: How attention maps are made, 1 and 2
# - Minutes: 20
# - Exercise: The patches are dealt out in another order, with their positions left in place: what happens to the
#   answer, and what if the positions travel with them? Write down both, and why, before you try it with section 3.

# %%
# In Colab: clone the repository, then  %pip install -e .  and  %cd lessons
import torch
from draw import bars, curves, pictures
from measure import batch, mean
from tools import claim, quote, seen, show
from torch.nn import functional as F

import minixai
from minixai.images import PHOTOS
from minixai.networks.vit import Block, ViT
from minixai.scenes import draw_scenes

# %%
torch.manual_seed(0)
large = minixai.build("vit_small")                          # 224 x 224, patches of 16 x 16; random weights, for shapes
small = minixai.load("small_vit")                           # 96 x 96, patches of 8 x 8; trained on drawn scenes
photo = minixai.open_image(PHOTOS / "cat.png", large)
rgb = large.preprocess.undo(photo)[0]
scenes = list(draw_scenes(40, seed=109))
images, labels, _ = batch(scenes, small)

# %% [markdown]
# ## 1. Cut
#
# `Conv2d` with a stride as large as its kernel is nothing but: cut into patches, and apply the same linear layer to
# each.
#
# **Predict.** 224 pixels, patches of 16. How many patches, and how many numbers is each before and after the layer?

# %%
quote(ViT.embed)
cut = photo.unfold(2, 16, 16).unfold(3, 16, 16)             # (1,3,14,14,16,16)
flat = cut.permute(0, 2, 3, 1, 4, 5).flatten(3)             # (1,14,14,768): one row of numbers for each patch
with torch.no_grad():
    by_hand = flat @ large.patches.weight.flatten(1).T + large.patches.bias
    by_network = large.patches(photo).permute(0, 2, 3, 1)
error = (by_hand - by_network).abs().max().item()
pixels = torch.from_numpy(rgb).unfold(0, 16, 16).unfold(1, 16, 16)                     # (14,14,3,16,16)
sheet = F.pad(pixels, (0, 4, 0, 4), value=255).permute(0, 3, 1, 4, 2).reshape(280, 280, 3).numpy()
show(pictures([rgb, sheet], ["224 x 224 pixels", "14 x 14 patches"], side=3.2), "cat_cut_into_patches",
     "A photo of a cat, and the same photo cut into 14 by 14 patches")

# %% tags=["seen"]
seen(f"{flat.shape[1]} x {flat.shape[2]} patches of 16 x 16 pixels in three colours, so {flat.shape[3]} numbers "
     f"each; after "
     f"the layer {by_hand.shape[3]}. Cutting by hand and multiplying gives what the convolution gives, equal to 1e-4.",
     holds=tuple(flat.shape) == (1, 14, 14, 768) and by_hand.shape[3] == 384 and error < 1e-4, read=ViT)

# %% [markdown]
# ## 2. Shapes, step by step
#
# The tokens keep their number and their width through all blocks. What changes is what they hold.
#
# **Predict.** How many tokens are there, how large is one attention matrix, and what is left at the very end?

# %%
quote(Block.forward, ViT.forward_with_attention)
with torch.no_grad():
    tokens, shapes = large.embed(photo), {"image": tuple(photo.shape), "patches": tuple(large.patches(photo).shape)}
    shapes["tokens"] = tuple(tokens.shape)
    for number, block in enumerate(large.blocks):
        tokens, attention = block(tokens)
        shapes[f"block {number}"] = (*tokens.shape, *attention.shape)
    shapes["CLS"], shapes["logits"] = tuple(tokens[:, 0].shape), tuple(large.head(large.norm(tokens)[:, 0]).shape)
sizes = {"image": 3 * 224 * 224, "tokens": 197 * 384, "attention of a block": 6 * 197 * 197, "CLS": 384}
show(bars({"thousands": [value / 1000 for value in sizes.values()]}, list(sizes),
          "thousands of numbers", width=6.5), "vit_small_sizes", "How many numbers the network holds in an image, "
          "in all tokens, in a block, in CLS")

# %% tags=["seen"]
seen(f"{shapes['tokens'][1]} tokens: {14 * 14} patches and CLS. Each block hands on {shapes['block 0'][1]} x "
     f"{shapes['block 0'][2]} numbers and has {shapes['block 0'][4]} matrices of {shapes['block 0'][5]} x "
     f"{shapes['block 0'][6]}. At the end one token of {shapes['CLS'][1]} numbers is read, CLS, and all the others are "
     f"dropped; {shapes['logits'][1]} logits are made of it.",
     holds=shapes["patches"] == (1, 384, 14, 14) and shapes["tokens"] == (1, 197, 384) and shapes["CLS"] == (1, 384)
     and all(shapes[f"block {number}"] == (1, 197, 384, 1, 6, 197, 197) for number in range(12))
     and shapes["logits"] == (1, 1000), read=[ViT, Block])

# %% [markdown]
# ## 3. Does CLS gather?
#
# In front of the first block CLS is a learned constant: it knows nothing of the image. If it gathers, then the answer
# should be there later and not earlier. So read it after every block, with the network's own head. And do the same with
# the mean of the patches, for which this head was not made.
#
# **Predict.** After which block does CLS know the animal: evenly more with each, or all at once?

# %%
knows = {"CLS": [], "mean of the patches": []}
with torch.no_grad():
    tokens = small.embed(images)
    for block in [None, *small.blocks]:
        tokens = tokens if block is None else block(tokens)[0]
        for name, read in (("CLS", tokens[:, 0]), ("mean of the patches", tokens[:, 1:].mean(dim=1))):
            knows[name].append(mean(small.head(small.norm(read)).argmax(-1) == labels))
# %%
show(curves(["start", *(f"block {number}" for number in range(5))], knows, "", "share of right answers",
            chance={"guessing": 0.25}, width=6.5), "answers_after_each_block",
     "How often the head is right when it reads CLS, or the mean of the patches, after each block")

# %% tags=["seen"]
first = knows["CLS"]
seen(f"At the start {first[0]:.0%}, as it must be with one answer for all; then {first[1]:.0%}, {first[2]:.0%}, "
     f"{first[3]:.0%}, {first[4]:.0%} and {first[5]:.0%}. The head may not be able to read an earlier CLS that "
     f"knows, so "
     "these are lower bounds. The mean of the patches ends at "
     f"{knows['mean of the patches'][-1]:.0%}: they know by then, too.",
     holds=knows["mean of the patches"][-1] > 0.85 and first[0] < 0.45 and first[5] > 0.9 and first[5] > first[2] + 0.2,
     read=Block)

# %% [markdown]
# ## 4. From where?
#
# CLS changes in a block by what its attention brings and by what it computes from itself. Cut the first: in one
# block, or
# in all from one on, CLS sees only itself. If CLS gathers, this must hurt; where it does not, nothing was gathered.
#
# **Predict.** In which blocks may CLS be kept alone without any harm?

# %%
def kept_alone(blind):
    tokens = small.embed(images)
    for number, block in enumerate(small.blocks):
        alone = block(tokens[:, :1])[0] if number in blind else block(tokens)[0][:, :1]
        tokens = torch.cat([alone, block(tokens)[0][:, 1:]], dim=1)
    return mean(small.head(small.norm(tokens)[:, 0]).argmax(-1) == labels)

hurt = {"none": kept_alone(()), **{f"only {n}": kept_alone((n,)) for n in range(5)}}
hurt |= {"0 to 2": kept_alone((0, 1, 2)), "3 and 4": kept_alone((3, 4)), "all": kept_alone(range(5))}
show(bars({"small ViT": [*hurt.values()]}, list(hurt), "share of right answers", chance={"guessing": 0.25}, width=8),
     "cls_kept_alone_by_block", "How often the network is right when CLS sees only itself in some of its five blocks")

# %% tags=["seen"]
seen(f"In any of the first three blocks, and in all three together: {hurt['0 to 2']:.0%} are right then, "
     f"{hurt['none']:.0%} untouched. Without blocks 3 and 4 it is {hurt['3 and 4']:.0%}, so what CLS took early is "
     f"enough "
     f"for most answers too. Never allowed to look, it is {hurt['all']:.0%}, which is guessing. CLS does gather, "
     f"and more "
     "than once; no single block is the one where it happens.",
     holds=hurt["0 to 2"] > 0.9 and 0.45 < hurt["3 and 4"] < 0.9 and hurt["all"] < 0.45, read=Block)
claim(9, experiment="shapes asserted at every step of a ViT-S/16 on a photo of 224 x 224; small ViT, 40 drawn "
     "scenes: CLS "
      "read after every block; CLS kept from seeing patches in some blocks",
      measured=f"14 x 14 patches, 197 tokens, equal to 1e-4 when cut by hand; right answers {hurt['none']:.0%}, "
           f"with CLS "
      f"alone in blocks 0 to 2 {hurt['0 to 2']:.0%}, in blocks 3 and 4 {hurt['3 and 4']:.0%}, in all {hurt['all']:.0%}",
      verdict="holds here, but", reach="14 x 14 is for patches of 16 on 224 pixels only; CLS gathers, but several "
           "times over, so "
      "that no one layer shows it all, and from tokens that have taken from each other before, so a token is not "
      "only its "
      "patch; one small network",
      holds=hurt["0 to 2"] > 0.9 and hurt["all"] < 0.45 and shapes["tokens"] == (1, 197, 384) and error < 1e-4)
