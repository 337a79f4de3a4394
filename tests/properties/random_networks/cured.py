"""Cured: the smallest networks that random ones were reduced to, one for each fault that was found and cured."""

from __future__ import annotations

from dataclasses import dataclass

from random_networks.program import Built, Program, Step, load, source_of


@dataclass(frozen=True)
class Cured:
    """A network by its lines; refused: the checks that refuse it, all others being equal."""

    shape: tuple[int, int, int, int]
    forward: tuple[str, ...]
    made: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()

    def build(self) -> Built:
        program = Program(7, self.shape, (), Step("plain", 0))
        return load(source_of(list(self.made), list(self.forward)), program)


CURED = {
    "no parameters: the image decides the kind of number": Cured(
        (1, 2, 6, 7), ("return x.softmax(1)",)
    ),
    "buffers alone decide the kind of number": Cured(
        (1, 2, 6, 7),
        ("return F.conv2d(x, self.b0.expand(2, 1, 3, 3), groups=2)",),
        ("self.register_buffer('b0', torch.eye(3))",),
    ),
    "the power in place has another overload than the power": Cured(
        (1, 1, 5, 6), ("x = x + 0", "x **= 2", "return x")
    ),
    "written through a diagonal": Cured(
        (1, 2, 8, 5),
        ("x = x.clone()", "x.diagonal(0, -2, -1).fill_(0)", "return x.flatten(1).amax(1)"),
        refused=frozenset({"tiled"}),
    ),
    "a view of what lies in memory otherwise when it is computed again": Cured(
        (1, 4, 8, 9),
        (
            "x = x.clone()",
            "x.index_fill_(3, torch.tensor([2, 5]), 1.0)",
            "return x.reshape(x.size(0), -1), x.tanh()",
        ),
        refused=frozenset({"tiled"}),
    ),
    "memory read with strides": Cured(
        (1, 3, 6, 6),
        ("x = x.contiguous()", "return x.as_strided((x.shape[0], 3, 6, 3), (108, 36, 6, 2)) * 2"),
        refused=frozenset({"tiled", "replay of 3"}),
    ),
    "memory read with strides where a crop lies otherwise": Cured(
        (1, 3, 6, 6),
        ("x = x.transpose(2, 3)", "return x.as_strided((1, 3, 6, 3), (108, 36, 6, 2)) * 2"),
        refused=frozenset({"replay", "fields", "push", "tiled", "occlusion"}),
    ),
    "scaled products multiply by a number": Cured(
        (1, 4, 4, 4),
        (
            "t = x.flatten(2).mT",
            "return F.scaled_dot_product_attention(t, t, t, attn_mask=self.p0).mean(1)",
        ),
        ("self.p0 = nn.Parameter(torch.eye(16))",),
        refused=frozenset({"tiled", "replay of 3", "explain"}),
    ),
    "rolled twice along one axis": Cured(
        (1, 3, 7, 9), ("return torch.roll(x, (1, -2, 3), (3, 2, 3)).amax(1)",)
    ),
    "two images at the trace fix the sizes of what the network makes": Cured(
        (2, 1, 6, 5),
        ("y = x.new_zeros(x.shape[0], 1, 7, 5)", "y[:, :, 1:] = x", "return y.mean((2, 3))"),
        refused=frozenset({"replay of 3"}),
    ),
    "torch itself has no gradient": Cured(
        (1, 2, 6, 5),
        (
            "x = x.clone()",
            "x = torch.heaviside(x, torch.zeros((), dtype=x.dtype)) + x.exp()",
            "return x.mean((2, 3))",
        ),
        refused=frozenset({"explain"}),
    ),
    "a result that is nothing but rounding": Cured(
        (1, 3, 8, 7), ("return (x - x.mean((2, 3), keepdim=True)).flatten(1).mean(1)",)
    ),
    "one image hides which dimension of a product holds the images": Cured(
        (1, 3, 5, 6),
        ("return torch.einsum('nchw,ndhw->ncd', x, x)",),
        refused=frozenset({"tiled", "replay of 3"}),
    ),
    "a rate of chance that is its default is left out of the call": Cured(
        (1, 2, 6, 5),
        ("return F.dropout(x, 0.5).mean((2, 3))",),
        refused=frozenset({"tiled", "occlusion", "dense", "explain"}),
    ),
    "one image stands behind the rows in a result": Cured(
        (1, 4, 6, 5),
        ("return torch.einsum('nchw,cw->nch', x, self.p0).softmax(1)",),
        ("self.p0 = nn.Parameter(torch.rand(4, 5))",),
        refused=frozenset({"tiled", "replay of 3"}),
    ),
    "two images that the module counts on": Cured(
        (2, 2, 8, 9),
        ("return x.reshape(2, -1, x.size(3))",),
        refused=frozenset({"tiled", "replay of 3"}),
    ),
    "two images that the module counts on within": Cured(
        (2, 2, 8, 9),
        ("y = x.reshape(2, -1, x.size(3)).mean(1)", "return x * y.view(-1, 1, 1, 9)[: len(x)]"),
        refused=frozenset({"tiled", "replay of 3"}),
    ),
    "groups of rows that a reshape made channels of": Cured(
        (1, 1, 21, 7),
        ("return F.group_norm(x.reshape(x.size(0), 3, 1, 49), 1)",),
        refused=frozenset({"tiled"}),
    ),
}
