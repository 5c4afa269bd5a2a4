"""Two versions of the package in turn: the time of the CIFAR-10 NCSN++'s programs now, over that at another commit.

    python experiments/benchmarks/pairs.py --against COMMIT [--pairs 20] [--only forward step]

Each version has a process of its own. They compute in turn, so that a busy machine slows both; the figure is the median of
the ratios of neighbours, with the interval that holds the true median in 95 % of cases (by the binomial distribution).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from scipy.stats import binom

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]


class Version:
    """A process that has compiled the programs of one version, and runs them when asked."""

    def __init__(self, root: Path, batch: int, names: list[str]):
        command = [sys.executable, str(HERE), "--serve", f"--batch={batch}", "--only", *names]
        environment = os.environ | {"PYTHONPATH": str(root)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
        )

    def ask(self, word: str) -> list[float]:
        """The numbers that the process answers with."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer"):
                return [float(number) for number in line.split()[1:]]
        raise RuntimeError(f"the process ended with {self.process.wait()}")


def serve(batch: int, names: list[str]) -> None:
    """Answer the name of a program with seconds: tracing and compiling the first time, then those of a call."""
    import networks

    todo, ready = networks.programs(batch, "float32", "none"), {}
    for word in map(str.strip, sys.stdin):
        if word not in ready:
            row, ready[word] = networks.measure(*todo[word], 1, in_place=word.startswith("step"))
            print("answer", row["trace"], row["compile"], flush=True)
        else:
            print("answer", networks.clocked(ready[word])[0], flush=True)


def interval(ratios: list[float]) -> tuple[float, float]:
    """Of the median: the k-th smallest and largest, k from the binomial distribution."""
    n, ordered = len(ratios), sorted(ratios)
    k = max(int(binom.ppf(0.025, n, 0.5)) - 1, 0)
    return ordered[k], ordered[n - 1 - k]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="HEAD~1", help="the commit to compare with")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=["forward", "score + vjp", "step", "step in a loop"])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.batch, options.only)
        return
    with tempfile.TemporaryDirectory() as name:
        before = Path(name) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(before), options.against], check=True)
        try:
            versions = [Version(root, options.batch, options.only) for root in (ROOT, before)]
            print(f"{'program':<24}{'trace':>14}{'compile':>16}{'seconds':>16}{'ratio':>8}   95 %")
            for program in options.only:
                made = [version.ask(program) for version in versions]
                times = [[version.ask(program)[0] for version in versions] for _ in range(options.pairs)]
                low, high = interval([now / then for now, then in times])
                now, then = (statistics.median(each) for each in zip(*times, strict=True))
                ratio = statistics.median(a / b for a, b in times)
                trace, compiling = (f"{made[0][i]:.1f} ({made[1][i]:.1f})" for i in (0, 1))
                seconds = f"{now:.3f} ({then:.3f})"
                print(
                    f"{program:<24}{trace:>14}{compiling:>16}{seconds:>16}{ratio:>8.3f}   {low:.3f} to {high:.3f}",
                    flush=True,
                )
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=False)


if __name__ == "__main__":
    main()
