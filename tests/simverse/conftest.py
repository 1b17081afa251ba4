import pytest
import torch

from simverse.cli import main

# Several threads on small tensors cost more than they bring, and other tests share the processor.
torch.set_num_threads(1)


@pytest.fixture
def sim(capsys):
    """Call `sim`; return (exit code, standard output, standard error)."""

    def call(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse
            code = error.code
        out, err = capsys.readouterr()
        return code, out, err

    return call
