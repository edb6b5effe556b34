"""Attention as libraries give it: timm and transformers as installed, other repositories after their formulas.

The networks are minixai's ViT with seeded weights; vits_from_ours.py carries these into the libraries' own networks,
whose attention is read, and restated.py makes of it what the repositories make.
"""
from functools import partial

import numpy as np

from minixai.networks.vit import ViT
from minixai.verification.profiles import article, attention_flow, chefer, dino, vit_explain
from tests.reference import networks, restated
from tests.reference.cases import Case
from tests.reference.seeded import seeded_image
from tests.reference.vits_from_ours import as_hooked, of_timm, of_transformers


def with_register():
    """CLS and one register, and positions that are interpolated for other grids."""
    return networks.seeded(ViT(image_size=48, patch_size=8, width=36, depth=3, heads=2, classes=4, mlp_ratio=2,
                               prefix_tokens=2, antialias=True))


def fourteen():
    """A grid of 14 x 14 patches of 16 x 16, as most ViTs have it."""
    return networks.seeded(ViT(image_size=224, patch_size=16, width=24, depth=4, heads=2, classes=6))


def squares():
    """(2,3,48,48): 6 x 6 patches of 8, as tiny_vit learned them."""
    return seeded_image(2, 3, 48, 48)


def large_squares():
    """(2,3,224,224): 14 x 14 patches of 16."""
    return seeded_image(2, 3, 224, 224)


SQUARE = (networks.tiny_vit, squares)
WIDE = (networks.tiny_vit, networks.images)
REGISTER = (with_register, networks.images)
FOURTEEN = (fourteen, large_squares)


def by_image(layers):
    """L tensors (B,M,T,T) -> for each image a list of L arrays (M,T,T)."""
    return [[layer[index].numpy() for layer in layers] for index in range(len(layers[0]))]


def folded(rows, network, image):
    """One row of gh·gw numbers for each image -> (B,gh,gw)."""
    return np.stack([row.reshape(network.grid(image)) for row in rows])


def read_out(profile, network, image, arguments):
    """attentions[layer][0, :, 0, 1:].mean(0), folded, for each image; with registers, 2: in place of 1:."""
    read = of_transformers if profile.library.startswith("transformers") else lambda *given: of_timm(*given)[0]
    attention = read(network, image)[arguments.get("layer", -1)]
    maps = folded([one[:, 0, network.prefix_tokens:].mean(dim=0).numpy() for one in attention], network, image)
    if profile.variant == "as imshow scales it":
        maps = np.stack([scaled(one) for one in maps])
    return maps


def vit_explain_rollout(profile, network, image, arguments):
    """VITAttentionRollout of each image alone."""
    words = profile.variant.split(", ")
    fusion = next((word.split()[1] for word in words if word.startswith("head_fusion")), "mean")
    return np.stack([shown(restated.vit_explain_rollout(layers, fusion, discard_ratio(words)), image, words)
                     for layers in by_image(of_timm(network, image)[0])])


def vit_explain_gradrollout(profile, network, image, arguments):
    """VITAttentionGradRollout of each image alone, with the lists that its hooks collect."""
    words, masks = profile.variant.split(", "), []
    for one, target in zip(image, arguments["target"]):
        attentions, gradients = (by_image(layers)[0] for layers in as_hooked(network, one[None], target))
        mask = restated.vit_explain_gradrollout(attentions, gradients, discard_ratio(words))
        masks.append(shown(mask, image, words))
    return np.stack(masks)


def discard_ratio(words):
    return 0 if "discard_ratio 0" in words else 0.9


def shown(mask, image, words):
    """A mask of vit-explain, or what its user makes of it."""
    full = restated.resized_by_cv2(mask, image) if "resized" in words else mask
    return scaled(full) if "min-max by hand" in words else full


def scaled(one):
    return (one - one.min()) / (one.max() - one.min())


def chefer_rollout(profile, network, image, arguments):
    """generate_rollout; then, or not, the visualiser, with all images in one batch or each in its own."""
    rows = [restated.chefer_rollout(layers, int("start_layer 1" in profile.variant))
            for layers in by_image(of_timm(network, image)[0])]
    maps = folded(rows, network, image)
    if "as returned" in profile.variant:
        return maps
    if "several together" in profile.variant:
        return restated.chefer_visualised(maps)
    return np.concatenate([restated.chefer_visualised(one[None]) for one in maps])


