"""How long a fresh interpreter takes to the first use of each public name, and which large packages that loads::

    python benchmarks/import_time.py

The best of several runs, without the start of the interpreter itself. Processor time does not depend on
what else the machine does.
"""

from __future__ import annotations

import subprocess
import sys

from metseg.runtime.system_info import machine_facts, machine_line

ROUNDS = 5
NAMES = ("__version__", "Case", "load_recipe", "load", "Prediction", "evaluate_case", "simulate", "load_model", "train")
LARGE = ("torch", "lightning", "monai", "matplotlib", "pandas", "scipy", "nibabel")
CODE = """
import sys, time
begin, worked = time.perf_counter(), time.process_time()
import metseg
getattr(metseg, sys.argv[1])
loaded = [name for name in sys.argv[2:] if name in sys.modules]
print(time.perf_counter() - begin, time.process_time() - worked, *loaded)
"""


def first_use(name: str) -> tuple[float, float, list[str]]:
    """Return the seconds until a name can be used, those of the processor, and the large packages that are loaded."""
    done = subprocess.run([sys.executable, "-c", CODE, name, *LARGE], capture_output=True, text=True, check=True)
    seconds, worked, *loaded = done.stdout.split()
    return float(seconds), float(worked), loaded


def main() -> None:
    print(machine_line(machine_facts()))
    print("| first use of | s | s of processor | loads |\n|---|---|---|---|")
    for name in NAMES:
        runs = [first_use(name) for _ in range(ROUNDS)]
        seconds, worked = (min(run[place] for run in runs) for place in (0, 1))
        print(f"| `metseg.{name}` | {seconds:.2f} | {worked:.2f} | {', '.join(runs[0][2])} |", flush=True)


if __name__ == "__main__":
    main()
