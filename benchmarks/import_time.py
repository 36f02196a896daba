"""How long a fresh interpreter takes to the first use of each public name, and which large packages that loads::

    python benchmarks/import_time.py

The best of several runs, without the start of the interpreter itself.
"""

from __future__ import annotations

import subprocess
import sys

from metseg.system_info import machine_facts, machine_line

ROUNDS = 5
NAMES = ("__version__", "Case", "load_recipe", "load", "Prediction", "evaluate_case", "simulate", "load_model", "train")
LARGE = ("torch", "lightning", "monai", "matplotlib", "pandas", "scipy", "nibabel")
CODE = """
import sys, time
begin = time.perf_counter()
import metseg
getattr(metseg, sys.argv[1])
print(time.perf_counter() - begin, *[name for name in sys.argv[2:] if name in sys.modules])
"""


def first_use(name: str) -> tuple[float, list[str]]:
    """Return the seconds until a name can be used, and the large packages that are loaded then."""
    done = subprocess.run([sys.executable, "-c", CODE, name, *LARGE], capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.split()
    return float(seconds), loaded


def main() -> None:
    print(machine_line(machine_facts()))
    print("| first use of | s | loads |\n|---|---|---|")
    for name in NAMES:
        runs = [first_use(name) for _ in range(ROUNDS)]
        print(f"| `metseg.{name}` | {min(seconds for seconds, _ in runs):.2f} | {', '.join(runs[0][1])} |")


if __name__ == "__main__":
    main()
