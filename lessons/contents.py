"""The lessons in order, and the article's claims in our own words.

The article is the guide to Grad-CAM and attention maps that README.md names. `section` is one of its headings.
"""

LESSONS = {     # file name: title
    "01_wolf_or_snow": "Why ask why: wolf or snow",
    "02_gradcam_by_hand": "Grad-CAM by hand, C1 to M3",
    "03_three_lines": "What the library's three lines do, and how to check them",
    "04_target_layer": "Target layer",
    "05_biased_training": "A biased training set",
    "06_target_class": "Target class: two animals, one image",
    "07_cow_on_the_beach": "The cow on the beach",
    "08_cam_family": "The CAM family: one stage replaced",
    "09_vit_opened": "Patches and CLS: a ViT opened",
    "10_attention_by_hand": "An attention map by hand",
    "11_depth_heads_rollout": "Depth, heads, and rollout",
    "12_gradients_meet_attention": "Gradients meet attention",
    "13_occlusion": "Occlusion and distraction",
    "14_when_a_heatmap_lies": "When a heatmap lies: sanity checks, and is attention an explanation?",
}

CLAIMS = {      # number: (section, what is claimed)
    1: ("Introduction", "a right answer can rest on the wrong evidence"),
    2: ("How Grad-CAM works, 1 and 2", "the gradient of the class score tells how much each feature map counts"),
    3: ("How Grad-CAM works, 3 and 4", "averaged gradients weigh the maps, and the coarse sum shows the regions "
        "responsible (the ReLU is not mentioned)"),
    4: ("The library's lines", "a few lines of pytorch-grad-cam do all of this; without a target they take the "
        "top class"),
    5: ("Choice of target layer", "early layers show edges and textures, the last one shows meaning"),
    6: ("Training and bias", "a map shows what a biased training set taught: the tie, not the stethoscope"),
    7: ("Target class", "two animals in one image get two different maps"),
    8: ("Grad-CAM and robustness", "if the net is robust, its map stays on the cow when the background changes"),
    9: ("How attention maps are made, 1 and 2", "a 224 x 224 image is cut into a 14 x 14 grid of patches, and CLS "
        "gathers what they hold"),
    10: ("How attention maps are made, 3 and 4", "the CLS row of the last layer shows which patches decided"),
    11: ("Layer depth", "early attention is broad; late attention is sharp and on the object"),
    12: ("Attention heads", "heads look at different things, and their mean hides it"),
    13: ("Attention and robustness", "when a net errs, its attention shows what distracted it"),
    14: ("Attention and robustness", "blacking out what the net looks at shows how brittle it is"),
    15: ("Conclusion", "such maps uncover hidden bias and failures"),
}

VERDICTS = ("holds here", "holds here, but", "does not hold here")
