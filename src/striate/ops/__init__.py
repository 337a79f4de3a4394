"""Executable definitions of every operation of the lectures: loops, sums and matrices, forward and
backward.

For reading, for teaching, and for checking the fast kernels against: nothing here calls a
convolution, pooling or normalisation of torch. Shapes are torch's: (N, C, *size), one to three
spatial axes. Use float64.
"""

from striate.ops.activations import (
    RELU_RULES,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from striate.ops.convolution import (
    conv,
    convolve,
    convolve_centred,
    correlate,
    correlate_centred,
    flip,
)
from striate.ops.convolution_backward import Gradients, conv_backward, shared_gradient, written_out
from striate.ops.counts import Count, count_conv, count_linear, count_pool, parameters_per_filter
from striate.ops.equivariance import equivariance_gap, translate
from striate.ops.filters import FILTERS, box, filter_image, gaussian, gradient_magnitude
from striate.ops.fourier import conv_fourier, convolve_fourier, dft, fourier_matrix, inverse_dft
from striate.ops.im2col import col2im, conv_im2col, im2col, pixel_use
from striate.ops.image_formation import (
    MISREAD_PIXELS,
    PRINTED_PIXELS,
    grey_values,
    histogram,
    lecture_pixels,
    quantise,
    sample,
)
from striate.ops.layers_as_matrices import KINDS, LayerMatrix, layer_matrix, weights_of_one_neuron
from striate.ops.linear import linear, linear_backward
from striate.ops.normalisation import (
    Normalised,
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    dataset_moments,
    dropout,
    dropout_mask,
    layer_norm,
    layer_norm_backward,
    normalised_layer,
    running_average,
)
from striate.ops.numerical import numerical_gradient
from striate.ops.occlusion import occlusion_map
from striate.ops.padding import pad, pad_backward
from striate.ops.pooling import (
    Pooled,
    global_mean_pool,
    l2_pool,
    l2_pool_backward,
    max_gradient_all_ties,
    max_pool,
    max_pool_backward,
    maxout,
    maxout_backward,
    mean_pool,
    mean_pool_backward,
)
from striate.ops.pyramids import (
    expand,
    from_laplacian,
    gaussian_pyramid,
    laplacian_pyramid,
    reduce,
)
from striate.ops.ranking import nearest_neighbours, top_k_accuracy
from striate.ops.receptive_field import receptive_field_steps, seen_pixels
from striate.ops.sizes import Fit, output_size, same_padding, transposed_size
from striate.ops.softmax import cross_entropy, cross_entropy_backward, softmax, softmax_backward
from striate.ops.steerable import (
    SteerablePyramid,
    from_steerable,
    oriented_mask,
    steer,
    steerable_pyramid,
    steering_weights,
)
from striate.ops.toeplitz import conv_by_matrix, conv_matrix, matrix_rows, toeplitz, weight_name
from striate.ops.transposed import conv_transpose, conv_transpose_backward, conv_transpose_matrix
from striate.ops.unpooling import (
    bed_of_nails,
    bed_of_nails_backward,
    max_unpool,
    max_unpool_backward,
    nearest,
    nearest_backward,
)

__all__ = [
    "FILTERS",
    "KINDS",
    "MISREAD_PIXELS",
    "PRINTED_PIXELS",
    "RELU_RULES",
    "Count",
    "Fit",
    "Gradients",
    "LayerMatrix",
    "Normalised",
    "Pooled",
    "SteerablePyramid",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "bed_of_nails",
    "bed_of_nails_backward",
    "box",
    "col2im",
    "conv",
    "conv_backward",
    "conv_by_matrix",
    "conv_fourier",
    "conv_im2col",
    "conv_matrix",
    "conv_transpose",
    "conv_transpose_backward",
    "conv_transpose_matrix",
    "convolve",
    "convolve_centred",
    "convolve_fourier",
    "correlate",
    "correlate_centred",
    "count_conv",
    "count_linear",
    "count_pool",
    "cross_entropy",
    "cross_entropy_backward",
    "dataset_moments",
    "dft",
    "dropout",
    "dropout_mask",
    "equivariance_gap",
    "expand",
    "filter_image",
    "flip",
    "fourier_matrix",
    "from_laplacian",
    "from_steerable",
    "gaussian",
    "gaussian_pyramid",
    "global_mean_pool",
    "gradient_magnitude",
    "grey_values",
    "histogram",
    "im2col",
    "inverse_dft",
    "l2_pool",
    "l2_pool_backward",
    "laplacian_pyramid",
    "layer_matrix",
    "layer_norm",
    "layer_norm_backward",
    "lecture_pixels",
    "linear",
    "linear_backward",
    "matrix_rows",
    "max_gradient_all_ties",
    "max_pool",
    "max_pool_backward",
    "max_unpool",
    "max_unpool_backward",
    "maxout",
    "maxout_backward",
    "mean_pool",
    "mean_pool_backward",
    "nearest",
    "nearest_backward",
    "nearest_neighbours",
    "normalised_layer",
    "numerical_gradient",
    "occlusion_map",
    "oriented_mask",
    "output_size",
    "pad",
    "pad_backward",
    "parameters_per_filter",
    "pixel_use",
    "quantise",
    "receptive_field_steps",
    "reduce",
    "relu",
    "relu_backward",
    "running_average",
    "same_padding",
    "sample",
    "seen_pixels",
    "shared_gradient",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "steer",
    "steerable_pyramid",
    "steering_weights",
    "tanh",
    "tanh_backward",
    "toeplitz",
    "top_k_accuracy",
    "translate",
    "transposed_size",
    "weight_name",
    "weights_of_one_neuron",
    "written_out",
]
