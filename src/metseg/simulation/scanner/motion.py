"""Motion artefacts: the head moves while a slice is measured, so that lines of k-space differ in its position.

A shift by ``d`` multiplies the Fourier transform at the wave number ``k`` by ``exp(-2 pi i k d)``. One line of
k-space is measured at once, so each line has the phase of its own moment; sudden motion causes blur and ringing,
periodic motion ghosts along the phase-encoding direction (Zaitsev et al. 2015, J Magn Reson Imaging 42:887).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

FloatArray = npt.NDArray[np.float32]

#: Sudden moves during one measurement, least and most.
MOVES = (1, 3)

#: Lines of one period of the small rhythmic move (breathing, pulse), and its size relative to the sudden ones.
PERIOD_LINES, RHYTHM_SHARE = (5.0, 16.0), 0.12


def measured_while_moving(image: FloatArray, shifts: npt.NDArray[np.floating]) -> FloatArray:
    """Return slices as measured while their content moves in plane.

    Args:
        image: (X, Y, Z), not negative; each z is a slice, x read out, y phase-encoded, one line after the other from
            the most negative wave number to the most positive.
        shifts: (Y, 2) in voxels along x and y while each line was measured, in the order of time.
    Returns:
        (X, Y, Z) float32 magnitude.

    >>> still = np.zeros((4, 4, 1), dtype=np.float32); still[1, 1] = 8
    >>> np.argwhere(measured_while_moving(still, np.tile([1.0, 2.0], (4, 1))) > 4).tolist()
    [[2, 3, 0]]
    """
    readout = np.fft.fftfreq(image.shape[0])[:, None]
    encoding = np.fft.fftfreq(image.shape[1])[None]
    along_x, along_y = (np.fft.ifftshift(shifts[:, axis])[None] for axis in range(2))
    phase = np.exp(-2j * np.pi * (readout * along_x + encoding * along_y)).astype(np.complex64)
    lines = fft.fft2(image, axes=(0, 1))
    lines *= phase[..., None]
    return np.asarray(np.abs(fft.ifft2(lines, axes=(0, 1), overwrite_x=True)), dtype=np.float32)


def draw_shifts(
    lines: int, amplitude_mm: float, spacing_mm: tuple[float, float], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return (lines, 2) shifts in voxels: a few sudden moves that stay, and a small rhythmic one along y.

    The middle of k-space, which decides where things are seen, is measured at rest: labels keep their place.
    """
    shifts = np.zeros((lines, 2))
    for _ in range(int(rng.integers(MOVES[0], MOVES[1] + 1))):
        shifts[int(rng.integers(lines)) :] += rng.normal(0, amplitude_mm, 2)
    phase = 2 * np.pi * (np.arange(lines) / rng.uniform(*PERIOD_LINES) + rng.random())
    shifts[:, 1] += RHYTHM_SHARE * amplitude_mm * np.sin(phase)
    return np.asarray((shifts - shifts[lines // 2]) / np.asarray(spacing_mm), dtype=np.float64)