def chefer_cam_attn(profile, network, image, arguments):
    """generate_cam_attn of each image, which it takes alone; then, or not, the visualiser."""
    attentions, gradients = (by_image(layers) for layers in of_timm(network, image, arguments["target"]))
    maps = [restated.chefer_cam_attn(layers[-1], slopes[-1], network.grid(image))[None]
            for layers, slopes in zip(attentions, gradients)]
    finish = np.asarray if "as returned" in profile.variant else restated.chefer_visualised
    return np.concatenate([finish(one) for one in maps])


def generic_relevance(profile, network, image, arguments):
    start = -1 if "CLIP" in profile.variant else 0
    pairs = zip(*(by_image(layers) for layers in of_timm(network, image, arguments["target"])))
    rows = [restated.generic_relevance(layers, slopes, start) for layers, slopes in pairs]
    if "as returned" in profile.variant:
        return folded(rows, network, image)
    return np.stack([restated.generic_visualised(row, network.grid(image), image) for row in rows])


def dino_picture(profile, network, image, arguments):
    """One head's picture of each image."""
    make = restated.dino_mass if profile.method == "dinomass" else restated.dino_heads
    last, grid = of_timm(network, image)[0][-1], network.grid(image)
    maps = np.stack([make(one.numpy(), grid, network.patch_size)[arguments["head"]] for one in last])
    if profile.variant == "saved picture":          # plt.imsave's own scale
        maps = np.stack([scaled(one) for one in maps])
    return maps


def abnar(profile, network, image, arguments):
    """compute_joint_attention of each image."""
    fusion = "max" if "maximum" in profile.variant else "mean"
    make = partial(restated.joint_attention, fusion=fusion, residual="add_residual False" not in profile.variant)
    return folded([make(layers) for layers in by_image(of_timm(network, image)[0])], network, image)


def where_and_how(profile):
    """Where a profile is tried, [(network, image, arguments)], and what gives the library's map."""
    classes = {"target": [3, 1]}
    if profile.library == vit_explain.LIBRARY:
        if profile.method == "gradrollout":
            return [(*SQUARE, classes), (*FOURTEEN, classes)], vit_explain_gradrollout
        everywhere = profile.method == "rollout" and "by hand" not in profile.variant
        return [(*SQUARE, {}), *([(*FOURTEEN, {})] if everywhere else [])], vit_explain_rollout
    if profile.library == chefer.FIRST and profile.method == "rollout":
        return [(*FOURTEEN, {}), *([(*WIDE, {})] if "as returned" in profile.variant else [])], chefer_rollout
    if profile.library == chefer.FIRST:
        places = [(*FOURTEEN, {"target": [4, 2]}), (*SQUARE, {"target": [0, 4]})]       # not all patches speak against
        return places if "as returned" in profile.variant else places[:1], chefer_cam_attn
    if profile.library == chefer.SECOND:
        return [(*FOURTEEN, classes), (*WIDE, {"target": [4, 0, 2]})], generic_relevance
    if profile.library == dino.LIBRARY:
        return [(*WIDE, {"head": 2}), (*FOURTEEN, {"head": 0})], dino_picture
    if profile.library == attention_flow.LIBRARY:
        return [(*WIDE, {})], abnar
    snippet = [(*FOURTEEN, {})]         # it has reshape(14, 14)
    elsewhere = [(*WIDE, {}), (*WIDE, {"layer": 1}), (*REGISTER, {})]
    return snippet if profile.library.startswith("the article") else elsewhere, read_out


def case(profile, network, image, arguments, how):
    words = [profile.library.split()[-1 if "article" in profile.library else 0], profile.method,
             *profile.variant.replace(",", "").split(), network.__name__, image.__name__,
             *(f"{name}{value}" for name, value in arguments.items() if name != "target")]
    return Case("_".join(words).replace("'", ""), profile, network, image, arguments, partial(how, profile))


def cases():
    made = []
    for profile in (each for module in (vit_explain, chefer, dino, attention_flow, article)
                    for each in module.PROFILES):
        places, how = where_and_how(profile)
        made += [case(profile, *place, how) for place in places]
    return made
