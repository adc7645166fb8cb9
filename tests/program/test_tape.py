"""The tape: lowering of a specification, and verification."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import (
    L1,
    L2,
    BatchNorm,
    Dense,
    Dropout,
    Huber,
    LeakyReLU,
    MaxNorm,
    Network,
    Quantile,
    Scale,
)
from deltarule.errors import TapeError
from deltarule.program import Block, State
from deltarule.program.lowering import lower
from deltarule.program.opcodes import ActivationCode, ConstraintCode, LossCode, Op, PenaltyCode
from deltarule.program.tape import Instruction, Parameter, Penalty, Tape
from deltarule.program.verify import verify
from deltarule.reference.gradient_check import check_tape
from support.networks import ACTIVATIONS, HEADS, SEEDS, networks, proves

NET = Network(3, [Dense(4, "tanh"), Dense(4, LeakyReLU(0.2)), Dense(2, "softmax")],
              "categorical_cross_entropy",
              penalties=[L2(0.1), L2(0.2, normalization="batch")])  # fmt: skip


@proves(short=20, full=2000, net=networks())
def test_the_views_tile_theta(net: Network) -> None:
    theta = np.zeros(net.tape.n_parameters)
    widths = [net.n_inputs, *(layer.units for layer in net.layers)]
    views = dict(net.parameters(type(net.initialize())(theta)))
    expected = {}
    for i, layer in enumerate(net.layers, start=1):
        expected |= {f"W{i}": (widths[i - 1], layer.units), f"b{i}": (layer.units,)}
    assert {name: view.shape for name, view in views.items()} == expected
    assert list(views) == list(expected)
    for view in views.values():
        view += 1.0  # every entry of θ lies in exactly one view, and the view writes to it
    np.testing.assert_array_equal(theta, 1.0)
    theta[:] = np.arange(len(theta))
    stacked = np.concatenate([view.ravel() for view in views.values()])
    np.testing.assert_array_equal(stacked, theta)


def test_the_tape_of_a_network() -> None:
    """Written out by hand: 3 → 4 tanh → 4 leaky ReLU → 2 softmax, cross-entropy on the logits."""
    A, G = Op.AFFINE, Op.ACTIVATE
    assert NET.tape.instructions == (
        (A, -1, 0, 1, 3, 4, 0, 12, 0.0),
        (G, ActivationCode.TANH, 1, 2, 4, 4, -1, -1, 0.0),
        (A, -1, 2, 3, 4, 4, 16, 32, 0.0),
        (G, ActivationCode.LEAKY_RELU, 3, 4, 4, 4, -1, -1, 0.2),
        (A, -1, 4, 5, 4, 2, 36, 44, 0.0),
        (G, ActivationCode.SOFTMAX, 5, 6, 2, 2, -1, -1, 0.0),
        (Op.LOSS, LossCode.SOFTMAX_CROSS_ENTROPY, 5, -1, 2, -1, -1, -1, 0.0),
    )
    assert NET.tape.penalties == tuple(
        (PenaltyCode.L2, start, stop, strength, per_batch)
        for strength, per_batch in ((0.1, False), (0.2, True))
        for start, stop in ((0, 12), (16, 32), (36, 44))
    )
    assert (NET.tape.n_parameters, NET.tape.n_registers, NET.tape.n_outputs) == (46, 7, 2)
    assert (NET.tape.logits, NET.tape.output) == (5, 6)


@pytest.mark.parametrize(("loss", "output"), HEADS)
def test_canonical_pairs_read_the_logits_and_others_the_outputs(loss: str, output: str) -> None:
    fused = {
        ("binary_cross_entropy", "sigmoid"): LossCode.SIGMOID_CROSS_ENTROPY,
        ("binary_cross_entropy", "softmax"): LossCode.SOFTMAX_BINARY_CROSS_ENTROPY,
        ("categorical_cross_entropy", "softmax"): LossCode.SOFTMAX_CROSS_ENTROPY,
        ("poisson", "exp"): LossCode.EXP_POISSON,
    }
    tape = lower(Network(2, [Dense(3, "relu"), Dense(2, output)], loss))
    pair = (loss, output)
    assert tape.loss.code == (fused[pair] if pair in fused else LossCode[loss.upper()])
    assert tape.loss.source == (tape.logits if pair in fused else tape.output)


def test_a_penalty_of_strength_zero_is_omitted() -> None:
    assert lower(Network(2, [Dense(1)], penalties=[L2(0.0)])).penalties == ()


@proves(short=10, full=500, net=networks())
def test_the_table_holds_every_instruction(net: Network) -> None:
    integers, constants = net.tape.table()
    n = len(net.tape.instructions)
    assert (integers.shape, integers.dtype) == ((n, 8), np.dtype(np.int64))
    assert (constants.shape, constants.dtype) == ((n,), np.dtype(np.float64))
    rebuilt = tuple(
        Instruction(*map(int, row), float(c)) for row, c in zip(integers, constants, strict=True)
    )
    assert rebuilt == net.tape.instructions


def test_codes_are_never_reused() -> None:
    """The numbers of the codes are fixed; new codes are added at the end."""
    assert [(op.name, op.value) for op in Op] == [
        ("AFFINE", 1), ("ACTIVATE", 2), ("LOSS", 3), ("NORMALIZE", 4), ("DROPOUT", 5),
        ("SCALE", 6), ("REPEAT", 7), ("EXPAND", 8), ("HEADS", 9), ("AVERAGE", 10),
            ("PERIODIC", 11), ("BLOCKS", 12),
    ]  # fmt: skip
    assert [code.name.lower() for code in ActivationCode] == list(ACTIVATIONS)
    assert [code.value for code in ActivationCode] == list(range(1, 17))
    assert [code.name for code in LossCode] == [
        "SQUARED_ERROR", "SIGMOID_CROSS_ENTROPY", "SOFTMAX_CROSS_ENTROPY", "EXP_POISSON",
        "ABSOLUTE_ERROR", "HUBER", "QUANTILE", "POISSON", "SOFTMAX_BINARY_CROSS_ENTROPY",
    ]  # fmt: skip
    assert [code.value for code in LossCode] == list(range(1, 10))
    assert [(p.name, p.value) for p in PenaltyCode] == [("L2", 1), ("L1", 2), ("PROXIMAL_L1", 3)]
    assert [(c.name, c.value) for c in ConstraintCode] == [("UNIT_NORM", 1), ("TOTAL_NORM", 2)]


# --- verification ---------------------------------------------------------------------------------


def changed(tape: Tape, number: int, **fields: Any) -> Tape:
    lines = list(tape.instructions)
    lines[number] = lines[number]._replace(**fields)
    return replace(tape, instructions=tuple(lines))


def parameter(tape: Tape, number: int, **fields: Any) -> Tape:
    named = list(tape.parameters)
    named[number] = named[number]._replace(**fields)
    return replace(tape, parameters=tuple(named))


def penalty(tape: Tape, **fields: Any) -> Tape:
    return replace(tape, penalties=(tape.penalties[0]._replace(**fields),))


T = NET.tape
SQUARE = lower(Network(2, [Dense(2), Dense(2)]))
CORRUPTIONS = {
    "empty": (replace(T, instructions=()), "needs at least a layer"),
    "no loss": (replace(T, instructions=T.instructions[:-1]), "loss must be the last"),
    "a loss too early": (changed(T, 1, op=Op.LOSS), "the last and the only one"),
    "two losses": (replace(T, instructions=(*T.instructions, T.loss)), "the only one"),
    "unknown operation": (changed(T, 1, op=99), "no operation has code 99"),
    "unknown activation": (changed(T, 1, code=99), "no activation has code 99"),
    "unknown loss": (changed(T, 6, code=99), "no loss has code 99"),
    "read before written": (changed(T, 0, source=5), "register 5 is read before it is written"),
    "negative register": (changed(T, 2, source=-1), "register -1 is read before"),
    "written twice": (changed(T, 1, target=1), "written once and in order"),
    "written ahead": (changed(T, 1, target=3), "written once and in order"),
    "width of a source": (changed(T, 0, n_in=2), "n_in is not the width of its source"),
    "activation widens": (changed(T, 1, n_out=5), "only affine maps may change widths"),
    "weights elsewhere": (changed(T, 2, weights=17), "must be offsets of parameters"),
    "bias elsewhere": (changed(T, 2, bias=0), "must be offsets of parameters"),
    "shape of weights": (changed(T, 2, n_out=3), "must be offsets of parameters"),
    "shared weights": (changed(SQUARE, 2, weights=0), "that no other uses"),
    "shared bias": (changed(SQUARE, 2, bias=4), "that no other uses"),
    "offset beyond θ": (changed(T, 4, weights=460), "must be offsets of parameters"),
    "weights of an activation": (changed(T, 1, weights=0), "α must be the offset of a parameter"),
    "bias of an activation": (changed(T, 1, bias=12), "α must be the offset of a parameter"),
    "loss reads elsewhere": (changed(T, 6, source=3, n_in=4), "it must read outputs or logits"),
    "no output activation": (
        replace(T, instructions=(*T.instructions[:5], T.loss), n_registers=6),
        "must end with its activation",
    ),
    "n_inputs": (replace(T, n_inputs=4), "width of its source"),
    "n_outputs": (replace(T, n_outputs=3), "it must be the output's width"),
    "n_registers": (replace(T, n_registers=8), "7 registers are written"),
    "n_parameters": (replace(T, n_parameters=47), "parameters end at 46"),
    "gap in θ": (parameter(T, 1, start=13), "must tile"),
    "overlap in θ": (parameter(T, 1, start=11), "must tile"),
    "empty parameter": (parameter(T, 5, shape=(0,)), "must tile"),
    "parameter reshaped": (parameter(T, 0, shape=(4, 3)), "must be offsets of parameters"),
    "unknown penalty": (penalty(T, code=9), "no penalty 9"),
    "penalty before θ": (penalty(T, start=-1), "it must lie inside"),
    "penalty behind θ": (penalty(T, stop=47), "it must lie inside"),
    "penalty on nothing": (penalty(T, start=12, stop=12), "it must lie inside"),
}


# A network with everything that NET does not have.
FULL = lower(
    Network(
        3,
        [Dropout(0.1), Dense(4, "relu", batch_norm=BatchNorm()), Dropout(0.5),
         Dense(4, "elu", batch_norm=BatchNorm("post_activation", "running", momentum=0.2)),
         Dense(2)],
        Huber(0.5),
        penalties=[L1(0.1), L1(0.2, proximal=True), L1(0.0)],
        constraints=[MaxNorm(2.0), MaxNorm(3.0, per="network")],
    )
)  # fmt: skip
CORRUPTIONS |= {
    "no such normalisation": (changed(FULL, 2, code=2), "there is no normalisation 2"),
    "negative normalisation": (changed(FULL, 2, code=-1), "there is no normalisation -1"),
    "normalisation of another width": (
        replace(FULL, normalizations=tuple(n._replace(width=5) for n in FULL.normalizations)),
        "has another width",
    ),
    "γ elsewhere": (changed(FULL, 2, weights=0), "γ and β must be offsets"),
    "β is γ": (changed(FULL, 2, bias=12), "γ and β must be offsets"),
    "ε of zero": (changed(FULL, 2, constant=0.0), "ε must be above 0"),
    "weights of a dropout": (changed(FULL, 4, weights=0), "only affine maps and normalisations"),
    "nothing is kept": (changed(FULL, 0, constant=0.0), r"must be in \(0, 1\]"),
    "more than all is kept": (changed(FULL, 4, constant=1.5), r"must be in \(0, 1\]"),
    "loss without its constant": (
        replace(FULL, loss_constants=()),
        "too many or too few constants",
    ),
    "constants of no loss": (replace(T, loss_constants=(1.0,)), "too many or too few constants"),
    "unknown constraint": (
        replace(FULL, constraints=(FULL.constraints[0]._replace(code=9),)),
        "no constraint 9",
    ),
    "constraint behind θ": (
        replace(FULL, constraints=(FULL.constraints[0]._replace(matrices=((47, 3, 4),)),)),
        "it must lie inside",
    ),
}


# Two members with one W, and two members whose inputs are copied first.
MEMBERS = lower(
    Network(
        3,
        [Dense(4, "tanh"), Dropout(0.5), Dense(5, "relu"), Dense(2, "softmax")],
        "categorical_cross_entropy",
        penalties=[L2(0.1)],
        constraints=[MaxNorm(2.0)],
        members=2,
    )
)
ENTERED = lower(Network(2, [Dropout(0.1), Scale(), Dense(3, "tanh"), Dense(1)], members=2))
CORRUPTIONS |= {
    "no member": (replace(MEMBERS, members=0), "there must be at least one"),
    "one member": (replace(MEMBERS, members=1), "has no instruction for members"),
    "other members": (replace(MEMBERS, members=3), "multiple of 3 members"),
    "never many": (changed(MEMBERS, 0, op=Op.AFFINE), "only the first instruction makes members"),
    "many again": (changed(ENTERED, 1, op=Op.REPEAT), "only the first instruction makes members"),
    "averaged early": (changed(MEMBERS, 2, op=Op.AVERAGE), "averaged once, before the loss"),
    "never averaged": (
        changed(MEMBERS, 10, op=Op.DROPOUT, n_out=4),
        "averaged once, before the loss",
    ),
    "average of another width": (changed(MEMBERS, 10, n_out=4), "as wide as one member"),
    "members normalised": (changed(MEMBERS, 2, op=Op.NORMALIZE), "members have no batch norm"),
    "too few copies": (changed(ENTERED, 0, n_out=2), "its source once for each member"),
    "r elsewhere": (changed(MEMBERS, 0, bias=0), "must be offsets of parameters"),
    "no r": (changed(MEMBERS, 0, bias=-1), "must be offsets of parameters"),
    "a shared bias": (changed(MEMBERS, 5, bias=34), "must be offsets of parameters"),
    "a bias that is nowhere": (changed(MEMBERS, 5, bias=-7), "must be offsets of parameters"),
    "s elsewhere": (changed(MEMBERS, 1, weights=0), "must be offsets of parameters"),
    "factors of nothing": (changed(ENTERED, 2, weights=-1), "must be offsets of parameters"),
    "heads without biases": (changed(MEMBERS, 8, bias=-1), "must be offsets of parameters"),
    "heads as one W": (parameter(MEMBERS, 8, shape=(10, 2)), "must be offsets of parameters"),
    "the loss of the average": (changed(MEMBERS, 11, source=11, n_in=2), "outputs or logits"),
}


def test_the_tape_of_members() -> None:
    """Written out by hand: the first W reads shared inputs, the second all members' rows."""
    A, G, D, S = Op.AFFINE, Op.ACTIVATE, Op.DROPOUT, Op.SCALE
    assert MEMBERS.instructions == (
        (Op.EXPAND, -1, 0, 1, 3, 8, 0, 12, 0.0),
        (S, -1, 1, 2, 8, 8, 18, 26, 0.0),
        (G, ActivationCode.TANH, 2, 3, 8, 8, -1, -1, 0.0),
        (D, 0, 3, 4, 8, 8, -1, -1, 0.5),
        (S, -1, 4, 5, 8, 8, 54, -1, 0.0),
        (A, -1, 5, 6, 8, 10, 34, -1, 0.0),
        (S, -1, 6, 7, 10, 10, 62, 72, 0.0),
        (G, ActivationCode.RELU, 7, 8, 10, 10, -1, -1, 0.0),
        (Op.HEADS, -1, 8, 9, 10, 4, 82, 102, 0.0),
        (G, ActivationCode.SOFTMAX, 9, 10, 4, 4, -1, -1, 0.0),
        (Op.AVERAGE, -1, 10, 11, 4, 2, -1, -1, 0.0),
        (Op.LOSS, LossCode.SOFTMAX_CROSS_ENTROPY, 9, -1, 4, -1, -1, -1, 0.0),
    )
    shapes = {p.name: p.shape for p in MEMBERS.parameters}
    assert shapes == {
        "W1": (3, 4), "r1": (2, 3), "s1": (2, 4), "b1": (2, 4),
        "W2": (4, 5), "r2": (2, 4), "s2": (2, 5), "b2": (2, 5),
        "W3": (2, 5, 2), "b3": (2, 2),
    }  # fmt: skip
    assert [(p.start, p.stop) for p in MEMBERS.penalties] == [(0, 12), (34, 54), (82, 102)]
    heads = ((82, 5, 2), (92, 5, 2))
    assert MEMBERS.constraints[0].matrices == ((0, 3, 4), (34, 4, 5), *heads)
    assert (MEMBERS.logits, MEMBERS.output, MEMBERS.n_outputs) == (9, 11, 2)
    assert [line.op for line in ENTERED.instructions[:6]] == [Op.REPEAT, D, S, S, A, S]
    assert ENTERED.parameters[0] == ("scale1", 0, (2, 2), 0)


