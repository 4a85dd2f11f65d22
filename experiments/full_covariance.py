"""A Gaussian posterior with a full covariance beside one with a diagonal covariance."""

from experiments.common import Experiment, Findings, Protocol, Row, Scores, mean_of
from experiments.common.seeds import OVER_SEEDS, compared, gaps, seeds


@Experiment(
    source=(
        "Kingma & Welling, An Introduction to Variational Autoencoders, Foundations and Trends in "
        "Machine Learning 12(4), 2019, section 2.5.1"
    ),
    protocol=(
        "scikit-learn's digits, 200 hidden units and 5 latent dimensions, posterior with a "
        "diagonal and with a full covariance, eight seeds each; 500 draws of z for each test image"
    ),
    data="digits",
    epochs=30,
    n_samples=500,
    minutes=1,
)
def full_covariance(protocol: Protocol) -> Findings:
    """A posterior with full covariance comes nearer to log p(x) than a diagonal one."""
    data = protocol.dataset("digits")
    kinds = {"diagonal": "vae", "full covariance": "full-covariance-vae"}
    found: dict[str, list[Scores]] = {name: [] for name in kinds}
    for seed in seeds(protocol):
        for name, variant in kinds.items():
            run = protocol.train_variant(
                f"full-covariance-{variant}-{seed}",
                variant,
                data,
                seed=seed,
                latent_dim=5,
                hidden=(200,),
                likelihood="categorical",
                training={"batch_size": 64},
            )
            found[name].append(protocol.scores(run, data.examples("test").x))
    diagonal, full = found.values()
    rows = compared("diagonal", diagonal, "full covariance", full, rule=None)
    rows += [
        Row(f"{name}: log-likelihood less ELBO", *mean_of(gaps(many).mean(0)), note="KL(q‖p(z|x))")
        for name, many in found.items()
    ]
    name = "full covariance less diagonal: log-likelihood less ELBO"
    closer = mean_of((gaps(full) - gaps(diagonal)).mean(1))
    rows.append(Row(name, *closer, target=0.0, rule="at most"))
    return Findings(rows, (OVER_SEEDS,))
