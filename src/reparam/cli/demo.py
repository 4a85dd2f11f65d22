"""``reparam demo``: train, measure and picture a VAE on embedded data, in a minute.

It needs no network.
"""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from reparam.cli.output import command
from reparam.cli.parse import verb
from reparam.runs.folder import next_free


@dataclass(frozen=True)
class Options:
    """Train the default variant on scikit-learn's digits, measure it and draw its pictures.

    Every command is printed before it runs.

    Arguments:
        out: The folder of the run; runs/demo-N by default.
    """

    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Run the commands one after the other."""
    from reparam.cli.main import verb_of

    run = str(options.out or next_free("runs", "demo"))
    reparam = command()
    began = time.perf_counter()
    training = shlex.split("train vae --data digits --epochs 30 --pictures-every 10 --no-report")
    commands = [
        [*training, "--out", run],
        ["evaluate", run],
        ["sample", run],
        ["reconstruct", run],
        ["interpolate", run],
        ["plot", run],
        ["report", run],
    ]
    for words in commands:
        print(f"\n$ {reparam} {shlex.join(words)}", flush=True)
        verb_of(words[0]).main(words[1:])
    print(f"\nAll of it took {time.perf_counter() - began:.0f} s. Look at these first:")
    print(f"  {run}/report.html          all of it in one page: open it in a browser")
    print(f"  {run}/samples.png          digits drawn from the model")
    print(f"  {run}/reconstructions.png  test digits, each above its reconstruction")
    print(f"  {run}/interpolation.png    walks from digit to digit through the latent space")
    print(f"  {run}/pictures/latent.png  the codes of each class")
    print("\nThen try a latent space that fits on paper, or larger digits:")
    print(f"  {reparam} train vae --data digits --latent-dim 2 --epochs 60")
    print(f"  {reparam} train vae --data mnist")
    if Path(reparam).name == "reparam" and reparam != "reparam":
        print(f"\n{reparam} is called reparam after: . {Path(reparam).parent}/activate")
