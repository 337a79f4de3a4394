"""Attribution: which pixels decided a prediction, by thirteen methods, each with how far to trust it.

    explanation = explain(module, image, target)          # every method that the network allows, with trust scores
    explanation.verdict, explanation.maps["grad-cam"].shown
    attribute(module, image, target, "occlusion")         # one map
    project(module, images, "layer3.1", channel=7)        # what a unit responded to (Zeiler and Fergus)

The functions of the methods take batches (N, C, H, W) and give the raw numbers: `gradient`, `gradient_x_input`,
`integrated_gradients`, `smoothgrad`, `guided_backpropagation`, `deconvnet`, `grad_cam`, `occlusion_map`; `drise` asks what
becomes of a detection, `class_map` scores each window of a larger image, `attention_of` and `rollout` give what tokens
attend to. They act on the operations that autograd recorded, not on types of modules, and leave the module bit for bit as it
was.
"""

from striate.attribution.attention import attention_of, rollout
from striate.attribution.classmap import class_map
from striate.attribution.drise import drise
from striate.attribution.explanation import Explanation, explain
from striate.attribution.faithfulness import Curves, curves
from striate.attribution.gradcam import GradCam, grad_cam
from striate.attribution.gradients import (
    gradient,
    gradient_x_input,
    integrated_gradients,
    smoothgrad,
)
from striate.attribution.hidden import Hidden, occlusion_probability
from striate.attribution.layers import places
from striate.attribution.methods import (
    METHODS,
    Map,
    Method,
    Question,
    Settings,
    attribute,
    find_method,
)
from striate.attribution.occluding import occlusion_map
from striate.attribution.picture import both, one_map, picture, strip
from striate.attribution.projection import Projection, project
from striate.attribution.randomisation import shuffled, similarity
from striate.attribution.rectifiers import deconvnet, guided_backpropagation
from striate.attribution.report import arrays, finding
from striate.attribution.targets import Target, scorer

__all__ = [
    "METHODS",
    "Curves",
    "Explanation",
    "GradCam",
    "Hidden",
    "Map",
    "Method",
    "Projection",
    "Question",
    "Settings",
    "Target",
    "arrays",
    "attention_of",
    "attribute",
    "both",
    "class_map",
    "curves",
    "deconvnet",
    "drise",
    "explain",
    "find_method",
    "finding",
    "grad_cam",
    "gradient",
    "gradient_x_input",
    "guided_backpropagation",
    "integrated_gradients",
    "occlusion_map",
    "occlusion_probability",
    "one_map",
    "picture",
    "places",
    "project",
    "rollout",
    "scorer",
    "shuffled",
    "similarity",
    "smoothgrad",
    "strip",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("explanation", "layers", "picture")
