"""Multi-head attention small enough to follow by hand: 5 tokens, 4 dimensions, 2 heads.

``python worked_multihead.py`` checks PyTorch's module against the formula of Vaswani et al. 2017,
section 3.2.2, and shows it.
"""

import torch
from torch import nn

import attnviz_gui

TOKENS = ["t0", "t1", "t2", "t3", "t4"]
SIZE, HEADS = 4, 2


def worked_example():
    """Return the module, its input X (1, 5, 4) and the names of the tokens; always the same."""
    with torch.random.fork_rng(devices=[]):  # nobody else's random numbers change
        torch.manual_seed(55)
        X = torch.randn(1, len(TOKENS), SIZE)
        module = nn.MultiheadAttention(SIZE, HEADS, bias=False, batch_first=True)
    return module.eval(), X, TOKENS


def as_the_paper_writes_it(module, X):
    """Return the output (1, 5, 4) and each head's attention (2, 5, 5), head by head."""
    W_Q, W_K, W_V = module.in_proj_weight.chunk(3)  # each (4, 4), stacked in one (12, 4)
    rows = torch.arange(SIZE).chunk(HEADS)  # the rows of these that belong to a head
    heads, attentions = [], []
    for of_head in rows:
        q, k, v = (X[0] @ W[of_head].T for W in (W_Q, W_K, W_V))  # each (5, 2)
        attention = (q @ k.T / len(of_head) ** 0.5).softmax(dim=-1)  # (5, 5)
        heads.append(attention @ v)  # (5, 2)
        attentions.append(attention)
    return torch.cat(heads, dim=-1)[None] @ module.out_proj.weight.T, torch.stack(attentions)


def main():
    """Compare the two ways, print the attention, and show it."""
    module, X, tokens = worked_example()
    with torch.no_grad():
        output, attention = module(X, X, X, average_attn_weights=False)
        ours, by_head = as_the_paper_writes_it(module, X)
    print("largest difference of outputs:", float((output - ours).abs().max()))
    print("largest difference of weights:", float((attention[0] - by_head).abs().max()))
    for head, weights in enumerate(attention[0]):
        print(f"attention of head {head}:\n{weights.numpy().round(4)}")
    attnviz_gui.show(attnviz_gui.capture(module, X, tokens=tokens))


if __name__ == "__main__":
    main()
