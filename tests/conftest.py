"""For all tests: one thread. The tensors are small, so a second one costs more than it brings, and on a busy machine
the two wait for each other; and the numbers do not depend on how many cores there are."""
import torch

torch.set_num_threads(1)
