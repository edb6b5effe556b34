"""The relatives of Grad-CAM: each is the recipe of gradcam.py with one or two stages replaced, most often C2.

    gradient.py        HiResCAM, LayerCAM               a weight for every position, not only for every channel
                       XGrad-CAM, Grad-CAM++            another average of the gradients
                       element-wise                     the ReLU before the sum over channels
    patterns.py        Eigen-CAM, KPCA-CAM, FEM         class-independent: statistics of the feature maps
                       RandomCAM                        random weights, a baseline
    gradient_free.py   CAM, Ablation-CAM, Score-CAM     the classifier's weights, or more forward passes
    contrast.py        Finer-CAM                        C1: the score minus that of similar classes
    more_gradients.py  Shapley-CAM, Smooth Grad-CAM++   second derivatives; noisy copies of the image
                       FullGrad                         the gradients of the biases of every layer

Letters: K channels, h x w positions, L terms of a sum. A batch passes through in front.
"""
from minixai.cams.contrast import difference_to_similar_classes, residual_softmax_target
from minixai.cams.gradient import (
    activation_weighted_mean,
    elementwise_gradients,
    plus_plus_weights,
    positive_gradients,
    positive_sum,
)
from minixai.cams.gradient_free import ablation_weights, classifier_weights, increase_of_confidence
from minixai.cams.more_gradients import full_gradient_maps, shapley_weights, smooth_plus_plus_weights, sum_of_layers
from minixai.cams.patterns import (
    equal_weights,
    first_component,
    first_component_of_gradient_times_activation,
    kernel_pca_component,
    mean_activations,
    random_weights,
    sum_of_k_sigma_masks,
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
    "shapleycam": Cam(C1=residual_softmax_target, C2=shapley_weights),
    "finercam": Cam(C1=difference_to_similar_classes),
    "fullgrad": Cam(C2=full_gradient_maps, C3=sum_of_layers),
    "eigencam": Cam(C2=first_component),
    "eigengradcam": Cam(C2=first_component_of_gradient_times_activation),
    "kpcacam": Cam(C2=equal_weights, C3=kernel_pca_component),
    "fem": Cam(C2=mean_activations, C3=sum_of_k_sigma_masks),
    "cam": Cam(C2=classifier_weights),
    "ablationcam": Cam(C2=ablation_weights),
    "scorecam": Cam(C2=increase_of_confidence),
    "randomcam": Cam(C2=random_weights),
}
