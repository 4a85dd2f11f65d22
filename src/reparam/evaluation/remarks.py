"""What must be said with the figures of an evaluation, in words."""

NO_LIKELIHOOD = (
    "the decoder's log-density is not normalized (cross-entropy on grey values), so none of these "
    "numbers is a likelihood: the importance-sampled figure bounds no likelihood, and bits per "
    "dimension do not exist"
)

NO_ELBO = (
    "the code is deterministic, so that it has no density: there is no KL, no ELBO and no "
    "likelihood of x, only how well x is described by its code"
)

A_DENSITY = (
    "x is continuous, so log p(x) is the logarithm of a density: it may be positive, and says "
    "nothing in bits"
)

# Nats of KL of a dimension that no collapsed posterior has, which equals the prior.
_MISPLACED = 10.0


def note(normalized: bool, offset: float | None) -> str | None:
    """Return what must be said of the likelihood; ``offset`` is None where there are no bits.

    >>> note(True, 0.0) is None, note(True, None) == A_DENSITY
    (True, True)
    """
    if not normalized:
        return NO_LIKELIHOOD
    return A_DENSITY if offset is None else None


def not_finite(**figures: float | None) -> tuple[str, ...]:
    """Return a warning of each figure that is not there.

    >>> not_finite(elbo=-1.0, kl=None)[0][:14]
    'kl is infinite'
    """
    return tuple(
        f"{name} is infinite or not a number for some examples and left out: look for a density "
        "that is zero or unbounded there, such as a σ near 0"
        for name, value in figures.items()
        if value is None
    )


def collapse(active: int | None, latent_dim: int, kl: float | None) -> tuple[str, ...]:
    """Return a warning where half of the latent dimensions or more are unused.

    >>> collapse(1, 4, 0.5)[0][:40]
    '3 of 4 latent dimensions are unused (pos'
    """
    if active is None or 2 * active > latent_dim:
        return ()
    if kl is not None and kl > _MISPLACED * latent_dim:
        return (
            "the codes hardly move with x, and yet the KL is large: they lie where the prior does "
            "not, as before it has been trained for long; train for more epochs (--epochs)",
        )
    if active > 0:
        which = f"{latent_dim - active} of {latent_dim} latent dimensions are unused"
    elif latent_dim > 1:
        which = f"all {latent_dim} latent dimensions are unused"
    else:
        which = "the only latent dimension is unused"
    advice = "warm the KL up (--kl-warmup) or ask for fewer dimensions (--latent-dim)"
    return (f"{which} (posterior collapse): {advice}",)


def few_draws(effective: float | None, n_samples: int) -> tuple[str, ...]:
    """Return a warning where the importance weights rest on one or two draws.

    >>> few_draws(0.5, 100)
    ()
    """
    if n_samples == 1:
        return (
            "with a single draw log_likelihood is the ELBO again: take more samples (--n-samples)",
        )
    if effective is None or effective * n_samples >= 2:
        return ()
    return (
        f"the {n_samples} draws of an example are worth {effective * n_samples:.1f}, so that "
        "log_likelihood is too low: take more samples (--n-samples)",
    )
