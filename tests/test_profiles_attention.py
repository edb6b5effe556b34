"""Stages of the attention profiles whose fault hardly shows in a map, on numbers small enough to check by eye.

The maps themselves are compared with the libraries' in test_profiles.py.
"""
import numpy as np
import torch

from minixai.verification.profiles import chefer, vit_explain

FUSED = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [9.0, 8.0, 7.0]]])        # 0.9 of nine entries: all but the 9


def test_entry_0_alone_is_kept_and_columns_are_divided_by_the_sums_of_rows():
    # (1+1)/2 and 9/2 stay beside the skip; the rows sum to 1, 0.5 and 5, and these divide the columns.
    expected = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [4.5, 0.0, 0.1]]]
    np.testing.assert_allclose(vit_explain.discard_lowest_but_first(FUSED), expected, rtol=1e-6)


def test_gradient_rollout_keeps_not_even_entry_0():
    expected = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [9.0, 0.0, 0.1]]]
    np.testing.assert_allclose(vit_explain.discard_lowest(FUSED), expected, rtol=1e-6)


def test_a_head_is_weighted_by_the_gradient_of_what_cls_takes_from_patches_alone():
    attention = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    gradients = torch.zeros(2, 3, 6, 6)
    gradients[:, 0, 0, 2:] = torch.tensor([1.0, 2.0, 3.0, 6.0])                     # head 0: a mean of 3
    gradients[:, 1, 0, :2] = 100                                                    # from CLS and a register: no patch
    gradients[:, 2, 1:] = 100                                                       # what patches take
    fused = chefer.heads_weighted_by_gradient(attention, gradients, prefix_tokens=2)
    np.testing.assert_allclose(fused, attention[:, 0], rtol=1e-6)                   # 3 times it, over three heads
