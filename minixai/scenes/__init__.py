"""Draw pictures of cats, dogs, wolves and cows with exact masks, and with a chosen bias that a network may learn.

    from minixai.scenes import draw_scene
    scene = draw_scene(7, animal="wolf", background="beach")
    scene.image, scene.label, scene.mask, scene.parts["head"]
"""
from .accessories import ACCESSORIES
from .animals import CLASSES
from .backgrounds import BACKGROUNDS
from .coats import COATS
from .layers import Layer, compose
from .scene import Scene, draw_animal, draw_background, draw_scene, draw_scenes, home, stack
from .shapes import PARTS

__all__ = ["ACCESSORIES", "BACKGROUNDS", "CLASSES", "COATS", "PARTS", "Layer", "Scene", "compose",
           "draw_animal", "draw_background", "draw_scene", "draw_scenes", "home", "stack"]
