"""The registry as a whole: what publishes a version under a number of its own, and what loads one.

Owns how numbers are given. Torch is imported only where a model is written or read.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from streamrnn.errors import BundleError
from streamrnn.nn.manifest import refusing
from streamrnn.registry.model_names import checked_name, version_numbers
from streamrnn.registry.pointers import Pointed
from streamrnn.registry.worker_reports import FRESH_S, HeardOfWorkers, WorkerReport, WorkerReports

if TYPE_CHECKING:
    from streamrnn.nn.model import Model

MOST_TRIES, LONGEST_PAUSE_S = 200, 1.0
"""Before publishing gives up among others who publish, and between two tries."""

Reports = Callable[[int], Mapping[str, bytes]]
"""Makes a version's reports from its number."""


class Registry(Pointed):
    """Models in a folder or at a URL: published, pointed at, loaded. What fails is a BundleError."""

    def __init__(self, root: str | Path, most_tries: int = MOST_TRIES) -> None:
        super().__init__(root)
        self._most_tries = most_tries
        self._workers = WorkerReports(self._store)

    def publish(self, model: "Model", reports: Reports | Mapping[str, bytes] | None = None) -> int:
        """Save as the next version, whatever others publish meanwhile, and return its number.

        reports: files that lie beside the model, by name, or what makes them once the number is known. Either all
        is there afterwards or nothing.
        """
        from streamrnn.nn.bundle import encode_bundle

        name = checked_name(model.spec.name)
        for tries in range(self._most_tries):
            version = self._next(name)
            own = reports(version) if callable(reports) else reports
            files = encode_bundle(model, self.place(name, version), version, own)
            with refusing():
                if self._store.add(f"{name}/{version}", files):
                    return version
                if str(version) in self._store.files(name):
                    raise BundleError(f"{self.place(name, version)} exists already, and is no folder")
            time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, 0.005 * 1.5**tries)))
        raise BundleError(f"{self.place(name)}: {self._most_tries} times others were publishing at the same moment")

    def _next(self, name: str) -> int:
        """Above every version that is, is being made, or was pointed at: a number means one model for ever."""
        named = self.numbers_given(name)
        with refusing():
            return max((*version_numbers(self._store.folders(name)), *named), default=0) + 1

    def load(self, name: str, version: int | None = None) -> "Model":
        """A version's model, the champion's when none is named."""
        from streamrnn.nn.bundle import decode_bundle

        chosen = self.champion(name) if version is None else version
        try:
            model = decode_bundle(self._reader(name, chosen), self.place(name, chosen))
        except BundleError as error:
            if version is not None or chosen in self.versions(name):
                raise
            raise BundleError(f"{error}, though it is the champion; {self._remedy(name)}") from error
        self._check_label(name, chosen, (model.spec.name, model.spec.version))
        return model

    # What workers say

    def write_report(self, name: str, report: WorkerReport) -> None:
        """Replace what a worker said of itself, in a file named after it."""
        self._workers.write(name, report)

    def remove_report(self, name: str, worker: str) -> None:
        """Forget what a worker said: it ends. Nothing happens where it said nothing."""
        self._workers.remove(name, worker)

    def reports(self, name: str, newest_s: float = FRESH_S) -> HeardOfWorkers:
        """What the workers that serve a model say; a report older than `newest_s` is not fresh."""
        return self._workers.read(name, newest_s)

    def prune_reports(self, name: str, min_age_s: float) -> Iterator[str]:
        """Delete the files of workers that nobody has written to for so long, and say each."""
        for file in self._workers.old(name, min_age_s):
            self._workers.clear(name, file)
            yield file
