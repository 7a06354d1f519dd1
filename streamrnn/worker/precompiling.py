"""Compiles every loop that serving needs, or finds it compiled: `python -m streamrnn.worker.precompiling`.

A daemon compiles what it lacks when it starts. An image does so when it is built.
"""

from typing import get_args

import msgspec

from streamrnn.codecs import make_decoder
from streamrnn.codecs.encode import compile_encoders
from streamrnn.comparing import PairedErrors
from streamrnn.config import Settings
from streamrnn.engine.step.compiled import compile_step
from streamrnn.kafka.compiled.warming import compile_loops
from streamrnn.nn.spec import Channel, ModelSpec, Precision


def precompile() -> None:
    """Compile the step, the table of keys, what reads and writes records, and the comparison of models."""
    compile_loops()
    compile_step()
    compile_encoders()
    spec = ModelSpec(name="any", features=("a",), targets=("a",), channels=(Channel("a"),))
    PairedErrors(spec, spec, since_ms=0)
    settings = Settings(input={"topic": "any"}, model={"path": "any"})
    for precision in get_args(Precision):
        make_decoder(msgspec.structs.replace(spec, precision=precision), settings)


if __name__ == "__main__":
    precompile()
