"""The demo's model: small, trained on the first part of every stream while a bar shows how far. Knows no Kafka."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamrnn.demo.recorded import FEATURE, Playlist
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.train.fit import Epoch, Recipe, fit
from streamrnn.train.history import Spool, split_each

SPEC = ModelSpec(
    name="demo",
    features=(FEATURE,),
    targets=(FEATURE,),
    channels=(Channel(FEATURE, "log_return"),),
    time_features=("hour", "log_gap"),
    hidden=48,
    predicts="log_change",
)
"""Returns and a change in per cent have no unit: one model serves degrees, milligrams and dollars."""
RECIPE = Recipe(
    epochs=30, learning_rate=5e-3, loss="huber", by_stream=True, width=64, chunk=128, patience=5, budget_s=30.0
)


def train(feed: Playlist, console: Console, has_bar: bool, recipe: Recipe = RECIPE) -> Model:
    """Fit, showing loss and time left; plain lines when `has_bar` is off."""
    with Spool((FEATURE,)) as spool:
        spool.add(feed.streams, feed.time_ms, feed.values)
        history = spool.history()
        split = split_each(history, (0.85, 0.15, 0.0))
        if not has_bar:
            return fit(SPEC, history, split, recipe, lambda epoch: console.print(_line(epoch, recipe))).model
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task("training", total=recipe.epochs, loss="")

            def watch(epoch: Epoch) -> None:
                bar.update(task, completed=epoch.number, loss=_losses(epoch))

            fitted = fit(SPEC, history, split, recipe, watch)
            bar.update(task, completed=recipe.epochs)
    return fitted.model


def _losses(epoch: Epoch) -> str:
    return f"loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}"


def _line(epoch: Epoch, recipe: Recipe) -> str:
    return f"training epoch {epoch.number}/{recipe.epochs}: {_losses(epoch)}"