def test_the_tape_of_a_network_with_everything() -> None:
    """Written out by hand: dropouts are numbered, β replaces a bias, the loss has its constant."""
    A, G, N, D = Op.AFFINE, Op.ACTIVATE, Op.NORMALIZE, Op.DROPOUT
    assert FULL.instructions == (
        (D, 0, 0, 1, 3, 3, -1, -1, 0.9),
        (A, -1, 1, 2, 3, 4, 0, -1, 0.0),
        (N, 0, 2, 3, 4, 4, 12, 16, 1e-5),
        (G, ActivationCode.RELU, 3, 4, 4, 4, -1, -1, 0.0),
        (D, 1, 4, 5, 4, 4, -1, -1, 0.5),
        (A, -1, 5, 6, 4, 4, 20, 36, 0.0),
        (G, ActivationCode.ELU, 6, 7, 4, 4, -1, -1, 1.0),
        (N, 1, 7, 8, 4, 4, 40, 44, 1e-5),
        (A, -1, 8, 9, 4, 2, 48, 56, 0.0),
        (G, ActivationCode.IDENTITY, 9, 10, 2, 2, -1, -1, 0.0),
        (Op.LOSS, LossCode.HUBER, 10, -1, 2, -1, -1, -1, 0.0),
    )
    assert FULL.normalizations == ((4, 0.1, False), (4, 0.2, True))
    assert FULL.loss_constants == (0.5,)
    assert FULL.min_rows == 2
    assert T.min_rows == 1
    weights = ((0, 12), (20, 36), (48, 56))
    assert FULL.penalties == tuple(
        (code, start, stop, strength, False)
        for code, strength in ((PenaltyCode.L1, 0.1), (PenaltyCode.PROXIMAL_L1, 0.2))
        for start, stop in weights
    )
    matrices = ((0, 3, 4), (20, 4, 4), (48, 4, 2))
    assert FULL.constraints == (
        (ConstraintCode.UNIT_NORM, 2.0, matrices),
        (ConstraintCode.TOTAL_NORM, 3.0, matrices),
    )
    quantiles = lower(Network(2, [Dense(4)], Quantile((0.1, 0.9))))
    assert quantiles.loss_constants == (0.1, 0.9, 0.1, 0.9)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_are_refused(name: str) -> None:
    tape, words = CORRUPTIONS[name]
    for sound in (T, SQUARE, FULL, MEMBERS, ENTERED):
        verify(sound)
    with pytest.raises(TapeError, match=words):
        verify(tape)


