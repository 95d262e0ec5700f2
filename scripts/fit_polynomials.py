"""Coefficients of the short polynomials in src/kernels/elementwise.rs: minimax fits by linear programming.

    python scripts/fit_polynomials.py        # numpy and scipy

* exp2: `2^f` for |f| <= 1/2, smallest largest relative error
* GELU: `x * (1/2 + c * P(c^2))` with c = x clamped to [-END, END], smallest largest error, and exactly x or 0 from END on
"""

import numpy as np
from scipy.optimize import linprog
from scipy.special import erf


def minimax(basis: np.ndarray, target: np.ndarray, equal: tuple[np.ndarray, float] | None = None) -> tuple[np.ndarray, float]:
    """Coefficients with the smallest largest |basis @ c - target|, and that error."""
    n_points, n = basis.shape
    slack = -np.ones((n_points, 1))
    result = linprog(
        np.r_[np.zeros(n), 1.0],
        A_ub=np.block([[basis, slack], [-basis, slack]]),
        b_ub=np.r_[target, -target],
        A_eq=None if equal is None else np.r_[equal[0], 0.0][None, :],
        b_eq=None if equal is None else [equal[1]],
        bounds=[(None, None)] * n + [(0, None)],
        method="highs",
    )
    return result.x[:-1], result.x[-1]


def show(name: str, coefficients: np.ndarray, error: float) -> None:
    print(f"{name}: largest error {error:.3e}")
    for power, value in enumerate(coefficients.astype(np.float32)):
        print(f"  {power}: {value:.9e}")


def main() -> None:
    f = np.linspace(-0.5, 0.5, 2001)
    for degree in (3, 6):
        powers = f[:, None] ** np.arange(degree + 1)
        coefficients, error = minimax(powers / np.exp2(f)[:, None], np.ones_like(f))
        show(f"exp2, degree {degree}", coefficients, error)
    for end, degree in ((4.0, 7), (4.25, 7), (4.5, 8), (4.5, 7)):
        x = np.linspace(0, end, 4001)
        gelu = x * 0.5 * (1 + erf(x / np.sqrt(2)))
        # Chebyshev's basis keeps the program well conditioned.
        u = 2 * (x / end) ** 2 - 1
        basis = np.polynomial.chebyshev.chebvander(u, degree) * (x**2)[:, None]
        at_end = np.polynomial.chebyshev.chebvander(np.array([1.0]), degree)[0] * end
        coefficients, error = minimax(basis, gelu - 0.5 * x, (at_end, 0.5))
        in_u = np.polynomial.chebyshev.cheb2poly(coefficients)
        line = np.polynomial.polynomial.Polynomial([-1.0, 2.0 / end**2])
        in_square = sum(c * line**k for k, c in enumerate(in_u))
        show(f"GELU, end {end}, degree {degree} in the square", in_square.coef, error)


if __name__ == "__main__":
    main()
