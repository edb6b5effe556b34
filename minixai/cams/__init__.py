"""The relatives of Grad-CAM: each is the recipe of gradcam.py with a stage or two replaced, most often C2, the weights.

    gradient.py        HiResCAM, LayerCAM               a weight for every place, not only for every channel
                       XGrad-CAM, Grad-CAM++            another average of the gradients
                       element-wise                     the ReLU before the sum over channels
    patterns.py        Eigen-CAM, KPCA-CAM, FEM         no class at all: the strongest pattern in the feature maps
                       RandomCAM                        weights without any meaning, to compare with
    asked.py           CAM, Ablation-CAM, Score-CAM     no gradient: the head's weights, or what the network says again
    contrast.py        Finer-CAM                        C1: the score less that of similar classes
    more_gradients.py  Shapley-CAM, Smooth Grad-CAM++   curvature; noisy copies
                       FullGrad                         every layer's biases, not one layer's features

Letters: K channels, h x w positions, L terms of a sum. A batch passes through in front.
"""
from minixai.cams.asked import ablation_weights, head_weights, increase_of_confidence
from minixai.cams.contrast import class_less_similar, logit_plus_log_probability
from minixai.cams.gradient import (
    activation_weighted_mean,
    elementwise_gradients,
    plus_plus_weights,
    positive_gradients,
    positive_sum,
)
from minixai.cams.more_gradients import curved_weights, full_gradient_maps, smooth_plus_plus_weights, sum_of_layers
from minixai.cams.patterns import (
    equal_weights,
    first_component,
    first_component_of_evidence,
    kernel_component,
    mean_activations,
    random_weights,
    strong_places,
)
from minixai.gradcam import Cam

CAMS = {
    "gradcam": Cam(),
    "hirescam": Cam(C2=elementwise_gradients),
    "layercam": Cam(C2=positive_gradients),
    "elementwise": Cam(C2=elementwise_gradients, C3=positive_sum),
    "xgradcam": Cam(C2=activation_weighted_mean),
    "gradcampp": Cam(C2=plus_plus_weights),
    "smoothgradcampp": Cam(C2=smooth_plus_plus_weights),
    "shapleycam": Cam(C1=logit_plus_log_probability, C2=curved_weights),
    "finercam": Cam(C1=class_less_similar),
    "fullgrad": Cam(C2=full_gradient_maps, C3=sum_of_layers),
    "eigencam": Cam(C2=first_component),
    "eigengradcam": Cam(C2=first_component_of_evidence),
    "kpcacam": Cam(C2=equal_weights, C3=kernel_component),
    "fem": Cam(C2=mean_activations, C3=strong_places),
    "cam": Cam(C2=head_weights),
    "ablationcam": Cam(C2=ablation_weights),
    "scorecam": Cam(C2=increase_of_confidence),
    "randomcam": Cam(C2=random_weights),
}
