import torch

# Several threads on small tensors cost more than they bring, and other tests share the processor.
torch.set_num_threads(1)