SMALL = st.one_of(st.integers(-3, 12), st.sampled_from([16, 20, 36, 44, 46, 99, 2**31, -(2**63)]))


@st.composite
def damaged(draw: st.DrawFn) -> Tape:
    """Draw a tape with one to three faults: fields overwritten, instructions lost or exchanged."""
    members = draw(st.sampled_from([1, 1, 2]))
    tape = draw(networks(penalties=(L2(0.1),), members=members)).tape
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["instruction", "parameter", "penalty", "tape", "order"]))
        lines, named = list(tape.instructions), list(tape.parameters)
        if kind == "instruction" and lines:
            at = draw(st.integers(0, len(lines) - 1))
            name = draw(st.sampled_from(Instruction._fields[:-1]))
            lines[at] = lines[at]._replace(**{name: draw(SMALL)})
        elif kind == "order" and lines:
            at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            what = draw(st.sampled_from(["lose", "double", "exchange"]))
            if what == "lose":
                del lines[at]
            elif what == "double":
                lines.insert(other, lines[at])
            else:
                lines[at], lines[other] = lines[other], lines[at]
        elif kind == "parameter":
            at = draw(st.integers(0, len(named) - 1))
            fresh = draw(
                st.sampled_from(
                    [
                        {"start": draw(SMALL)},
                        {"shape": tuple(draw(st.lists(st.integers(-1, 6), max_size=3)))},
                    ]
                )
            )
            named[at] = named[at]._replace(**fresh)
        elif kind == "penalty":
            name = draw(st.sampled_from(["code", "start", "stop"]))
            tape = replace(tape, penalties=(tape.penalties[0]._replace(**{name: draw(SMALL)}),))
        else:
            names = ["n_inputs", "n_outputs", "n_parameters", "n_registers", "members"]
            name = draw(st.sampled_from(names))
            tape = replace(tape, **{name: draw(SMALL)})
        tape = replace(tape, instructions=tuple(lines), parameters=tuple(named))
    return tape


@proves(short=100, full=5000, tape=damaged(), seed=SEEDS)
def test_a_damaged_tape_is_refused_or_a_program_with_a_right_gradient(
    tape: Tape, seed: int
) -> None:
    try:
        verify(tape)
    except TapeError:
        return
    rng = np.random.default_rng(seed)
    theta = rng.normal(scale=0.3, size=tape.n_parameters)
    y = np.ones((3, tape.n_outputs)) / tape.n_outputs
    check = check_tape(tape, State(theta), Block(rng.normal(size=(3, tape.n_inputs)), y))
    assert check.verdict != "wrong", str(check)


def test_stop_is_one_past_the_last_index() -> None:
    assert Parameter("W1", 5, (3, 4), 1).stop == 17
    assert Penalty(PenaltyCode.L2, 0, 3, 0.1, False).stop == 3
