# SPDX-License-Identifier: Apache-2.0
"""L-BFGS with backtracking. Nocedal and Wright, Numerical Optimization, algorithm 7.4 (the two loops),
7.5 (which pairs are kept) and 3.1 (backtracking with rho = 1/2, Armijo's condition). Each round is one
trial: the loss that comes with it is that of the point which the last round went to.

Not a Rule but one step from a given state, for lbfgs.py: errors of s come back in the next direction,
so that a run of 200 steps would compare the errors' growth and not the steps."""
ONE_STEP = True
TRIALS_MOST = 20
CURVATURE_LEAST = 1e-10


class State:
    """k: directions taken; pairs: (s, y), oldest first, and gamma of the newest; p, alpha and before:
    the last direction, how far along it, and the gradient that it was found with; trials of that
    direction, 0 where none is pending, and base, loss and slope: where it began."""

    def __init__(self, k, pairs, gamma, p, alpha, before, trials, base, loss, slope):
        self.k, self.pairs, self.gamma = k, pairs, gamma
        self.p, self.alpha, self.before = p, alpha, before
        self.trials, self.base, self.loss, self.slope = trials, base, loss, slope


def direction(pairs, gamma, g):
    """Algorithm 7.4, - H g."""
    q = g
    alphas = []
    # mutant: reversed(pairs) -> pairs
    for s, y in reversed(pairs):
        # mutant: (y @ s) -> (y @ y)
        alpha = (s @ q) / (y @ s)
        # mutant: - alpha -> + alpha
        q = q - alpha * y
        alphas.insert(0, alpha)
    # mutant: gamma * ->
    r = gamma * q
    for (s, y), alpha in zip(pairs, alphas):
        # mutant: (y @ r) -> (s @ r)
        beta = (y @ r) / (y @ s)
        # mutant: alpha - beta -> alpha + beta
        r = r + s * (alpha - beta)
    # mutant: -r -> r
    return -r


def step(state, settings, x, g, loss, lr):
    """The next x."""
    # mutant: settings["c1"] * ->
    # mutant: + settings -> - settings
    # mutant: * state.alpha * state.slope -> * state.slope
    # mutant: * state.slope ->
    low_enough = loss <= state.loss + settings["c1"] * state.alpha * state.slope
    if state.trials > 0 and not low_enough:
        if state.trials == TRIALS_MOST:
            return state.base
        # mutant: state.alpha / 2 -> state.alpha
        return state.base + state.alpha / 2 * state.p
    if g.abs().max() <= settings["tolerance_grad"]:
        return x
    pairs, gamma = state.pairs, state.gamma
    if state.k > 0:
        # mutant: state.alpha * ->
        s = state.alpha * state.p
        # mutant: g - state.before -> state.before - g
        y = g - state.before
        if y @ s > CURVATURE_LEAST:
            # mutant: -settings["history_size"]: -> 1:
            pairs = (pairs + [(s, y)])[-settings["history_size"]:]
            # mutant: / (y @ y) -> / (s @ s)
            gamma = (y @ s) / (y @ y)
    else:
        gamma = 1
    p = direction(pairs, gamma, g)
    # mutant: min(1, 1 / g.abs().sum()) -> 1
    alpha = lr * min(1, 1 / g.abs().sum()) if state.k == 0 else lr
    if g @ p > -settings["tolerance_change"]:
        return x
    return x + alpha * p
