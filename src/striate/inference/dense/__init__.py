"""Dense prediction: the scores of a patch classifier at every position of a large image (lecture 003).

    scores = dense(module, image, window=64, stride=1)

"What is the class of the centre pixel?" is asked of each window, and neighbouring windows share nearly all of their
arithmetic. What does not depend on where a window lies is computed once for the image, with the kernels behind each
stride spread out (a-trous); what does depend on it (padding inside the patch, gates, attention) is computed for each
patch, where padding is at fault for the border of its maps alone.
"""

from striate.inference.dense.dense import Dense, centres, dense

__all__ = ["Dense", "centres", "dense"]
