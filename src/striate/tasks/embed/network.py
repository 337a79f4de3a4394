"""A network with a centre for each training identity, which only its training uses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.answer import in_single
from striate.models import head, layer_groups
from striate.tasks.around import Around

TINY = 1e-12


class Centres(nn.Module):
    """A direction W_j for each of K identities: embeddings (N, D) to cosines (N, K), in float32 at least.

    They are drawn of about unit length: the gradient of a cosine is inversely proportional to that length.
    """

    def __init__(self, identities: int, dimensions: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(identities, dimensions))
        nn.init.normal_(self.weight, std=dimensions**-0.5)

    def forward(self, embeddings: Tensor) -> Tensor:
        """The cosine of the angle between each embedding and each centre; 0 for an embedding of length 0."""
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = F.normalize(in_single(embeddings), eps=TINY)
            return F.linear(unit, F.normalize(in_single(self.weight), eps=TINY))


class CentredNetwork(Around):
    """A network that gives embeddings and, in training, beside them the cosines to the training identities' centres.

    network: images (N, C, H, W) to embeddings (N, D).
    """

    def __init__(self, network: nn.Module, identities: int, dimensions: int) -> None:
        super().__init__()
        self.network = network
        self.centres = Centres(identities, dimensions)

    @property
    def inside(self) -> nn.Module:
        """See Around."""
        return self.network

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, H, W) -> embeddings (N, D); in training (embeddings, cosines (N, K))."""
        embeddings: Tensor = self.network(images)
        return (embeddings, self.centres(embeddings)) if self.training else embeddings

    def get_classifier(self) -> nn.ModuleList:
        """What is new in fine-tuning: the layer that gives embeddings, and the centres."""
        return nn.ModuleList([head(self.network), self.centres])

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """See striate.models.layer_groups; the centres learn with the head."""
        groups = layer_groups(self.network)
        return [*groups[:-1], [*groups[-1], *(p for p in self.centres.parameters() if p.requires_grad)]]  # fmt: skip
