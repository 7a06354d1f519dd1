"""The registry: versions of models in a folder or at a URL, which of them serve, and what workers say of them.

<root>/<name>/<version>/ is a bundle with its reports; <root>/<name>/champion.json names the version that serves,
and challenger.json beside it the one that runs beside that. The registry is the only channel of commands to
daemons: daemons look there. Knows bundles, not their use. Torch is imported only where a model is written or read.
"""

from streamrnn.registry.chosen import check_named, load_label, load_model
from streamrnn.registry.model_names import is_name
from streamrnn.registry.pointers import Champion, Staged, Wanted
from streamrnn.registry.registry import Registry
from streamrnn.registry.worker_reports import Compared, Heard, HeardOfWorkers, ReportedPartition, WorkerReport

__all__ = [
    "Champion",
    "Compared",
    "Heard",
    "HeardOfWorkers",
    "Registry",
    "ReportedPartition",
    "Staged",
    "Wanted",
    "WorkerReport",
    "check_named",
    "is_name",
    "load_label",
    "load_model",
]
