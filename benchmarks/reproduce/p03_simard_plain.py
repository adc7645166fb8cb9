"""P3: Simard's network of 800 hidden units, trained on MNIST as it is."""

from reproduce.anchor import Anchor, Goal, Plan
from reproduce.simard import fit_800

ANCHOR = Anchor(
    name="P3",
    title="Simard, Steinkraus & Platt: no distortion",
    source="Simard, Steinkraus & Platt, ICDAR 2003, table 1",
    published={"plain": "error 1.6 %"},
    fit=fit_800,
    plans={"smoke": Plan(2, rows=2_000), "full": Plan(30, seeds=(0, 1, 2))},
    goals=[Goal.error_at_most("plain", 1.70)],
    differences=[
        "Activation, rate and epochs are ours, chosen on the last 10 000 training images; the "
        "training then takes all 60 000.",
    ],
)
